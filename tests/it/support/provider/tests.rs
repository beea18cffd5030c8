//! The provider itself: honest unless it is told otherwise, strict with clients, and it remembers.

use std::time::{Duration, Instant};

use josekit::jwk::Jwk;
use josekit::jws::{ES256, JwsVerifier, RS256};
use mcp_bridge::base::digest::Digest;
use serde_json::{Value, json};

use super::endpoints::payload;
use super::{AUTHORIZE, CLIENT_ID, CLIENT_SECRET, DISCOVERY, Fault, JWKS, Provider, SUBJECT, Signer, TOKEN, USERINFO};
use crate::support::client::http;

const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CALLBACK: &str = "http://127.0.0.1:1/callback";

async fn get(url: &str) -> Value {
    http().get(url).send().await.unwrap().json().await.unwrap()
}

/// The parameters with which it sends a browser back.
async fn authorized(provider: &Provider) -> Vec<(String, String)> {
    let challenge = Digest::of_bytes(VERIFIER.as_bytes()).base64url();
    let query = [
        ("response_type", "code"),
        ("client_id", CLIENT_ID),
        ("redirect_uri", CALLBACK),
        ("scope", "openid email"),
        ("state", "s"),
        ("nonce", "n"),
        ("code_challenge", &challenge),
        ("code_challenge_method", "S256"),
    ];
    let response = http().get(format!("{}{AUTHORIZE}", provider.url)).query(&query).send().await.unwrap();
    assert_eq!(response.status().as_u16(), 302);
    let target = url::Url::parse(response.headers()["location"].to_str().unwrap()).unwrap();
    assert!(target.as_str().starts_with(CALLBACK));
    target.query_pairs().into_owned().collect()
}

async fn code(provider: &Provider) -> String {
    authorized(provider).await.into_iter().find(|(name, _)| name == "code").unwrap().1
}

async fn ask(provider: &Provider, form: &[(&str, &str)]) -> (u16, Value) {
    let form: Vec<_> =
        form.iter().copied().chain([("client_id", CLIENT_ID), ("client_secret", CLIENT_SECRET)]).collect();
    let response = http().post(format!("{}{TOKEN}", provider.url)).form(&form).send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

async fn redeem(provider: &Provider, code: &str, verifier: &str, callback: &str) -> (u16, Value) {
    let form =
        [("grant_type", "authorization_code"), ("code", code), ("code_verifier", verifier), ("redirect_uri", callback)];
    ask(provider, &form).await
}

fn verifier(provider_keys: &Value, place: usize) -> Box<dyn JwsVerifier> {
    let key = Jwk::from_map(provider_keys["keys"][place].as_object().unwrap().clone()).unwrap();
    if place == 0 {
        Box::new(RS256.verifier_from_jwk(&key).unwrap())
    } else {
        Box::new(ES256.verifier_from_jwk(&key).unwrap())
    }
}

#[tokio::test]
async fn an_honest_provider_says_who_it_is_with_a_token_that_its_keys_verify() {
    let provider = Provider::start();
    let metadata = get(&format!("{}{DISCOVERY}", provider.url)).await;
    assert_eq!(
        (&metadata["issuer"], &metadata["jwks_uri"]),
        (&json!(provider.url), &json!(format!("{}{JWKS}", provider.url)))
    );
    for (place, signer) in [(0, Signer::Rsa), (1, Signer::P256)] {
        provider.script(|s| s.signer = signer);
        let back = authorized(&provider).await;
        assert!(
            back.contains(&("state".to_owned(), "s".to_owned()))
                && back.contains(&("iss".to_owned(), provider.url.clone()))
        );
        let (status, answer) = redeem(&provider, &code(&provider).await, VERIFIER, CALLBACK).await;
        assert_eq!(status, 200, "{answer}");
        let token = answer["id_token"].as_str().unwrap();
        let keys = get(&format!("{}{JWKS}", provider.url)).await;
        josekit::jws::deserialize_compact(token, verifier(&keys, place).as_ref()).unwrap();
        let claims = payload(token);
        assert_eq!(
            (&claims["sub"], &claims["aud"], &claims["nonce"]),
            (&json!(SUBJECT), &json!(CLIENT_ID), &json!("n"))
        );
        assert_eq!(claims["iat"], provider.clock.now().unix());
        let said =
            http().get(format!("{}{USERINFO}", provider.url)).bearer_auth(answer["access_token"].as_str().unwrap());
        assert_eq!(said.send().await.unwrap().json::<Value>().await.unwrap()["email"], "ada@example.com");
    }
    assert_eq!(provider.count(TOKEN), 2);
    assert_eq!(provider.got_at(TOKEN)[0].parameter("redirect_uri"), CALLBACK);
}

#[tokio::test]
async fn it_refuses_a_code_twice_a_wrong_verifier_another_address_and_a_wrong_secret() {
    let provider = Provider::start();
    let once = code(&provider).await;
    assert_eq!(redeem(&provider, &once, VERIFIER, CALLBACK).await.0, 200);
    assert_eq!(redeem(&provider, &once, VERIFIER, CALLBACK).await.1["error"], "invalid_grant");
    assert_eq!(redeem(&provider, &code(&provider).await, "wrong", CALLBACK).await.1["error"], "invalid_grant");
    assert_eq!(redeem(&provider, &code(&provider).await, VERIFIER, "http://x/").await.1["error"], "invalid_grant");
    provider.script(|s| s.client_secret = Some("another".to_owned()));
    assert_eq!(redeem(&provider, &code(&provider).await, VERIFIER, CALLBACK).await.0, 401);
    let said = http().get(format!("{}{USERINFO}", provider.url)).bearer_auth("guessed").send().await.unwrap();
    assert_eq!(said.status().as_u16(), 401);
}

#[tokio::test]
async fn its_refresh_tokens_are_good_once_and_not_for_who_is_revoked() {
    let provider = Provider::start();
    provider.script(|s| s.refreshes = true);
    let (_, first) = redeem(&provider, &code(&provider).await, VERIFIER, CALLBACK).await;
    let refresh = |token: &Value| {
        let (provider, token) = (&provider, token.as_str().unwrap().to_owned());
        async move { ask(provider, &[("grant_type", "refresh_token"), ("refresh_token", &token)]).await }
    };
    let (status, second) = refresh(&first["refresh_token"]).await;
    assert_eq!((status, payload(second["id_token"].as_str().unwrap())["nonce"].clone()), (200, Value::Null));
    assert_eq!(refresh(&first["refresh_token"]).await.0, 400);
    provider.script(|s| s.revoked = true);
    assert_eq!(refresh(&second["refresh_token"]).await.1["error"], "invalid_grant");
    assert_eq!(provider.secrets().iter().filter(|(what, _)| *what == "refresh token").count(), 2);
}

#[tokio::test]
async fn it_lies_as_it_is_told() {
    let provider = Provider::start();
    provider.script(|s| {
        s.header = json!({"kid": "x", "crit": ["y"]});
        s.id_token = json!({"aud": ["a"], "nonce": null});
        s.signer = Signer::Nobody;
        s.callback = json!({"iss": null, "error": "no"});
        s.metadata = json!({"issuer": "https://other.example"});
        s.rotation = 1;
    });
    let back = authorized(&provider).await;
    assert!(!back.iter().any(|(name, _)| name == "iss") && back.iter().any(|(name, _)| name == "error"));
    let (_, answer) = redeem(&provider, &code(&provider).await, VERIFIER, CALLBACK).await;
    let token = answer["id_token"].as_str().unwrap();
    assert!(token.ends_with('.'));
    let header = payload(&format!(".{}", token.split('.').next().unwrap()));
    assert_eq!(header, json!({"typ": "JWT", "alg": "none", "kid": "x", "crit": ["y"]}));
    assert_eq!((&payload(token)["aud"], &payload(token)["nonce"]), (&json!(["a"]), &Value::Null));
    assert_eq!(get(&format!("{}{DISCOVERY}", provider.url)).await["issuer"], "https://other.example");
    assert_eq!(get(&format!("{}{JWKS}", provider.url)).await["keys"][0]["kid"], "rsa-2");
}

#[tokio::test]
async fn it_fails_as_it_is_told_and_stops_with_connections_open() {
    let provider = Provider::start();
    let url = format!("{}{JWKS}", provider.url);
    let with =
        |fault: Option<Fault>| provider.script(|s| s.faults = fault.into_iter().map(|fault| (JWKS, fault)).collect());
    with(Some(Fault::Redirect("/canary".to_owned())));
    assert_eq!(http().get(&url).send().await.unwrap().headers()["location"], "/canary");
    with(Some(Fault::Html(500)));
    assert_eq!(http().get(&url).send().await.unwrap().status().as_u16(), 500);
    with(Some(Fault::Hang));
    assert!(http().get(&url).timeout(Duration::from_millis(50)).send().await.unwrap_err().is_timeout());
    with(Some(Fault::Huge));
    let mut huge = http().get(&url).send().await.unwrap();
    while provider.poured() == 0 {
        assert!(huge.chunk().await.unwrap().is_some());
    }
    provider.script(|s| s.down = true);
    assert!(http().get(&url).send().await.is_err());
    let began = Instant::now();
    drop(provider);
    assert!(began.elapsed() < Duration::from_secs(5));
    drop(huge);
}
