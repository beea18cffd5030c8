//! Keys of upstreams whose check needs files, or whose words have a meaning of their own.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use mcp_bridge::config::section::{ChildStderr, HttpProtocol, HttpUpstream, UpstreamKind};
use mcp_bridge::config::{Config, Environment, show_text};

use crate::bridge::certificates::Pair;

fn http(keys: &str, folder: &Path) -> Result<HttpUpstream, String> {
    let text = format!("upstreams: {{one: {{url: 'https://example.com/mcp', {keys}}}}}");
    let config = Config::parse(&text, folder, &Environment::table(&[])).map_err(|faults| faults.to_string())?;
    match &config.upstreams[0].kind {
        UpstreamKind::Http(http) => Ok(http.clone()),
        other => panic!("{other:?}"),
    }
}

fn stderr(keys: &str) -> ChildStderr {
    let text = format!("upstreams: {{one: {{command: server, {keys}}}}}");
    let config = Config::parse(&text, Path::new("/"), &Environment::table(&[])).unwrap();
    match &config.upstreams[0].kind {
        UpstreamKind::Stdio(command) => command.stderr.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn proxy_16_certificates_are_looked_at_before_they_are_needed() {
    let folder = tempfile::tempdir().unwrap();
    let (authority, other) = (Pair::authority(), Pair::authority());
    let write = |name: &str, text: &str, mode: u32| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    };
    write("ca.pem", &(authority.certificate_pem() + &other.certificate_pem()), 0o644);
    write("own.pem", &authority.certificate_pem(), 0o644);
    write("key.pem", &authority.key_pem(), 0o600);
    write("open.pem", &authority.key_pem(), 0o644);
    write("other.pem", &other.key_pem(), 0o600);
    write("words.pem", "not a certificate", 0o600);
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    write("broken.pem", broken, 0o644);

    let tls = http("tls: {ca_cert: ca.pem, cert_file: own.pem, key_file: key.pem}", folder.path()).unwrap().tls;
    assert!(tls.authorities.is_some() && !tls.is_unverified);
    assert!(tls.identity.unwrap().expose().contains("PRIVATE KEY"));
    for (keys, said) in [
        ("ca_cert: words.pem", "holds no certificate"),
        ("ca_cert: broken.pem", "holds a certificate that cannot be read"),
        ("ca_cert: missing.pem", "cannot be read: No such file"),
        ("cert_file: words.pem, key_file: key.pem", "holds no certificate"),
        ("cert_file: own.pem, key_file: words.pem", "holds no private key"),
        ("cert_file: own.pem, key_file: other.pem", "is not the key of cert_file"),
        ("cert_file: own.pem, key_file: open.pem", "others can read the key"),
    ] {
        let faults = http(&format!("tls: {{{keys}}}"), folder.path()).unwrap_err();
        assert!(faults.contains(said), "{keys}: {faults}");
        assert!(!faults.contains("PRIVATE"), "{faults}");
    }
}

#[test]
fn protocols_have_two_places_and_one_meaning() {
    for (keys, protocol) in [
        ("type: http", HttpProtocol::Auto),
        ("type: sse", HttpProtocol::Sse),
        ("type: sse, protocol: sse", HttpProtocol::Sse),
        ("type: streamable-http", HttpProtocol::StreamableHttp),
        ("protocol: sse", HttpProtocol::Sse),
        ("", HttpProtocol::Auto),
    ] {
        assert_eq!(http(keys, Path::new("/")).unwrap().protocol, protocol, "{keys}");
    }
}

#[test]
fn null_is_a_word_for_standard_error_alone() {
    assert_eq!(stderr(""), ChildStderr::Log);
    assert_eq!(stderr("stderr: null"), ChildStderr::Discard);
    assert_eq!(stderr("stderr: 'null'"), ChildStderr::Discard);
    assert_eq!(stderr("stderr: inherit"), ChildStderr::Inherit);
    assert_eq!(stderr("stderr: {file: tmp/../child.log}"), ChildStderr::File("/tmp/../child.log".into()));
}

#[test]
fn the_canonical_form_hides_a_proxys_password_and_loads_again() {
    let text = "upstreams: {a: {url: 'https://example.com/mcp', type: sse, tls: {insecure_skip_verify: true}, \
                proxy_url: 'socks5://ada:secret-token@proxy.example.com:1080'}, \
                b: {url: 'http://127.0.0.1/mcp'}, c: {command: run, stderr: null}, \
                d: {url: 'https://example.com/mcp', tls: {verify: false}}}";
    let show = |text: &str| {
        show_text(text, Path::new("/"), &Environment::table(&[])).unwrap_or_else(|faults| panic!("{faults}"))
    };
    let shown = show(text);
    assert!(!shown.contains("secret-token") && !shown.contains("//ada"), "{shown}");
    assert!(shown.contains("redacted@proxy.example.com:1080"), "{shown}");
    assert_eq!(shown, show(&shown));
}
