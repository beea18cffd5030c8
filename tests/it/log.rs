//! What a whole login leaves in the log: everything that happened, nothing that could be presented again.

use std::fs;

use mcp_bridge::config::section::{Log, LogFormat, LogOutput};
use mcp_bridge::telemetry;
use serde_json::json;

use crate::oauth::enterprise::presented;
use crate::support::app::{PASSWORD, WRONG};
use crate::support::client::VERIFIER;
use crate::support::mcp::Session;
use crate::support::{App, Browser, Client};

/// One test for the two rows: a process has one log.
#[tokio::test]
async fn log_1_and_log_3_no_secret_and_no_query_is_logged_at_any_level() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bridge.log");
    let output = LogOutput::File(path.clone());
    telemetry::start(
        &Log { level: "trace".to_owned(), format: LogFormat::Json, output },
        mcp_bridge::app::NOISY_TARGET,
    )
    .unwrap();

    let app = App::start();
    let client = Client::register(&app).await;
    let mut browser = Browser::new();
    let changes = [("state", Some("state-of-the-client"))];
    let login = browser.open(&client.authorize_url(&changes)).await;
    let wrong = browser.submit(&login, &[("username", "alice"), ("password", WRONG)]).await;
    let slipped = browser.submit(&wrong, &[("username", "typed into the wrong field"), ("password", "x")]).await;
    let consent = browser.submit(&slipped, &[("username", "alice"), ("password", PASSWORD)]).await;
    let cookies: Vec<String> = browser.cookies.values().cloned().collect();
    let back = browser.submit(&consent, &[("decision", "allow")]).await;
    let code = back.answer("code").unwrap();
    let first = client.redeem(&code).await;
    let second = client.refresh(first.refresh()).await;
    Session::initialize(&app, second.access()).await.tool("whoami", json!({})).await;
    assert_eq!(client.redeem(&code).await.error(), "invalid_grant");
    assert_eq!(client.revoke(second.refresh()).await, 200);
    let assertions = presented().await;

    let log = fs::read_to_string(&path).unwrap();
    for said in
        ["\"TRACE\"", "login failed", "login succeeded", "an assertion became a grant", "it is another client's"]
    {
        assert!(log.contains(said), "{said} is not in the log");
    }
    let (csrf, tokens) = (consent.csrf(), [first.access(), first.refresh(), second.access(), second.refresh()]);
    let mut secrets =
        vec![PASSWORD, WRONG, VERIFIER, &code, &csrf, "state-of-the-client", "typed into the wrong field"];
    secrets.extend(tokens);
    secrets.extend(tokens.iter().filter_map(|token| token.rsplit('.').next()));
    secrets.extend(cookies.iter().chain(&assertions).map(String::as_str));
    for secret in secrets {
        let found: Vec<&str> = log.lines().filter(|line| line.contains(secret)).collect();
        assert!(found.is_empty(), "{secret}: {found:#?}");
    }
}
