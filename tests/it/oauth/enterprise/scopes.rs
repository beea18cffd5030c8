//! What an assertion gives: never more than it says, than the rules for the person and the client allow, than is asked for.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::Enterprise;
use crate::support::mcp::Session;

/// The scopes that come of an assertion with this scope, asked for with these words; or the error.
async fn given(enterprise: &Enterprise, said: Value, asked: &[(&str, &str)]) -> String {
    let claims = enterprise.changed("scope", &said);
    let mut claims = claims.clone();
    claims["jti"] = json!(format!("{said} {asked:?}"));
    let tokens = enterprise.present_as("agent", &enterprise.assertion(&claims), asked).await;
    if tokens.status == 200 { tokens.text("scope").to_owned() } else { tokens.error().to_owned() }
}

#[tokio::test]
async fn ema_7_the_intersection_is_given() {
    let enterprise = Enterprise::start();
    for (said, asked, expected) in [
        (json!("mcp:read mcp:write"), None, "mcp:read mcp:write"),
        (json!("mcp:read"), None, "mcp:read"),
        (json!("mcp:read openid other"), None, "mcp:read"),
        (json!("mcp:admin"), None, "invalid_grant"),
        (json!("mcp:read mcp:write"), Some("mcp:read"), "mcp:read"),
        (json!("mcp:write"), Some("mcp:read"), "mcp:read"),
        (json!("mcp:read"), Some("mcp:read mcp:write"), "mcp:read"),
        (json!("mcp:read"), Some("mcp:write"), "invalid_scope"),
        (json!("mcp:read"), Some("offline_access"), "mcp:read"),
        // It says nothing of scopes: what anybody gets who asks for nothing in particular.
        (Value::Null, None, "mcp:read mcp:write"),
        (Value::Null, Some("mcp:read"), "mcp:read"),
    ] {
        let asked: Vec<_> = asked.into_iter().map(|asked| ("scope", asked)).collect();
        assert_eq!(given(&enterprise, said.clone(), &asked).await, expected, "{said} {asked:?}");
    }
}

#[tokio::test]
async fn ema_7_neither_person_nor_client_gets_more_than_the_operator_gave() {
    let enterprise = Enterprise::with(|server| {
        server["enterprise"]["issuers"][0]["default_scopes"] = json!(["mcp:read"]);
        server["enterprise"]["issuers"][0]["group_scopes"] = json!({"writers": ["mcp:write"]});
    });
    assert_eq!(given(&enterprise, json!("mcp:read mcp:write"), &[]).await, "mcp:read");
    assert_eq!(given(&enterprise, json!("mcp:write"), &[]).await, "invalid_grant");
    let mut claims = enterprise.changed("groups", &json!(["writers"]));
    claims["scope"] = json!("mcp:read mcp:write");
    let tokens = enterprise.present(&enterprise.assertion(&claims)).await;
    assert_eq!(tokens.text("scope"), "mcp:read mcp:write");
    let enterprise = Enterprise::with(|server| server["clients"][0]["scopes"] = json!(["mcp:read"]));
    assert_eq!(given(&enterprise, json!("mcp:read mcp:write"), &[]).await, "mcp:read");
    assert_eq!(given(&enterprise, json!("mcp:read mcp:write"), &[("scope", "mcp:write")]).await, "invalid_scope");
}

#[tokio::test]
async fn ema_8_the_token_is_for_the_one_resource() {
    let enterprise = Enterprise::start();
    let resource = enterprise.app.resource();
    for (claim, asked) in [
        (json!(resource), None),
        (Value::Null, None),
        (Value::Null, Some(resource.as_str())),
        (json!(format!("{resource}/")), Some(resource.as_str())),
        (json!(["https://other.example/mcp", resource]), None),
    ] {
        let asked: Vec<_> = asked.into_iter().map(|asked| ("resource", asked)).collect();
        let mut claims = enterprise.changed("resource", &claim);
        claims["jti"] = json!(format!("{claim} {asked:?}"));
        let tokens = enterprise.present_as("agent", &enterprise.assertion(&claims), &asked).await;
        assert_eq!(tokens.status, 200, "{claim} {asked:?} {tokens:?}");
        let payload = URL_SAFE_NO_PAD.decode(tokens.access().split('.').nth(1).unwrap()).unwrap();
        let payload: Value = serde_json::from_slice(&payload).unwrap();
        assert_eq!(payload["aud"], json!(resource));
        assert_eq!(Session::new(&enterprise.app, tokens.access()).status().await, 200);
    }
    let claims = enterprise.changed("resource", &Value::Null);
    let elsewhere = [("resource", "https://other.example/mcp")];
    let tokens = enterprise.present_as("agent", &enterprise.assertion(&claims), &elsewhere).await;
    assert_eq!((tokens.status, tokens.error()), (400, "invalid_target"));
}
