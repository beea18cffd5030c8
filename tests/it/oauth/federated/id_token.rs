//! ID tokens that must not be believed (OpenID Connect Core §3.1.3.7), and the keys they name.

use std::time::Duration;

use serde_json::{Value, json};

use super::{code, log_in, refused, start, with_users};
use crate::support::provider::{CANARY, CLIENT_ID, JWKS, Script, Signer, USERINFO};
use crate::support::{App, Browser, Client, Provider};

const NOW: i64 = 1_800_000_000;

/// What a provider is told to do.
type Change<'a> = &'a dyn Fn(&mut Script);

/// With each of these lies nobody gets in, and without them everybody does.
async fn lies(cases: &[(&str, Change<'_>)]) {
    let provider = Provider::start();
    let app = start(&provider, |_| ());
    let client = Client::register(&app).await;
    for (name, lie) in cases {
        provider.script(|s| {
            *s = Script::new(&provider.url);
            lie(s);
        });
        let page = log_in(&mut Browser::new(), &client).await;
        assert!(page.goes_nowhere(), "{name}: {page:?}");
        refused(&page);
        assert_eq!(provider.count(USERINFO), 0, "{name}: nothing more is asked about nobody");
    }
    provider.script(|s| *s = Script::new(&provider.url));
    code(&log_in(&mut Browser::new(), &client).await);
}

fn claims(claims: Value) -> impl Fn(&mut Script) {
    move |script| script.id_token = claims.clone()
}

fn header(header: Value) -> impl Fn(&mut Script) {
    move |script| script.header = header.clone()
}

#[tokio::test]
async fn fed_7_no_signature_but_the_provider_s_own_counts() {
    let signed = |signer| move |script: &mut Script| script.signer = signer;
    let as_if = |signer, alg: &'static str| {
        move |script: &mut Script| {
            script.signer = signer;
            script.header = json!({"alg": alg});
        }
    };
    lies(&[
        ("none", &signed(Signer::Nobody)),
        ("None", &as_if(Signer::Nobody, "None")),
        ("no signature under RS256", &as_if(Signer::Nobody, "RS256")),
        ("none with a signature", &as_if(Signer::Rsa, "none")),
        ("HS256 with the public key", &signed(Signer::PublicKeyAsSecret)),
        ("HS256 with the public key and its kid", &|script: &mut Script| {
            script.signer = Signer::PublicKeyAsSecret;
            script.header = json!({"kid": "rsa-1"});
        }),
        ("HS256 with the client's secret", &signed(Signer::ClientSecret)),
        ("a stranger's key under a known kid", &signed(Signer::Stranger)),
        ("a signature of other bytes", &signed(Signer::Wrong)),
        ("ES256 said, RSA done", &as_if(Signer::Rsa, "ES256")),
        ("RS256 said, P-256 done", &as_if(Signer::P256, "RS256")),
        ("PS256 said, RS256 done", &as_if(Signer::Rsa, "PS256")),
        ("RS1", &as_if(Signer::Rsa, "RS1")),
        ("ES256K", &as_if(Signer::P256, "ES256K")),
        ("an unknown algorithm beside at_hash", &as_if(Signer::Rsa, "XX999")),
        ("an algorithm that is no text", &header(json!({"alg": 256}))),
        ("an algorithm that is missing", &header(json!({"alg": null}))),
    ])
    .await;
}

#[tokio::test]
async fn fed_7_no_header_changes_the_rules() {
    lies(&[
        ("crit of nobody", &header(json!({"crit": ["exp"], "exp": NOW + 60}))),
        ("crit that is unknown", &header(json!({"crit": ["http://example.com/x"], "http://example.com/x": true}))),
        ("crit that is empty", &header(json!({"crit": []}))),
        ("crit that is no list", &header(json!({"crit": "exp"}))),
        ("b64", &header(json!({"b64": false, "crit": ["b64"]}))),
        ("b64 alone", &header(json!({"b64": false}))),
        ("a kid that is no text", &header(json!({"kid": {"x": 1}}))),
    ])
    .await;
}

#[tokio::test]
async fn fed_7_a_token_for_others_by_others_or_of_another_time_is_refused() {
    lies(&[
        ("aud", &claims(json!({"aud": "somebody-else"}))),
        ("aud missing", &claims(json!({"aud": null}))),
        ("aud empty", &claims(json!({"aud": []}))),
        ("aud that is an object", &claims(json!({"aud": {"0": CLIENT_ID}}))),
        ("aud in other letters", &claims(json!({"aud": CLIENT_ID.to_uppercase()}))),
        ("one more aud without azp", &claims(json!({"aud": [CLIENT_ID, "somebody-else"]}))),
        ("one more aud with another's azp", &claims(json!({"aud": [CLIENT_ID, "x"], "azp": "x"}))),
        ("azp of another", &claims(json!({"azp": "somebody-else"}))),
        ("iss", &claims(json!({"iss": "https://elsewhere.example"}))),
        ("iss missing", &claims(json!({"iss": null}))),
        ("iss that is no text", &claims(json!({"iss": 1}))),
        ("expired", &claims(json!({"exp": NOW - 600, "iat": NOW - 1200}))),
        ("exp missing", &claims(json!({"exp": null}))),
        ("exp that is no number", &claims(json!({"exp": "tomorrow"}))),
        ("exp without end", &claims(json!({"exp": 1e300, "iat": NOW - 90_000}))),
        ("iat in an hour", &claims(json!({"iat": NOW + 3600, "exp": NOW + 7200}))),
        ("iat missing", &claims(json!({"iat": null}))),
        ("nbf in an hour", &claims(json!({"nbf": NOW + 3600}))),
        ("sub missing", &claims(json!({"sub": null}))),
        ("sub empty", &claims(json!({"sub": ""}))),
        ("sub that is no text", &claims(json!({"sub": 7}))),
        ("sub of 300 characters", &claims(json!({"sub": "s".repeat(300)}))),
    ])
    .await;
}

#[tokio::test]
async fn fed_7_a_token_of_another_login_is_refused() {
    lies(&[
        ("nonce missing", &claims(json!({"nonce": null}))),
        ("nonce wrong", &claims(json!({"nonce": "guessed"}))),
        ("nonce empty", &claims(json!({"nonce": ""}))),
        ("nonce that is a list", &claims(json!({"nonce": ["x"]}))),
        ("at_hash wrong", &claims(json!({"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"}))),
        ("at_hash empty", &claims(json!({"at_hash": ""}))),
        ("at_hash that is no text", &claims(json!({"at_hash": 5}))),
        ("no ID token", &|script: &mut Script| script.tokens = json!({"id_token": null})),
        ("an ID token that is none", &|script: &mut Script| script.tokens = json!({"id_token": "a.b"})),
        ("an ID token that is no text", &|script: &mut Script| script.tokens = json!({"id_token": {}})),
        ("five parts", &|script: &mut Script| script.tokens = json!({"id_token": "e30.e30.e30.e30.e30"})),
    ])
    .await;
}

#[tokio::test]
async fn fed_7_what_is_right_is_believed() {
    let right: [(&str, Change<'_>); 9] = [
        ("ES256", &|script: &mut Script| script.signer = Signer::P256),
        ("no kid", &header(json!({"kid": null}))),
        ("a list of one aud", &claims(json!({"aud": [CLIENT_ID]}))),
        ("two auds and our azp", &claims(json!({"aud": [CLIENT_ID, "x"], "azp": CLIENT_ID}))),
        ("no at_hash, which is optional here", &claims(json!({"at_hash": null}))),
        ("a clock that is a little fast", &claims(json!({"iat": NOW + 20}))),
        ("a clock that is a little slow", &claims(json!({"exp": NOW - 5}))),
        ("times with fractions", &claims(json!({"iat": 1_799_999_999.5, "exp": 1_800_000_600.5}))),
        ("a typ of its own", &header(json!({"typ": null}))),
    ];
    let provider = Provider::start();
    let app = start(&provider, |_| ());
    let client = Client::register(&app).await;
    for (name, truth) in right {
        provider.script(|s| {
            *s = Script::new(&provider.url);
            truth(s);
        });
        let page = log_in(&mut Browser::new(), &client).await;
        assert!(!page.goes_nowhere(), "{name}: {page:?}");
        code(&page);
    }
}

#[tokio::test]
async fn fed_7_userinfo_of_another_person_is_refused() {
    let provider = Provider::start();
    let app = start(&provider, |server| server["federated"]["allowed_domains"] = json!(["example.com"]));
    let client = Client::register(&app).await;
    // The address comes from userinfo, whose `sub` must be the ID token's (OpenID Connect Core §5.3.2).
    for sub in [json!("another"), json!(null), json!(7)] {
        provider.script(|s| {
            s.id_token = json!({"email": null, "email_verified": null});
            s.userinfo = json!({"sub": sub});
        });
        refused(&log_in(&mut Browser::new(), &client).await);
    }
    provider.script(|s| s.userinfo = json!({}));
    code(&log_in(&mut Browser::new(), &client).await);
}

#[tokio::test]
async fn fed_8_an_unknown_key_is_looked_for_once_a_minute() {
    let provider = Provider::start();
    let app = start(&provider, |_| ());
    let client = Client::register(&app).await;
    code(&log_in(&mut Browser::new(), &client).await);
    let known = provider.count(JWKS);
    for minute in 1..=2 {
        app.clock.advance(Duration::from_secs(61));
        for n in 0..12 {
            provider.script(|s| s.header = json!({"kid": format!("unknown-{minute}-{n}")}));
            refused(&log_in(&mut Browser::new(), &client).await);
        }
        let fetched = provider.count(JWKS) - known;
        assert!(fetched <= minute, "minute {minute}: {fetched} fetches");
    }
    provider.script(|s| s.header = json!({}));
    code(&log_in(&mut Browser::new(), &client).await);
}

#[tokio::test]
async fn fed_8_unknown_keys_at_once_are_looked_for_once() {
    let provider = Provider::start();
    let app = start(&provider, |_| ());
    let client = Client::register(&app).await;
    code(&log_in(&mut Browser::new(), &client).await);
    let known = provider.count(JWKS);
    app.clock.advance(Duration::from_secs(61));
    provider.script(|s| s.header = json!({"kid": "unknown"}));
    let logins = (0..10).map(|_| {
        let client = &client;
        async move { log_in(&mut Browser::new(), client).await }
    });
    for page in futures_util::future::join_all(logins).await {
        refused(&page);
    }
    assert!(provider.count(JWKS) - known <= 1, "{}", provider.count(JWKS) - known);
}

#[tokio::test]
async fn fed_8_a_token_never_brings_its_own_key() {
    let provider = Provider::start();
    let app = start(&provider, |_| ());
    let client = Client::register(&app).await;
    let canary = format!("{}{CANARY}", provider.url);
    let key = crate::support::provider::strangers_key();
    for header in [
        json!({"jku": canary, "kid": "stranger"}),
        json!({"x5u": canary, "kid": "stranger"}),
        json!({"jwk": key, "kid": "stranger"}),
        json!({"jwk": key, "kid": null}),
        json!({"jku": canary, "kid": null}),
        json!({"x5c": ["MIIB"], "kid": "stranger"}),
        json!({"kid": "../canary"}),
        json!({"kid": canary}),
    ] {
        provider.script(|s| {
            s.signer = Signer::Stranger;
            s.header = header.clone();
        });
        refused(&log_in(&mut Browser::new(), &client).await);
    }
    // The same by the metadata of nobody: only what discovery named is fetched.
    assert_eq!(provider.count(CANARY), 0);
    // A header that is not needed does no harm, and is not looked at either.
    provider.script(|s| {
        s.signer = Signer::Rsa;
        s.header = json!({"jku": canary, "x5u": canary, "jwk": key});
    });
    log_in(&mut Browser::new(), &client).await;
    assert_eq!(provider.count(CANARY), 0);
}

#[tokio::test]
async fn fed_7_a_lie_does_not_disturb_those_with_a_password() {
    let provider = Provider::start();
    let app: App = start(&provider, with_users);
    let client = Client::register(&app).await;
    provider.script(|s| s.signer = Signer::Nobody);
    refused(&super::log_in_at(&mut Browser::new(), &client, "default").await);
    client.tokens().await;
}
