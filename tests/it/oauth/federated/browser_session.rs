//! A browser in which somebody logged in: the next app needs no second login, until the person, or time, ends it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;

use super::{asks, code, leave_with, log_in, parameter, redeemed, start, tokens, visit, who, with_users};
use crate::support::app::PASSWORD;
use crate::support::browser::Page;
use crate::support::client::REDIRECT_URI;
use crate::support::provider::{AUTHORIZE, Fault, SUBJECT, TOKEN};
use crate::support::{App, Browser, Client, Provider};

const COOKIE: &str = "mcpb_session";

/// Whether the bridge knows who is in this browser: what follows a yes is a code and not the provider.
async fn is_logged_in(app: &App, browser: &Browser) -> bool {
    let client = Client::register(app).await;
    let mut browser = browser.copy();
    let page = browser.open(&client.authorize_url(&[])).await;
    if !asks(&page) {
        return false;
    }
    browser.submit(&page, &[("decision", "allow")]).await.answer("code").is_some()
}

async fn logged_in(provider: &Provider, app: &App) -> Browser {
    let client = Client::register(app).await;
    let mut browser = Browser::new();
    code(&log_in(&mut browser, &client).await);
    assert_eq!(provider.count(AUTHORIZE), 1);
    assert!(browser.cookies.contains_key(COOKIE), "{:?}", browser.cookies);
    browser
}

/// The person logs out, on the page for it.
async fn log_out(app: &App, browser: &mut Browser) -> Page {
    let page = browser.open(&format!("{}/oauth/logout", app.url)).await;
    assert_eq!(page.status, 200, "{page:?}");
    browser.submit(&page, &[]).await
}

#[tokio::test]
async fn fed_12_a_provider_that_hangs_keeps_nobody_from_the_question() {
    let provider = Provider::start();
    provider.script(|s| s.refreshes = true);
    let app = start(&provider, |server| server["federated"]["http_timeout"] = json!("10m"));
    let mut browser = logged_in(&provider, &app).await;
    let second = Client::register(&app).await;
    provider.script(|s| s.faults = [(TOKEN, Fault::Hang)].into());
    app.clock.advance(Duration::from_secs(61));
    let url = second.authorize_url(&[]);
    let question = tokio::time::timeout(Duration::from_secs(30), browser.open(&url)).await.expect("an answer");
    assert!(asks(&question) && question.body.contains("ada@example.com"), "{question:?}");
    assert_eq!(provider.count(TOKEN), 2, "it was asked");
}

#[tokio::test]
async fn the_second_app_needs_a_yes_and_no_second_login() {
    let provider = Provider::start();
    let app = start(&provider, |_| ());
    let mut browser = logged_in(&provider, &app).await;
    let second = Client::register(&app).await;
    let question = browser.open(&second.authorize_url(&[])).await;
    assert!(asks(&question) && question.body.contains("ada@example.com"), "it says who: {question:?}");
    let page = browser.submit(&question, &[("decision", "allow")]).await;
    let tokens = redeemed(&second, &page).await;
    assert_eq!(who(&app, &tokens).await["user"], format!("{}#{SUBJECT}", provider.url));
    assert_eq!(tokens.text("scope"), "mcp:read");
    assert_eq!(provider.count(AUTHORIZE), 1);
    assert!(is_logged_in(&app, &browser).await);
}

#[tokio::test]
async fn another_account_is_one_click_away() {
    let provider = Provider::start();
    let app = start(&provider, |_| ());
    let mut browser = logged_in(&provider, &app).await;
    let second = Client::register(&app).await;
    let question = browser.open(&second.authorize_url(&[])).await;
    let next = browser.submit(&question, &[("decision", "switch")]).await;
    assert!(asks(&next) && !next.body.contains("ada@example.com"), "{next:?}");
    provider.script(|s| s.person = json!({"sub": "somebody-else", "email": "bob@example.com", "email_verified": true}));
    let there = super::allow(&mut browser, &next).await.refresh();
    assert!(matches!(parameter(&there, "prompt").as_deref(), Some("login" | "select_account")), "{there}");
    let back = visit(&mut browser, &there).await;
    let page = browser.arrive(&back).await;
    let tokens = redeemed(&second, &page).await;
    assert_eq!(who(&app, &tokens).await["user"], format!("{}#somebody-else", provider.url));
}

#[tokio::test]
async fn a_client_that_wants_a_login_gets_one() {
    let provider = Provider::start();
    let app = start(&provider, |_| ());
    let browser = logged_in(&provider, &app).await;
    let client = Client::register(&app).await;
    for prompt in ["login", "select_account"] {
        let there = leave_with(&mut browser.copy(), &client, &[("prompt", Some(prompt))]).await;
        assert!(there.starts_with(&provider.url) && parameter(&there, "prompt").is_some(), "{there}");
    }
}

#[tokio::test]
async fn login_3_the_session_s_cookie_is_of_the_strictest_kind() {
    let provider = Provider::start();
    let app = start(&provider, |_| ());
    let client = Client::register(&app).await;
    let mut browser = Browser::new();
    let url = super::callback_url(&mut browser, &client).await;
    let page = browser.arrive(&url).await;
    let set: Vec<_> = page.headers.get_all("set-cookie").iter().map(|value| value.to_str().unwrap()).collect();
    let session = set.iter().find(|cookie| cookie.starts_with(&format!("{COOKIE}="))).expect("a session");
    for attribute in ["HttpOnly", "SameSite=Lax", "Path=/"] {
        assert!(session.contains(attribute), "{session}");
    }
    assert!(!session.contains("Domain"), "{session}");
    assert!(!session.contains("Max-Age"), "who did not ask to stay signed in is forgotten with the browser: {session}");
    assert!(set.iter().any(|cookie| cookie.starts_with("mcpb_flow_") && cookie.contains("Max-Age=0")), "{set:?}");
}

#[tokio::test]
async fn login_2_a_planted_session_never_becomes_somebody_s() {
    let provider = Provider::start();
    let app = start(&provider, |_| ());
    let client = Client::register(&app).await;
    let planted = "A".repeat(43);
    let mut victim = Browser::new();
    victim.cookies.insert(COOKIE.to_owned(), planted.clone());
    assert!(!is_logged_in(&app, &victim).await);
    code(&log_in(&mut victim, &client).await);
    assert_ne!(victim.cookies[COOKIE], planted, "the cookie after login is a new one");
    let mut attacker = Browser::new();
    attacker.cookies.insert(COOKIE.to_owned(), planted);
    assert!(!is_logged_in(&app, &attacker).await);
    // Nor does a session survive a further login: whoever had it before is left with nothing new.
    let before = victim.copy();
    let there = leave_with(&mut victim, &client, &[("prompt", Some("login"))]).await;
    let back = visit(&mut victim, &there).await;
    code(&victim.arrive(&back).await);
    assert_ne!(victim.cookies[COOKIE], before.cookies[COOKIE]);
    assert!(!is_logged_in(&app, &before).await, "the session that the login replaced is over");
}

#[tokio::test]
async fn login_4_an_odd_session_cookie_is_no_session() {
    let provider = Provider::start();
    let app = start(&provider, |_| ());
    let good = logged_in(&provider, &app).await.cookies.remove(COOKIE).unwrap();
    let flipped = format!("{}{}", if good.starts_with('A') { "B" } else { "A" }, &good[1..]);
    let client = Client::register(&app).await;
    for cookie in [
        format!("{COOKIE}={flipped}"),
        format!("{COOKIE}=%zz"),
        format!("{COOKIE}={}", "x".repeat(6000)),
        format!("{COOKIE}={good}; {COOKIE}={flipped}"),
        format!("{COOKIE}={flipped}; {COOKIE}={good}"),
        format!("{COOKIE}="),
        format!("__Host-{COOKIE}={good}"),
    ] {
        let request = crate::support::client::http().get(client.authorize_url(&[("prompt", Some("none"))]));
        let page = Page::read(request.header("cookie", &cookie).send().await.unwrap()).await;
        assert_eq!(page.answer("error").as_deref(), Some("login_required"), "{cookie}: {page:?}");
        assert_eq!(page.answer("code"), None);
    }
}

#[tokio::test]
async fn login_5_after_logout_the_old_cookie_is_nobody_s() {
    let provider = Provider::start();
    let app = start(&provider, |_| ());
    let mut browser = logged_in(&provider, &app).await;
    let before = browser.copy();
    assert!(is_logged_in(&app, &before).await);
    let bye = log_out(&app, &mut browser).await;
    assert_eq!(bye.status, 200, "{bye:?}");
    assert!(bye.body.contains(&format!("href=\"{}/logout", provider.url)), "the provider's own is offered: {bye:?}");
    assert!(bye.goes_nowhere(), "and nobody is sent there: {bye:?}");
    assert!(!browser.cookies.contains_key(COOKIE), "{:?}", browser.cookies);
    assert!(!is_logged_in(&app, &before).await);
    assert!(!is_logged_in(&app, &browser).await);
    let again = browser.open(&format!("{}/oauth/logout", app.url)).await;
    assert_eq!((again.status, again.goes_nowhere()), (200, true), "who is logged out is told so: {again:?}");
}

#[tokio::test]
async fn login_5_logout_takes_a_form_of_our_own_page() {
    let provider = Provider::start();
    let app = start(&provider, |_| ());
    let mut browser = logged_in(&provider, &app).await;
    let url = format!("{}/oauth/logout", app.url);
    browser.arrive(&url).await;
    let foreign = browser.post_from("cross-site", &url, &[("csrf", "x")]).await;
    assert!((400..404).contains(&foreign.status), "{foreign:?}");
    browser.post(&url, &[("csrf", "x")]).await;
    assert!(is_logged_in(&app, &browser).await, "neither seeing the page nor a forged form ends anything");
    // No parameter decides where it leads.
    let page = browser.open(&format!("{url}?post_logout_redirect_uri=https://evil.example&next=//evil.example")).await;
    assert!(page.goes_nowhere() && !page.body.contains("evil"), "{page:?}");
}

#[tokio::test]
async fn login_24_a_session_ends_when_it_says() {
    let provider = Provider::start();
    let app = start(&provider, |server| server["builtin"]["session_lifetime"] = json!("1h"));
    let browser = logged_in(&provider, &app).await;
    app.clock.advance(Duration::from_secs(3599));
    assert!(is_logged_in(&app, &browser).await);
    app.clock.advance(Duration::from_secs(2));
    assert!(!is_logged_in(&app, &browser).await, "and use does not make it longer");
}

#[tokio::test]
async fn fed_16_a_session_counts_no_longer_than_the_provider_s_word() {
    let provider = Provider::start();
    let app = start(&provider, |server| server["federated"]["reauthentication_interval"] = json!("1h"));
    let browser = logged_in(&provider, &app).await;
    app.clock.advance(Duration::from_secs(3599));
    assert!(is_logged_in(&app, &browser).await);
    app.clock.advance(Duration::from_secs(2));
    assert!(!is_logged_in(&app, &browser).await, "the session would last for twelve hours");
}

#[tokio::test]
async fn fed_16_a_provider_that_hangs_lends_an_old_word_no_more_time() {
    let provider = Provider::start();
    provider.script(|s| s.refreshes = true);
    let app = start(&provider, |server| {
        server["federated"]["reauthentication_interval"] = json!("1h");
        server["federated"]["http_timeout"] = json!("10m");
    });
    let browser = logged_in(&provider, &app).await;
    provider.script(|s| s.faults = [(TOKEN, Fault::Hang)].into());
    app.clock.advance(Duration::from_secs(3601));
    assert!(!is_logged_in(&app, &browser).await, "nobody has vouched for the person for more than an hour");
}

#[tokio::test]
async fn fed_16_who_was_disowned_gets_nothing_from_a_page_that_stayed_open() {
    let provider = Provider::start();
    provider.script(|s| s.refreshes = true);
    let app = start(&provider, |_| ());
    let mut browser = logged_in(&provider, &app).await;
    let client = Client::register(&app).await;
    let open = browser.open(&client.authorize_url(&[])).await;
    assert!(asks(&open) && open.body.contains("ada@example.com"), "{open:?}");
    app.clock.advance(Duration::from_secs(59));
    let allowed = browser.open(&client.authorize_url(&[])).await;
    let allowed = browser.submit(&allowed, &[("decision", "allow")]).await;
    provider.script(|s| s.revoked = true);
    app.clock.advance(Duration::from_secs(2));
    assert!(!is_logged_in(&app, &browser).await, "the provider was asked");
    let late = browser.submit(&open, &[("decision", "allow")]).await;
    if let Some(code) = late.answer("code") {
        assert_eq!(client.redeem(&code).await.error(), "invalid_grant");
    }
    assert_eq!(client.redeem(&code(&allowed)).await.error(), "invalid_grant");
}

#[tokio::test]
async fn login_5_who_says_not_me_ends_the_session() {
    let provider = Provider::start();
    let app = start(&provider, |_| ());
    let mut browser = logged_in(&provider, &app).await;
    let before = browser.copy();
    let client = Client::register(&app).await;
    let question = browser.open(&client.authorize_url(&[])).await;
    browser.submit(&question, &[("decision", "switch")]).await;
    assert!(!browser.cookies.contains_key(COOKIE), "{:?}", browser.cookies);
    assert!(!is_logged_in(&app, &before).await, "the old cookie is nobody's");
}

#[tokio::test]
async fn sessions_can_be_switched_off() {
    let provider = Provider::start();
    let app = start(&provider, |server| server["builtin"]["session_lifetime"] = json!("0s"));
    let client = Client::register(&app).await;
    let mut browser = Browser::new();
    code(&log_in(&mut browser, &client).await);
    assert_eq!(browser.cookies, BTreeMap::new());
}

#[tokio::test]
async fn a_login_with_a_password_is_remembered_too() {
    let provider = Provider::start();
    let app = start(&provider, with_users);
    let (first, second) = (Client::register(&app).await, Client::register(&app).await);
    let mut browser = Browser::new();
    code(&first.authorize(&mut browser, "alice", &[]).await);
    let question = browser.open(&second.authorize_url(&[])).await;
    assert!(asks(&question) && question.body.contains("alice"), "{question:?}");
    let page = browser.submit(&question, &[("decision", "allow")]).await;
    let tokens = redeemed(&second, &page).await;
    assert_eq!(who(&app, &tokens).await["user"], "alice");
    // The other way back to the login page, and somebody else.
    let third = Client::register(&app).await;
    let question = browser.open(&third.authorize_url(&[])).await;
    let login = browser.submit(&question, &[("decision", "switch")]).await;
    let question = browser.submit(&login, &[("username", "rita"), ("password", PASSWORD)]).await;
    assert!(asks(&question) && question.body.contains("rita"), "{question:?}");
}

#[tokio::test]
async fn login_23_who_is_disabled_has_no_session_any_more() {
    let provider = Provider::start();
    let app = start(&provider, |_| ());
    let browser = logged_in(&provider, &app).await;
    super::disable(&app, &format!("{}#{SUBJECT}", provider.url)).await;
    assert!(!is_logged_in(&app, &browser).await);
}

#[tokio::test]
async fn fed_16_who_is_revoked_at_the_provider_has_no_session_after_the_next_refresh() {
    let provider = Provider::start();
    provider.script(|s| s.refreshes = true);
    let app = start(&provider, |_| ());
    let browser = logged_in(&provider, &app).await;
    let client = Client::register(&app).await;
    let tokens = tokens(&client).await;
    provider.script(|s| s.revoked = true);
    app.clock.advance(Duration::from_secs(61));
    assert_eq!(client.refresh(tokens.refresh()).await.error(), "invalid_grant");
    assert!(!is_logged_in(&app, &browser).await);
}

#[tokio::test]
async fn a_restart_forgets_no_session() {
    let provider = Provider::start();
    let app = start(&provider, |_| ());
    let mut browser = logged_in(&provider, &app).await;
    let app = app.restart_in_place();
    browser.reconnect();
    assert!(is_logged_in(&app, &browser).await);
}

#[tokio::test]
async fn cons_8_a_consent_of_one_person_is_not_the_next_one_s() {
    let provider = Provider::start();
    let app = start(&provider, |_| ());
    let client = Client::register_as(&app, json!({"redirect_uris": [REDIRECT_URI]})).await;
    let mut browser = Browser::new();
    code(&log_in(&mut browser, &client).await);
    log_out(&app, &mut browser).await;
    provider.script(|s| s.person = json!({"sub": "bob", "email": "bob@example.com", "email_verified": true}));
    let question = browser.open(&client.authorize_url(&[])).await;
    assert!(asks(&question), "{question:?}");
}
