//! Sessions: they belong to one caller, and end when they are told to.

use reqwest::Method;
use serde_json::json;

use crate::mcp::with_child;
use crate::support::mcp::Session;
use crate::support::{App, Browser, Client};

async fn access_token(client: &Client, user: &str) -> String {
    let page = client.authorize(&mut Browser::new(), user, &[]).await;
    client.redeem(&page.answer("code").unwrap()).await.access().to_owned()
}

async fn get(session: &Session) -> u16 {
    let request = session.request(Method::GET).header("accept", "text/event-stream");
    request.send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn mcp_12_a_session_does_not_exist_for_anybody_else() {
    let app = with_child("");
    let (client, other_client) = (Client::register(&app).await, Client::register(&app).await);
    let owner = Session::initialize(&app, &access_token(&client, "alice").await).await;
    for token in [access_token(&client, "rita").await, access_token(&other_client, "alice").await] {
        let mut thief = Session::new(&app, &token);
        thief.id.clone_from(&owner.id);
        assert_eq!(thief.status().await, 404);
        assert_eq!(get(&thief).await, 404);
        assert_eq!(thief.request(Method::DELETE).send().await.unwrap().status().as_u16(), 404);
    }
    let mut nobody = Session::new(&app, "no-token");
    nobody.id.clone_from(&owner.id);
    assert_eq!(nobody.status().await, 401);
    assert_eq!(owner.status().await, 200, "and the owner noticed nothing");
}

#[tokio::test]
async fn a_refreshed_token_goes_on_with_the_session() {
    let app = with_child("");
    let client = Client::register(&app).await;
    let tokens = client.tokens().await;
    let session = Session::initialize(&app, tokens.access()).await;
    let mut next = Session::new(&app, client.refresh(tokens.refresh()).await.access());
    next.id.clone_from(&session.id);
    assert_eq!(next.status().await, 200);
}

#[tokio::test]
async fn mcp_11_session_ids_are_long_random_and_visible_ascii() {
    let app = App::start();
    let token = Client::register(&app).await.tokens().await.access().to_owned();
    let mut ids = std::collections::HashSet::new();
    for _ in 0..100 {
        let id = Session::initialize(&app, &token).await.id.unwrap();
        assert!(id.len() >= 22 && id.bytes().all(|byte| byte.is_ascii_graphic()), "{id}");
        assert!(ids.insert(id));
    }
}

#[tokio::test]
async fn after_its_end_and_after_a_restart_a_session_is_404_and_a_new_one_works() {
    let app = App::start();
    let client = Client::register(&app).await;
    let tokens = client.tokens().await;
    let session = Session::initialize(&app, tokens.access()).await;
    let again = Session::initialize(&app, tokens.access()).await;
    assert_eq!(session.request(Method::DELETE).send().await.unwrap().status().as_u16(), 204);
    assert_eq!(session.status().await, 404);
    assert_eq!(again.status().await, 200);
    let path = app.folder.path().join("config.yaml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("127.0.0.1:0", app.url.trim_start_matches("http://"))).unwrap();
    let app = app.restart();
    // On a new connection: the old one ended with the old process.
    let mut later = Session::new(&app, tokens.access());
    later.id = again.id;
    assert_eq!(later.status().await, 404);
    assert_eq!(Session::initialize(&app, tokens.access()).await.status().await, 200);
}

#[tokio::test]
async fn mcp_6_batches_are_of_2025_03_26_alone() {
    let app = with_child("");
    let token = Client::register(&app).await.tokens().await.access().to_owned();
    let batch = json!([{"jsonrpc": "2.0", "id": 1, "method": "ping"}, {"jsonrpc": "2.0", "id": 2, "method": "ping"}]);
    let newer = Session::initialize(&app, &token).await;
    assert_eq!(newer.post(&batch).await.status, 400);
    let mut older = Session::new(&app, &token);
    let page = older.post(&crate::support::mcp::initialize("2025-03-26")).await;
    older.id = Some(page.header("mcp-session-id").to_owned());
    older.version = "2025-03-26";
    // Nothing answers an answer, even one that nobody asked for.
    let unasked = json!([{"jsonrpc": "2.0", "id": 1, "method": "ping"}, {"jsonrpc": "2.0", "id": 9, "result": {}}]);
    let answered: serde_json::Value = serde_json::from_str(&older.post(&unasked).await.body).unwrap();
    assert_eq!(answered, json!([{"jsonrpc": "2.0", "id": 1, "result": {}}]));
    let answers = older.post(&batch).await;
    assert_eq!(
        (answers.status, serde_json::from_str::<Vec<serde_json::Value>>(&answers.body).unwrap().len()),
        (200, 2)
    );
}
