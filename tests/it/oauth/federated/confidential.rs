//! What is the provider's stays between the provider and the bridge.

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{code, config, log_in, oauth_server, redeemed, refused, start, tokens};
use crate::bridge::fake_server::FakeServer;
use crate::support::client::REDIRECT_URI;
use crate::support::mcp::Session;
use crate::support::provider::{CLIENT_SECRET, TOKEN};
use crate::support::{Browser, Client, Program, Provider};
use mcp_bridge::base::clock::Clock;

/// The whole configuration of a program that logs everything to a file.
fn loud(provider: &Provider, change: impl FnOnce(&mut Value)) -> TempDir {
    let mut all: Value = serde_json::from_str(&config(&oauth_server(provider))).unwrap();
    all["log"] = json!({"level": "trace", "output": "log"});
    change(&mut all);
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("config.yaml"), all.to_string()).unwrap();
    folder
}

async fn register(program: &Program) -> Client {
    let metadata = json!({"redirect_uris": [REDIRECT_URI]});
    Client::register_for(&format!("{}/mcp", program.url), &program.url, metadata).await
}

#[tokio::test]
async fn fed_15_no_token_of_the_provider_is_logged_answered_or_sent_upstream() {
    let provider = Provider::with(Clock::system());
    provider.script(|s| s.refreshes = true);
    let upstream = FakeServer::start(|_| None).await;
    let folder = loud(&provider, |all| {
        all["upstreams"]["far"] = json!({"url": upstream.url});
        all["server"]["oauth_server"]["federated"]["default_scopes"] = json!(["mcp:read", "mcp:write"]);
    });
    let program = Program::start(folder, &[]);
    let client = register(&program).await;
    let mut browser = Browser::new();
    let mut seen = String::new();
    let question = browser.open(&client.authorize_url(&[])).await;
    let leaving = super::allow(&mut browser, &question).await;
    let url = super::visit(&mut browser, &leaving.refresh()).await;
    let page = browser.arrive(&url).await;
    let tokens = redeemed(&client, &page).await;
    let refreshed = client.refresh(tokens.refresh()).await;
    let session = Session::at(&format!("{}/mcp", program.url), refreshed.access()).initialized(json!({})).await;
    let said = session.tool("me__whoami", json!({})).await;
    let echoed = session.tool("far__echo", json!({})).await;
    seen.push_str(&format!(
        "{question:?}{leaving:?}{page:?}{tokens:?}{refreshed:?}{said}{echoed}{:?}",
        browser.cookies
    ));
    // A failure is logged, too.
    refused(&browser.arrive(&url).await);
    provider.script(|s| s.id_token = json!({"aud": "another"}));
    refused(&log_in(&mut Browser::new(), &client).await);
    let sent_on = format!("{:?}", upstream.got());
    assert!(sent_on.contains("tools/call"), "{sent_on}");
    let asked = provider.got();
    let log = program.stop();
    assert!(log.contains("TRACE"), "{log}");
    let (code, mut secrets) = provider.secrets().into_iter().partition::<Vec<_>, _>(|(what, _)| *what == "code");
    assert!(
        ["access token", "refresh token", "ID token"].iter().all(|what| secrets.iter().any(|(one, _)| one == what))
    );
    for (what, secret) in &secrets {
        let unsigned = secret.rsplit_once('.').map_or(secret.as_str(), |(text, _)| text);
        assert!(!seen.contains(unsigned), "the {what} of the provider went to the client");
        assert!(!sent_on.contains(unsigned), "the {what} of the provider went upstream");
    }
    // Codes pass through the browser, and what we sent is ours; in the log neither has a place.
    secrets.extend(code);
    secrets.push(("client secret", CLIENT_SECRET.to_owned()));
    for got in asked {
        let names = ["state", "nonce", "code_verifier"];
        let ours = names.iter().map(|name| (*name, got.parameter(name).to_owned()));
        secrets.extend(ours.filter(|(_, value)| !value.is_empty()));
    }
    secrets.extend(browser.cookies.values().map(|value| ("cookie", value.clone())));
    for (what, secret) in secrets {
        assert!(secret.len() > 8 && !log.contains(&secret), "the {what} is in the log: {secret}");
    }
}

#[tokio::test]
async fn fed_15_the_refresh_token_lies_sealed_in_the_store() {
    let provider = Provider::start();
    provider.script(|s| s.refreshes = true);
    let app = start(&provider, |_| ());
    let client = Client::register(&app).await;
    let first = tokens(&client).await;
    app.clock.advance(std::time::Duration::from_secs(61));
    assert_eq!(client.refresh(first.refresh()).await.status, 200);
    assert_eq!(provider.count(TOKEN), 2, "it is used");
    let mut bytes = Vec::new();
    for entry in std::fs::read_dir(app.folder.path().join("data")).unwrap() {
        bytes.extend(std::fs::read(entry.unwrap().path()).unwrap());
    }
    let contains = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(contains("ada@example.com"), "the right files are looked at");
    for (what, secret) in provider.secrets() {
        assert!(!contains(&secret), "the {what} of the provider lies open");
    }
}

#[tokio::test]
async fn a_failure_s_reference_finds_its_line_and_its_cause_in_the_log() {
    let provider = Provider::with(Clock::system());
    let folder = loud(&provider, |all| {
        all["log"]["level"] = json!("info");
        all["server"]["oauth_server"]["federated"]["allowed_domains"] = json!(["example.com"]);
    });
    let program = Program::start(folder, &[]);
    let client = register(&program).await;
    let mut references = Vec::new();
    for (word, claims) in [
        ("aud", json!({"aud": "another"})),
        ("nonce", json!({"nonce": "x"})),
        ("elsewhere.example", json!({"email": "ada@elsewhere.example"})),
    ] {
        provider.script(|s| {
            s.userinfo = json!({"email": claims["email"]});
            s.id_token = claims;
        });
        let page = log_in(&mut Browser::new(), &client).await;
        refused(&page);
        references.push((page.text_between("<code>", "</code>"), word));
    }
    provider.script(|s| (s.id_token, s.userinfo) = (json!({}), json!({})));
    code(&log_in(&mut Browser::new(), &client).await);
    let log = program.stop();
    for (reference, word) in references {
        assert!(reference.len() >= 4);
        let lines: Vec<_> = log.lines().filter(|line| line.contains(&reference)).collect();
        assert_eq!(lines.len(), 1, "{reference}: {log}");
        assert!(lines[0].contains(word), "{word}: {lines:?}");
    }
}

/// A store that fails in the middle grants nothing, costs the person no login that is not tried again, and says why.
#[tokio::test]
async fn a_store_that_fails_during_a_login_says_why_and_leaves_another_try() {
    let provider = Provider::with(Clock::system());
    let folder = loud(&provider, |_| ());
    let database = folder.path().join("data/mcp-bridge.db");
    let program = Program::start(folder, &[]);
    let client = register(&program).await;
    let execute = |sql| rusqlite::Connection::open(&database).unwrap().execute_batch(sql).unwrap();
    execute("CREATE TRIGGER trouble BEFORE INSERT ON browser_sessions BEGIN SELECT RAISE(ABORT, 'disk trouble'); END");
    let mut browser = Browser::new();
    let question = browser.open(&client.authorize_url(&[])).await;
    let flow = question.action().replace("/consent", "");
    let there = super::allow(&mut browser, &question).await.refresh();
    let url = super::visit(&mut browser, &there).await;
    let page = browser.arrive(&url).await;
    refused(&page);
    assert_eq!(page.status, 503, "{page:?}");
    let reference = page.text_between("<code>", "</code>");
    execute("DROP TRIGGER trouble");
    let question = browser.open(&flow).await;
    let there = super::allow(&mut browser, &question).await.refresh();
    let url = super::visit(&mut browser, &there).await;
    let page = browser.arrive(&url).await;
    redeemed(&client, &page).await;
    let log = program.stop();
    let lines: Vec<_> = log.lines().filter(|line| line.contains(&reference)).collect();
    assert!(lines.len() == 1 && lines[0].contains("disk trouble"), "{reference}: {lines:?}");
}

#[tokio::test]
async fn login_6_fed_15_neither_a_cookie_nor_a_token_of_the_provider_opens_the_endpoint() {
    let provider = Provider::start();
    let app = start(&provider, |_| ());
    let client = Client::register(&app).await;
    let mut browser = Browser::new();
    code(&log_in(&mut browser, &client).await);
    for (_, token) in provider.secrets() {
        assert_eq!(Session::new(&app, &token).status().await, 401);
    }
    assert!(!browser.cookies.is_empty());
    for (name, value) in &browser.cookies {
        let request = crate::support::client::http().post(app.resource()).header("cookie", format!("{name}={value}"));
        assert_eq!(request.send().await.unwrap().status().as_u16(), 401, "{name}");
        assert_eq!(Session::new(&app, value).status().await, 401, "{name}");
    }
}
