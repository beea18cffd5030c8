//! Event streams as a client sees them.

use std::time::Duration;

use reqwest::Method;

use crate::support::mcp::Session;
use crate::support::{App, Client};

async fn open(session: &Session) -> reqwest::Response {
    let request = session.request(Method::GET).header("accept", "text/event-stream").send();
    let response =
        tokio::time::timeout(Duration::from_secs(5), request).await.expect("the head is sent at once").unwrap();
    assert_eq!(
        (response.status().as_u16(), &response.headers()["content-type"]),
        (200, &"text/event-stream".parse().unwrap())
    );
    response
}

#[tokio::test]
async fn mcp_22_the_head_of_a_stream_comes_at_once_and_keeps_proxies_from_holding_it() {
    let app = App::start();
    let tokens = Client::register(&app).await.tokens().await;
    let session = Session::initialize(&app, tokens.access()).await;
    let response = open(&session).await;
    assert_eq!(response.headers()["cache-control"], "no-store, no-transform");
    assert_eq!(response.headers()["x-accel-buffering"], "no");
}

#[tokio::test]
async fn mcp_13_who_lost_a_stream_opens_another() {
    let app = App::start();
    let tokens = Client::register(&app).await.tokens().await;
    let session = Session::initialize(&app, tokens.access()).await;
    let first = open(&session).await;
    for _ in 0..6 {
        drop(open(&session).await);
    }
    let ended = session.request(Method::DELETE).send().await.unwrap();
    assert_eq!(ended.status().as_u16(), 204);
    assert!(tokio::time::timeout(Duration::from_secs(5), first.bytes()).await.is_ok());
    let gone = session.request(Method::GET).header("accept", "text/event-stream").send().await.unwrap();
    assert_eq!(gone.status().as_u16(), 404);
}
