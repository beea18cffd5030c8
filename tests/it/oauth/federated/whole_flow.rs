//! From an app to a tool call by way of a provider, and what pages people pass.

use serde_json::json;

use super::{
    allow, asks, code, log_in, log_in_at, offers_logins, redeemed, start, tokens, visit, who, with_providers,
    with_users,
};
use crate::support::app::PASSWORD;
use crate::support::mcp::Session;
use crate::support::provider::{AUTHORIZE, DISCOVERY, JWKS, SUBJECT, TOKEN, USERINFO};
use crate::support::{Browser, Client, Provider};

#[tokio::test]
async fn a_person_of_a_provider_calls_a_tool_under_that_name() {
    let provider = Provider::start();
    let app = start(&provider, |_| ());
    let client = Client::register(&app).await;
    let mut browser = Browser::new();
    let question = browser.open(&client.authorize_url(&[])).await;
    assert!(asks(&question), "straight to the question: {question:?}");
    let leaving = allow(&mut browser, &question).await;
    assert_eq!(leaving.status, 200);
    assert!(leaving.refresh().starts_with(&format!("{}{AUTHORIZE}?", provider.url)));
    let back = visit(&mut browser, &leaving.refresh()).await;
    let page = browser.arrive(&back).await;
    assert_eq!(page.answer("state").as_deref(), Some("a state & more"));
    assert_eq!(page.answer("iss").as_deref(), Some(app.url.as_str()), "ours, not the provider's");
    let tokens = redeemed(&client, &page).await;
    let who = who(&app, &tokens).await;
    assert_eq!(who["user"], format!("{}#{SUBJECT}", provider.url));
    assert_eq!((&who["client"], &who["scopes"]), (&json!(client.id), &json!(["mcp:read"])));
    let refreshed = client.refresh(tokens.refresh()).await;
    assert_eq!(refreshed.status, 200, "{refreshed:?}");
    assert_eq!(Session::new(&app, refreshed.access()).status().await, 200);
    let asked: Vec<_> = [AUTHORIZE, TOKEN, JWKS, DISCOVERY].map(|path| provider.count(path)).into();
    assert_eq!(asked, [1, 1, 1, 1], "{:?}", provider.got());
}

#[tokio::test]
async fn what_the_provider_says_of_itself_and_its_keys_is_fetched_once() {
    let provider = Provider::start();
    let app = start(&provider, |_| ());
    let client = Client::register(&app).await;
    for _ in 0..5 {
        tokens(&client).await;
    }
    assert_eq!((provider.count(DISCOVERY), provider.count(JWKS)), (1, 1));
}

#[tokio::test]
async fn the_login_page_has_a_button_for_each_provider_and_the_password_form() {
    let (one, two) = (Provider::start(), Provider::start());
    let app = start(&one, |server| {
        with_providers(server, &[("okta", &one), ("corp", &two)]);
        server["federated"]["providers"]["okta"]["label"] = json!("Okta <of> us");
        with_users(server);
    });
    let client = Client::register(&app).await;
    let login = Browser::new().open(&client.authorize_url(&[])).await;
    assert!(offers_logins(&login) && login.body.contains("type=\"password\""), "{login:?}");
    for name in ["okta", "corp"] {
        assert!(login.body.contains(&format!("name=\"provider\" value=\"{name}\"")), "{login:?}");
    }
    assert!(login.body.contains("Continue with Okta &#60;of&#62; us"), "{login:?}");
    for (name, provider) in [("okta", &one), ("corp", &two)] {
        let page = log_in_at(&mut Browser::new(), &client, name).await;
        let tokens = redeemed(&client, &page).await;
        assert_eq!(who(&app, &tokens).await["user"], format!("{}#{SUBJECT}", provider.url));
    }
    let tokens = client.tokens().await;
    assert_eq!(who(&app, &tokens).await["user"], "alice");
}

#[tokio::test]
async fn several_providers_without_users_leave_no_password_form() {
    let (one, two) = (Provider::start(), Provider::start());
    let app = start(&one, |server| with_providers(server, &[("one", &one), ("two", &two)]));
    let client = Client::register(&app).await;
    let mut browser = Browser::new();
    let login = browser.open(&client.authorize_url(&[])).await;
    assert!(offers_logins(&login) && !login.body.contains("type=\"password\""), "{login:?}");
    let guessed = browser.submit(&login, &[("username", "alice"), ("password", PASSWORD)]).await;
    assert!(!asks(&guessed) && guessed.goes_nowhere() && guessed.status < 500, "{guessed:?}");
}

#[tokio::test]
async fn mode_federated_knows_no_passwords_even_of_the_store() {
    let provider = Provider::start();
    let app = start(&provider, |_| ());
    let client = Client::register(&app).await;
    let mut browser = Browser::new();
    let question = browser.open(&client.authorize_url(&[])).await;
    let login = question.action().replace("/consent", "/login");
    let fields = [("csrf", question.csrf()), ("username", "alice".to_owned()), ("password", PASSWORD.to_owned())];
    let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let page = browser.post(&login, &fields).await;
    assert!(page.goes_nowhere() && (400..500).contains(&page.status), "{page:?}");
}

#[tokio::test]
async fn leaving_the_login_page_tells_the_client() {
    let provider = Provider::start();
    let app = start(&provider, with_users);
    let client = Client::register(&app).await;
    let mut browser = Browser::new();
    let login = browser.open(&client.authorize_url(&[])).await;
    let page = browser.submit(&login, &[("decision", "cancel")]).await;
    assert_eq!(page.answer("error").as_deref(), Some("access_denied"));
    assert_eq!(provider.count(AUTHORIZE), 0);
}

#[tokio::test]
async fn two_tabs_go_to_the_provider_and_come_back_in_any_order() {
    let provider = Provider::start();
    let app = start(&provider, |server| server["builtin"]["session_lifetime"] = json!("0s"));
    let (one, two) = (Client::register(&app).await, Client::register(&app).await);
    let mut browser = Browser::new();
    let first = super::callback_url(&mut browser, &one).await;
    let second = super::callback_url(&mut browser, &two).await;
    let second = browser.arrive(&second).await;
    let first = browser.arrive(&first).await;
    redeemed(&one, &first).await;
    redeemed(&two, &second).await;
}

#[tokio::test]
async fn going_back_and_allowing_again_makes_a_login_of_its_own() {
    let provider = Provider::start();
    let app = start(&provider, |_| ());
    let client = Client::register(&app).await;
    let mut browser = Browser::new();
    let question = browser.open(&client.authorize_url(&[])).await;
    let there = allow(&mut browser, &question).await.refresh();
    // The page that leads on, seen again: the same way, or a new one.
    let flow = question.action().trim_end_matches("/consent").to_owned();
    let again = browser.open(&flow).await;
    assert_eq!(again.status, 200, "{again:?}");
    let target = if asks(&again) { allow(&mut browser, &again).await.refresh() } else { again.refresh() };
    let back = visit(&mut browser, &target).await;
    code(&browser.arrive(&back).await);
    // And the first, at the latest now, is worth nothing.
    let late = visit(&mut browser, &there).await;
    super::refused(&browser.arrive(&late).await);
}

#[tokio::test]
async fn the_address_may_come_from_userinfo_alone() {
    let provider = Provider::start();
    provider.script(|s| s.id_token = json!({"email": null, "email_verified": null, "name": null}));
    let app = start(&provider, |server| server["federated"]["allowed_domains"] = json!(["example.com"]));
    let client = Client::register(&app).await;
    code(&log_in(&mut Browser::new(), &client).await);
    assert_eq!(provider.count(USERINFO), 1);
}
