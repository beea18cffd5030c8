//! The confused deputy: a provider that asks nobody anything, and clients that anyone can register.

use serde_json::json;

use super::{asks, code, leave_for, log_in, redeemed, start, visit, with_providers, with_users};
use crate::support::client::REDIRECT_URI;
use crate::support::provider::{AUTHORIZE, TOKEN};
use crate::support::{App, Browser, Client, Provider};

async fn attackers_client(app: &App) -> Client {
    Client::register_as(app, json!({"client_name": "Nice app", "redirect_uris": [REDIRECT_URI]})).await
}

#[tokio::test]
async fn fed_4_without_our_own_question_there_is_no_code() {
    let provider = Provider::start();
    let app = start(&provider, |server| server["builtin"]["session_lifetime"] = json!("0s"));
    let mut victim = Browser::new();
    redeemed_once(&app, &mut victim).await;
    let before = (provider.count(AUTHORIZE), provider.count(TOKEN));
    let client = attackers_client(&app).await;
    for (arrives, changes) in [("none", &[][..]), ("cross-site", &[]), ("cross-site", &[("prompt", Some("login"))])] {
        victim.arrives = arrives;
        let page = victim.open(&client.authorize_url(changes)).await;
        assert!(asks(&page) && page.goes_nowhere(), "{page:?}");
        assert!(page.body.contains("Nice app") && page.body.contains("client.example"), "who asks: {page:?}");
    }
    let silent = victim.open(&client.authorize_url(&[("prompt", Some("none"))])).await;
    assert!(silent.answer("code").is_none() && silent.answer("error").is_some(), "{silent:?}");
    assert_eq!((provider.count(AUTHORIZE), provider.count(TOKEN)), before);
}

#[tokio::test]
async fn fed_4_a_live_browser_session_is_no_consent() {
    let provider = Provider::start();
    let app = start(&provider, |_| ());
    let mut victim = Browser::new();
    redeemed_once(&app, &mut victim).await;
    let client = attackers_client(&app).await;
    for arrives in ["none", "cross-site", ""] {
        victim.arrives = arrives;
        let page = victim.open(&client.authorize_url(&[])).await;
        assert!(asks(&page) && page.goes_nowhere(), "{page:?}");
    }
    let silent = victim.open(&client.authorize_url(&[("prompt", Some("none"))])).await;
    assert!(silent.answer("code").is_none() && silent.answer("error").is_some(), "{silent:?}");
}

#[tokio::test]
async fn fed_4_a_client_that_was_allowed_before_is_asked_about_when_another_site_sends_the_person() {
    let provider = Provider::start();
    let app = start(&provider, |_| ());
    let client = attackers_client(&app).await;
    let mut victim = Browser::new();
    code(&log_in(&mut victim, &client).await);
    for arrives in ["cross-site", "same-site", ""] {
        victim.arrives = arrives;
        let page = victim.open(&client.authorize_url(&[])).await;
        assert!(asks(&page) && page.goes_nowhere(), "{arrives:?}: {page:?}");
    }
}

#[tokio::test]
async fn fed_4_a_choice_of_providers_comes_before_the_question_and_skips_nothing() {
    let (one, two) = (Provider::start(), Provider::start());
    let app = start(&one, |server| {
        with_providers(server, &[("one", &one), ("two", &two)]);
        with_users(server);
    });
    let client = attackers_client(&app).await;
    let mut victim = Browser::new();
    let login = victim.open(&client.authorize_url(&[])).await;
    let question = victim.submit(&login, &[("provider", "one")]).await;
    assert!(asks(&question) && question.goes_nowhere() && question.body.contains("Nice app"), "{question:?}");
    // The same by hand: neither an unknown provider nor the step after it.
    let csrf = question.csrf();
    let again = victim.post(&login.action(), &[("csrf", &csrf), ("provider", "two")]).await;
    assert!(again.status == 303 || again.status >= 400, "{again:?}");
    for name in ["three", "", "default", "../one"] {
        let login = victim.open(&client.authorize_url(&[])).await;
        let page = victim.submit(&login, &[("provider", name)]).await;
        assert!(page.goes_nowhere() && page.status < 500, "{name:?}: {page:?}");
        assert!(!asks(&page), "{name:?}: {page:?}");
    }
    assert_eq!((one.count(AUTHORIZE), two.count(AUTHORIZE)), (0, 0));
    let url = leave_for(&mut victim, &client, "two").await;
    let url = visit(&mut victim, &url).await;
    code(&victim.arrive(&url).await);
}

/// The victim has used the bridge, and is known at the provider.
async fn redeemed_once(app: &App, victim: &mut Browser) {
    let client = Client::register(app).await;
    let page = log_in(victim, &client).await;
    redeemed(&client, &page).await;
}
