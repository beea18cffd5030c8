//! Whose assertions are taken, and where their keys are.

use std::time::Duration;

use serde_json::json;

use super::{Enterprise, refused};
use crate::support::Provider;
use crate::support::provider::{DISCOVERY, Fault, JWKS};

#[tokio::test]
async fn ema_3_an_issuer_that_nobody_configured_is_nobody() {
    let (enterprise, stranger) = (Enterprise::start(), Provider::start());
    let mut claims = enterprise.claims("1");
    claims["iss"] = json!(stranger.url);
    refused(&enterprise.present(&stranger.signed(super::KIND, &claims)).await, "a stranger");
    assert!(stranger.got().is_empty(), "nothing is fetched from whoever an assertion names");
    // Two of these have the same key until one of them changes it.
    stranger.script(|s| s.rotation = 1);
    // Nor is one issuer believed about another's people.
    let enterprise = Enterprise::with(|server| {
        let issuers = server["enterprise"]["issuers"].as_array_mut().unwrap();
        issuers.push(json!({"issuer": stranger.url}));
    });
    let claims = enterprise.changed("iss", &json!(stranger.url));
    refused(&enterprise.present(&enterprise.assertion(&claims)).await, "signed by the wrong one of two");
    refused(&enterprise.present(&stranger.signed(super::KIND, &enterprise.claims("2"))).await, "the other way round");
    assert_eq!(enterprise.present(&stranger.signed(super::KIND, &claims)).await.status, 200);
}

#[tokio::test]
async fn ema_11_keys_are_fetched_once_and_again_for_one_that_is_new() {
    let enterprise = Enterprise::start();
    for jti in ["1", "2", "3"] {
        assert_eq!(enterprise.present(&enterprise.assertion(&enterprise.claims(jti))).await.status, 200);
    }
    assert_eq!((enterprise.provider.count(DISCOVERY), enterprise.provider.count(JWKS)), (1, 1));
    enterprise.provider.script(|s| s.rotation = 1);
    let tokens = enterprise.present(&enterprise.assertion(&enterprise.claims("rotated"))).await;
    assert_eq!(tokens.status, 200, "{tokens:?}");
    assert_eq!(enterprise.provider.count(JWKS), 2);
    // Whoever makes up names of keys makes nobody fetch anything more than once a minute.
    enterprise.provider.script(|s| s.header = json!({"kid": "made up"}));
    for number in 0..20 {
        enterprise.refuses(&enterprise.claims(&format!("made up {number}"))).await;
    }
    assert_eq!(enterprise.provider.count(JWKS), 2);
    enterprise.app.clock.advance(Duration::from_secs(61));
    enterprise.refuses(&enterprise.claims("a minute later")).await;
    assert_eq!(enterprise.provider.count(JWKS), 3);
}

#[tokio::test]
async fn ema_11_an_issuer_that_is_down_is_no_lie_and_its_last_keys_count_on() {
    let enterprise = Enterprise::start();
    enterprise.provider.script(|s| s.down = true);
    let claims = enterprise.claims("1");
    let tokens = enterprise.present(&enterprise.assertion(&claims)).await;
    assert_eq!((tokens.status, tokens.error()), (503, "temporarily_unavailable"), "{tokens:?}");
    assert!(!tokens.text("error_description").contains(&enterprise.provider.url));
    enterprise.provider.script(|s| s.down = false);
    assert_eq!(enterprise.present(&enterprise.assertion(&claims)).await.status, 200, "nothing was used up");
    enterprise.provider.script(|s| s.down = true);
    enterprise.app.clock.advance(Duration::from_secs(7200));
    let later = enterprise.present(&enterprise.assertion(&enterprise.claims("2"))).await;
    assert_eq!(later.status, 200, "{later:?}");
}

#[tokio::test]
async fn ema_11_what_is_no_key_set_lets_nobody_in() {
    for fault in [
        Fault::Html(200),
        Fault::Json(500, json!({})),
        Fault::Json(200, json!({"keys": 7})),
        Fault::Redirect("https://keys.example/".to_owned()),
        Fault::Huge,
    ] {
        let enterprise = Enterprise::start();
        enterprise.provider.script(|s| drop(s.faults.insert(JWKS, fault.clone())));
        let tokens = enterprise.present(&enterprise.assertion(&enterprise.claims("1"))).await;
        assert_eq!((tokens.status, tokens.error()), (503, "temporarily_unavailable"), "{fault:?}");
    }
}

#[tokio::test]
async fn ema_3_the_metadata_of_another_issuer_are_not_believed() {
    let provider = Provider::start();
    provider.script(|s| s.metadata = json!({"issuer": "https://idp.example.com"}));
    let enterprise = Enterprise::of(provider, |_| ());
    let tokens = enterprise.present(&enterprise.assertion(&enterprise.claims("1"))).await;
    assert_eq!((tokens.status, tokens.error()), (503, "temporarily_unavailable"), "{tokens:?}");
}

#[tokio::test]
async fn ema_3_an_address_of_keys_needs_no_metadata_and_the_issuer_is_what_is_written() {
    let provider = Provider::start();
    let keys = format!("{}{JWKS}", provider.url);
    let enterprise = Enterprise::of(provider, |server| {
        server["enterprise"]["issuers"][0] = json!({"issuer": "https://idp.example.com", "jwks_uri": keys});
    });
    enterprise.refuses(&enterprise.claims("1")).await;
    enterprise.refuses(&enterprise.changed("iss", &json!("https://idp.example.com/"))).await;
    let claims = enterprise.changed("iss", &json!("https://idp.example.com"));
    assert_eq!(enterprise.present(&enterprise.assertion(&claims)).await.status, 200);
    assert_eq!(enterprise.provider.count(DISCOVERY), 0);
}
