//! 401, 403 and their challenges. 401 comes before the method and the body are looked at.

use std::time::Duration;

use serde_json::json;

use crate::support::browser::Page;
use crate::support::client::http;
use crate::support::mcp::Session;
use crate::support::{App, Client};

fn metadata(app: &App) -> String {
    format!("resource_metadata=\"{}/.well-known/oauth-protected-resource/mcp\"", app.url)
}

#[tokio::test]
async fn jwt_1_without_a_token_there_is_a_challenge_without_an_error() {
    let app = App::start();
    let expected = format!("Bearer {}, scope=\"mcp:read mcp:write\"", metadata(&app));
    for method in ["POST", "GET", "DELETE", "PUT", "PATCH"] {
        let page =
            Page::read(http().request(method.parse().unwrap(), app.resource()).body("not json").send().await.unwrap())
                .await;
        assert_eq!((page.status, page.header("www-authenticate")), (401, expected.as_str()), "{method}");
    }
    let root = Page::read(http().post(&app.url).send().await.unwrap()).await;
    assert_eq!(root.status, 401, "the root is the same endpoint");
}

#[tokio::test]
async fn jwt_8_an_expired_token_is_invalid() {
    let app = App::start();
    let tokens = Client::register(&app).await.tokens().await;
    let session = Session::new(&app, tokens.access());
    assert_eq!(session.status().await, 200);
    app.clock.advance(Duration::from_secs(3600));
    let page = session.post(&json!({"jsonrpc": "2.0", "id": 1, "method": "ping"})).await;
    assert_eq!(page.status, 401);
    let challenge = page.header("www-authenticate");
    assert!(
        challenge.starts_with("Bearer error=\"invalid_token\"") && challenge.contains(&metadata(&app)),
        "{challenge}"
    );
}

#[tokio::test]
async fn jwt_11_a_token_of_another_bridge_is_not_taken() {
    let (app, other) = (App::start(), App::start());
    let tokens = Client::register(&other).await.tokens().await;
    assert_eq!(Session::new(&app, tokens.access()).status().await, 401);
}

#[tokio::test]
async fn jwt_12_too_little_scope_names_all_that_is_needed() {
    let app = App::start();
    let client = Client::register(&app).await;
    let page = client.authorize(&mut crate::support::Browser::new(), "rita", &[]).await;
    let tokens = client.redeem(&page.answer("code").unwrap()).await;
    assert_eq!(tokens.text("scope"), "mcp:read");
    let session = Session::initialize(&app, tokens.access()).await;
    let tools = session.call("tools/list", json!({})).await;
    assert_eq!(tools["result"]["tools"].as_array().unwrap().len(), 3);
    for (tool, arguments) in [("whoami", json!({})), ("time", json!({}))] {
        let answer = session.tool(tool, arguments).await;
        assert!(answer["result"]["isError"] != json!(true), "a read-only tool needs no more: {answer}");
    }
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "echo", "arguments": {"text": "x"}}});
    let refused = session.post(&call).await;
    assert_eq!(refused.status, 403);
    let challenge = refused.header("www-authenticate");
    assert!(
        challenge.starts_with("Bearer error=\"insufficient_scope\", scope=\"mcp:write\"")
            && challenge.contains(&metadata(&app)),
        "{challenge}"
    );
}

#[tokio::test]
async fn jwt_13_a_token_stands_in_one_header_and_nowhere_else() {
    let app = App::start();
    let tokens = Client::register(&app).await.tokens().await;
    let token = tokens.access();
    let list = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}).to_string();
    let post = || http().post(app.resource()).header("content-type", "application/json").body(list.clone());
    let status = |request: reqwest::RequestBuilder| async { request.send().await.unwrap().status().as_u16() };
    for scheme in ["Bearer", "bearer", "bEaReR"] {
        assert_eq!(status(post().header("authorization", format!("{scheme} {token}"))).await, 200, "{scheme}");
    }
    let in_query = http()
        .post(format!("{}?access_token={token}", app.resource()))
        .header("content-type", "application/json")
        .body(list.clone());
    assert_eq!(status(in_query).await, 401);
    let in_form = http().post(app.resource()).form(&[("access_token", token)]);
    assert_eq!(status(in_form).await, 401);
    assert_eq!(status(post().header("cookie", format!("access_token={token}"))).await, 401);
    let twice =
        post().header("authorization", format!("Bearer {token}")).header("authorization", format!("Bearer {token}"));
    assert_eq!(status(twice).await, 400);
    for value in [
        "Bearer".to_owned(),
        "Bearer ".to_owned(),
        format!("Basic {token}"),
        format!("Bearer {token}, Bearer {token}"),
        format!("Bearer\t{token}"),
        format!("Bearer {}", "x".repeat(20_000)),
    ] {
        let status = status(post().header("authorization", value.clone())).await;
        assert!(matches!(status, 400 | 401 | 431), "{status}: {}", &value[..value.len().min(30)]);
    }
}

#[tokio::test]
async fn jwt_16_a_key_that_is_taken_away_takes_its_tokens_along() {
    let app = App::start();
    let client = Client::register(&app).await;
    let tokens = client.tokens().await;
    let jwks = format!("{}/oauth/jwks", app.url);
    let before = Page::read(http().get(&jwks).send().await.unwrap()).await.body;
    let session = Session::initialize(&app, tokens.access()).await;
    let stream = session.listen().await;
    for entry in std::fs::read_dir(app.folder.path().join("keys")).unwrap().map(|entry| entry.unwrap()) {
        if entry.file_name().to_str().unwrap().starts_with("signing-") {
            std::fs::remove_file(entry.path()).unwrap();
        }
    }
    let taken_away = std::time::Instant::now();
    while session.status().await == 200 {
        assert!(taken_away.elapsed() < Duration::from_secs(5), "it is seen without a restart");
    }
    let ended = tokio::time::timeout(Duration::from_secs(5), stream.bytes()).await;
    assert!(ended.is_ok(), "and what was opened with it ends");
    assert_eq!(Session::new(&app, tokens.access()).status().await, 401);
    assert_ne!(Page::read(http().get(&jwks).send().await.unwrap()).await.body, before);
    // The login itself was not at risk: the next refresh is signed by the new key.
    let next = client.refresh(tokens.refresh()).await;
    assert_eq!(Session::new(&app, next.access()).status().await, 200);
}
