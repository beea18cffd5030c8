//! Every step in a browser at the wrong moment: out of turn, too late, in another tab, after logging out or a new start.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    allow, asks, callback_url, code, config, leave, leave_for, log_in, oauth_server, offers_logins, parameter,
    redeemed, refused, start, visit, who, with_parameter, with_providers, with_users,
};
use crate::support::app::{PASSWORD, WRONG};
use crate::support::browser::Page;
use crate::support::client::http;
use crate::support::provider::{AUTHORIZE, TOKEN};
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

/// Where the pages of the flow stand that this page belongs to.
fn flow_of(page: &Page) -> String {
    page.action().rsplit_once('/').unwrap().0.to_owned()
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
async fn fed_1_who_stays_away_too_long_is_asked_again_and_gets_on() {
    let provider = Provider::start();
    let app = start(&provider, |_| ());
    let client = Client::register(&app).await;
    let mut browser = Browser::new();
    let question = browser.open(&client.authorize_url(&[])).await;
    let there = allow(&mut browser, &question).await.refresh();
    let late = visit(&mut browser, &there).await;
    app.clock.advance(Duration::from_secs(10 * 60));
    refused(&browser.arrive(&late).await);
    let again = browser.open(&flow_of(&question)).await;
    assert!(asks(&again), "not sent to the provider with a state that is worth nothing: {again:?}");
    let next = allow(&mut browser, &again).await.refresh();
    assert_ne!(parameter(&next, "state"), parameter(&there, "state"));
    refused(&browser.arrive(&late).await);
    let url = visit(&mut browser, &next).await;
    code(&browser.arrive(&url).await);
    assert_eq!(provider.count(TOKEN), 1);
}

#[tokio::test]
async fn fed_3_no_form_counts_while_the_person_is_away_but_the_one_that_ends_it() {
    let provider = Provider::start();
    let app = start(&provider, with_users);
    let client = Client::register(&app).await;
    let mut browser = Browser::new();
    let login = browser.open(&client.authorize_url(&[])).await;
    let question = browser.submit(&login, &[("provider", "default")]).await;
    let there = allow(&mut browser, &question).await.refresh();
    let url = visit(&mut browser, &there).await;
    // What the page before said is of an earlier cookie; that of the stage is learnt from a failed login.
    provider.script(|s| s.callback = json!({"code": null, "error": "access_denied"}));
    let mut failing = Browser::new();
    let other = leave_for(&mut failing, &client, "default").await;
    let other = visit(&mut failing, &other).await;
    let failed = failing.arrive(&other).await;
    let csrf = failed.csrf();
    let flow = flow_of(&failed);
    for (form, fields) in [
        ("consent", [("csrf", csrf.as_str()), ("decision", "allow")]),
        ("consent", [("csrf", csrf.as_str()), ("decision", "switch")]),
        ("login", [("csrf", csrf.as_str()), ("provider", "nobody")]),
        ("login", [("csrf", csrf.as_str()), ("provider", "../default")]),
        ("login", [("csrf", csrf.as_str()), ("provider", "")]),
    ] {
        let page = failing.post(&format!("{flow}/{form}"), &fields).await;
        assert!(
            matches!(page.status, 400 | 401 | 403) && !page.body.contains("refresh"),
            "{form} {fields:?}: {page:?}"
        );
    }
    for (form, fields) in [
        ("consent", [("csrf", question.csrf()), ("decision", "allow".to_owned())]),
        ("login", [("csrf", question.csrf()), ("provider", "default".to_owned())]),
        ("login", [("csrf", csrf.clone()), ("decision", "cancel".to_owned())]),
    ] {
        let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let page = browser.post(&format!("{}/{form}", flow_of(&question)), &fields).await;
        assert_eq!(page.status, 403, "{page:?}");
    }
    code(&browser.arrive(&url).await);
}

#[tokio::test]
async fn login_21_the_state_of_one_tab_is_worth_nothing_with_the_flow_of_another() {
    let provider = Provider::start();
    let app = start(&provider, |_| ());
    let client = Client::register(&app).await;
    let mut browser = Browser::new();
    let (one, two) = (callback_url(&mut browser, &client).await, callback_url(&mut browser, &client).await);
    let states = [&one, &two].map(|url| parameter(url, "state").unwrap());
    let halves = states.each_ref().map(|state| state.split_once('.').unwrap());
    let mixed = format!("{}.{}", halves[0].0, halves[1].1);
    refused(&browser.arrive(&with_parameter(&one, "state", Some(&mixed))).await);
    assert_eq!(provider.count(TOKEN), 0);
    // One tab starts over as somebody else; the other is not disturbed.
    let third = browser.open(&client.authorize_url(&[])).await;
    let third = browser.submit(&third, &[("decision", "switch")]).await;
    assert!(asks(&third), "{third:?}");
    code(&browser.arrive(&two).await);
    code(&browser.arrive(&one).await);
}

#[tokio::test]
async fn login_5_logging_out_ends_what_waits_for_a_yes_in_other_tabs() {
    let provider = Provider::start();
    let app = start(&provider, |_| ());
    let client = Client::register(&app).await;
    let mut browser = Browser::new();
    code(&log_in(&mut browser, &client).await);
    let open = browser.open(&client.authorize_url(&[])).await;
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
async fn who_chose_the_wrong_provider_can_choose_again() {
    let (one, two) = (Provider::start(), Provider::start());
    let app = start(&one, |server| with_providers(server, &[("one", &one), ("two", &two)]));
    let client = Client::register(&app).await;
    let mut browser = Browser::new();
    let login = browser.open(&client.authorize_url(&[])).await;
    let question = browser.submit(&login, &[("provider", "one")]).await;
    assert!(question.body.contains("Log in another way"), "{question:?}");
    let login = browser.submit(&question, &[("decision", "switch")]).await;
    assert!(offers_logins(&login), "{login:?}");
    let question = browser.submit(&login, &[("provider", "two")]).await;
    let there = allow(&mut browser, &question).await.refresh();
    assert!(there.starts_with(&two.url) && parameter(&there, "prompt").is_none(), "nobody else is wanted: {there}");
    let url = visit(&mut browser, &there).await;
    code(&browser.arrive(&url).await);
    assert_eq!(one.count(AUTHORIZE), 0);
    // Where there is one way only, none other is offered.
    let alone = start(&one, |_| ());
    let question = browser.open(&Client::register(&alone).await.authorize_url(&[])).await;
    assert!(asks(&question) && !question.body.contains("another way"), "{question:?}");
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
    let waiting = alice.open(&client.authorize_url(&[])).await;
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
    let question = ada.open(&client.authorize_url(&[])).await;
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
    for url in [client.authorize_url(&[]), format!("{}/oauth/logout", app.url)] {
        let page = browser.open(&url).await;
        assert!(page.body.contains("<b>ada@example.com (The Other)</b>"), "{page:?}");
    }
}

#[tokio::test]
async fn fed_1_an_odd_callback_is_a_page_and_spends_nothing() {
    let provider = Provider::start();
    let app = start(&provider, |_| ());
    let client = Client::register(&app).await;
    let mut browser = Browser::new();
    let there = leave(&mut browser, &client).await;
    let url = visit(&mut browser, &there).await;
    let long = "x".repeat(60_000);
    for (name, value) in [("code", long.as_str()), ("iss", &long), ("error", &long), ("state", &long)] {
        let page = browser.arrive(&with_parameter(&url, name, Some(value))).await;
        assert!(page.status < 500 && page.goes_nowhere(), "{name}: {}", page.status);
    }
    for twice in ["code", "state", "iss", "error"] {
        refused(&browser.arrive(&format!("{url}&{twice}=a&{twice}=b")).await);
    }
    for name in ["%ff", "..%2f..%2fauthorize", "default%00", "%64efault2", "", "a%20b", "%E2%80%AE"] {
        let page = browser.arrive(&url.replace("/oauth/callback", &format!("/oauth/callback/{name}"))).await;
        assert!((400..500).contains(&page.status) && page.goes_nowhere(), "{name}: {page:?}");
    }
    assert_eq!(provider.count(TOKEN), 0);
    code(&browser.arrive(&url).await);
}

#[tokio::test]
async fn cons_3_the_question_before_the_provider_takes_its_own_form_only() {
    let provider = Provider::start();
    let app = start(&provider, |_| ());
    let client = Client::register(&app).await;
    let (mut browser, mut attacker) = (Browser::new(), Browser::new());
    let question = browser.open(&client.authorize_url(&[])).await;
    let theirs = attacker.open(&client.authorize_url(&[])).await.csrf();
    let own = question.csrf();
    for csrf in ["", "x", &theirs] {
        let page = browser.post(&question.action(), &[("csrf", csrf), ("decision", "allow")]).await;
        assert_eq!(page.status, 403, "{page:?}");
    }
    for site in ["cross-site", "same-site"] {
        let fields = [("csrf", own.as_str()), ("decision", "allow")];
        assert_eq!(browser.post_from(site, &question.action(), &fields).await.status, 403, "{site}");
    }
    let got = browser.open(&format!("{}?csrf={own}&decision=allow", question.action())).await;
    assert_eq!(got.status, 405, "{got:?}");
    let twice = browser.post(&question.action(), &[("csrf", &own), ("decision", "deny"), ("decision", "allow")]).await;
    assert_eq!(twice.status, 403, "{twice:?}");
    assert!(asks(&browser.open(&flow_of(&question)).await), "nothing moved");
    allow(&mut browser, &question).await;
}

#[tokio::test]
async fn login_21_many_logins_begun_do_not_fill_the_browser_with_cookies() {
    let provider = Provider::start();
    let app = start(&provider, |_| ());
    let client = Client::register(&app).await;
    let mut browser = Browser::new();
    code(&log_in(&mut browser, &client).await);
    for _ in 0..20 {
        assert!(asks(&browser.open(&client.authorize_url(&[])).await));
    }
    assert!(browser.cookies.len() <= 9, "eight flows and the session: {:?}", browser.cookies.keys());
    let newest = browser.open(&client.authorize_url(&[])).await;
    assert!(newest.body.contains("ada@example.com"), "the session stays: {newest:?}");
    code(&browser.submit(&newest, &[("decision", "allow")]).await);
}
