//! `config.yaml` loads; every fault has a sample in `fixtures/config/` and a snapshot of its message.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mcp_bridge::config::section::{
    ClientAuthentication, Dialect, EndpointAuth, InheritEnv, LogFormat, Mode, PasswordSource, Provider,
    SigningAlgorithm, Storage, UpstreamAuth, UpstreamKind,
};
use mcp_bridge::config::{Config, Environment, Faults, known_places, schema, show_text};

const HASH: &str = "$2b$12$abcdefghijklmnopqrstuuABCDEFGHIJKLMNOPQRSTUVWXYZ01234";
const LONG: &str = "a password of seventy-three bytes, which bcrypt would cut without a word!";

fn environment() -> Environment {
    Environment::table(&[
        ("READER_PASSWORD", "correct horse"),
        ("PASSWORD", "correct horse"),
        ("LONG_PASSWORD", LONG),
        ("EMPTY", ""),
        ("NOT_A_NUMBER", "many"),
        ("GITHUB_TOKEN", "Bearer github-secret"),
        ("TOKEN", "secret-token"),
        ("GOOGLE_CLIENT_ID", "107.apps.example.com"),
        ("GOOGLE_CLIENT_SECRET", "secret-token"),
        ("REPORTS_SECRET", "secret-token of 32 characters ....."),
    ])
}

fn fixtures(folder: &str) -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/config").join(folder);
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.is_file());
    files.sort();
    files.iter().map(|path| (name_of(path), fs::read_to_string(path).unwrap())).collect()
}

fn name_of(path: &Path) -> String {
    path.file_stem().unwrap().to_string_lossy().into_owned()
}

fn parse(text: &str) -> Result<Config, Faults> {
    Config::parse(text, Path::new("/srv/bridge"), &environment())
}

/// With an authorization server that has nothing wrong but what `text` adds below `server.oauth_server`.
fn parse_authorization_server(text: &str) -> Result<Config, Faults> {
    parse(&format!("server: {{oauth_server: {{enabled: true, {text}}}}}\nupstreams: {{me: {{builtin: whoami}}}}"))
}

/// The providers of an authorization server whose `federated` is `text`; there must be nothing to remark upon.
fn providers(text: &str) -> Vec<Provider> {
    let server = format!("issuer: 'https://mcp.example.com', mode: federated, federated: {{{text}}}");
    let config = parse_authorization_server(&server).unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!(config.warnings, [], "{text}");
    config.oauth_server.unwrap().providers
}

fn snapshot(name: &str, text: &str, message: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_suffix(name);
    settings.set_prepend_module_to_snapshot(true);
    settings.set_description(text);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!("message", message));
}

#[test]
fn every_fault_says_where_what_and_what_to_write() {
    for (name, text) in fixtures("") {
        let faults = parse(&text).expect_err(&name);
        snapshot(&name, &text, &faults.to_string());
        for fault in faults.iter() {
            assert!(!fault.problem.is_empty() && !fault.problem.contains('\n'), "{name}: {fault:?}");
        }
    }
}

#[test]
fn what_is_unwise_is_a_warning_and_a_fault_when_strict() {
    for (name, text) in fixtures("unwise") {
        let config = parse(&text).unwrap_or_else(|faults| panic!("{name}: {faults}"));
        let faults = config.strict(Path::new("config.yaml")).expect_err(&name);
        snapshot(&format!("unwise_{name}"), &text, &faults.to_string());
    }
}

#[test]
fn no_message_shows_a_secret() {
    for (name, text) in fixtures("").into_iter().chain(fixtures("unwise")) {
        let message = match parse(&text) {
            Err(faults) => faults.to_string(),
            Ok(config) => format!("{:?}", config.warnings),
        };
        for secret in ["correct horse", "secret-token", "github-secret", "abcdefghijkl", "12345678", LONG] {
            assert!(!message.contains(secret), "{name} shows {secret}: {message}");
        }
    }
}

#[test]
fn meta_15_the_issuer_is_https_without_query_or_fragment() {
    for issuer in [
        "http://mcp.example.com",
        "https://mcp.example.com?a=b",
        "https://mcp.example.com?",
        "https://mcp.example.com#a",
        "https://mcp.example.com#",
        "",
    ] {
        let faults = parse_authorization_server(&format!("issuer: '{issuer}'")).unwrap_err();
        assert!(faults.iter().any(|fault| fault.path == "server.oauth_server.issuer"), "{issuer}: {faults}");
        assert_eq!(faults.iter().count(), 1, "{issuer}: {faults}");
    }
    for issuer in ["https://mcp.example.com", "http://127.0.0.1:8080", "http://localhost:8080", "http://[::1]:8080"] {
        let config = parse_authorization_server(&format!("issuer: '{issuer}'")).unwrap();
        assert_eq!(config.oauth_server.unwrap().issuer.as_deref(), Some(issuer));
    }
}

#[test]
fn login_10_a_hash_that_is_none_names_the_user_and_not_the_value() {
    let multibyte = format!("{}ü", &HASH[..58]);
    for hash in [
        multibyte.as_str(),
        &HASH.replace("$12$", "$03$"),
        &HASH.replace("$12$", "$32$"),
        &HASH.replace("$2b$", "$2x$"),
        &HASH[..59],
        "",
        "hunter2 hunter2",
    ] {
        let user = format!("{{username: ada, password_hash: '{hash}', scopes: [mcp:read]}}");
        let text = format!("issuer: 'https://mcp.example.com', builtin: {{users: [{user}]}}");
        let message = parse_authorization_server(&text).unwrap_err().to_string();
        assert!(message.contains("user `ada`"), "{message}");
        assert!(hash.is_empty() || !message.contains(hash), "{message}");
    }
}

#[test]
fn host_6_the_default_is_loopback_and_http_on_every_address_is_refused() {
    assert_eq!(parse("").unwrap().server.listen.to_string(), "127.0.0.1:8080");
    for listen in ["0.0.0.0:8080", ":8080", "[::]:8080", "192.0.2.1:8080"] {
        let text = |more: &str| {
            let server = "oauth_server: {enabled: true, issuer: 'http://127.0.0.1:8080'}";
            format!("server: {{listen: '{listen}', {server}{more}}}")
        };
        let message = parse(&text("")).unwrap_err().to_string();
        assert!(message.contains("server.listen") && message.contains("danger_http"), "{message}");
        assert!(parse(&text(", danger_http: true")).is_ok());
    }
}

#[test]
fn ops_14_what_is_insecure_has_a_name_that_says_so_and_a_warning_at_every_start() {
    let insecure: Vec<String> = known_places().into_iter().filter(|place| place.contains("danger_")).collect();
    let documents = "server.oauth_server.client_id_metadata_documents.danger_allow_addresses";
    assert_eq!(insecure, [documents, "server.danger_http"]);
    let text = "server: {listen: ':8080', danger_http: true, oauth_server: {enabled: true, issuer: 'http://127.0.0.1:8080', client_id_metadata_documents: {danger_allow_addresses: ['127.0.0.1:1']}}}";
    let warnings = parse(text).unwrap().warnings;
    for insecure in insecure {
        assert!(warnings.iter().any(|warning| warning.path == insecure), "{warnings:?}");
    }
}

#[test]
fn the_repositorys_configuration_loads() {
    let text = reference_file();
    let config = parse(&text).unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!(config.warnings, []);
    let server = config.oauth_server.unwrap();
    assert!(server.create_first_user && server.allow_dynamic_registration && server.users.is_empty());
    assert_eq!(server.signing.key_dir, Path::new("/srv/bridge/keys"));
    assert_eq!(config.storage, Storage::Sqlite { path: PathBuf::from("/srv/bridge/data/mcp-bridge.db") });
    assert_eq!(config.endpoint.auth, EndpointAuth::Builtin);
    assert_eq!(config.upstreams.len(), 1);
    assert_eq!(config.upstreams[0].name, "me");
}

#[test]
fn the_reference_in_config_yaml_is_complete_and_states_the_defaults() {
    let text = reference_file();
    for place in known_places() {
        let key = place.rsplit('.').next().unwrap();
        assert!(text.contains(&format!("{key}:")), "{place} is not in config.yaml");
    }
    let reference = uncommented(&text);
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("secrets")).unwrap();
    fs::write(folder.path().join("secrets/backup"), "correct horse\n").unwrap();
    let shown = show_text(&reference, folder.path(), &environment()).unwrap_or_else(|faults| panic!("{faults}"));
    let shown: serde_json::Value = serde_yaml::from_str(&shown).unwrap();
    // Only what is required is written there: `federated` has defaults, but none when it is not written.
    let least = "server: {oauth_server: {federated: {upstream_issuer: 'https://sso.example.com', client_id: x}}}";
    let defaults: serde_json::Value =
        serde_yaml::from_str(&show_text(least, folder.path(), &environment()).unwrap()).unwrap();
    let examples = [
        "server.auth.type",
        "server.oauth_server.enabled",
        "server.oauth_server.issuer",
        "server.oauth_server.builtin.users",
        "server.oauth_server.clients",
        "server.oauth_server.enterprise.issuers",
        "server.oauth_server.federated.upstream_issuer",
        "server.oauth_server.federated.client_id",
        "server.oauth_server.federated.client_secret_env",
    ];
    for place in known_places() {
        let beside = examples.iter().any(|example| example.starts_with(&place) || place.starts_with(example));
        if !beside && !place.starts_with("upstreams") && !place.starts_with("server.mcp_server") {
            let pointer = format!("/{}", place.replace('.', "/"));
            assert_eq!(
                shown.pointer(&pointer),
                defaults.pointer(&pointer),
                "{place} is not the default in config.yaml"
            );
        }
    }
}

#[test]
fn the_examples_of_the_readme_load_and_clients_can_get_in() {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let environment = Environment::table(&[("SEARCH_TOKEN", "secret-token"), ("EVE_PASSWORD", "correct horse")]);
    let examples = readme.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let whole = examples.filter(|text| !is_of_a_provider(text));
    let examples: Vec<String> = whole.map(|text| text.replace("$2b$12$…", HASH)).collect();
    assert_eq!(examples.len(), 3);
    for example in examples {
        let config = Config::parse(&example, Path::new("/srv/bridge"), &environment);
        let config = config.unwrap_or_else(|faults| panic!("{faults}\n{example}"));
        // Nobody could use an issuer whose clients cannot register: there is no other way in yet.
        assert!(config.oauth_server.is_none_or(|server| server.allow_dynamic_registration || server.issuer.is_none()));
    }
}

/// A sample of what stands below `server.oauth_server`.
fn is_of_a_provider(sample: &str) -> bool {
    sample.starts_with("mode: ")
}

#[test]
fn the_readme_has_a_sample_for_each_usual_provider_that_needs_no_remark() {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let samples = readme.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let mut labels = Vec::new();
    for sample in samples.filter(|text| is_of_a_provider(text)) {
        let named = sample.split("${").skip(1).map(|rest| rest.split('}').next().unwrap());
        let elsewhere = sample.split("_env: ").skip(1).map(|rest| rest.split([',', '}', '\n', ' ']).next().unwrap());
        let variables: Vec<(&str, &str)> = named.chain(elsewhere).map(|name| (name, "a-value")).collect();
        let below = sample.lines().map(|line| format!("    {line}\n")).collect::<String>();
        let text = format!(
            "server:\n  oauth_server:\n    enabled: true\n    issuer: https://mcp.example.com\n{below}\
             upstreams: {{me: {{builtin: whoami}}}}\n"
        );
        let config = Config::parse(&text, Path::new("/srv/bridge"), &Environment::table(&variables));
        let config = config.unwrap_or_else(|faults| panic!("{faults}\n{text}"));
        assert_eq!(config.warnings, [], "{text}");
        assert!(!variables.is_empty(), "{sample}");
        let server = config.oauth_server.unwrap();
        assert_eq!(server.mode == Mode::Both, server.providers.len() > 1, "{sample}");
        labels.extend(server.providers.into_iter().map(|provider| provider.label));
    }
    let keycloak = "keycloak.example.com";
    let alone = ["Google", "Microsoft", "example.okta.com", "example.eu.auth0.com", keycloak, "GitHub"];
    assert_eq!(labels, [&alone[..], &["Google", "Example staff", "GitHub"]].concat());
}

fn reference_file() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("config.yaml")).unwrap()
}

/// The commented keys after the line `## Reference`, as a file of their own.
fn uncommented(text: &str) -> String {
    let (_, reference) = text.split_once("## Reference").unwrap();
    let keys = reference.lines().filter(|line| *line == "#" || line.starts_with("# "));
    keys.map(|line| line.get(2..).unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_seeds_built_in_block_loads_unchanged() {
    let folder = tempfile::tempdir().unwrap();
    let key_file = folder.path().join("jwt-private.pem");
    fs::write(&key_file, "read by the key module").unwrap();
    fs::set_permissions(&key_file, fs::Permissions::from_mode(0o640)).unwrap();
    let (_, seed) = fixtures("legal").into_iter().find(|(name, _)| name == "seed_builtin").unwrap();
    let text = seed.replace("/etc/pgedge/jwt-private.pem", key_file.to_str().unwrap());

    let message = parse(&text).unwrap_err().to_string();
    insta::assert_snapshot!(message, @"config.yaml:14: server.oauth_server.builtin.users[0].password_hash: (user `admin`) is the placeholder of an example; make one with `mcp-bridge hash-password`, and write it in quotes");

    let config = parse(&text.replace("$2a$10$...", &HASH.replace("$2b$12$", "$2a$10$"))).unwrap();
    let server = config.oauth_server.unwrap();
    assert_eq!(server.issuer.as_deref(), Some("https://mcp.example.com"));
    assert_eq!(server.token_lifetime, Duration::from_secs(3600));
    assert_eq!(server.refresh_token_lifetime, Duration::from_secs(86_400));
    assert_eq!(server.signing.algorithm, Some(SigningAlgorithm::Rs256));
    assert_eq!(server.signing.key_file, Some(key_file));
    assert_eq!(server.users[0].scopes.to_string(), "mcp:read mcp:write");
    assert!(matches!(&server.users[0].password, PasswordSource::Hash(hash) if hash.expose().starts_with("$2a$10$")));
    assert!(matches!(&server.users[1].password, PasswordSource::Plain(plain) if plain.expose() == "correct horse"));
    assert_eq!(server.allowed_redirect_uris, ["https://claude.ai/api/mcp/auth_callback"]);
    assert_eq!(config.endpoint.auth, EndpointAuth::Builtin);
}

#[test]
fn the_seeds_federated_block_loads_unchanged() {
    let folder = tempfile::tempdir().unwrap();
    let key_file = folder.path().join("jwt-private.pem");
    fs::write(&key_file, "read by the key module").unwrap();
    fs::set_permissions(&key_file, fs::Permissions::from_mode(0o640)).unwrap();
    let (_, seed) = fixtures("legal").into_iter().find(|(name, _)| name == "seed_federated").unwrap();
    let config = parse(&seed.replace("/etc/pgedge/jwt-private.pem", key_file.to_str().unwrap())).unwrap();
    assert_eq!(config.warnings, []);
    let server = config.oauth_server.unwrap();
    assert_eq!((server.mode, server.session_lifetime), (Mode::Federated, Duration::from_secs(43_200)));
    let [provider] = server.providers.try_into().unwrap();
    assert_eq!((provider.name.as_str(), provider.label.as_str()), ("default", "Google"));
    assert_eq!(provider.dialect.issuer(), "https://accounts.google.com");
    assert_eq!(provider.client_id, "107.apps.example.com");
    let secret = &provider.client_authentication;
    assert!(matches!(secret, ClientAuthentication::Secret(secret) if secret.expose() == "secret-token"));
    assert_eq!(provider.scopes, ["openid", "email", "profile"]);
    let admission = &provider.admission;
    assert_eq!(admission.allowed_domains, ["example.com"]);
    assert_eq!(admission.admin_users, ["[email protected]"]);
    assert_eq!(admission.default_scopes.to_string(), "mcp:read");
    assert_eq!(admission.admin_scopes.to_string(), "mcp:admin mcp:read mcp:write");
    assert!(admission.require_email_verified && admission.group_scopes.is_empty());
}

#[test]
fn a_provider_is_what_its_keys_and_their_defaults_say() {
    let [provider] = providers(
        "upstream_issuer: 'https://Sso.example.com/realms/a/', client_id: 7, auth_method: post, client_secret: $$x, \
         authorize_parameters: {prompt: login, max_age: 60}, allowed_domains: [Example.COM, bücher.example], \
         group_scopes: {my.org/devs: [mcp:write]}, groups_claim: realm_access.roles",
    )
    .try_into()
    .unwrap();
    let Dialect::Oidc { issuer, discovery_url: None } = &provider.dialect else { panic!("{provider:?}") };
    // As written: with or without the last slash is for the provider to say.
    assert_eq!((issuer.as_str(), provider.label.as_str()), ("https://Sso.example.com/realms/a/", "sso.example.com"));
    assert!(matches!(&provider.client_authentication, ClientAuthentication::Post(secret) if secret.expose() == "$x"));
    let parameters = [("prompt", "login"), ("max_age", "60")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!((provider.client_id.as_str(), provider.authorize_parameters), ("7", parameters.to_vec()));
    assert_eq!(provider.admission.allowed_domains, ["example.com", "xn--bcher-kva.example"]);
    assert_eq!(provider.admission.group_scopes["my.org/devs"].to_string(), "mcp:write");
    assert_eq!(provider.reauthentication_interval, Duration::from_secs(7 * 86_400));
    assert_eq!(provider.http_timeout, Duration::from_secs(30));

    let [github, keyed, public] = providers(
        "providers: {hub: {upstream_type: oauth2, client_id: x, client_secret_env: TOKEN, allowed_domains: [a.example]}, \
         keyed: {upstream_issuer: 'https://keyed.example', client_id: x, auth_method: private_key_jwt, client_key_id: k}, \
         public: {upstream_issuer: 'http://localhost:8081', client_id: x, label: Staff}}",
    )
    .try_into()
    .unwrap();
    let Dialect::Oauth2 { issuer, authorize_url, token_url, userinfo_url } = &github.dialect else {
        panic!("{github:?}")
    };
    assert_eq!((issuer.as_str(), github.label.as_str()), ("https://github.com", "GitHub"));
    assert_eq!(authorize_url.as_str(), "https://github.com/login/oauth/authorize");
    assert_eq!(token_url.as_str(), "https://github.com/login/oauth/access_token");
    assert_eq!(userinfo_url.as_str(), "https://api.github.com/user");
    assert_eq!(github.scopes, ["read:user", "user:email", "read:org"]);
    let key = &keyed.client_authentication;
    let id = "k";
    assert!(matches!(key, ClientAuthentication::PrivateKeyJwt { key_file: None, key_id: Some(key) } if key == id));
    assert!(matches!(public.client_authentication, ClientAuthentication::None));
    assert_eq!((public.name.as_str(), public.label.as_str()), ("public", "Staff"));
}

#[test]
fn a_client_key_that_others_can_read_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let key_file = folder.path().join("key.pem");
    fs::write(&key_file, "").unwrap();
    for (mode, refused) in [(0o600, false), (0o644, true)] {
        fs::set_permissions(&key_file, fs::Permissions::from_mode(mode)).unwrap();
        let text = format!(
            "issuer: 'https://mcp.example.com', mode: federated, federated: {{upstream_issuer: 'https://sso.example.com', \
             client_id: x, auth_method: private_key_jwt, client_key_file: '{}'}}",
            key_file.display()
        );
        let result = parse_authorization_server(&text);
        assert_eq!(result.is_err(), refused, "{mode:o}");
        assert!(result.err().is_none_or(|faults| faults.to_string().contains("client_key_file")));
    }
}

#[test]
fn no_kind_of_login_is_on_that_the_mode_does_not_name() {
    let federated = "federated: {upstream_issuer: 'https://sso.example.com', client_id: x}";
    for (mode, count) in [("builtin", 0), ("federated", 1), ("both", 1)] {
        let text = format!("issuer: 'https://mcp.example.com', mode: {mode}, {federated}");
        assert_eq!(parse_authorization_server(&text).unwrap().oauth_server.unwrap().providers.len(), count, "{mode}");
    }
    let off = "issuer: 'https://mcp.example.com', builtin: {session_lifetime: 0}";
    assert_eq!(parse_authorization_server(off).unwrap().oauth_server.unwrap().session_lifetime, Duration::ZERO);
}

#[test]
fn a_key_file_that_others_can_read_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let key_file = folder.path().join("key.pem");
    fs::write(&key_file, "").unwrap();
    for (mode, refused) in [(0o600, false), (0o640, false), (0o400, false), (0o644, true), (0o660, true), (0o604, true)]
    {
        fs::set_permissions(&key_file, fs::Permissions::from_mode(mode)).unwrap();
        let text = format!("issuer: 'https://mcp.example.com', signing: {{key_file: '{}'}}", key_file.display());
        let result = parse_authorization_server(&text);
        assert_eq!(result.is_err(), refused, "{mode:o}");
        assert!(result.err().is_none_or(|faults| faults.to_string().contains("chmod 0600")));
    }
}

#[test]
fn aliases_and_the_files_of_mcp_clients_are_read() {
    let config = parse(
        "logging: {level: debug, format: json}\n\
         auth: {strategy: none}\n\
         mcpServers:\n  \
           github: {type: http, url: 'https://api.example.com/mcp', auth: {token: '{{ env.GITHUB_TOKEN }}'}}\n  \
           files: {type: stdio, command: npx, args: [-y, 8080], env: {DEBUG: true}, cwd: /}\n",
    )
    .unwrap();
    assert_eq!((config.log.level.as_str(), config.log.format), ("debug", LogFormat::Json));
    assert_eq!(config.endpoint.auth, EndpointAuth::None);
    let UpstreamKind::Http(http) = &config.upstreams[0].kind else { panic!("{:?}", config.upstreams) };
    assert!(matches!(&http.auth, UpstreamAuth::Bearer(token) if token.expose() == "github-secret"));
    let UpstreamKind::Stdio(child) = &config.upstreams[1].kind else { panic!("{:?}", config.upstreams) };
    assert_eq!(child.args, ["-y", "8080"]);
    assert_eq!(child.env["DEBUG"].expose(), "true");
    assert!(matches!(&child.inherit_env, InheritEnv::Only(names) if names.len() == 9));
}

#[test]
fn the_only_upstream_is_required_and_has_no_prefix() {
    let config = parse("server: {mcp_server: {command: ./server, dir: /, read_timeout: 10s}}").unwrap();
    let upstream = &config.upstreams[0];
    assert_eq!((upstream.name.as_str(), upstream.prefix.as_deref(), upstream.required), ("default", Some(""), true));
    assert_eq!(upstream.timeout, Duration::from_secs(10));
    let UpstreamKind::Stdio(child) = &upstream.kind else { panic!("{upstream:?}") };
    assert_eq!(child.command, "/./server");
}

#[test]
fn variables_are_expanded_into_whatever_the_key_asks_for() {
    let environment = Environment::table(&[
        ("PORT", "9090"),
        ("ROOT", "false"),
        ("TIME", "90s"),
        ("MANY", "7"),
        ("WORD", "memory"),
        ("TRICK", "x\nlog: {level: trace}"),
        ("DIGITS", "0123"),
    ]);
    let text = "server:\n  listen: 127.0.0.1:${PORT}\n  root_endpoint: ${ROOT}\n  read_timeout: $TIME\n  \
                session: {max_sessions: \"${MANY}\", timeout: \"${NONE:-5m}\"}\n\
                storage: {type: '{{ env.WORD }}'}\n\
                upstreams: {a: {command: run, args: ['${TRICK}', '$$HOME'], env: {PIN: '${DIGITS}'}}}\n";
    let config = Config::parse(text, Path::new("/srv/bridge"), &environment).unwrap();
    assert_eq!(config.server.listen.port(), 9090);
    assert!(!config.server.root_endpoint);
    assert_eq!(config.server.read_timeout, Duration::from_secs(90));
    assert_eq!((config.server.session.max_sessions, config.server.session.timeout), (7, Duration::from_secs(300)));
    assert_eq!((config.storage, config.log.level.as_str()), (Storage::Memory, "info"));
    let UpstreamKind::Stdio(child) = &config.upstreams[0].kind else { panic!() };
    assert_eq!(child.args, ["x\nlog: {level: trace}", "$HOME"]);
    assert_eq!(child.env["PIN"].expose(), "0123");
}

#[test]
fn the_canonical_form_hides_secrets_and_loads_again() {
    let text = "\u{feff}logging: {level: debug}\n\
                server: {listen: ':8080', idle_timeout: 120, oauth_server: {enabled: true, \
                issuer: 'HTTPS://MCP.example.com/', scopes_supported: {'mcp:read': Look}, builtin: {users: [\
                {username: ada, password_env: PASSWORD, scopes: [mcp:read]}]}}}\n\
                servers: [{name: web, url: 'https://example.com/mcp', headers: {X-Key: secret-token}, \
                auth: {token: secret-token}}, {name: run, command: run, args: ['${TOKEN}'], env: {A: secret-token}}]\n";
    let shown = show_text(text, Path::new("/srv/bridge"), &environment()).unwrap_or_else(|faults| panic!("{faults}"));
    assert!(!shown.contains("secret") && !shown.contains("correct horse"), "{shown}");
    insta::assert_snapshot!("canonical", shown);
    let again = show_text(&shown, Path::new("/srv/bridge"), &environment()).unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!(shown, again);
}

#[test]
fn the_canonical_form_of_providers_hides_secrets_and_loads_again() {
    for (name, federated) in [
        ("oidc", "upstream_issuer: 'https://a.example/', client_id: x, client_secret: secret-token"),
        (
            "several",
            "providers: [{name: hub, upstream_type: oauth2, client_id: x, client_secret_env: TOKEN, default_scopes: [], \
             group_scopes: {staff: [mcp:write, mcp:read]}}]",
        ),
    ] {
        let text = format!("server: {{oauth_server: {{mode: both, federated: {{{federated}}}}}}}");
        let show = |text: &str| show_text(text, Path::new("/srv/bridge"), &environment());
        let shown = show(&text).unwrap_or_else(|faults| panic!("{faults}"));
        assert!(!shown.contains("secret-token"), "{shown}");
        assert_eq!(show(&shown).unwrap_or_else(|faults| panic!("{faults}")), shown);
        let (_, federated) = shown.split_once("    federated:\n").unwrap();
        let federated: Vec<&str> = federated.lines().take_while(|line| line.starts_with("      ")).collect();
        insta::assert_snapshot!(format!("canonical_federated_{name}"), federated.join("\n"));
    }
}

#[test]
fn the_schema_describes_every_key() {
    fn undescribed(schema: &serde_json::Value, path: &str, found: &mut Vec<String>) {
        for (key, property) in schema["properties"].as_object().into_iter().flatten() {
            let path = format!("{path}.{key}");
            if property["description"].as_str().is_none_or(str::is_empty) {
                found.push(path.clone());
            }
            undescribed(property, &path, found);
        }
    }
    let schema = schema();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    assert_eq!(schema["additionalProperties"], false);
    assert_eq!(
        schema["properties"]["server"]["properties"]["oauth_server"]["properties"]["token_lifetime"]["default"],
        "1h"
    );
    let mut found = Vec::new();
    undescribed(&schema, "", &mut found);
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn no_text_makes_it_panic_or_hang() {
    let mut texts: Vec<String> = fixtures("").into_iter().chain(fixtures("unwise")).map(|(_, text)| text).collect();
    texts.push(reference_file());
    for text in &texts {
        for (index, _) in text.char_indices().step_by(7) {
            let _ = parse(&text[..index]);
            let _ = parse(&text[index..]);
        }
    }
    let bomb =
        (1..30).fold("a0: &a0 [x, x]\n".to_owned(), |text, n| format!("{text}a{n}: &a{n} [*a{0}, *a{0}]\n", n - 1));
    for text in [&"[".repeat(100_000), &"{a: ".repeat(100_000), &"- ".repeat(100_000), &bomb] {
        assert!(parse(text).is_err());
    }
}

#[test]
fn each_key_refuses_each_wrong_kind_of_value_with_its_own_path() {
    for place in known_places().iter().filter(|place| !place.contains('*') && !place.contains("mcp_server")) {
        let keys: Vec<&str> = place.split('.').collect();
        for value in ["[[]]", "{a: {b: c}}", "1.5"] {
            let open: String = keys.iter().map(|key| format!("{{{key}: ")).collect();
            let faults = parse(&format!("{open}{value}{}", "}".repeat(keys.len()))).expect_err(place);
            assert!(faults.iter().any(|fault| fault.path.starts_with(place.as_str())), "{place}: {value}: {faults}");
            assert!(faults.iter().all(|fault| fault.line.is_none_or(|line| line == 1)), "{place}: {faults}");
        }
    }
}

#[test]
fn files_are_read_relative_to_themselves_and_missing_ones_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bridge.yaml");
    fs::write(&path, "storage: {path: kept.db}\n").unwrap();
    let config = Config::load(&path).unwrap();
    assert_eq!(config.storage, Storage::Sqlite { path: folder.path().join("kept.db") });
    assert!(mcp_bridge::config::show(&path).unwrap().contains("path: kept.db"));

    fs::write(&path, b"log: {level: \xff}\n").unwrap();
    let message = Config::load(&path).unwrap_err().to_string();
    assert_eq!(message, format!("{}: cannot be read: it is not UTF-8; name the file with -c", path.display()));
    fs::remove_file(&path).unwrap();
    let message = Config::load(&path).unwrap_err().to_string();
    assert!(message.starts_with(&format!("{}: cannot be read: No such file", path.display())), "{message}");
}
