//! Every step in a browser at the wrong moment: out of turn, too late, broken off, in another tab.

use std::time::Duration;

use serde_json::json;

use super::{
    allow, asks, callback_url, code, flow_of, leave, leave_for, offers_logins, parameter, redeemed, refused, start,
    visit, with_parameter, with_providers, with_users,
};
use crate::bridge::support::until;
use crate::support::provider::{AUTHORIZE, Fault, TOKEN};
use crate::support::{Browser, Client, Provider};

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

/// Somebody does not wait for a slow provider, reloads, and goes back: the login can begin again, and the one of before ends
/// in nothing.
#[tokio::test]
async fn fed_1_a_return_that_was_broken_off_can_begin_again() {
    let provider = Provider::start();
    let app = start(&provider, |_| ());
    let client = Client::register(&app).await;
    let mut browser = Browser::new();
    let login = [("prompt", Some("login"))];
    let question = browser.open(&client.authorize_url(&login)).await;
    let there = allow(&mut browser, &question).await.refresh();
    let url = visit(&mut browser, &there).await;
    provider.script(|s| s.faults.insert(TOKEN, Fault::Hang));
    let (mut first, first_url) = (browser.copy(), url.clone());
    let first = tokio::spawn(async move { first.arrive(&first_url).await });
    until(|| provider.count(TOKEN) == 1).await;
    first.abort();
    provider.script(|s| s.faults.clear());
    refused(&browser.arrive(&url).await);
    let again = browser.open(&flow_of(&question)).await;
    let there = allow(&mut browser, &again).await.refresh();
    assert_eq!(
        parameter(&there, "prompt").as_deref(),
        Some("login"),
        "what the client wanted is still wanted: {there}"
    );
    let url = visit(&mut browser, &there).await;
    redeemed(&client, &browser.arrive(&url).await).await;
}

#[tokio::test]
async fn what_the_client_asks_of_the_login_outlasts_a_failure() {
    let provider = Provider::start();
    let app = start(&provider, |_| ());
    let client = Client::register(&app).await;
    let mut browser = Browser::new();
    let question = browser.open(&client.authorize_url(&[("prompt", Some("login"))])).await;
    let there = allow(&mut browser, &question).await.refresh();
    let url = visit(&mut browser, &there).await;
    provider.script(|s| s.faults.insert(TOKEN, Fault::Html(500)));
    let failed = browser.arrive(&url).await;
    refused(&failed);
    let again = browser.open(&failed.link("Try again")).await;
    let there = allow(&mut browser, &again).await.refresh();
    assert_eq!(parameter(&there, "prompt").as_deref(), Some("login"), "{there}");
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
        let [first, second] = fields;
        let fields = [first, second, ("scope", "mcp:read")];
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
        let mut fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        fields.push(("scope", "mcp:read"));
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
async fn who_chose_the_wrong_provider_can_choose_again() {
    let (one, two) = (Provider::start(), Provider::start());
    let app = start(&one, |server| with_providers(server, &[("one", &one), ("two", &two)]));
    let client = Client::register(&app).await;
    let mut browser = Browser::new();
    let login = browser.open(&client.authorize_url(&[])).await;
    let question = browser.submit(&login, &[("provider", "one")]).await;
    assert!(question.body.contains("Sign in another way"), "{question:?}");
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
        let page =
            browser.post(&question.action(), &[("csrf", csrf), ("decision", "allow"), ("scope", "mcp:read")]).await;
        assert_eq!(page.status, 403, "{page:?}");
    }
    for site in ["cross-site", "same-site"] {
        let fields = [("csrf", own.as_str()), ("decision", "allow"), ("scope", "mcp:read")];
        assert_eq!(browser.post_from(site, &question.action(), &fields).await.status, 403, "{site}");
    }
    let got = browser.open(&format!("{}?csrf={own}&decision=allow", question.action())).await;
    assert_eq!(got.status, 405, "{got:?}");
    let twice = browser
        .post(&question.action(), &[("csrf", &own), ("decision", "deny"), ("decision", "allow"), ("scope", "mcp:read")])
        .await;
    assert_eq!(twice.status, 403, "{twice:?}");
    assert!(asks(&browser.open(&flow_of(&question)).await), "nothing moved");
    allow(&mut browser, &question).await;
}
