//! What the keys of an upstream come to, and files that do not hold what they should.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use mcp_bridge::config::section::{HttpUpstream, Stderr, Transport, Trust, UpstreamKind};
use mcp_bridge::config::{Config, Environment, Faults, show_text};

use crate::bridge::certificates::{Authority, write};

fn parse(text: &str) -> Result<Config, Faults> {
    Config::parse(text, Path::new("/srv"), &Environment::table(&[("HUSH", "hush-hush")]))
}

fn http(keys: &str) -> HttpUpstream {
    let config = parse(&format!("upstreams: {{a: {{url: 'https://example.com/sse', {keys}}}}}"));
    let config = config.unwrap_or_else(|faults| panic!("{faults}"));
    let UpstreamKind::Http(http) = &config.upstreams[0].kind else { panic!("{config:?}") };
    http.as_ref().clone()
}

#[test]
fn the_transport_is_said_by_protocol_or_by_the_type_of_a_clients_file() {
    for (keys, transport) in [
        ("type: http", Transport::Auto),
        ("type: streamable-http", Transport::Auto),
        ("type: sse", Transport::Sse),
        ("type: sse, protocol: sse", Transport::Sse),
        ("protocol: sse", Transport::Sse),
        ("protocol: streamable-http", Transport::StreamableHttp),
        ("protocol: auto", Transport::Auto),
        ("protocol: null", Transport::Auto),
    ] {
        assert_eq!(http(keys).transport, transport, "{keys}");
    }
    let plain = http("");
    assert_eq!((plain.tls.trust, plain.tls.client_certificate, plain.tls.server_name), (Trust::Public, None, None));
    assert!(plain.proxy.is_none() && plain.message_url.is_none());
    assert_eq!(http("tls: {server_name: MCP.Internal}").tls.server_name.as_deref(), Some("mcp.internal"));
}

#[test]
fn standard_error_goes_where_the_word_says_with_or_without_quotes() {
    let file = Stderr::File(PathBuf::from("/srv/child.log"));
    for (keys, meant) in [
        ("", Stderr::Log),
        ("stderr: log", Stderr::Log),
        ("stderr: null", Stderr::Null),
        ("stderr: 'null'", Stderr::Null),
        ("stderr: ~", Stderr::Null),
        ("stderr: inherit", Stderr::Inherit),
        ("stderr: {file: child.log}", file.clone()),
        ("stderr: {file: /srv/child.log}", file),
    ] {
        let text = format!("upstreams: {{a: {{command: server, {keys}}}}}");
        let config = parse(&text).unwrap_or_else(|faults| panic!("{faults}"));
        let UpstreamKind::Stdio(command) = &config.upstreams[0].kind else { panic!("{config:?}") };
        assert_eq!(command.stderr, meant, "{keys}");
        let shown = show_text(&text, Path::new("/srv"), &Environment::table(&[])).unwrap();
        assert_eq!(show_text(&shown, Path::new("/srv"), &Environment::table(&[])).unwrap(), shown);
        let again = parse(&shown).unwrap();
        let UpstreamKind::Stdio(command) = &again.upstreams[0].kind else { panic!("{again:?}") };
        assert_eq!(command.stderr, meant, "{keys}: {shown}");
    }
}

#[test]
fn a_proxys_password_is_never_shown() {
    let text = "upstreams: {a: {url: 'https://example.com/mcp', proxy_url: 'http://ada:${HUSH}@proxy.example:3128'}}";
    let shown = show_text(text, Path::new("/srv"), &Environment::table(&[("HUSH", "hush-hush")])).unwrap();
    assert!(shown.contains("proxy_url: http://redacted@proxy.example:3128/") && !shown.contains("hush"), "{shown}");
    let config = parse(text).unwrap();
    assert!(!format!("{config:?}").contains("hush-hush"));
    let UpstreamKind::Http(http) = &config.upstreams[0].kind else { panic!() };
    let (user, password) = http.proxy.as_ref().unwrap().credentials.as_ref().unwrap();
    assert_eq!((user.as_str(), password.expose()), ("ada", "hush-hush"));
}

#[test]
fn proxy_16_whoever_lets_every_certificate_pass_is_told_so_at_every_start() {
    for keys in ["insecure_skip_verify: true", "verify: false", "verify: false, insecure_skip_verify: true"] {
        let config = parse(&format!("upstreams: {{a: {{url: 'https://example.com/mcp', tls: {{{keys}}}}}}}")).unwrap();
        let UpstreamKind::Http(http) = &config.upstreams[0].kind else { panic!() };
        assert_eq!((&http.tls.trust, config.warnings.len()), (&Trust::Anybody, 1), "{keys}");
        assert!(config.warnings[0].path.starts_with("upstreams.a.tls."), "{keys}");
    }
}

/// What is wrong with these files; nothing when nothing is.
fn faults(folder: &Path, keys: &str) -> String {
    let text = format!("upstreams: {{a: {{url: 'https://example.com/mcp', tls: {{{keys}}}}}}}");
    let config = Config::parse(&text, folder, &Environment::table(&[]));
    config.err().map(|faults| faults.to_string()).unwrap_or_default()
}

#[test]
fn files_of_certificates_hold_what_they_should_and_fit() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let authority = Authority::new("ours");
    write(folder, "ca.pem", &authority.pem());
    let (own, other) = (authority.issue(&["bridge.internal"]), authority.issue(&["other.internal"]));
    own.write(folder);
    write(folder, "other.pem", &other.key);
    write(folder, "text.pem", b"nothing of the kind");
    write(folder, "broken.pem", b"-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n");
    write(folder, "rubbish.pem", b"-----BEGIN CERTIFICATE-----\naHVzaC1odXNo\n-----END CERTIFICATE-----\n");
    let locked = b"-----BEGIN ENCRYPTED PRIVATE KEY-----\naHVzaC1odXNo\n-----END ENCRYPTED PRIVATE KEY-----\n";
    write(folder, "locked.pem", locked);
    assert_eq!(faults(folder, "ca_cert: ca.pem, cert_file: cert.pem, key_file: key.pem"), "");
    for (keys, said) in [
        ("ca_cert: text.pem", "text.pem holds no certificate"),
        ("ca_cert: broken.pem", "broken.pem is no sound PEM file"),
        ("ca_cert: rubbish.pem", "holds a certificate that cannot be used"),
        ("ca_cert: .", "cannot be read: Is a directory"),
        ("cert_file: text.pem, key_file: key.pem", "text.pem holds no certificate"),
        ("cert_file: cert.pem, key_file: other.pem", "does not belong to the first certificate in cert_file"),
        ("cert_file: cert.pem, key_file: cert.pem", "cert.pem holds no private key"),
        ("cert_file: cert.pem, key_file: locked.pem", "or one that needs a password"),
        ("cert_file: rubbish.pem, key_file: key.pem", "cannot be used with cert_file"),
    ] {
        let message = faults(folder, keys);
        assert!(message.contains(said) && message.lines().count() == 1, "{keys}: {message}");
        assert!(!message.contains("aHVz"), "{message}");
    }
    for (mode, is_refused) in [(0o640, false), (0o644, true), (0o660, true)] {
        std::fs::set_permissions(folder.join("key.pem"), std::fs::Permissions::from_mode(mode)).unwrap();
        let message = faults(folder, "cert_file: cert.pem, key_file: key.pem");
        assert_eq!(message.contains("chmod 0600"), is_refused, "{message}");
    }
}
