//! Providers that are down, slow, too large, or say what cannot be: bounded, and nobody else is disturbed.

use std::time::{Duration, Instant};

use futures_util::future::{Either, select};
use serde_json::{Value, json};

use super::{allow, callback_url, code, log_in, refused, start, with_users};
use crate::support::browser::Page;
use crate::support::provider::{CANARY, DISCOVERY, Fault, JWKS, Script, TOKEN, USERINFO};
use crate::support::{App, Browser, Client, Provider};

/// What is asked of a provider during a login, when the address is only known to userinfo.
const ASKED: [&str; 4] = [DISCOVERY, TOKEN, JWKS, USERINFO];

/// A bridge that needs all four endpoints for a login.
fn needs_everything(provider: &Provider, timeout: &str) -> App {
    provider.script(|s| s.id_token = json!({"email": null, "email_verified": null}));
    start(provider, |server| {
        server["federated"]["allowed_domains"] = json!(["example.com"]);
        server["federated"]["http_timeout"] = json!(timeout);
    })
}

/// As far as the provider lets the person come.
async fn attempt(client: &Client) -> Page {
    let mut browser = Browser::new();
    let question = browser.open(&client.authorize_url(&[])).await;
    let page = allow(&mut browser, &question).await;
    if page.goes_nowhere() {
        return page;
    }
    let url = super::visit(&mut browser, &page.refresh()).await;
    browser.arrive(&url).await
}

/// With this fault at this endpoint, in a bridge that knows nothing of the provider yet.
async fn fails(path: &'static str, fault: Fault, timeout: &str) -> Provider {
    let provider = Provider::start();
    provider.script(|s| s.faults = [(path, fault.clone())].into());
    let app = needs_everything(&provider, timeout);
    let client = Client::register(&app).await;
    let page = attempt(&client).await;
    assert!(page.goes_nowhere(), "{path} {fault:?}: {page:?}");
    refused(&page);
    assert!(page.status >= 500 || path == TOKEN, "{path} {fault:?}: it is not the person's fault: {page:?}");
    assert!(!page.body.contains("Provider&#39;s page") && !page.body.contains("Provider's page"), "{page:?}");
    // It is only that: when the provider is well again, so is the login.
    provider.script(|s| s.faults.clear());
    app.clock.advance(Duration::from_secs(61));
    code(&attempt(&client).await);
    provider
}

#[tokio::test]
async fn fed_12_an_endpoint_that_never_answers_is_not_waited_for_longer_than_configured() {
    let began = Instant::now();
    let hanging = ASKED.map(|path| fails(path, Fault::Hang, "4s"));
    futures_util::future::join_all(hanging).await;
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
}

#[tokio::test]
async fn fed_12_an_endpoint_that_answers_nonsense_is_a_page_of_ours() {
    for path in ASKED {
        for fault in [
            Fault::Html(200),
            Fault::Html(500),
            Fault::Json(500, json!({"error": "server_error"})),
            Fault::Json(200, json!({})),
            Fault::Json(200, json!([])),
            Fault::Json(200, json!("text")),
            Fault::Json(404, json!({})),
            Fault::Json(429, json!({})),
        ] {
            fails(path, fault, "5s").await;
        }
    }
}

#[tokio::test]
async fn fed_12_no_redirect_of_an_endpoint_is_followed() {
    for path in ASKED {
        for target in [CANARY, "http://127.0.0.1:1/", "file:///etc/passwd"] {
            let provider = fails(path, Fault::Redirect(target.to_owned()), "5s").await;
            assert_eq!(provider.count(CANARY), 0, "{path}");
        }
    }
}

#[tokio::test]
async fn fed_12_an_answer_without_end_is_not_read_to_its_end() {
    for path in ASKED {
        let provider = fails(path, Fault::Huge, "5s").await;
        // What lies in the buffers of two sockets comes on top of what is read.
        assert!(provider.poured() < 25 * 1024 * 1024, "{path}: {} bytes", provider.poured());
    }
}

#[tokio::test]
async fn fed_12_more_than_a_megabyte_is_too_much_even_if_it_is_right() {
    let changes: [fn(&mut Script, Value); 3] = [
        |script, padding| script.metadata = padding,
        |script, padding| script.tokens = padding,
        |script, padding| script.userinfo = padding,
    ];
    for change in changes {
        let provider = Provider::start();
        let app = needs_everything(&provider, "5s");
        let client = Client::register(&app).await;
        provider.script(|s| change(s, json!({"padding": "x".repeat(1000 * 1024)})));
        code(&attempt(&client).await);
        provider.script(|s| change(s, json!({"padding": "x".repeat(1024 * 1024)})));
        let app = app.restart_in_place();
        let client = Client::register(&app).await;
        refused(&attempt(&client).await);
    }
}

#[tokio::test]
async fn fed_12_a_jwk_set_with_a_thousand_keys_or_odd_ones_does_no_harm() {
    let provider = Provider::start();
    let app = start(&provider, |_| ());
    let client = Client::register(&app).await;
    let odd = json!({"keys": [{"kty": "RSA"}, {"kty": "oct", "k": "AAAA"}, {"kty": 5}, "x", null, {"kty": "EC", "crv": "P-999"},
        {"kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": "rsa-1"}]});
    let many: Vec<Value> =
        (0..1000).map(|n| json!({"kty": "RSA", "n": "A".repeat(342), "e": "AQAB", "kid": n.to_string()})).collect();
    for keys in [odd, json!({"keys": []}), json!({"keys": {}}), json!({"keys": many})] {
        provider.script(|s| s.faults = [(JWKS, Fault::Json(200, keys))].into());
        refused(&log_in(&mut Browser::new(), &client).await);
        app.clock.advance(Duration::from_secs(61));
    }
    provider.script(|s| s.faults.clear());
    code(&log_in(&mut Browser::new(), &client).await);
}

#[tokio::test]
async fn fed_12_who_has_a_password_does_not_wait_for_a_provider() {
    let provider = Provider::start();
    let app = start(&provider, with_users);
    let client = Client::register(&app).await;
    let mut browser = Browser::new();
    let url = super::leave_for(&mut browser, &client, "default").await;
    let url = super::visit(&mut browser, &url).await;
    provider.script(|s| s.faults = [(TOKEN, Fault::Hang)].into());
    let waiting = std::pin::pin!(browser.arrive(&url));
    let with_password = std::pin::pin!(async {
        for _ in 0..5 {
            client.tokens().await;
        }
    });
    assert!(matches!(select(waiting, with_password).await, Either::Right(_)), "the provider's login is still waiting");
}

#[tokio::test]
async fn fed_12_a_provider_that_is_down_holds_up_no_start_and_is_found_again() {
    let provider = Provider::start();
    provider.script(|s| s.down = true);
    let app = start(&provider, with_users);
    let client = Client::register(&app).await;
    client.tokens().await;
    let mut browser = Browser::new();
    let login = browser.open(&client.authorize_url(&[])).await;
    let question = browser.submit(&login, &[("provider", "default")]).await;
    if super::asks(&question) {
        refused(&allow(&mut browser, &question).await);
    } else {
        refused(&question);
    }
    provider.script(|s| s.down = false);
    app.clock.advance(Duration::from_secs(61));
    code(&super::log_in_at(&mut Browser::new(), &client, "default").await);
}

#[tokio::test]
async fn fed_12_a_provider_that_hangs_holds_up_no_start() {
    let provider = Provider::start();
    provider.script(|s| s.faults = [(DISCOVERY, Fault::Hang)].into());
    let began = Instant::now();
    let app = start(&provider, with_users);
    Client::register(&app).await.tokens().await;
    assert!(began.elapsed() < Duration::from_secs(15), "http_timeout is 30s: {:?}", began.elapsed());
}

#[tokio::test]
async fn fed_12_what_was_learnt_of_a_provider_lasts_while_it_is_away_for_a_while() {
    let provider = Provider::start();
    let app = start(&provider, |_| ());
    let client = Client::register(&app).await;
    code(&log_in(&mut Browser::new(), &client).await);
    app.clock.advance(Duration::from_secs(3 * 3600));
    provider
        .script(|s| s.faults = [(DISCOVERY, Fault::Json(503, json!({}))), (JWKS, Fault::Json(503, json!({})))].into());
    code(&log_in(&mut Browser::new(), &client).await);
}

#[tokio::test]
async fn fed_12_a_wrong_secret_is_the_operator_s_and_says_so() {
    let provider = Provider::start();
    let app = start(&provider, |server| server["federated"]["client_secret"] = json!("outdated-secret"));
    let client = Client::register(&app).await;
    let page = log_in(&mut Browser::new(), &client).await;
    refused(&page);
    assert!(!page.body.contains("provider-text") && !page.body.contains("outdated-secret"), "{page:?}");
    assert_eq!(page.body.matches("<code>").count(), 1, "a reference for whoever runs it: {page:?}");
}

#[tokio::test]
async fn fed_13_metadata_that_contradict_or_mislead_are_refused() {
    let elsewhere = "https://elsewhere.example";
    let lies = [
        json!({"issuer": elsewhere}),
        json!({"issuer": null}),
        json!({"issuer": 5}),
        json!({"authorization_endpoint": null}),
        json!({"authorization_endpoint": "javascript:alert(1)//evil"}),
        json!({"authorization_endpoint": "data:text/html,evil"}),
        json!({"authorization_endpoint": "file:///evil"}),
        json!({"authorization_endpoint": "--upload-pack=evil"}),
        json!({"authorization_endpoint": "http://evil.example/authorize"}),
        json!({"authorization_endpoint": "http://127.0.0.1.evil.example/authorize"}),
        json!({"authorization_endpoint": "/authorize?evil"}),
        json!({"authorization_endpoint": ["evil"]}),
        json!({"token_endpoint": "http://evil.example/token"}),
        json!({"token_endpoint": "file:///evil"}),
        json!({"token_endpoint": null}),
        json!({"jwks_uri": "http://evil.example/jwks"}),
        json!({"jwks_uri": "file:///evil"}),
        json!({"jwks_uri": null}),
    ];
    for lie in lies {
        let provider = Provider::start();
        provider.script(|s| s.metadata = lie.clone());
        let app = start(&provider, |server| server["federated"]["http_timeout"] = json!("5s"));
        let client = Client::register(&app).await;
        let page = attempt(&client).await;
        assert!(page.goes_nowhere(), "{lie}: {page:?}");
        refused(&page);
        assert!(!page.body.contains("evil") && !page.body.contains("elsewhere"), "{lie}: {page:?}");
        assert_eq!((provider.count(TOKEN), provider.count(JWKS)), (0, 0), "{lie}");
    }
}

#[tokio::test]
async fn fed_13_an_endpoint_for_userinfo_that_misleads_is_not_asked() {
    for endpoint in ["http://evil.example/userinfo", "file:///etc/passwd", "--upload-pack=x", "javascript:1"] {
        let provider = Provider::start();
        provider.script(|s| {
            s.metadata = json!({"userinfo_endpoint": endpoint});
            s.id_token = json!({"email": null, "email_verified": null});
        });
        let app = start(&provider, |server| server["federated"]["allowed_domains"] = json!(["example.com"]));
        let client = Client::register(&app).await;
        refused(&attempt(&client).await);
    }
}

#[tokio::test]
async fn fed_13_an_authorization_endpoint_keeps_its_own_query() {
    let provider = Provider::start();
    let endpoint = format!("{}/authorize?p=b2c_1_sign-in", provider.url);
    provider.script(|s| s.metadata = json!({"authorization_endpoint": endpoint}));
    let app = start(&provider, |_| ());
    let client = Client::register(&app).await;
    callback_url(&mut Browser::new(), &client).await;
    let asked = provider.got_at("/authorize").remove(0);
    assert_eq!((asked.parameter("p"), asked.parameter("response_type")), ("b2c_1_sign-in", "code"));
}
