//! What a token is worth, and who may ask.

use std::time::Duration;

use josekit::jwk::KeyPair as _;
use josekit::jws::{ES256, JwsHeader};
use serde_json::{Value, json};

use crate::support::app::BASIC;
use crate::support::client::{REDIRECT_URI, Tokens, http, metadata};
use crate::support::mcp::Session;
use crate::support::{App, Client};

const SECRET: &str = "a secret of more than 32 characters";
/// `api` is a resource server; `web` is a client like any other.
const CLIENTS: &str = r#"    allow_dynamic_registration: true
    clients:
      - {client_id: api, client_secret: "SECRET", grant_types: [], introspect_any: true}
      - {client_id: web, client_secret: "SECRET", grant_types: [client_credentials], scopes: ["mcp:read"]}
      - {client_id: signer, jwks_file: "KEYS", grant_types: [], introspect_any: true}
"#;

fn app(more: &str) -> (App, josekit::jwk::alg::ec::EcKeyPair) {
    let key = ES256.generate_key_pair().unwrap();
    let path = tempfile::tempdir().unwrap().keep().join("keys.json");
    std::fs::write(&path, json!({"keys": [key.to_jwk_public_key()]}).to_string()).unwrap();
    let clients = CLIENTS.replace("SECRET", SECRET).replace("KEYS", path.to_str().unwrap());
    let yaml = BASIC.replace("    allow_dynamic_registration: true\n", &clients);
    (App::with(&yaml.replace("rate_limit: {login: {limit: 0}}", more)), key)
}

const UNLIMITED: &str = "rate_limit: {login: {limit: 0}}";

async fn introspect(app: &App, client: &str, secret: &str, token: &str) -> Tokens {
    let request = http().post(format!("{}/oauth/introspect", app.url)).basic_auth(client, Some(secret));
    Client::read(request.form(&[("token", token)])).await
}

/// What a client that just registered with a secret learns.
async fn confidential(app: &App) -> (Client, String, Tokens) {
    let metadata = json!({"redirect_uris": [REDIRECT_URI], "token_endpoint_auth_method": "client_secret_basic"});
    let client = Client::register_as(app, metadata).await;
    let secret = client.registration["client_secret"].as_str().unwrap().to_owned();
    let tokens = client.redeem_with(&client.code().await, "client_secret", Some(&secret)).await;
    (client, secret, tokens)
}

fn inactive() -> Value {
    json!({"active": false})
}

#[tokio::test]
async fn rev_6_nobody_asks_without_proof_and_nobody_about_anothers_token() {
    let (app, _) = app(UNLIMITED);
    let (public, other) = (Client::register(&app).await, Client::register(&app).await);
    let tokens = public.tokens().await;
    let url = format!("{}/oauth/introspect", app.url);
    let forms: [&[(&str, &str)]; 4] = [
        &[("token", tokens.access())],
        &[("token", tokens.access()), ("client_id", &public.id)],
        &[("token", tokens.access()), ("client_id", &other.id)],
        &[("token", tokens.access()), ("client_id", "api")],
    ];
    for form in forms {
        let refused = Client::read(http().post(&url).form(form)).await;
        assert_eq!((refused.status, refused.error()), (401, "invalid_client"), "{form:?}");
        assert!(refused.body.get("active").is_none());
    }
    for (client, secret) in
        [("api", "wrong"), ("api", ""), (public.id.as_str(), ""), (public.id.as_str(), "x"), ("x", "y")]
    {
        let refused = introspect(&app, client, secret, tokens.access()).await;
        assert_eq!((refused.status, refused.error()), (401, "invalid_client"), "{client}");
    }
    assert_eq!(http().get(&url).send().await.unwrap().status().as_u16(), 405);

    let (client, secret, own) = confidential(&app).await;
    for foreign in [tokens.access(), tokens.refresh()] {
        let answer = introspect(&app, &client.id, &secret, foreign).await;
        assert_eq!((answer.status, answer.body), (200, inactive()));
        assert_eq!(introspect(&app, "web", SECRET, foreign).await.body, inactive());
    }
    for own in [own.access(), own.refresh()] {
        assert_eq!(introspect(&app, &client.id, &secret, own).await.body["active"], true);
    }
}

#[tokio::test]
async fn a_resource_server_learns_what_every_access_token_is_worth() {
    let (app, key) = app(UNLIMITED);
    let client = Client::register(&app).await;
    let tokens = client.tokens().await;
    let answer = introspect(&app, "api", SECRET, tokens.access()).await;
    let now = app.clock.now().unix();
    let expected = json!({
        "active": true, "token_type": "Bearer", "scope": "mcp:read mcp:write", "client_id": client.id, "sub": "alice",
        "aud": app.resource(), "iss": app.url, "iat": now, "exp": now + 3600, "jti": answer.body["jti"],
    });
    assert_eq!((answer.status, &answer.body), (200, &expected));
    assert!(answer.text("jti").len() >= 16);
    assert_eq!(answer.headers["cache-control"], "no-store");
    // By each method, and whatever the hint.
    let url = format!("{}/oauth/introspect", app.url);
    let post = [("client_id", "api"), ("client_secret", SECRET), ("token", tokens.access()), ("token_type_hint", "x")];
    assert_eq!(Client::read(http().post(&url).form(&post)).await.body, expected);
    let claims = json!({"iss": "signer", "sub": "signer", "aud": app.url, "exp": now + 60, "jti": "once"});
    let signer = ES256.signer_from_jwk(&key.to_jwk_private_key()).unwrap();
    let assertion = josekit::jws::serialize_compact(claims.to_string().as_bytes(), &JwsHeader::new(), &signer).unwrap();
    let signed = [
        ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
        ("client_assertion", &assertion),
        ("token", tokens.access()),
    ];
    assert_eq!(Client::read(http().post(&url).form(&signed)).await.body, expected);
    assert_eq!(
        Client::read(http().post(&url).form(&signed)).await.error(),
        "invalid_client",
        "an assertion is good once"
    );
    let nothing = Client::read(http().post(&url).basic_auth("api", Some(SECRET)).form(&[("x", "y")])).await;
    assert_eq!((nothing.status, nothing.error()), (400, "invalid_request"));
    // It is no way to get a token.
    let alone = http().post(format!("{}/oauth/token", app.url)).basic_auth("api", Some(SECRET));
    assert_eq!(Client::read(alone.form(&[("grant_type", "client_credentials")])).await.error(), "unauthorized_client");
}

#[tokio::test]
async fn rev_6_what_does_not_work_at_mcp_is_not_active_and_no_reason_is_given() {
    let (app, _) = app(UNLIMITED);
    let client = Client::register(&app).await;
    let (revoked, ended, family, live) =
        (client.tokens().await, client.tokens().await, client.tokens().await, client.tokens().await);
    client.revoke(revoked.access()).await;
    client.revoke(family.refresh()).await;
    // REV-1, REV-2: what one endpoint ends the other knows at once.
    for dead in [revoked.access(), family.access()] {
        assert_eq!(introspect(&app, "api", SECRET, dead).await.body, inactive());
    }
    assert_eq!(introspect(&app, "api", SECRET, live.access()).await.body["active"], true);
    let code = client.code().await;
    let bent = format!("{}A", live.access());
    for no_token in ["garbage", "", &code, &bent, SECRET, &"x".repeat(5000)] {
        let answer = introspect(&app, "api", SECRET, no_token).await;
        assert!(answer.body == inactive() || answer.status == 400, "{no_token}: {answer:?}");
        assert_eq!(answer.headers["cache-control"], "no-store");
    }
    app.clock.advance(Duration::from_secs(3600));
    assert_eq!(Session::new(&app, ended.access()).status().await, 401);
    assert_eq!(introspect(&app, "api", SECRET, ended.access()).await.body, inactive());
}

#[tokio::test]
async fn tok_1_after_a_replay_of_the_code_its_tokens_are_not_active() {
    let (app, _) = app(UNLIMITED);
    let client = Client::register(&app).await;
    let code = client.code().await;
    let tokens = client.redeem(&code).await;
    assert_eq!(introspect(&app, "api", SECRET, tokens.access()).await.body["active"], true);
    client.redeem(&code).await;
    assert_eq!(introspect(&app, "api", SECRET, tokens.access()).await.body, inactive());
}

#[tokio::test]
async fn tok_16_a_resource_server_never_takes_a_refresh_token_for_an_access_token() {
    let (app, _) = app(UNLIMITED);
    let (client, secret, tokens) = confidential(&app).await;
    let asked = introspect(&app, "api", SECRET, tokens.refresh()).await;
    assert_eq!(asked.body, inactive(), "whoever is sent one in place of an access token would accept it");
    let own = introspect(&app, &client.id, &secret, tokens.refresh()).await.body;
    assert_eq!((own["active"].as_bool(), own.get("token_type")), (Some(true), None), "{own}");
    assert_eq!(own["exp"], app.clock.now().unix() + 14 * 24 * 3600);
    let next = client.refresh_with(tokens.refresh(), &[("client_secret", &secret)]).await;
    assert_eq!(introspect(&app, &client.id, &secret, tokens.refresh()).await.body, inactive(), "it was rotated");
    assert_eq!(introspect(&app, &client.id, &secret, next.refresh()).await.body["active"], true);
    app.clock.advance(Duration::from_secs(14 * 24 * 3600));
    assert_eq!(introspect(&app, &client.id, &secret, next.refresh()).await.body, inactive());
}

#[tokio::test]
async fn rev_8_who_scans_is_slowed_and_who_asks_about_good_tokens_is_not() {
    let (app, _) = app("rate_limit: {login: {limit: 5, interval: 1h}}");
    let client = Client::register(&app).await;
    let tokens = client.tokens().await;
    for _ in 0..200 {
        assert_eq!(introspect(&app, "api", SECRET, tokens.access()).await.status, 200);
    }
    let mut answered = 0;
    let slowed = loop {
        let answer = introspect(&app, "api", SECRET, &format!("guess-{answered}")).await;
        match answer.status {
            200 => answered += 1,
            _ => break answer,
        }
        assert!(answered <= 150, "scanning goes on");
    };
    assert_eq!((slowed.status, slowed.error()), (429, "slow_down"));
    assert!(slowed.headers.contains_key("retry-after"));
}

#[tokio::test]
async fn the_metadata_say_where_and_how_to_ask() {
    let (app, _) = app(UNLIMITED);
    let document = metadata(&app).await;
    assert_eq!(document["introspection_endpoint"], format!("{}/oauth/introspect", app.url));
    let methods = json!(["client_secret_basic", "client_secret_post", "private_key_jwt"]);
    assert_eq!(document["introspection_endpoint_auth_methods_supported"], methods, "none is no method");
    let algorithms = &document["introspection_endpoint_auth_signing_alg_values_supported"];
    assert!(algorithms.as_array().unwrap().contains(&json!("ES256")));
}
