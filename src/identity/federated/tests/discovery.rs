//! Providers whose metadata is wrong, or not there.

use serde_json::{Value, json};

use super::*;

fn parsed(configured: &str, change: &Value) -> Result<Metadata, Reason> {
    let mut document = metadata("https://idp.example");
    for (name, value) in change.as_object().unwrap() {
        document[name] = value.clone();
    }
    let url = Url::parse("https://idp.example/d").unwrap();
    Metadata::parse(&url, document.to_string().as_bytes(), configured).map_err(|failure| failure.reason)
}

#[test]
fn fed_13_the_metadata_is_that_of_the_configured_issuer() {
    for (configured, said, taken) in [
        ("https://idp.example", "https://idp.example", true),
        ("https://idp.example", "https://idp.example/", true),
        ("https://idp.example/", "https://idp.example", true),
        ("https://idp.example", "https://idp.example//", false),
        ("https://idp.example", "https://IDP.example", false),
        ("https://idp.example", "https://evil.example", false),
        ("https://idp.example/a", "https://idp.example/b", false),
        ("https://login.example/common/v2.0", "https://login.example/{tenantid}/v2.0", false),
    ] {
        let metadata = parsed(configured, &json!({"issuer": said}));
        assert_eq!(metadata.as_ref().map(|metadata| metadata.issuer.as_str()).is_ok(), taken, "{configured} {said}");
        assert!(metadata.is_ok_and(|metadata| metadata.issuer == said) || !taken);
    }
    assert_eq!(parsed("https://idp.example", &json!({"issuer": null})).err(), Some(Reason::Misconfigured));
}

#[test]
fn fed_13_an_endpoint_is_an_address_of_the_web() {
    let endpoints =
        ["authorization_endpoint", "token_endpoint", "jwks_uri", "userinfo_endpoint", "end_session_endpoint"];
    for name in endpoints {
        for odd in [
            json!("javascript:alert(1)"),
            json!("file:///etc/passwd"),
            json!("--upload-pack=x"),
            json!("/relative"),
            json!(""),
            json!("http://idp.example/x"),
            json!("http://127.0.0.1/x"),
            json!("https://user:password@idp.example/x"),
            json!("https://idp.example/x#fragment"),
            json!("data:text/html,x"),
            json!(["https://idp.example/x"]),
            json!(7),
        ] {
            let refused = parsed("https://idp.example", &json!({name: odd})).err();
            assert_eq!(refused, Some(Reason::Misconfigured), "{name} {odd}");
        }
        assert!(parsed("https://idp.example", &json!({name: "https://cdn.example/x?y=z"})).is_ok(), "{name}");
    }
    for name in &endpoints[..3] {
        assert!(parsed("https://idp.example", &json!({*name: null})).is_err(), "{name}");
    }
}

#[tokio::test]
async fn fed_12_what_is_no_metadata_makes_a_provider_unreachable_and_is_asked_for_again() {
    let (script, address) = Script::start().await;
    let provider = provider(connect(&address));
    let path = "/.well-known/openid-configuration";
    let huge = format!("{{\"x\":\"{}\"}}", "x".repeat(2 << 20));
    for (status, body) in
        [(302, "{}"), (500, "{}"), (200, "<html>"), (200, ""), (200, "[]"), (200, &huge), (204, ""), (404, "{}")]
    {
        script.answer(path, status, body);
        let refused = provider.warm_up(NOW).await.unwrap_err();
        assert_eq!(refused.reason, Reason::Unreachable, "{status} {refused}");
    }
    assert_eq!(script.asked("/elsewhere").len(), 0);
    script.answer(path, 200, metadata(&address));
    provider.warm_up(NOW).await.unwrap();
    let asked = script.asked(path).len();
    provider.warm_up(NOW + Duration::from_secs(3599)).await.unwrap();
    assert_eq!(script.asked(path).len(), asked);
    script.answer(path, 500, "{}");
    provider.warm_up(NOW + Duration::from_secs(3600)).await.unwrap();
    assert_eq!(script.asked(path).len(), asked + 1);
}

#[tokio::test]
async fn a_discovery_url_decides_where_the_document_is_and_not_whose() {
    let (script, address) = Script::start().await;
    let discovery_url = Some(Url::parse(&format!("{address}/inside/config")).unwrap());
    let issuer = "https://idp.example".to_owned();
    let provider = provider(settings(Dialect::Oidc { issuer, discovery_url }));
    script.answer("/inside/config", 200, metadata("https://idp.example/"));
    provider.warm_up(NOW).await.unwrap();
    assert!(provider.is_issuer("https://idp.example/") && !provider.is_issuer(&address));
    assert_eq!(provider.end_session_url(), None);
}

#[tokio::test]
async fn fed_12_a_provider_that_hangs_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let provider = provider(section::Provider { http_timeout: Duration::from_millis(50), ..connect(&address) });
    let (accepted, refused) = tokio::join!(listener.accept(), provider.warm_up(NOW));
    assert!(accepted.is_ok());
    assert_eq!(refused.unwrap_err().reason, Reason::Unreachable);
}
