//! Whom an assertion lets in, and who is out again.

use std::time::Duration;

use serde_json::{Value, json};

use super::super::federated::{self, disable, log_in, who};
use super::{Enterprise, oauth_server, refused};
use crate::support::mcp::Session;
use crate::support::provider::SUBJECT;
use crate::support::{Browser, Client, Provider};

fn issuer(server: &mut Value) -> &mut Value {
    &mut server["enterprise"]["issuers"][0]
}

/// An assertion with these claims besides.
fn with(enterprise: &Enterprise, more: &Value) -> String {
    let mut claims = enterprise.claims(&more.to_string());
    for (name, value) in more.as_object().unwrap() {
        claims[name] = value.clone();
    }
    enterprise.assertion(&claims)
}

#[tokio::test]
async fn ema_people_of_other_domains_and_without_a_verified_address_stay_out() {
    let enterprise = Enterprise::with(|server| issuer(server)["allowed_domains"] = json!(["example.com"]));
    for lie in [
        json!({}),
        json!({"email": "ada@example.com"}),
        json!({"email": "ada@example.com", "email_verified": false}),
        json!({"email": "ada@other.example", "email_verified": true}),
        json!({"email": "ada@example.com.evil.example", "email_verified": true}),
        json!({"email": "ada@evil.example@example.com", "email_verified": true}),
    ] {
        refused(&enterprise.present(&with(&enterprise, &lie)).await, &lie.to_string());
    }
    let good = with(&enterprise, &json!({"email": "ada@example.com", "email_verified": true}));
    assert_eq!(enterprise.present(&good).await.status, 200);
}

#[tokio::test]
async fn ema_who_is_disabled_is_out_and_gets_in_no_more() {
    let enterprise = Enterprise::start();
    let tokens = enterprise.present(&enterprise.assertion(&enterprise.claims("1"))).await;
    let session = Session::new(&enterprise.app, tokens.access());
    assert_eq!(session.status().await, 200);
    disable(&enterprise.app, &format!("{}#{SUBJECT}", enterprise.provider.url)).await;
    enterprise.refuses(&enterprise.claims("2")).await;
    let out = async { while session.status().await != 401 {} };
    tokio::time::timeout(Duration::from_secs(5), out).await.expect("the access token ends with the person");
    // Somebody else of the same issuer does not.
    let other = enterprise.changed("sub", &json!("another"));
    assert_eq!(enterprise.present(&enterprise.assertion(&other)).await.status, 200);
}

#[tokio::test]
async fn ema_a_grant_ends_with_its_issuer_and_with_its_client() {
    for gone in ["enterprise", "clients"] {
        let enterprise = Enterprise::start();
        let tokens = enterprise.present(&enterprise.assertion(&enterprise.claims("1"))).await;
        let Enterprise { provider, app } = enterprise;
        let app = app.restart_in_place();
        assert_eq!(Session::new(&app, tokens.access()).status().await, 200, "nothing has changed");
        let path = app.folder.path().join("config.yaml");
        let mut config: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        config["server"]["oauth_server"].as_object_mut().unwrap().remove(gone);
        std::fs::write(&path, config.to_string()).unwrap();
        let app = app.restart_in_place();
        assert_eq!(Session::new(&app, tokens.access()).status().await, 401, "{gone}");
        drop(provider);
    }
}

#[tokio::test]
async fn ema_who_also_logs_in_there_is_the_same_person_and_an_assertion_changes_nothing_about_that() {
    let provider = Provider::start();
    provider.script(|s| s.person["groups"] = json!(["writers"]));
    let enterprise = Enterprise::of(provider, |server| {
        let provider = issuer(server)["issuer"].as_str().unwrap().to_owned();
        server["mode"] = json!("both");
        server["federated"] = json!({
            "upstream_issuer": provider, "client_id": crate::support::provider::CLIENT_ID,
            "client_secret": crate::support::provider::CLIENT_SECRET,
            "allowed_domains": ["example.com"], "group_scopes": {"writers": ["mcp:write"]},
        });
    });
    let (app, client) = (&enterprise.app, Client::register(&enterprise.app).await);
    let mut browser = Browser::new();
    let page = federated::log_in_at(&mut browser, &client, "default").await;
    let tokens = federated::redeemed(&client, &page).await;
    assert_eq!(tokens.text("scope"), "mcp:read mcp:write");
    let asserted = enterprise.present(&enterprise.assertion(&enterprise.claims("1"))).await;
    assert_eq!(who(app, &asserted).await["user"], who(app, &tokens).await["user"]);
    // No address and no groups are in the assertion: what the login said counts on.
    let refreshed = client.refresh(tokens.refresh()).await;
    assert_eq!((refreshed.status, refreshed.text("scope")), (200, "mcp:read mcp:write"), "{refreshed:?}");
    // Who came with an assertion first is described by the login that follows.
    let other = enterprise.changed("sub", &json!("another"));
    assert_eq!(enterprise.present(&enterprise.assertion(&other)).await.status, 200);
    enterprise.provider.script(|s| s.person["sub"] = json!("another"));
    let page = federated::log_in_at(&mut Browser::new(), &client, "default").await;
    let tokens = federated::redeemed(&client, &page).await;
    assert_eq!(tokens.text("scope"), "mcp:read mcp:write");
}

#[tokio::test]
async fn ema_a_login_is_not_let_in_by_the_rules_for_assertions() {
    let provider = Provider::start();
    let mut server = oauth_server(&provider);
    server["mode"] = json!("federated");
    server["builtin"].as_object_mut().unwrap().remove("users");
    server["federated"] = federated::section(&provider);
    server["federated"]["allowed_domains"] = json!(["elsewhere.example"]);
    let enterprise = Enterprise::of(provider, |it| *it = server);
    assert_eq!(enterprise.present(&enterprise.assertion(&enterprise.claims("1"))).await.status, 200);
    let client = Client::register(&enterprise.app).await;
    federated::refused(&log_in(&mut Browser::new(), &client).await);
}

#[tokio::test]
async fn ema_whom_the_rules_for_logins_put_out_is_not_kept_by_those_for_assertions() {
    let provider = Provider::start();
    let mut server = oauth_server(&provider);
    server["mode"] = json!("federated");
    server["builtin"].as_object_mut().unwrap().remove("users");
    server["federated"] = federated::section(&provider);
    let enterprise = Enterprise::of(provider, |it| *it = server);
    let mut client = Client::register(&enterprise.app).await;
    let code = federated::code(&log_in(&mut Browser::new(), &client).await);
    let path = enterprise.app.folder.path().join("config.yaml");
    let mut config: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    config["server"]["listen"] = json!(enterprise.app.local_url().trim_start_matches("http://"));
    config["server"]["oauth_server"]["federated"]["allowed_domains"] = json!(["elsewhere.example"]);
    std::fs::write(&path, config.to_string()).unwrap();
    let Enterprise { provider, app } = enterprise;
    let _app = app.restart();
    client.reconnect();
    let tokens = client.redeem(&code).await;
    assert_eq!((tokens.status, tokens.error()), (400, "invalid_grant"), "{tokens:?}");
    drop(provider);
}
