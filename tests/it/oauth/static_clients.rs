//! Clients of the configuration: secrets, signed assertions, acting for themselves.

use josekit::jwk::KeyPair as _;
use josekit::jws::{ES256, JwsHeader, JwsSigner};
use serde_json::{Value, json};

use crate::support::app::{BASIC, PASSWORD};
use crate::support::browser::Page;
use crate::support::client::{Tokens, http, metadata};
use crate::support::mcp::Session;
use crate::support::{App, Browser, Client};

const SECRET: &str = "a secret of more than 32 characters, with ümläuts & %41";
const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Clients: `web` for people, with a secret; `robot`, `robot-1`, `signer` for themselves; `trusted`, of whom nobody is asked.
const CLIENTS: &str = r#"
    clients:
      - {client_id: web, client_name: The web app, client_secret: "SECRET", redirect_uris: ["https://client.example/cb"], scopes: ["mcp:read"]}
      - {client_id: robot, client_secret_hash: "HASHED", grant_types: [client_credentials], scopes: ["mcp:read"]}
      - {client_id: robot-1, client_secret_hash: "HASHED", grant_types: [client_credentials], scopes: ["mcp:read"]}
      - {client_id: signer, jwks_file: keys.json, grant_types: [client_credentials], scopes: ["mcp:read", "mcp:write"]}
      - {client_id: trusted, redirect_uris: ["https://client.example/cb"], skip_consent: true}
"#;

/// The key of `signer`.
struct Key(josekit::jwk::alg::ec::EcKeyPair);

impl Key {
    fn generate() -> Self {
        Self(ES256.generate_key_pair().unwrap())
    }

    fn signer(&self) -> impl JwsSigner {
        ES256.signer_from_jwk(&self.0.to_jwk_private_key()).unwrap()
    }

    fn assertion(&self, claims: &Value) -> String {
        let mut header = JwsHeader::new();
        header.set_token_type("JWT");
        josekit::jws::serialize_compact(claims.to_string().as_bytes(), &header, &self.signer()).unwrap()
    }
}

fn app(clients: &str, key: &Key) -> App {
    let folder = tempfile::tempdir().unwrap();
    let jwks = json!({"keys": [key.0.to_jwk_public_key()]}).to_string();
    let path = folder.keep().join("keys.json");
    std::fs::write(&path, jwks).unwrap();
    let digest: String = mcp_bridge::base::digest::Digest::of_bytes(SECRET.as_bytes())
        .as_bytes()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let clients = clients
        .replace("SECRET", SECRET)
        .replace("HASHED", &format!("sha256:{digest}"))
        .replace("keys.json", path.to_str().unwrap());
    App::with(
        &BASIC.replace(
            "    allow_dynamic_registration: true\n",
            &format!("    allow_dynamic_registration: true{clients}"),
        ),
    )
}

async fn token(app: &App, form: &[(&str, &str)], authorization: Option<String>) -> Tokens {
    let mut request = http().post(format!("{}/oauth/token", app.url)).form(form);
    if let Some(value) = authorization {
        request = request.header("authorization", value);
    }
    Client::read(request).await
}

fn basic(id: &str, secret: &str) -> Option<String> {
    use base64::Engine as _;
    let encoded = base64::engine::general_purpose::STANDARD.encode(format!("{id}:{secret}"));
    Some(format!("Basic {encoded}"))
}

fn encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// Claims that are right now, by the clock of the app.
fn claims(app: &App, jti: &str) -> Value {
    let now = app.clock.now().unix();
    json!({"iss": "signer", "sub": "signer", "aud": app.url, "exp": now + 60, "iat": now, "jti": jti})
}

async fn assert_token(app: &App, assertion: &str) -> Tokens {
    let form = [
        ("grant_type", "client_credentials"),
        ("client_assertion_type", ASSERTION),
        ("client_assertion", assertion),
        ("scope", "mcp:write"),
    ];
    token(app, &form, None).await
}

#[tokio::test]
async fn a_client_with_a_secret_sends_it_in_each_way() {
    let app = app(CLIENTS, &Key::generate());
    let alone = [("grant_type", "client_credentials")];
    // oauth4webapi encodes each `-` and `_` of an identifier, which form encoding allows.
    for (id, sent) in [("robot", SECRET), ("robot", &*encoded(SECRET)), ("robot%2D1", &*encoded(SECRET))] {
        let authorization = basic(id, sent);
        let tokens = token(&app, &alone, authorization).await;
        assert_eq!((tokens.status, tokens.text("scope")), (200, "mcp:read"), "{tokens:?}");
        assert!(tokens.body.get("refresh_token").is_none());
        let whoami = Session::initialize(&app, tokens.access()).await.tool("whoami", json!({})).await;
        assert_eq!(
            whoami["result"]["structuredContent"]["user"],
            format!("client:{}", id.replace("%2D", "-")),
            "{whoami}"
        );
    }
    let posted = [("grant_type", "client_credentials"), ("client_id", "robot"), ("client_secret", SECRET)];
    assert_eq!(token(&app, &posted, None).await.status, 200);
    for (form, authorization) in [
        (alone.to_vec(), basic("robot", "wrong")),
        (vec![("grant_type", "client_credentials"), ("client_id", "robot")], None),
        (alone.to_vec(), basic("nobody", SECRET)),
    ] {
        let tokens = token(&app, &form, authorization).await;
        assert_eq!((tokens.status, tokens.error()), (401, "invalid_client"), "{form:?}");
    }
    let twice = token(&app, &posted, basic("robot", SECRET)).await;
    assert_eq!((twice.status, twice.error()), (400, "invalid_request"));
}

#[tokio::test]
async fn a_client_that_acts_for_itself_gets_what_it_was_given() {
    let app = app(CLIENTS, &Key::generate());
    let form = |scope| [("grant_type", "client_credentials"), ("scope", scope)];
    let refused = token(&app, &form("mcp:write"), basic("robot", SECRET)).await;
    assert_eq!((refused.status, refused.error()), (400, "invalid_scope"));
    let wide = token(&app, &form("mcp:read mcp:write other"), basic("robot", SECRET)).await;
    assert_eq!(wide.text("scope"), "mcp:read");
    // Who is there for people may not act alone, and who registers can never.
    let web = token(&app, &form("mcp:read"), basic("web", SECRET)).await;
    assert_eq!((web.status, web.error()), (400, "unauthorized_client"));
    let registered = Client::register_as(
        &app,
        json!({"redirect_uris": ["https://client.example/cb"], "grant_types": ["authorization_code", "client_credentials"],
            "token_endpoint_auth_method": "client_secret_basic"}),
    )
    .await;
    assert_eq!(registered.registration["grant_types"], json!(["authorization_code"]));
    let secret = registered.registration["client_secret"].as_str().unwrap();
    let alone = token(&app, &form("mcp:read"), basic(&registered.id, secret)).await;
    assert_eq!((alone.status, alone.error()), (400, "unauthorized_client"));
    // Nobody can log in under the name of a client.
    assert_eq!(mcp_bridge::base::username::canonical_username("Client:robot"), None);
}

#[tokio::test]
async fn a_client_uses_the_grants_that_it_was_given_and_no_other() {
    let clients = r#"
    clients:
      - {client_id: alone, client_secret: "SECRET", redirect_uris: ["https://client.example/cb"], grant_types: [client_credentials], scopes: ["mcp:read"]}
      - {client_id: brief, client_secret: "SECRET", redirect_uris: ["https://client.example/cb"], grant_types: [authorization_code]}
"#;
    let app = app(clients, &Key::generate());
    let registered = Client::register(&app).await;
    // It has an address, but nothing to ask people for: there is no page to log in at, and nothing to redeem.
    let url = registered.authorize_url(&[("client_id", Some("alone")), ("scope", None)]);
    let page = Browser::new().open(&url).await;
    assert!(page.location().contains("error=unauthorized_client"), "{page:?}");
    for grant in ["authorization_code", "refresh_token"] {
        let form = [("grant_type", grant), ("code", "x"), ("code_verifier", "x"), ("refresh_token", "x")];
        let refused = token(&app, &form, basic("alone", SECRET)).await;
        assert_eq!((refused.status, refused.error()), (400, "unauthorized_client"), "{grant}");
    }
    let refused = token(&app, &[("grant_type", "refresh_token"), ("refresh_token", "x")], basic("brief", SECRET)).await;
    assert_eq!((refused.status, refused.error()), (400, "unauthorized_client"));
}

#[tokio::test]
async fn a_refresh_token_ends_with_the_grant_type_that_it_came_of() {
    let clients = "\n    clients:\n      - {client_id: web, client_secret: \"SECRET\", redirect_uris: [\"https://client.example/cb\"]}\n";
    let app = app(clients, &Key::generate());
    let registered = Client::register(&app).await;
    let mut browser = Browser::new();
    let page = registered.authorize(&mut browser, "alice", &[("client_id", Some("web"))]).await;
    let mut form = registered.redemption(&page.answer("code").unwrap());
    form.retain(|(name, _)| *name != "client_id");
    let form: Vec<_> = form.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let tokens = token(&app, &form, basic("web", SECRET)).await;
    let path = app.folder.path().join("config.yaml");
    let text = std::fs::read_to_string(&path).unwrap();
    let brief = text.replace("client_id: web,", "client_id: web, grant_types: [authorization_code],");
    std::fs::write(&path, brief).unwrap();
    let app = app.restart_in_place();
    let refreshed = [("grant_type", "refresh_token"), ("refresh_token", tokens.refresh())];
    let refused = token(&app, &refreshed, basic("web", SECRET)).await;
    assert_eq!((refused.status, refused.error()), (400, "unauthorized_client"));
}

#[tokio::test]
async fn meta_7_the_metadata_list_what_works() {
    let app = app(CLIENTS, &Key::generate());
    let metadata = metadata(&app).await;
    assert_eq!(metadata["grant_types_supported"], json!(["authorization_code", "refresh_token", "client_credentials"]));
    let methods = json!(["none", "client_secret_basic", "client_secret_post", "private_key_jwt"]);
    assert_eq!(metadata["token_endpoint_auth_methods_supported"], methods);
    let algorithms = metadata["token_endpoint_auth_signing_alg_values_supported"].as_array().unwrap();
    assert!(algorithms.contains(&json!("ES256")) && !algorithms.iter().any(|name| name == "none" || name == "HS256"));
}

#[tokio::test]
async fn cimd_19_an_assertion_is_of_its_client_for_us_for_now_and_once() {
    let (key, stranger) = (Key::generate(), Key::generate());
    let app = app(CLIENTS, &key);
    let good = key.assertion(&claims(&app, "1"));
    let tokens = assert_token(&app, &good).await;
    assert_eq!((tokens.status, tokens.text("scope")), (200, "mcp:write"), "{tokens:?}");
    let again = assert_token(&app, &good).await;
    assert_eq!((again.status, again.error()), (401, "invalid_client"), "used before");
    let endpoint = format!("{}/oauth/token", app.url);
    for (name, value) in [("aud", json!(endpoint)), ("aud", json!([app.url])), ("nbf", json!(app.clock.now().unix()))] {
        let mut claims = claims(&app, &format!("{name}{value}"));
        claims[name] = value;
        assert_eq!(assert_token(&app, &key.assertion(&claims)).await.status, 200, "{claims}");
    }
    let now = app.clock.now().unix();
    for (name, value) in [
        ("aud", json!("https://other.example")),
        ("aud", json!([app.url, "https://other.example"])),
        ("aud", json!(format!("{}.evil.example", app.url))),
        ("aud", Value::Null),
        ("iss", json!("robot")),
        ("sub", json!("robot")),
        ("exp", json!(now - 61)),
        ("exp", json!(now + 3 * 3600)),
        ("exp", json!(now.to_string())),
        ("exp", Value::Null),
        ("nbf", json!(now + 120)),
        ("iat", json!(now + 120)),
        ("jti", json!("")),
        ("jti", Value::Null),
    ] {
        let mut claims = claims(&app, &format!("bad {name}{value}"));
        claims[name] = value;
        let tokens = assert_token(&app, &key.assertion(&claims)).await;
        assert_eq!((tokens.status, tokens.error()), (401, "invalid_client"), "{claims}");
    }
    let foreign = assert_token(&app, &stranger.assertion(&claims(&app, "foreign"))).await;
    assert_eq!((foreign.status, foreign.error()), (401, "invalid_client"));
    for garbage in ["", "x", "a.b.c", &good[..good.len() - 2]] {
        let tokens = assert_token(&app, garbage).await;
        assert!(matches!(tokens.status, 400 | 401) && tokens.body.get("access_token").is_none(), "{garbage}");
    }
}

#[tokio::test]
async fn cimd_19_an_unsigned_or_symmetric_assertion_proves_nothing() {
    use base64::Engine as _;
    let key = Key::generate();
    let app = app(CLIENTS, &key);
    let part = |value: &Value| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(value.to_string());
    let public = key.0.to_jwk_public_key().to_string();
    for algorithm in ["none", "HS256"] {
        let head = format!("{}.{}", part(&json!({"alg": algorithm})), part(&claims(&app, algorithm)));
        let signature = match algorithm {
            "none" => String::new(),
            _ => {
                let signer = josekit::jws::HS256.signer_from_bytes(public.as_bytes()).unwrap();
                base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(signer.sign(head.as_bytes()).unwrap())
            }
        };
        let tokens = assert_token(&app, &format!("{head}.{signature}")).await;
        assert_eq!((tokens.status, tokens.error()), (401, "invalid_client"), "{algorithm}");
    }
    // A client with a secret, or none, is not proven by an assertion, nor is one with keys by a secret.
    let mut of_robot = claims(&app, "robot");
    of_robot["iss"] = json!("robot");
    of_robot["sub"] = json!("robot");
    assert_eq!(assert_token(&app, &key.assertion(&of_robot)).await.error(), "invalid_client");
    let secret = [("grant_type", "client_credentials"), ("client_id", "signer"), ("client_secret", SECRET)];
    assert_eq!(token(&app, &secret, None).await.error(), "invalid_client");
    let named = [
        ("grant_type", "client_credentials"),
        ("client_id", "robot"),
        ("client_assertion_type", ASSERTION),
        ("client_assertion", &key.assertion(&claims(&app, "named"))),
    ];
    assert_eq!(token(&app, &named, None).await.error(), "invalid_client");
}

#[tokio::test]
async fn people_allow_a_client_of_the_configuration_what_the_operator_gave_it() {
    let app = app(CLIENTS, &Key::generate());
    let registered = Client::register(&app).await;
    let web = |name: &'static str| [("client_id", Some(name)), ("scope", None)];
    let mut browser = Browser::new();
    let login = browser.open(&registered.authorize_url(&web("web"))).await;
    let consent = browser.submit(&login, &[("username", "alice"), ("password", PASSWORD)]).await;
    assert!(consent.body.contains("The web app"), "{}", consent.body);
    let answer = browser.submit(&consent, &[("decision", "allow")]).await;
    let code = answer.answer("code").unwrap();
    let mut form = registered.redemption(&code);
    form.retain(|(name, _)| *name != "client_id");
    let form: Vec<_> = form.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let tokens = token(&app, &form, basic("web", SECRET)).await;
    assert_eq!((tokens.status, tokens.text("scope")), (200, "mcp:read"), "{tokens:?}");
    let refreshed = [("grant_type", "refresh_token"), ("refresh_token", tokens.refresh())];
    assert_eq!(token(&app, &refreshed, basic("web", SECRET)).await.status, 200);
    // Nobody is asked about one for which the operator answers.
    let login = Browser::new();
    let mut browser = login;
    let page = browser.open(&registered.authorize_url(&web("trusted"))).await;
    let page = browser.submit(&page, &[("username", "alice"), ("password", PASSWORD)]).await;
    assert!(page.answer("code").is_some(), "{}", page.body);
}

#[tokio::test]
async fn a_client_taken_from_the_configuration_loses_its_tokens() {
    let key = Key::generate();
    let app = app(CLIENTS, &key);
    let tokens = token(&app, &[("grant_type", "client_credentials")], basic("robot", SECRET)).await;
    assert_eq!(Session::new(&app, tokens.access()).status().await, 200);
    let app = app.restart_in_place();
    assert_eq!(Session::new(&app, tokens.access()).status().await, 200, "nothing has changed");
    let path = app.folder.path().join("config.yaml");
    let text = std::fs::read_to_string(&path).unwrap();
    let without: String =
        text.lines().filter(|line| !line.contains("client_id: robot")).map(|line| format!("{line}\n")).collect();
    std::fs::write(&path, without).unwrap();
    let app = app.restart_in_place();
    assert_eq!(Session::new(&app, tokens.access()).status().await, 401);
    let page = Page::read(http().get(format!("{}/health", app.url)).send().await.unwrap()).await;
    assert_eq!(page.status, 200);
}
