//! What a person sees when a login comes to nothing, and the two ways on from there.

use serde_json::json;

use super::{asks, callback_url, code, leave, log_in, parameter, refused, start, visit, with_parameter};
use crate::support::browser::Page;
use crate::support::client::REDIRECT_URI;
use crate::support::provider::{AUTHORIZE, TOKEN};
use crate::support::{App, Browser, Client, Provider};

async fn back_to_the_app(app: &App, browser: &mut Browser, page: &Page) {
    assert!(page.action().ends_with("/login"), "{page:?}");
    let back = browser.submit(page, &[("decision", "cancel")]).await;
    assert!(back.refresh().starts_with(REDIRECT_URI), "{back:?}");
    assert_eq!(back.answer("error").as_deref(), Some("access_denied"));
    assert_eq!(back.answer("state").as_deref(), Some("a state & more"));
    assert_eq!(back.answer("iss").as_deref(), Some(app.url.as_str()));
    assert_eq!(back.answer("code"), None);
    assert!(!back.refresh().contains("%3C") && !back.refresh().contains("provider-text"), "{back:?}");
}

#[tokio::test]
async fn fed_14_the_provider_s_words_reach_neither_the_page_nor_the_client() {
    let provider = Provider::start();
    let app = start(&provider, |_| ());
    let client = Client::register(&app).await;
    for error in ["access_denied", "server_error", "login_required", "invalid_scope", "<script>provider-text</script>"]
    {
        provider.script(|s| {
            s.callback = json!({"code": null, "error": error, "error_uri": "https://provider-text.example/",
                "error_description": "<script>alert('provider-text')</script>"});
        });
        let mut browser = Browser::new();
        let url = callback_url(&mut browser, &client).await;
        let page = browser.arrive(&url).await;
        refused(&page);
        assert!(!page.body.contains("provider-text") && !page.body.contains("<script"), "{error}: {page:?}");
        assert_eq!(page.body.matches("<code>").count(), 1, "{page:?}");
        back_to_the_app(&app, &mut browser, &page).await;
    }
    assert_eq!(provider.count(TOKEN), 0);
}

#[tokio::test]
async fn fed_14_neither_do_the_words_of_its_token_endpoint() {
    let provider = Provider::start();
    let app = start(&provider, |_| ());
    let client = Client::register(&app).await;
    let mut browser = Browser::new();
    let url = callback_url(&mut browser, &client).await;
    let page = browser.arrive(&with_parameter(&url, "code", Some("not-the-code"))).await;
    refused(&page);
    assert_eq!(provider.count(TOKEN), 1);
    assert!(!page.body.contains("provider-text") && !page.body.contains("no such code"), "{page:?}");
    back_to_the_app(&app, &mut browser, &page).await;
}

#[tokio::test]
async fn an_answer_with_neither_code_nor_error_or_with_both_is_refused() {
    let provider = Provider::start();
    let app = start(&provider, |_| ());
    let client = Client::register(&app).await;
    for (callback, more) in [
        (json!({"code": null}), ""),
        (json!({"code": ""}), ""),
        (json!({"error": "access_denied"}), ""),
        (json!({}), "&code=another"),
    ] {
        provider.script(|s| s.callback = callback.clone());
        let mut browser = Browser::new();
        let url = callback_url(&mut browser, &client).await;
        refused(&browser.arrive(&format!("{url}{more}")).await);
    }
    assert_eq!(provider.count(TOKEN), 0);
}

#[tokio::test]
async fn trying_again_after_the_wrong_domain_asks_the_provider_who_it_is() {
    let provider = Provider::start();
    let app = start(&provider, |server| server["federated"]["allowed_domains"] = json!(["example.com"]));
    let client = Client::register(&app).await;
    let mut browser = Browser::new();
    provider.script(|s| s.person["email"] = json!("ada@private.example"));
    let page = log_in(&mut browser, &client).await;
    refused(&page);
    assert_eq!(page.status, 403);
    provider.script(|s| s.person["email"] = json!("ada@example.com"));
    let question = browser.open(&page.link("Try again")).await;
    assert!(asks(&question), "the question comes again, with a state of its own: {question:?}");
    let there = super::allow(&mut browser, &question).await.refresh();
    assert_eq!(parameter(&there, "prompt").as_deref(), Some("login"));
    let back = visit(&mut browser, &there).await;
    code(&browser.arrive(&back).await);
    assert_eq!(provider.count(AUTHORIZE), 2);
}

#[tokio::test]
async fn no_page_on_the_way_says_more_than_it_must() {
    let provider = Provider::start();
    let app = start(&provider, |_| ());
    let client = Client::register(&app).await;
    let mut browser = Browser::new();
    let question = browser.open(&client.authorize_url(&[])).await;
    let leaving = super::allow(&mut browser, &question).await;
    let url = visit(&mut browser, &leaving.refresh()).await;
    let failed = browser.arrive(&with_parameter(&url, "code", Some("x"))).await;
    let logout = browser.open(&format!("{}/oauth/logout", app.url)).await;
    for page in [&question, &leaving, &failed, &logout] {
        let policy = page.header("content-security-policy");
        for directive in ["default-src 'none'", "form-action 'self'", "frame-ancestors 'none'", "base-uri 'none'"] {
            assert!(policy.contains(directive), "{policy}: {page:?}");
        }
        assert_eq!((page.header("x-frame-options"), page.header("referrer-policy")), ("DENY", "no-referrer"));
        assert_eq!((page.header("cache-control"), page.header("x-content-type-options")), ("no-store", "nosniff"));
        assert!(!page.body.contains("<script") && !page.body.contains(" style="), "{page:?}");
    }
    // A failure says nothing of the person, and the code and state stand nowhere.
    let state = parameter(&url, "state").unwrap();
    assert!(!failed.body.contains(&state) && !failed.body.contains("ada@example.com"), "{failed:?}");
}

#[tokio::test]
async fn the_callback_takes_a_get_and_nothing_else() {
    let provider = Provider::start();
    let app = start(&provider, |_| ());
    let client = Client::register(&app).await;
    let mut browser = Browser::new();
    let there = leave(&mut browser, &client).await;
    let url = visit(&mut browser, &there).await;
    let (path, query) = url.split_once('?').unwrap();
    let fields: Vec<_> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let fields: Vec<_> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let posted = browser.post_from("cross-site", path, &fields).await;
    assert!(posted.goes_nowhere() && (400..500).contains(&posted.status), "{posted:?}");
    let cookies = browser.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ");
    let http = crate::support::client::http();
    for request in [http.head(&url), http.get(&url).header("sec-purpose", "prefetch")] {
        let response = request.header("cookie", &cookies).send().await.unwrap();
        assert!(response.headers().get("location").is_none(), "{response:?}");
    }
    assert_eq!(provider.count(TOKEN), 0, "looking ahead spends nothing");
    code(&browser.arrive(&url).await);
}
