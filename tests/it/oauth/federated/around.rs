//! What happens around a login: others behind the same address, a logout in another tab, a new start with another
//! configuration.

use serde_json::{Value, json};

use super::{
    asks, callback_url, code, config, flow_of, leave_for, log_in, oauth_server, offers_logins, parameter, redeemed,
    refused, start, visit, who, with_providers, with_users,
};
use crate::support::app::{PASSWORD, WRONG};
use crate::support::client::http;
use crate::support::provider::TOKEN;
use crate::support::{App, Browser, Client, Provider};

/// A bridge with this limit for each address in place of none.
fn limited(provider: &Provider, limit: u32) -> App {
    let mut section = oauth_server(provider);
    with_users(&mut section);
    let yaml = config(&section).replace("\"limit\":0", &format!("\"limit\":{limit},\"interval\":\"1h\""));
    App::with_clock(&yaml, provider.clock.clone())
}

/// The same bridge at the same address after a change to `oauth_server`.
fn restart_with(app: App, change: impl FnOnce(&mut Value)) -> App {
    let path = app.folder.path().join("config.yaml");
    let mut all: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    change(&mut all["server"]["oauth_server"]);
    std::fs::write(&path, all.to_string()).unwrap();
    app.restart_in_place()
}

#[tokio::test]
async fn login_17_who_tries_passwords_keeps_nobody_from_answering_or_logging_out() {
    let provider = Provider::start();
    let app = limited(&provider, 4);
    let client = Client::register(&app).await;
    let mut browser = Browser::new();
    let login = browser.open(&client.authorize_url(&[])).await;
    let question = browser.submit(&login, &[("username", "alice"), ("password", PASSWORD)]).await;
    assert!(asks(&question), "{question:?}");
    // Behind the same address.
    let mut other = Browser::new();
    let login = other.open(&client.authorize_url(&[])).await;
    for _ in 0..4 {
        other.submit(&login, &[("username", "alice"), ("password", WRONG)]).await;
    }
    assert_eq!(other.submit(&login, &[("username", "alice"), ("password", WRONG)]).await.status, 429);
    code(&browser.submit(&question, &[("decision", "allow")]).await);
    let page = browser.open(&format!("{}/oauth/logout", app.url)).await;
    assert_eq!(browser.submit(&page, &[]).await.status, 200);
}

/// A page elsewhere full of pictures that lead here must not use up what its reader's address may ask.
#[tokio::test]
async fn authz_20_what_no_person_visits_begins_nothing_and_is_not_counted() {
    let provider = Provider::start();
    let app = limited(&provider, 1);
    let client = Client::register(&app).await;
    for path in [client.authorize_url(&[]), format!("{}/oauth/callback?state=a.b&code=c", app.url)] {
        for destination in ["image", "iframe", "empty", "script"].into_iter().cycle().take(20) {
            let response = http().get(&path).header("sec-fetch-dest", destination).send().await.unwrap();
            assert_eq!((response.status().as_u16(), response.headers().get("set-cookie")), (204, None), "{path}");
        }
    }
    let visit = http().get(client.authorize_url(&[])).header("sec-fetch-dest", "document").send().await.unwrap();
    assert_eq!(visit.status().as_u16(), 303);
}

#[tokio::test]
async fn login_5_logging_out_ends_what_waits_for_a_yes_in_other_tabs() {
    let provider = Provider::start();
    let app = start(&provider, |_| ());
    let client = Client::register(&app).await;
    let mut browser = Browser::new();
    code(&log_in(&mut browser, &client).await);
    let open = browser.open(&client.authorize_url(&[("prompt", Some("consent"))])).await;
    assert!(asks(&open) && open.body.contains("ada@example.com"), "{open:?}");
    let away = callback_url(&mut Browser::new(), &client).await;
    let page = browser.open(&format!("{}/oauth/logout", app.url)).await;
    assert_eq!(browser.submit(&page, &[]).await.status, 200);
    // Whoever sits at this computer next finds the tab.
    refused(&browser.open(&flow_of(&open)).await);
    refused(&browser.submit(&open, &[("decision", "allow")]).await);
    assert!(parameter(&away, "code").is_some());
}

#[tokio::test]
async fn a_provider_taken_away_meanwhile_is_asked_nothing() {
    let (one, two) = (Provider::start(), Provider::start());
    let app = start(&one, |server| with_providers(server, &[("one", &one), ("two", &two)]));
    let mut client = Client::register(&app).await;
    let mut browser = Browser::new();
    let there = leave_for(&mut browser, &client, "one").await;
    let url = visit(&mut browser, &there).await;
    let login = browser.open(&client.authorize_url(&[])).await;
    let question = browser.submit(&login, &[("provider", "one")]).await;
    let app = restart_with(app, |server| with_providers(server, &[("two", &two)]));
    client.reconnect();
    browser.reconnect();
    refused(&browser.arrive(&url).await);
    refused(&browser.submit(&question, &[("decision", "allow")]).await);
    refused(&browser.open(&flow_of(&question)).await);
    assert_eq!(one.count(TOKEN), 0);
    drop(app);
}

#[tokio::test]
async fn login_23_a_change_of_the_mode_ends_the_sessions_of_who_can_log_in_no_more() {
    let provider = Provider::start();
    let app = start(&provider, with_users);
    let mut client = Client::register(&app).await;
    let (mut alice, mut ada) = (Browser::new(), Browser::new());
    let login = alice.open(&client.authorize_url(&[])).await;
    let question = alice.submit(&login, &[("username", "alice"), ("password", PASSWORD)]).await;
    code(&alice.submit(&question, &[("decision", "allow")]).await);
    let waiting = alice.open(&client.authorize_url(&[("prompt", Some("consent"))])).await;
    assert!(asks(&waiting) && waiting.body.contains("alice"), "{waiting:?}");
    let there = leave_for(&mut ada, &client, "default").await;
    let url = visit(&mut ada, &there).await;
    code(&ada.arrive(&url).await);
    let app = restart_with(app, |server| server["mode"] = json!("federated"));
    client.reconnect();
    alice.reconnect();
    ada.reconnect();
    refused(&alice.submit(&waiting, &[("decision", "allow")]).await);
    assert!(!alice.open(&client.authorize_url(&[])).await.body.contains("alice"));
    let question = ada.open(&client.authorize_url(&[("prompt", Some("consent"))])).await;
    assert!(question.body.contains("ada@example.com"), "{question:?}");
    let app = restart_with(app, |server| server["mode"] = json!("builtin"));
    client.reconnect();
    alice.reconnect();
    ada.reconnect();
    refused(&ada.submit(&question, &[("decision", "allow")]).await);
    for browser in [&mut ada, &mut alice] {
        let page = browser.open(&client.authorize_url(&[])).await;
        assert!(offers_logins(&page) && !page.body.contains("name=\"provider\""), "{page:?}");
    }
    drop(app);
}

#[tokio::test]
async fn who_is_logged_in_is_named_with_the_provider() {
    let (one, two) = (Provider::start(), Provider::start());
    let app = start(&one, |server| {
        with_providers(server, &[("one", &one), ("two", &two)]);
        server["federated"]["providers"]["two"]["label"] = json!("The Other");
        server["federated"]["providers"]["two"]["require_email_verified"] = json!(false);
    });
    // Anybody may claim this address there.
    two.script(|s| s.person = json!({"sub": "mallory", "email": "ada@example.com", "email_verified": false}));
    let client = Client::register(&app).await;
    let mut browser = Browser::new();
    let there = leave_for(&mut browser, &client, "two").await;
    let url = visit(&mut browser, &there).await;
    let page = browser.arrive(&url).await;
    let tokens = redeemed(&client, &page).await;
    assert_eq!(who(&app, &tokens).await["user"], format!("{}#mallory", two.url));
    for url in [client.authorize_url(&[("prompt", Some("consent"))]), format!("{}/oauth/logout", app.url)] {
        let page = browser.open(&url).await;
        assert!(page.body.contains("<b>ada@example.com (The Other)</b>"), "{page:?}");
    }
}

#[tokio::test]
async fn login_21_many_logins_begun_do_not_fill_the_browser_with_cookies() {
    let provider = Provider::start();
    let app = start(&provider, |_| ());
    let client = Client::register(&app).await;
    let mut browser = Browser::new();
    code(&log_in(&mut browser, &client).await);
    for _ in 0..20 {
        assert!(asks(&browser.open(&client.authorize_url(&[("prompt", Some("consent"))])).await));
    }
    assert!(browser.cookies.len() <= 9, "eight flows and the session: {:?}", browser.cookies.keys());
    let newest = browser.open(&client.authorize_url(&[("prompt", Some("consent"))])).await;
    assert!(newest.body.contains("ada@example.com"), "the session stays: {newest:?}");
    code(&browser.submit(&newest, &[("decision", "allow")]).await);
}
