//! Who may come in and with what: domains, verified addresses, groups, administrators. Never by a name alone.

use serde_json::{Value, json};

use super::{code, log_in, log_in_at, redeemed, refused, start, tokens, who, with_providers, with_users};
use crate::support::provider::SUBJECT;
use crate::support::{App, Browser, Client, Provider};

async fn scope(client: &Client) -> String {
    tokens(client).await.text("scope").to_owned()
}

fn is_builtin(who: &Value) -> bool {
    who["user"] == "alice" || who["user"] == "rita"
}

#[tokio::test]
async fn fed_10_an_address_or_a_name_links_to_no_user_of_ours() {
    let provider = Provider::start();
    let app = start(&provider, |server| {
        with_users(server);
        server["federated"]["require_email_verified"] = json!(false);
    });
    let client = Client::register(&app).await;
    for (n, claims) in [
        json!({"email": "alice@example.com", "email_verified": false}),
        json!({"email": "alice@example.com", "email_verified": null}),
        json!({"email": "alice@example.com", "email_verified": true}),
        json!({"email": null, "preferred_username": "alice", "name": "alice", "nickname": "alice"}),
        json!({"sub": "alice", "preferred_username": "alice"}),
    ]
    .into_iter()
    .enumerate()
    {
        provider.script(|s| s.id_token = claims.clone());
        provider.script(|s| s.userinfo = claims.clone());
        let page = log_in_at(&mut Browser::new(), &client, "default").await;
        let tokens = redeemed(&client, &page).await;
        let who = who(&app, &tokens).await;
        assert!(!is_builtin(&who), "{n}: {who}");
        assert!(who["user"].as_str().unwrap().starts_with(&format!("{}#", provider.url)), "{who}");
        assert_eq!(tokens.text("scope"), "mcp:read", "{n}: nothing of alice's");
    }
}

#[tokio::test]
async fn fed_10_an_address_that_is_not_verified_is_no_address() {
    let provider = Provider::start();
    let app = start(&provider, |server| {
        server["federated"]["allowed_domains"] = json!(["example.com"]);
        server["federated"]["admin_users"] = json!(["ada@example.com"]);
        server["federated"]["admin_scopes"] = json!(["mcp:read", "mcp:write"]);
    });
    let client = Client::register(&app).await;
    for verified in [json!(false), json!(null), json!("false"), json!("yes"), json!(1), json!([true]), json!({})] {
        provider.script(|s| s.person["email_verified"] = verified.clone());
        provider.script(|s| s.id_token = json!({"email_verified": verified}));
        provider.script(|s| s.userinfo = json!({"email_verified": verified}));
        refused(&log_in(&mut Browser::new(), &client).await);
    }
    provider.script(|s| {
        s.person["email_verified"] = json!(true);
        (s.id_token, s.userinfo) = (json!({}), json!({}));
    });
    assert_eq!(scope(&client).await, "mcp:read mcp:write");
}

#[tokio::test]
async fn fed_10_a_verification_counts_for_the_address_it_stands_beside() {
    let provider = Provider::start();
    let app = start(&provider, |server| server["federated"]["allowed_domains"] = json!(["example.com"]));
    let client = Client::register(&app).await;
    let address = |email: &str, verified: Value| json!({"email": email, "email_verified": verified});
    let mine = "me@private.example";
    for (signed, asked) in [
        (address("ada@example.com", json!(null)), address(mine, json!(true))),
        (address(mine, json!(true)), address("ada@example.com", json!(null))),
        (address("ada@example.com", json!(false)), address("ada@example.com", json!(true))),
        (json!({"email": null, "email_verified": true}), address("ada@example.com", json!(null))),
    ] {
        provider.script(|s| (s.id_token, s.userinfo) = (signed.clone(), asked.clone()));
        let page = log_in(&mut Browser::new(), &client).await;
        assert!(page.goes_nowhere(), "{signed} {asked}: {page:?}");
        refused(&page);
    }
}

#[tokio::test]
async fn fed_10_an_administrator_is_never_known_by_an_unverified_address() {
    let provider = Provider::start();
    let app = start(&provider, |server| {
        server["federated"]["require_email_verified"] = json!(false);
        server["federated"]["admin_users"] = json!(["ada@example.com"]);
        server["federated"]["admin_scopes"] = json!(["mcp:read", "mcp:write"]);
    });
    let client = Client::register(&app).await;
    provider.script(|s| s.person["email_verified"] = json!(false));
    assert_eq!(scope(&client).await, "mcp:read");
    // Nor by another claim that looks like the address.
    provider.script(|s| {
        s.person = json!({"sub": "x", "preferred_username": "ada@example.com", "name": "ada@example.com",
            "upn": "ada@example.com", "email_verified": true});
    });
    assert_eq!(scope(&client).await, "mcp:read");
}

#[tokio::test]
async fn fed_11_without_the_domain_nobody_gets_in() {
    let provider = Provider::start();
    let app = start(&provider, |server| server["federated"]["allowed_domains"] = json!(["example.com"]));
    let client = Client::register(&app).await;
    for email in [
        json!(null),
        json!(""),
        json!([]),
        json!(["ada@example.com"]),
        json!({"email": "ada@example.com"}),
        json!(5),
        json!("example.com"),
        json!("@example.com"),
        json!("ada@notexample.com"),
        json!("ada@example.com.evil.example"),
        json!("ada@sub.example.com"),
        json!("ada@evil.example,ada@example.com"),
        json!("ada@example.com@evil.example"),
        json!("\"ada@example.com\"@evil.example"),
        json!("ada@evil.example@example.com"),
        json!("ada@evil.example\n@example.com"),
        json!("ada@example.com\u{0}"),
        json!("ada@example.com "),
        json!("ada@\u{435}xample.com"),
        json!("ada@example.com."),
    ] {
        provider.script(|s| {
            s.id_token = json!({"email": email, "email_verified": true});
            s.userinfo = json!({"email": email, "email_verified": true});
        });
        let page = log_in(&mut Browser::new(), &client).await;
        assert!(page.goes_nowhere(), "{email}: {page:?}");
        refused(&page);
    }
    provider.script(|s| {
        s.id_token = json!({"email": "Ada@EXAMPLE.com"});
        s.userinfo = json!({"email": "Ada@EXAMPLE.com"});
    });
    code(&log_in(&mut Browser::new(), &client).await);
}

#[tokio::test]
async fn fed_11_without_the_group_there_is_nothing_to_grant() {
    let provider = Provider::start();
    let app = start(&provider, |server| {
        server["federated"]["default_scopes"] = json!([]);
        server["federated"]["group_scopes"] = json!({"staff": ["mcp:read"], "ops": ["mcp:read", "mcp:write"]});
    });
    let client = Client::register(&app).await;
    for groups in [
        json!(null),
        json!([]),
        json!({}),
        json!({"staff": true}),
        json!(5),
        json!(true),
        json!(""),
        json!([["staff"]]),
        json!([{"name": "staff"}]),
        json!(["Staff"]),
        json!(["staff "]),
        json!(["/staff"]),
        json!(["staffs", "sta", "*"]),
    ] {
        provider.script(|s| s.person["groups"] = groups.clone());
        let page = log_in(&mut Browser::new(), &client).await;
        assert!(page.goes_nowhere(), "{groups}: {page:?}");
        refused(&page);
    }
    provider.script(|s| s.person["groups"] = json!(["other", "staff"]));
    assert_eq!(scope(&client).await, "mcp:read");
    provider.script(|s| s.person["groups"] = json!(["ops"]));
    assert_eq!(scope(&client).await, "mcp:read mcp:write");
    provider.script(|s| {
        s.id_token = json!({"groups": null});
        s.userinfo = json!({"groups": ["ops", 7, null]});
    });
    assert_eq!(scope(&client).await, "mcp:read mcp:write", "from userinfo, where one odd member spoils nothing");
}

#[tokio::test]
async fn scopes_follow_from_defaults_groups_and_administrators() {
    let provider = Provider::start();
    let app = start(&provider, |server| {
        server["scopes_supported"] = json!(["mcp:read", "mcp:write", "tools:run"]);
        server["federated"]["default_scopes"] = json!(["mcp:read"]);
        server["federated"]["groups_claim"] = json!("resource_access.bridge.roles");
        server["federated"]["group_scopes"] = json!({"ops": ["tools:run"]});
        server["federated"]["admin_users"] = json!(["ROOT@example.com", "subject-of-an-admin"]);
        server["federated"]["admin_scopes"] = json!(["mcp:read", "mcp:write", "tools:run"]);
    });
    let client = Client::register(&app).await;
    let all = [("scope", Some("mcp:read mcp:write tools:run"))];
    for (person, expected) in [
        (json!({"sub": "1"}), "mcp:read"),
        (json!({"sub": "2", "resource_access": {"bridge": {"roles": ["ops"]}}}), "mcp:read tools:run"),
        (json!({"sub": "3", "email": "root@example.com", "email_verified": true}), "mcp:read mcp:write tools:run"),
        (json!({"sub": "subject-of-an-admin"}), "mcp:read mcp:write tools:run"),
        (json!({"sub": "Subject-Of-An-Admin"}), "mcp:read"),
    ] {
        provider.script(|s| s.person = person.clone());
        let mut browser = Browser::new();
        let url = super::leave_with(&mut browser, &client, &all).await;
        let url = super::visit(&mut browser, &url).await;
        let page = browser.arrive(&url).await;
        let tokens = redeemed(&client, &page).await;
        assert_eq!(tokens.text("scope"), expected, "{person}");
    }
    // What the client did not ask for, or the person did not allow, is not given to administrators either.
    provider.script(|s| s.person = json!({"sub": "subject-of-an-admin"}));
    let mut browser = Browser::new();
    let url = super::leave_with(&mut browser, &client, &[("scope", Some("mcp:write"))]).await;
    let url = super::visit(&mut browser, &url).await;
    let page = browser.arrive(&url).await;
    assert_eq!(redeemed(&client, &page).await.text("scope"), "mcp:write");
}

#[tokio::test]
async fn the_same_address_at_two_providers_is_two_people() {
    let (one, two) = (Provider::start(), Provider::start());
    let app: App = start(&one, |server| with_providers(server, &[("one", &one), ("two", &two)]));
    let client = Client::register(&app).await;
    let mut people = Vec::new();
    for (name, provider) in [("one", &one), ("two", &two)] {
        let page = log_in_at(&mut Browser::new(), &client, name).await;
        let tokens = redeemed(&client, &page).await;
        let who = who(&app, &tokens).await;
        assert_eq!(who["user"], format!("{}#{SUBJECT}", provider.url));
        people.push(who["user"].clone());
    }
    assert_ne!(people[0], people[1]);
    // And one person whose address changes stays the same.
    one.script(|s| s.person["email"] = json!("lovelace@example.org"));
    let page = log_in_at(&mut Browser::new(), &client, "one").await;
    let tokens = redeemed(&client, &page).await;
    assert_eq!(who(&app, &tokens).await["user"], people[0]);
}

#[tokio::test]
async fn who_is_disabled_here_cannot_come_in() {
    let provider = Provider::start();
    provider.script(|s| s.refreshes = true);
    let app = start(&provider, |_| ());
    let client = Client::register(&app).await;
    let mut browser = Browser::new();
    let page = log_in(&mut browser, &client).await;
    let before = redeemed(&client, &page).await;
    super::disable(&app, &format!("{}#{SUBJECT}", provider.url)).await;
    assert_eq!(client.refresh(before.refresh()).await.error(), "invalid_grant");
    refused(&log_in(&mut Browser::new(), &client).await);
    // The browser in which the person was logged in is not remembered either: what follows is a login.
    refused(&log_in(&mut browser, &client).await);
}
