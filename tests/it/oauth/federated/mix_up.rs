//! Two providers of which one is malicious: no code of the one ever reaches the other.

use serde_json::json;

use super::{code, leave_for, log_in_at, parameter, refused, start, visit, with_parameter, with_providers};
use crate::support::provider::TOKEN;
use crate::support::{App, Browser, Client, Provider};

fn both(honest: &Provider, evil: &Provider) -> App {
    start(honest, |server| with_providers(server, &[("honest", honest), ("evil", evil)]))
}

#[tokio::test]
async fn fed_5_the_code_of_one_provider_never_reaches_another() {
    let (honest, evil) = (Provider::start(), Provider::start());
    let app = both(&honest, &evil);
    let client = Client::register(&app).await;
    let mut browser = Browser::new();
    // The person chose the malicious one, which sends the browser on to the honest one.
    let asked = leave_for(&mut browser, &client, "evil").await;
    let sent_on = asked.replace(&evil.url, &honest.url);
    let back = visit(&mut browser, &sent_on).await;
    refused(&browser.arrive(&back).await);
    assert_eq!((honest.count(TOKEN), evil.count(TOKEN)), (0, 0), "`iss` says whose code it is");
    // Or with the honest one's own redirect URI.
    let asked = leave_for(&mut browser, &client, "evil").await;
    let ours = format!("{}/oauth/callback/honest", app.url);
    let sent_on = with_parameter(&asked.replace(&evil.url, &honest.url), "redirect_uri", Some(&ours));
    let back = visit(&mut browser, &sent_on).await;
    assert!(back.starts_with(&ours));
    refused(&browser.arrive(&back).await);
    assert_eq!((honest.count(TOKEN), evil.count(TOKEN)), (0, 0));
}

#[tokio::test]
async fn fed_5_an_answer_with_another_issuer_or_none_is_not_redeemed() {
    let (honest, evil) = (Provider::start(), Provider::start());
    let app = both(&honest, &evil);
    let client = Client::register(&app).await;
    for issuer in
        [None, Some(""), Some(evil.url.as_str()), Some("https://elsewhere.example"), Some(&format!("{}/x", honest.url))]
    {
        let mut browser = Browser::new();
        let asked = leave_for(&mut browser, &client, "honest").await;
        let back = visit(&mut browser, &asked).await;
        refused(&browser.arrive(&with_parameter(&back, "iss", issuer)).await);
    }
    let mut browser = Browser::new();
    let asked = leave_for(&mut browser, &client, "honest").await;
    let back = visit(&mut browser, &asked).await;
    refused(&browser.arrive(&format!("{back}&iss={}", evil.url)).await);
    assert_eq!((honest.count(TOKEN), evil.count(TOKEN)), (0, 0));
}

#[tokio::test]
async fn fed_5_a_provider_that_announces_no_issuer_may_leave_it_out_but_not_lie() {
    let provider = Provider::start();
    provider.script(|s| s.metadata = json!({"authorization_response_iss_parameter_supported": null}));
    let app = start(&provider, |_| ());
    let client = Client::register(&app).await;
    let mut browser = Browser::new();
    let back = super::callback_url(&mut browser, &client).await;
    refused(&browser.arrive(&with_parameter(&back, "iss", Some("https://elsewhere.example"))).await);
    assert_eq!(provider.count(TOKEN), 0);
    provider.script(|s| s.callback = json!({"iss": null}));
    let back = super::callback_url(&mut browser, &client).await;
    assert_eq!(parameter(&back, "iss"), None);
    code(&browser.arrive(&back).await);
}

#[tokio::test]
async fn fed_5_an_error_of_another_provider_ends_nothing() {
    let (honest, evil) = (Provider::start(), Provider::start());
    let app = both(&honest, &evil);
    let client = Client::register(&app).await;
    let mut browser = Browser::new();
    let asked = leave_for(&mut browser, &client, "honest").await;
    let back = visit(&mut browser, &asked).await;
    let state = parameter(&back, "state").unwrap();
    let lie = format!("{}/oauth/callback/evil?error=access_denied&state={state}&iss={}", app.url, evil.url);
    refused(&browser.arrive(&lie).await);
    code(&browser.arrive(&back).await);
}

#[tokio::test]
async fn fed_5_a_provider_cannot_speak_for_people_of_another() {
    let (honest, evil) = (Provider::start(), Provider::start());
    let app = both(&honest, &evil);
    let client = Client::register(&app).await;
    code(&log_in_at(&mut Browser::new(), &client, "honest").await);
    evil.script(|s| s.id_token = json!({"iss": honest.url}));
    refused(&log_in_at(&mut Browser::new(), &client, "evil").await);
    // Not even when its metadata say the same.
    evil.script(|s| {
        s.issuer = honest.url.clone();
        s.id_token = json!({});
    });
    app.clock.advance(std::time::Duration::from_secs(48 * 3600));
    // The first client was never granted anything, and has expired.
    let (client, mut browser) = (Client::register(&app).await, Browser::new());
    let login = browser.open(&client.authorize_url(&[])).await;
    let question = browser.submit(&login, &[("provider", "evil")]).await;
    let page = super::allow(&mut browser, &question).await;
    if page.status == 200 {
        let back = visit(&mut browser, &page.refresh()).await;
        refused(&browser.arrive(&back).await);
    } else {
        refused(&page);
    }
}
