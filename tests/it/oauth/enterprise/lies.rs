//! Every lie an assertion can tell, one by one. The right one always follows, so that nothing else was wrong.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{Enterprise, GRANT, KIND, refused};
use crate::support::provider::Signer;

/// The assertion that is right works, so that what was refused before was refused for its one lie.
async fn the_truth_works(enterprise: &Enterprise) {
    let tokens = enterprise.present(&enterprise.assertion(&enterprise.claims("the truth"))).await;
    assert_eq!(tokens.status, 200, "{tokens:?}");
}

#[tokio::test]
async fn ema_3_a_claim_that_is_wrong_or_missing_is_refused() {
    let enterprise = Enterprise::start();
    let (now, ours) = (enterprise.now(), enterprise.app.url.clone());
    for (name, value) in [
        ("iss", json!("https://idp.example.com")),
        ("iss", json!(format!("{}.evil.example", enterprise.provider.url))),
        ("iss", json!(format!("{}/", enterprise.provider.url))),
        ("iss", json!([enterprise.provider.url])),
        ("iss", Value::Null),
        ("sub", Value::Null),
        ("sub", json!("")),
        ("sub", json!(7)),
        ("sub", json!("a#b c")),
        ("sub", json!("x".repeat(256))),
        ("client_id", json!("other")),
        ("client_id", json!(["agent"])),
        ("client_id", Value::Null),
        ("jti", Value::Null),
        ("jti", json!("")),
        ("jti", json!(1)),
        ("iat", Value::Null),
        ("iat", json!(now + 120)),
        ("iat", json!(now.to_string())),
        ("nbf", json!(now + 120)),
        ("exp", Value::Null),
        ("exp", json!(now - 61)),
        ("exp", json!(now + 3 * 3600)),
        ("exp", json!(now.to_string())),
        ("exp", json!(-1)),
        ("exp", json!(1e300)),
        ("resource", json!("https://other.example/mcp")),
        ("resource", json!(ours)),
        ("resource", json!(format!("{ours}/mcp-evil"))),
        ("resource", json!(["https://other.example/mcp"])),
        ("resource", json!([])),
        ("resource", json!(7)),
        ("scope", json!("openid")),
        ("scope", json!("")),
        ("scope", json!("mcp:read\"")),
        ("scope", json!(["mcp:read"])),
        ("cnf", json!({"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"})),
        ("authorization_details", json!([{"type": "payment"}])),
        ("tenant", json!("t1")),
        ("aud_tenant", json!("t2")),
    ] {
        enterprise.refuses(&enterprise.changed(name, &value)).await;
    }
    the_truth_works(&enterprise).await;
}

#[tokio::test]
async fn ema_4_the_audience_is_this_issuer_and_nothing_beside_it() {
    let enterprise = Enterprise::start();
    let ours = enterprise.app.url.clone();
    for audience in [
        Value::Null,
        json!("https://other.example"),
        json!(format!("{ours}/")),
        json!(format!("{ours}.evil.example")),
        json!(format!("{ours}/oauth/token")),
        json!(enterprise.app.resource()),
        json!([]),
        json!([ours, "https://other.example"]),
        json!([ours, ours]),
        json!({"aud": ours}),
        json!("agent"),
    ] {
        enterprise.refuses(&enterprise.changed("aud", &audience)).await;
    }
    let listed = enterprise.changed("aud", &json!([ours]));
    assert_eq!(enterprise.present(&enterprise.assertion(&listed)).await.status, 200, "a list of one");
}

#[tokio::test]
async fn ema_3_what_is_not_signed_by_the_issuers_key_is_refused() {
    let enterprise = Enterprise::start();
    let assertion = enterprise.assertion(&enterprise.claims("keys are known"));
    assert_eq!(enterprise.present(&assertion).await.status, 200);
    for signer in [Signer::Nobody, Signer::PublicKeyAsSecret, Signer::ClientSecret, Signer::Stranger, Signer::Wrong] {
        enterprise.provider.script(|s| s.signer = signer);
        enterprise.refuses(&enterprise.claims(&format!("{signer:?}"))).await;
    }
    for header in [
        json!({"kid": "no such key"}),
        json!({"kid": "ec-1"}),
        json!({"alg": "ES256"}),
        json!({"alg": "none"}),
        json!({"alg": "None"}),
        json!({"alg": "HS256"}),
        json!({"alg": "RS1"}),
        json!({"crit": ["exp"], "exp": 1}),
        json!({"b64": false}),
    ] {
        enterprise.provider.script(|s| (s.signer, s.header) = (Signer::Rsa, header.clone()));
        enterprise.refuses(&enterprise.claims(&header.to_string())).await;
    }
    // A key in the header is the attacker's own.
    let jwk = crate::support::provider::strangers_key();
    let header = json!({"kid": jwk["kid"], "jwk": jwk, "jku": format!("{}/canary", enterprise.provider.url)});
    enterprise.provider.script(|s| (s.signer, s.header) = (Signer::Stranger, header));
    enterprise.refuses(&enterprise.claims("a key of its own")).await;
    assert_eq!(enterprise.provider.count(crate::support::provider::CANARY), 0);
    for (signer, jti) in [(Signer::Rsa, "rsa"), (Signer::P256, "ec")] {
        enterprise.provider.script(|s| (s.signer, s.header) = (signer, json!({})));
        assert_eq!(enterprise.present(&enterprise.assertion(&enterprise.claims(jti))).await.status, 200, "{signer:?}");
    }
}

#[tokio::test]
async fn ema_3_another_type_of_token_is_no_assertion() {
    let enterprise = Enterprise::start();
    for kind in
        ["JWT", "at+jwt", "logout+jwt", "", "id-jag+jwt", "oauth-id-jag", "oauth-id-jag+jwt2", "text/oauth-id-jag+jwt"]
    {
        let tokens = enterprise.present(&enterprise.provider.signed(kind, &enterprise.claims(kind))).await;
        refused(&tokens, kind);
    }
    for header in [json!({"typ": null}), json!({"typ": [KIND]})] {
        enterprise.provider.script(|s| s.header = header.clone());
        enterprise.refuses(&enterprise.claims(&header.to_string())).await;
    }
    enterprise.provider.script(|s| s.header = json!({}));
    // RFC 7515 §4.1.9: a media type.
    for kind in ["application/oauth-id-jag+jwt", "OAuth-ID-JAG+JWT", KIND] {
        let tokens = enterprise.present(&enterprise.provider.signed(kind, &enterprise.claims(kind))).await;
        assert_eq!(tokens.status, 200, "{kind}");
    }
}

#[tokio::test]
async fn ema_3_what_is_no_token_at_all_is_refused() {
    let enterprise = Enterprise::start();
    let good = enterprise.assertion(&enterprise.claims("good"));
    let (head, rest) = good.split_once('.').unwrap();
    let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let ours = format!("{{\"iss\":\"{}\"}}", enterprise.provider.url);
    let twice = format!("{}{}", &ours[..ours.len() - 1], format_args!(",{}", &ours[1..]));
    for garbage in [
        "x".to_owned(),
        "..".to_owned(),
        "a.b.c".to_owned(),
        format!("{good}x"),
        format!("{good}="),
        format!("{good}."),
        good[..good.len() - 2].to_owned(),
        format!("{good}\n"),
        format!(" {good}"),
        format!("{}.{}.", encode("{}"), encode(&ours)),
        format!("{}.{}.", head, encode(&twice)),
        format!("{}.{rest}", encode("[]")),
        "a".repeat(30_000),
    ] {
        refused(&enterprise.present(&garbage).await, &garbage);
    }
    let missing = enterprise.present_as("agent", "", &[]).await;
    assert_eq!((missing.status, missing.error()), (400, "invalid_request"));
    let form = [("grant_type", GRANT), ("assertion", good.as_str()), ("assertion", good.as_str())];
    let basic =
        format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("agent:{}", super::SECRET)));
    let repeated = enterprise.send(&form, Some(basic)).await;
    assert_eq!((repeated.status, repeated.error()), (400, "invalid_request"), "twice");
    assert_eq!(enterprise.present(&good).await.status, 200, "none of it has used up the good one");
}

#[tokio::test]
async fn ema_6_an_assertion_counts_once_however_many_present_it() {
    let enterprise = Enterprise::start();
    let good = enterprise.assertion(&enterprise.claims("once"));
    let crowd = join_all((0..20).map(|_| enterprise.present(&good))).await;
    let (given, not): (Vec<_>, Vec<_>) = crowd.iter().partition(|tokens| tokens.status == 200);
    assert_eq!(given.len(), 1);
    not.iter().for_each(|tokens| refused(tokens, "presented before"));
    // The same `jti` in another assertion, signed anew, is the same.
    let mut again = enterprise.claims("once");
    again["iat"] = json!(enterprise.now() - 1);
    enterprise.refuses(&again).await;
    // It is remembered as long as it could be presented, after a restart too.
    enterprise.app.clock.advance(std::time::Duration::from_secs(359));
    refused(&enterprise.present(&good).await, "almost expired");
    let Enterprise { provider, app } = enterprise;
    let enterprise = Enterprise { provider, app: app.restart_in_place() };
    refused(&enterprise.present(&good).await, "after a restart");
}

#[tokio::test]
async fn ema_6_an_assertion_that_was_refused_is_not_used_up() {
    let enterprise = Enterprise::start();
    let good = enterprise.assertion(&enterprise.claims("kept"));
    refused(&enterprise.present_as("other", &good, &[]).await, "another client's");
    let elsewhere = enterprise.present_as("agent", &good, &[("resource", "https://other.example/mcp")]).await;
    assert_eq!((elsewhere.status, elsewhere.error()), (400, "invalid_target"));
    let wide = enterprise.present_as("agent", &good, &[("scope", "mcp:write")]).await;
    assert_eq!((wide.status, wide.error()), (400, "invalid_scope"));
    assert_eq!(enterprise.present(&good).await.status, 200);
}
