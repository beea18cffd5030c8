//! One login, one browser: `state`, the cookie it hangs on, and what is sent to the provider.

use std::time::Duration;

use futures_util::future::join_all;
use mcp_bridge::base::digest::Digest;
use serde_json::json;

use super::{
    allow, callback_url, code, leave, leave_for, leave_with, log_in, parameter, redeemed, refused, start, visit,
    with_parameter, with_providers,
};
use crate::support::client::VERIFIER;
use crate::support::provider::{AUTHORIZE, CLIENT_ID, TOKEN};
use crate::support::{Browser, Client, Provider};

#[tokio::test]
async fn fed_1_a_callback_without_its_state_is_a_page() {
    let provider = Provider::start();
    let app = start(&provider, |_| ());
    let client = Client::register(&app).await;
    let mut browser = Browser::new();
    let url = callback_url(&mut browser, &client).await;
    let state = parameter(&url, "state").unwrap();
    let (flow, derived) = state.split_once('.').expect("the flow and what only its browser can know");
    let flipped = format!("{flow}.{}", derived.chars().rev().collect::<String>());
    for state in [
        None,
        Some(""),
        Some("random"),
        Some("."),
        Some(flow),
        Some(&format!("{flow}.")),
        Some(&flipped),
        Some(&format!("other.{derived}")),
        Some(&format!("{state}x")),
        Some(&"A".repeat(7000)),
        Some("\u{0}'\"<script>"),
    ] {
        refused(&browser.arrive(&with_parameter(&url, "state", state)).await);
    }
    let twice = format!("{url}&state={state}");
    refused(&browser.arrive(&twice).await);
    assert_eq!(provider.count(TOKEN), 0);
    code(&browser.arrive(&url).await);
}

#[tokio::test]
async fn fed_1_a_callback_counts_once() {
    let provider = Provider::start();
    let app = start(&provider, |_| ());
    let client = Client::register(&app).await;
    let mut browser = Browser::new();
    let url = callback_url(&mut browser, &client).await;
    let mut before = browser.copy();
    code(&browser.arrive(&url).await);
    refused(&browser.arrive(&url).await);
    refused(&before.arrive(&url).await);
    assert_eq!(provider.count(TOKEN), 1, "the code was redeemed once");
}

#[tokio::test]
async fn fed_1_ten_callbacks_at_once_make_one_code() {
    let provider = Provider::start();
    let app = start(&provider, |_| ());
    let client = Client::register(&app).await;
    let mut browser = Browser::new();
    let url = callback_url(&mut browser, &client).await;
    let tabs = (0..10).map(|_| {
        let (mut tab, url) = (browser.copy(), &url);
        async move { tab.arrive(url).await }
    });
    let pages = join_all(tabs).await;
    assert_eq!(pages.iter().filter(|page| !page.goes_nowhere()).count(), 1, "{pages:?}");
    assert_eq!(provider.count(TOKEN), 1);
    assert!(pages.iter().all(|page| page.status < 500), "{pages:?}");
}

#[tokio::test]
async fn fed_1_after_ten_minutes_the_state_is_worth_nothing() {
    let provider = Provider::start();
    let app = start(&provider, |_| ());
    let client = Client::register(&app).await;
    let mut browser = Browser::new();
    let (in_time, late) = (callback_url(&mut browser, &client).await, callback_url(&mut browser, &client).await);
    app.clock.advance(Duration::from_secs(10 * 60 - 1));
    code(&browser.arrive(&in_time).await);
    app.clock.advance(Duration::from_secs(2));
    refused(&browser.arrive(&late).await);
    assert_eq!(provider.count(TOKEN), 1);
}

#[tokio::test]
async fn fed_1_the_state_of_one_provider_is_worth_nothing_at_the_callback_of_another() {
    let (one, two) = (Provider::start(), Provider::start());
    let app = start(&one, |server| with_providers(server, &[("one", &one), ("two", &two)]));
    let client = Client::register(&app).await;
    let mut browser = Browser::new();
    let url = leave_for(&mut browser, &client, "one").await;
    let url = visit(&mut browser, &url).await;
    for path in ["/oauth/callback/two", "/oauth/callback", "/oauth/callback/three", "/oauth/callback/one/"] {
        let page = browser.arrive(&url.replace("/oauth/callback/one", path)).await;
        assert!((400..404).contains(&page.status) || page.status == 404, "{path}: {page:?}");
        assert!(page.goes_nowhere(), "{path}");
    }
    assert_eq!((one.count(TOKEN), two.count(TOKEN)), (0, 0));
    code(&browser.arrive(&url).await);
}

#[tokio::test]
async fn fed_2_who_opens_the_captured_address_of_another_browser_gets_nowhere() {
    let provider = Provider::start();
    let app = start(&provider, |_| ());
    let attackers = Client::register(&app).await;
    let (mut attacker, mut victim) = (Browser::new(), Browser::new());
    // The victim uses the bridge too, and has a login under way.
    log_in(&mut victim, &Client::register(&app).await).await;
    leave(&mut victim, &attackers).await;
    let tokens_before = provider.count(TOKEN);
    let captured = leave(&mut attacker, &attackers).await;
    let url = visit(&mut victim, &captured).await;
    refused(&victim.arrive(&url).await);
    refused(&victim.open(&url).await);
    assert_eq!(provider.count(TOKEN), tokens_before, "the victim's code is not even redeemed");
    // What the victim did takes nothing from the one who began.
    let own = visit(&mut attacker, &captured).await;
    code(&attacker.arrive(&own).await);
}

#[tokio::test]
async fn fed_3_before_the_yes_there_is_no_state_and_no_cookie_that_the_callback_takes() {
    let provider = Provider::start();
    let app = start(&provider, |_| ());
    let client = Client::register(&app).await;
    let mut browser = Browser::new();
    let question = browser.open(&client.authorize_url(&[])).await;
    assert_eq!(provider.count(AUTHORIZE), 0);
    assert!(!question.body.contains(&provider.url), "nothing leads to the provider yet: {question:?}");
    let flow = question.action().rsplit('/').nth(1).unwrap().to_owned();
    let callback = format!("{}/oauth/callback?code=x&iss={}&state=", app.url, provider.url);
    let mut before = browser.copy();
    let cookie = before.cookies.values().next().unwrap().clone();
    for guess in ["", "x", &question.csrf(), &cookie] {
        refused(&before.arrive(&format!("{callback}{flow}.{guess}")).await);
    }
    let there = allow(&mut browser, &question).await.refresh();
    let (name, bound) = browser.cookies.iter().find(|(name, _)| name.contains(&flow)).unwrap();
    assert_ne!(before.cookies[name], *bound, "the yes sets the cookie that binds");
    let url = visit(&mut browser, &there).await;
    // Whoever knows the cookie from before the yes can do nothing with the state from after it.
    refused(&before.arrive(&url).await);
    assert_eq!(provider.count(TOKEN), 0);
    code(&browser.arrive(&url).await);
}

#[tokio::test]
async fn fed_3_a_no_leads_nowhere_near_the_provider() {
    let provider = Provider::start();
    let app = start(&provider, |_| ());
    let client = Client::register(&app).await;
    let mut browser = Browser::new();
    let question = browser.open(&client.authorize_url(&[])).await;
    let denied = browser.submit(&question, &[("decision", "deny")]).await;
    assert_eq!(denied.answer("error").as_deref(), Some("access_denied"));
    assert_eq!(denied.answer("state").as_deref(), Some("a state & more"));
    assert_eq!(provider.count(AUTHORIZE), 0);
}

#[tokio::test]
async fn fed_6_the_callback_of_an_attacker_logs_nobody_in() {
    let provider = Provider::start();
    let app = start(&provider, |_| ());
    let client = Client::register(&app).await;
    let (mut attacker, mut victim) = (Browser::new(), Browser::new());
    leave(&mut victim, &client).await;
    let cookies = victim.cookies.clone();
    let url = callback_url(&mut attacker, &client).await;
    refused(&victim.arrive(&url).await);
    assert_eq!(victim.cookies, cookies, "no session, and the victim's own login is left alone");
    assert_eq!(provider.count(TOKEN), 0);
    // Nor with the victim's state and the attacker's code: the verifier and the nonce are the attacker's.
    let there = leave(&mut victim, &client).await;
    let state = parameter(&there, "state").unwrap();
    refused(&victim.arrive(&with_parameter(&url, "state", Some(&state))).await);
}

#[tokio::test]
async fn fed_17_the_request_is_fresh_exact_and_has_pkce() {
    let provider = Provider::start();
    let app = start(&provider, |server| {
        server["federated"]["authorize_parameters"] = json!({"access_type": "offline", "hd": "example.com"});
    });
    let client = Client::register(&app).await;
    let mut seen = std::collections::HashSet::new();
    for _ in 0..3 {
        redeemed(&client, &log_in(&mut Browser::new(), &client).await).await;
        let (asked, redeemed) = (provider.got_at(AUTHORIZE), provider.got_at(TOKEN));
        let (asked, redeemed) = (asked.last().unwrap(), redeemed.last().unwrap());
        assert_eq!(asked.parameter("response_type"), "code");
        assert_eq!(asked.parameter("client_id"), CLIENT_ID);
        assert_eq!(asked.parameter("redirect_uri"), format!("{}/oauth/callback", app.url));
        assert_eq!(redeemed.parameter("redirect_uri"), asked.parameter("redirect_uri"));
        assert_eq!(asked.parameter("code_challenge_method"), "S256");
        let verifier = redeemed.parameter("code_verifier");
        assert!((43..=128).contains(&verifier.len()) && verifier != VERIFIER, "{verifier}");
        assert_eq!(asked.parameter("code_challenge"), Digest::of_bytes(verifier.as_bytes()).base64url());
        assert_eq!(asked.parameter("scope"), "openid email profile");
        assert_eq!((asked.parameter("access_type"), asked.parameter("hd")), ("offline", "example.com"));
        assert_eq!((asked.parameter("prompt"), asked.parameter("resource")), ("", ""));
        for name in ["state", "nonce", "code_challenge"] {
            let value = asked.parameter(name);
            assert!(value.len() >= 43, "{name}: {value}");
            assert!(seen.insert(value.to_owned()), "{name} is used again");
        }
        let sent = format!("{:?}", asked.parameters);
        assert!(!sent.contains(&client.id) && !sent.contains("a state & more"), "nothing of the client's: {sent}");
    }
}

#[tokio::test]
async fn fed_17_each_provider_has_a_redirect_uri_of_its_own() {
    let (one, two) = (Provider::start(), Provider::start());
    let app = start(&one, |server| with_providers(server, &[("one", &one), ("two", &two)]));
    let client = Client::register(&app).await;
    for (name, provider) in [("one", &one), ("two", &two)] {
        leave_for(&mut Browser::new(), &client, name).await;
        let url = leave_for(&mut Browser::new(), &client, name).await;
        assert!(url.starts_with(&provider.url));
        assert_eq!(parameter(&url, "redirect_uri"), Some(format!("{}/oauth/callback/{name}", app.url)));
    }
}

#[tokio::test]
async fn what_the_client_asks_of_the_login_reaches_the_provider_as_ours() {
    let provider = Provider::start();
    let app = start(&provider, |_| ());
    let client = Client::register(&app).await;
    for prompt in ["login", "select_account"] {
        let url = leave_with(&mut Browser::new(), &client, &[("prompt", Some(prompt))]).await;
        assert!(matches!(parameter(&url, "prompt").as_deref(), Some("login" | "select_account")), "{url}");
    }
}

#[tokio::test]
async fn a_restart_between_the_redirect_and_the_callback_loses_nothing() {
    let provider = Provider::start();
    let app = start(&provider, |_| ());
    let mut client = Client::register(&app).await;
    let mut browser = Browser::new();
    let url = leave(&mut browser, &client).await;
    let app = app.restart_in_place();
    client.reconnect();
    browser.reconnect();
    let url = visit(&mut browser, &url).await;
    let page = browser.arrive(&url).await;
    redeemed(&client, &page).await;
    drop(app);
}
