//! Revocation by the client, and what it takes with it.

use serde_json::json;

use crate::support::client::{REDIRECT_URI, http};
use crate::support::mcp::Session;
use crate::support::{App, Client};

#[tokio::test]
async fn rev_1_a_refresh_token_takes_its_family_along() {
    let app = App::start();
    let client = Client::register(&app).await;
    let tokens = client.tokens().await;
    let session = Session::initialize(&app, tokens.access()).await;
    assert_eq!(client.revoke(tokens.refresh()).await, 200);
    assert_eq!(session.status().await, 401);
    assert_eq!(client.refresh(tokens.refresh()).await.error(), "invalid_grant");
}

#[tokio::test]
async fn rev_2_an_access_token_goes_alone() {
    let app = App::start();
    let client = Client::register(&app).await;
    let tokens = client.tokens().await;
    assert_eq!(Session::new(&app, tokens.access()).status().await, 200);
    assert_eq!(client.revoke(tokens.access()).await, 200);
    assert_eq!(Session::new(&app, tokens.access()).status().await, 401);
    let next = client.refresh(tokens.refresh()).await;
    assert_eq!(Session::new(&app, next.access()).status().await, 200);
}

#[tokio::test]
async fn rev_3_rev_5_strangers_learn_and_end_nothing() {
    let app = App::start();
    let (client, other) = (Client::register(&app).await, Client::register(&app).await);
    let tokens = client.tokens().await;
    assert_eq!(client.revoke("garbage").await, 200);
    for token in [tokens.access(), tokens.refresh()] {
        assert_eq!(other.revoke(token).await, 200);
    }
    assert_eq!(Session::new(&app, tokens.access()).status().await, 200);
    assert_eq!(client.refresh(tokens.refresh()).await.status, 200);
    let confidential = Client::register_as(
        &app,
        json!({"redirect_uris": [REDIRECT_URI], "token_endpoint_auth_method": "client_secret_basic"}),
    )
    .await;
    assert_eq!(confidential.revoke("x").await, 401);
    assert_eq!(http().get(format!("{}/oauth/revoke", app.url)).send().await.unwrap().status().as_u16(), 405);
}

#[tokio::test]
async fn rev_9_an_open_stream_ends_with_its_token() {
    let app = App::start();
    let client = Client::register(&app).await;
    let tokens = client.tokens().await;
    let session = Session::initialize(&app, tokens.access()).await;
    let stream = session.request(reqwest::Method::GET).header("accept", "text/event-stream").send().await.unwrap();
    assert_eq!(stream.status().as_u16(), 200);
    client.revoke(tokens.refresh()).await;
    let ended = tokio::time::timeout(std::time::Duration::from_secs(5), stream.bytes()).await;
    assert!(ended.is_ok(), "the stream ended within the documented bound");
}
