//! The clients that people have, with the metadata that they are known to come with and the default configuration: each connects
//! as it is. Their documents are somebody else's to change; these are what they were in September 2026.

use josekit::jwk::KeyPair as _;
use josekit::jws::{JwsHeader, RS256};
use serde_json::{Value, json};

use crate::support::app::BASIC;
use crate::support::client::{Tokens, VERIFIER, http};
use crate::support::host::Host;
use crate::support::mcp::Session;
use crate::support::{App, Browser, Client};

/// With the list of redirect URIs that is the default.
fn app_near(host: &Host) -> App {
    let allowed = BASIC.lines().find(|line| line.contains("allowed_redirect_uris")).unwrap();
    let documents = format!("    client_id_metadata_documents: {{danger_allow_addresses: [\"{}\"]}}", host.address);
    App::with(&BASIC.replace(allowed, &documents))
}

/// What a client has to sign with.
struct Key(josekit::jwk::alg::rsa::RsaKeyPair);

impl Key {
    fn generate() -> Self {
        Self(RS256.generate_key_pair(2048).unwrap())
    }

    fn assertion(&self, app: &App, client: &str, jti: &str) -> String {
        let now = app.clock.now().unix();
        let audience = format!("{}/oauth/token", app.url);
        let claims = json!({"iss": client, "sub": client, "aud": audience, "iat": now, "exp": now + 60, "jti": jti});
        let signer = RS256.signer_from_jwk(&self.0.to_jwk_private_key()).unwrap();
        josekit::jws::serialize_compact(claims.to_string().as_bytes(), &JwsHeader::new(), &signer).unwrap()
    }
}

async fn send(app: &App, id: &str, key: Option<&Key>, mut form: Vec<(&str, String)>) -> Tokens {
    form.extend([("client_id", id.to_owned()), ("resource", app.resource())]);
    if let Some(key) = key {
        let assertion = key.assertion(app, id, &format!("{:?}", form.first()));
        let of_type = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
        form.extend([("client_assertion_type", of_type.to_owned()), ("client_assertion", assertion)]);
    }
    let tokens = Client::read(http().post(format!("{}/oauth/token", app.url)).form(&form)).await;
    assert_eq!(tokens.status, 200, "{id}: {tokens:?}");
    tokens
}

/// The whole way of a client that is answered at `redirect_uri`.
async fn connect(app: &App, id: &str, redirect_uri: &str, key: Option<&Key>) {
    let client = Client::known(&app.url, id);
    let page = client.authorize(&mut Browser::new(), "alice", &[("redirect_uri", Some(redirect_uri))]).await;
    assert_eq!(page.status, 200, "{id} at {redirect_uri}: {}", page.body);
    let code = page.answer("code").unwrap_or_else(|| panic!("{id} at {redirect_uri}: {page:?}"));
    assert!(page.refresh().starts_with(redirect_uri) && page.answer("iss").is_some());
    let redemption = vec![
        ("grant_type", "authorization_code".to_owned()),
        ("code", code),
        ("redirect_uri", redirect_uri.to_owned()),
        ("code_verifier", VERIFIER.to_owned()),
    ];
    let tokens = send(app, id, key, redemption).await;
    let refresh = vec![("refresh_token", tokens.refresh().to_owned()), ("grant_type", "refresh_token".to_owned())];
    let refreshed = send(app, id, key, refresh).await;
    assert_eq!(Session::new(app, refreshed.access()).status().await, 200);
}

/// The documents: where each is, what is in it, and where its client is answered.
fn documents(host: &Host) -> Vec<(&'static str, Value, Vec<&'static str>)> {
    let both = json!(["authorization_code", "refresh_token"]);
    let signs = json!({"client_name": "ChatGPT", "redirect_uris": ["https://chatgpt.com/connector_platform_oauth_redirect"],
        "grant_types": both, "response_types": ["code"], "token_endpoint_auth_method": "private_key_jwt",
        "token_endpoint_auth_signing_alg": "RS256", "jwks_uri": host.url("/oauth/jwks.json")});
    let mut lists = signs.clone();
    lists["token_endpoint_auth_methods_supported"] = json!(["none", "private_key_jwt"]);
    lists["redirect_uris"] = json!(["https://chatgpt.com/connector/oauth/abc-DEF_123"]);
    vec![
        (
            "/oauth/mcp-oauth-client-metadata",
            json!({"client_name": "Claude", "client_uri": "https://claude.ai",
            "redirect_uris": ["https://claude.ai/api/mcp/auth_callback", "https://claude.com/api/mcp/auth_callback"],
            "grant_types": ["authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:jwt-bearer"],
            "response_types": ["code"], "token_endpoint_auth_method": "none"}),
            vec!["https://claude.ai/api/mcp/auth_callback", "https://claude.com/api/mcp/auth_callback"],
        ),
        (
            "/oauth/claude-code-client-metadata",
            json!({"client_name": "Claude Code", "client_uri": "https://claude.ai",
            "redirect_uris": ["http://localhost/callback", "http://127.0.0.1/callback"], "grant_types": both,
            "response_types": ["code"], "token_endpoint_auth_method": "none"}),
            vec!["http://localhost:54321/callback", "http://127.0.0.1:1/callback"],
        ),
        ("/oauth/client.json", signs, vec!["https://chatgpt.com/connector_platform_oauth_redirect"]),
        ("/oauth/abc-DEF_123/client.json", lists, vec!["https://chatgpt.com/connector/oauth/abc-DEF_123"]),
        (
            "/oauth/client-metadata.json",
            json!({"client_name": "Visual Studio Code",
            "redirect_uris": ["http://127.0.0.1:33418/", "https://vscode.dev/redirect"], "response_types": ["code"],
            "grant_types": ["authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code"],
            "token_endpoint_auth_method": "none", "application_type": "native"}),
            vec!["http://127.0.0.1:33418/", "http://127.0.0.1:50001/", "https://vscode.dev/redirect"],
        ),
        (
            "/oauth/codex/client.json",
            json!({"client_name": "Codex", "redirect_uris": ["http://127.0.0.1/callback", "http://localhost/callback"],
            "grant_types": both, "response_types": ["code"], "token_endpoint_auth_method": "none"}),
            vec!["http://127.0.0.1:1455/callback", "http://localhost:60000/callback"],
        ),
        (
            "/zed/client-metadata.json",
            json!({"client_name": "Zed", "redirect_uris": ["http://127.0.0.1/callback"],
            "token_endpoint_auth_method": "none", "application_type": "native"}),
            vec!["http://127.0.0.1:43210/callback"],
        ),
        (
            "/goose/client-metadata.json",
            json!({"client_name": "Goose", "redirect_uris": ["http://localhost"],
            "grant_types": both, "response_types": ["code"], "token_endpoint_auth_method": "none"}),
            vec!["http://localhost:5000", "http://localhost:5000/", "http://localhost:5000/oauth_callback"],
        ),
    ]
}

#[tokio::test]
async fn every_client_with_a_document_connects_with_the_default_configuration() {
    let host = Host::start().await;
    let app = app_near(&host);
    let key = Key::generate();
    host.json("/oauth/jwks.json", "", &json!({"keys": [key.0.to_jwk_public_key()]}).to_string());
    for (path, mut document, redirect_uris) in documents(&host) {
        let id = host.url(path);
        document["client_id"] = id.as_str().into();
        host.json(path, "cache-control: max-age=300\r\n", &document.to_string());
        let signs = document["token_endpoint_auth_method"] == "private_key_jwt"
            && document.get("token_endpoint_auth_methods_supported").is_none();
        for redirect_uri in redirect_uris {
            connect(&app, &id, redirect_uri, signs.then_some(&key)).await;
        }
    }
}

#[tokio::test]
async fn authz_4_a_document_leaves_open_no_more_of_a_loopback_address_than_it_does() {
    let host = Host::start().await;
    let app = app_near(&host);
    let put = |path: &str, uri: &str| {
        let document = json!({"client_id": host.url(path), "client_name": "Goose", "redirect_uris": [uri]});
        host.json(path, "", &document.to_string());
        host.url(path)
    };
    let (bare, rooted) = (put("/bare", "http://localhost"), put("/rooted", "http://localhost/callback"));
    for (id, redirect_uri) in [
        (&bare, "http://127.0.0.1:5000/x"),
        (&bare, "http://localhost.evil.example:5000/x"),
        (&bare, "http://localhost@evil.example/x"),
        (&bare, "https://localhost:5000/x"),
        (&bare, "http://localhost:5000?x"),
        (&rooted, "http://localhost:5000/other"),
        (&rooted, "http://localhost:5000/callback/x"),
    ] {
        let url = Client::known(&app.url, id).authorize_url(&[("redirect_uri", Some(redirect_uri))]);
        let page = Browser::new().open(&url).await;
        assert!(page.status == 400 && page.goes_nowhere(), "{redirect_uri}: {}", page.body);
    }
    // Nor does a registration, in which a client can say which path is its own.
    let client = Client::register_as(&app, json!({"redirect_uris": ["http://localhost"]})).await;
    let page = Browser::new().open(&client.authorize_url(&[("redirect_uri", Some("http://localhost:5000/x"))])).await;
    assert!(page.status == 400 && page.goes_nowhere());
}

#[tokio::test]
async fn every_client_that_registers_connects_with_the_default_configuration() {
    let host = Host::start().await;
    let app = app_near(&host);
    for (name, redirect_uris, answered_at) in [
        ("Claude", &["https://claude.ai/api/mcp/auth_callback"][..], "https://claude.ai/api/mcp/auth_callback"),
        ("Claude Code", &["http://localhost:54321/callback"], "http://localhost:54321/callback"),
        ("ChatGPT", &["https://chatgpt.com/connector/oauth/abc"], "https://chatgpt.com/connector/oauth/abc"),
        (
            "Cursor",
            &[
                "cursor://anysphere.cursor-mcp/oauth/callback",
                "https://www.cursor.com/agents/mcp/oauth/callback",
                "http://localhost:8787/callback",
            ],
            "cursor://anysphere.cursor-mcp/oauth/callback",
        ),
        (
            "VS Code",
            &[
                "https://insiders.vscode.dev/redirect",
                "https://vscode.dev/redirect",
                "http://127.0.0.1/",
                "http://127.0.0.1:33418/",
            ],
            "https://insiders.vscode.dev/redirect",
        ),
        ("Gemini CLI", &["http://localhost:7777/oauth/callback"], "http://localhost:7777/oauth/callback"),
        ("Antigravity", &["https://antigravity.google/oauth-callback"], "https://antigravity.google/oauth-callback"),
        ("Grok", &["grokbot://mcp/oauth/callback"], "grokbot://mcp/oauth/callback"),
        ("mcp-remote", &["http://localhost:3335/oauth/callback"], "http://localhost:3335/oauth/callback"),
        ("Inspector", &["http://localhost:6274/oauth/callback"], "http://localhost:6274/oauth/callback"),
    ] {
        let metadata = json!({"client_name": name, "redirect_uris": redirect_uris, "token_endpoint_auth_method": "none",
            "grant_types": ["authorization_code", "refresh_token"], "response_types": ["code"]});
        let client = Client::register_as(&app, metadata).await;
        connect(&app, &client.id, answered_at, None).await;
    }
}
