//! The stateless era, `subscriptions/listen` in front of a server that knows sessions.

use serde_json::{Value, json};

use crate::mcp::{journal, until, with_stateless};
use crate::support::browser::Page;
use crate::support::mcp::{Events, Session};
use crate::support::stateless::refusal;
use crate::support::{Client, Stateless};

const SUBSCRIPTION: &str = "io.modelcontextprotocol/subscriptionId";

async fn listen(client: &Stateless, id: u64, notifications: Value) -> Events {
    Events::of(client.send(id, "subscriptions/listen", json!({"notifications": notifications})).await)
}

fn tag(message: &Value) -> Value {
    message["params"]["_meta"][SUBSCRIPTION].clone()
}

#[tokio::test]
async fn d_21_the_acknowledgement_comes_first_with_what_was_agreed() {
    let (_app, client) = with_stateless(", \"--without\", \"prompts\"").await;
    let wanted = json!({"toolsListChanged": true, "promptsListChanged": true, "resourcesListChanged": false,
        "resourceSubscriptions": ["fake://one", "fake://item/7"]});
    let mut stream = listen(&client, 9, wanted).await;
    let first = stream.next().await.unwrap();
    assert_eq!((&first["method"], tag(&first)), (&json!("notifications/subscriptions/acknowledged"), json!(9)));
    assert!(first.get("id").is_none());
    let agreed = json!({"toolsListChanged": true, "resourceSubscriptions": ["fake://item/7", "fake://one"]});
    assert_eq!(first["params"]["notifications"], agreed, "the server has no prompts");
}

#[tokio::test]
async fn d_21_each_listener_hears_what_it_asked_for_under_its_own_id() {
    let (app, client) = with_stateless("").await;
    let mut tools = listen(&client, 1, json!({"toolsListChanged": true})).await;
    let mut resource = listen(&client, 2, json!({"resourceSubscriptions": ["fake://one"]})).await;
    let mut both = listen(&client, 3, json!({"toolsListChanged": true, "resourceSubscriptions": ["fake://one"]})).await;
    for stream in [&mut tools, &mut resource, &mut both] {
        stream.next().await.unwrap();
    }
    client.tool("grow", json!({})).await;
    client.tool("touch", json!({"uri": "fake://two"})).await;
    client.tool("touch", json!({"uri": "fake://one"})).await;
    let (changed, updated) = ("notifications/tools/list_changed", "notifications/resources/updated");
    let is = |message: Option<Value>, method: &str, id: u64| {
        let message = message.unwrap();
        assert_eq!((&message["method"], tag(&message)), (&json!(method), json!(id)));
        message
    };
    is(tools.next().await, changed, 1);
    let told = is(resource.next().await, updated, 2);
    assert_eq!(told["params"]["uri"], "fake://one");
    // The list is read before it is said to have changed, so the two may come in either order.
    let mut heard = [both.next().await.unwrap(), both.next().await.unwrap()].map(|message| message["method"].clone());
    heard.sort_by_key(Value::to_string);
    assert_eq!(heard, [json!(updated), json!(changed)]);
    let token = Client::register(&app).await.tokens().await.access().to_owned();
    let session = Session::initialize(&app, &token).await;
    let mut beside = Events::of(session.listen().await);
    client.tool("grow", json!({})).await;
    let message = beside.next().await.unwrap();
    assert!(message["method"] == changed && tag(&message).is_null(), "a session hears of it unmarked: {message}");
    is(tools.next().await, changed, 1);
}

#[tokio::test]
async fn d_21_the_server_is_subscribed_to_once_and_left_when_the_last_listener_leaves() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    let app = crate::support::App::with(
        &crate::support::app::BASIC
            .replace(
                "me: {builtin: whoami}",
                &format!("fake: {}", crate::mcp::child(&format!(", \"--journal\", \"{}\"", path.display()))),
            )
            .replace("listen: 127.0.0.1:0", "listen: 127.0.0.1:0\n  sse_keepalive_interval: 1s"),
    );
    let token = Client::register(&app).await.tokens().await.access().to_owned();
    let one = || Stateless::new(&app, &token);
    let wanted = json!({"resourceSubscriptions": ["fake://one"]});
    let (first, second) = (one(), one());
    let (mut a, mut b) = (listen(&first, 1, wanted.clone()).await, listen(&second, 2, wanted).await);
    a.next().await.unwrap();
    b.next().await.unwrap();
    let count = |method: &str| journal(&path).into_iter().filter(|got| got["method"] == method).count();
    assert_eq!(count("resources/subscribe"), 1);
    drop((a, first));
    one().tool("touch", json!({"uri": "fake://one"})).await;
    assert_eq!(b.next().await.unwrap()["params"]["uri"], "fake://one");
    assert_eq!(count("resources/unsubscribe"), 0);
    drop((b, second));
    until(|| count("resources/unsubscribe") == 1).await;
}

#[tokio::test]
async fn d_21_a_shutdown_ends_it_with_a_result() {
    let (app, client) = with_stateless("").await;
    let mut stream = listen(&client, 4, json!({"toolsListChanged": true})).await;
    stream.next().await.unwrap();
    let stopping = tokio::task::spawn_blocking(move || drop(app));
    let last = stream.next().await.unwrap();
    assert_eq!((&last["id"], &last["result"]["resultType"]), (&json!(4), &json!("complete")));
    assert_eq!(last["result"]["_meta"][SUBSCRIPTION], 4);
    assert_eq!(stream.next().await, None);
    stopping.await.unwrap();
}

#[tokio::test]
async fn d_21_it_ends_with_the_token() {
    let (app, _) = with_stateless("").await;
    let owner = Client::register(&app).await;
    let tokens = owner.tokens().await;
    let mut stream = listen(&Stateless::new(&app, tokens.access()), 1, json!({"toolsListChanged": true})).await;
    stream.next().await.unwrap();
    owner.revoke(tokens.refresh()).await;
    assert_eq!(stream.next().await, None);
}

#[tokio::test]
async fn a_listener_that_asks_for_nothing_sensible_is_refused() {
    let (_app, client) = with_stateless("").await;
    for params in [json!({}), json!({"notifications": []}), json!({"notifications": {"toolsListChanged": "yes"}})] {
        assert_eq!(refusal(&client.page("subscriptions/listen", params.clone()).await), (400, -32602), "{params}");
    }
    let message = client.message(1, "subscriptions/listen", json!({"notifications": {}}));
    let json_only = client.verb(reqwest::Method::POST).header("content-type", "application/json");
    let json_only = json_only.header("accept", "application/json").header("mcp-protocol-version", "2026-07-28");
    let page = json_only.header("mcp-method", "subscriptions/listen").body(message.to_string()).send().await.unwrap();
    assert_eq!(Page::read(page).await.status, 406);
}

#[tokio::test]
async fn one_caller_has_so_many_listeners_and_the_oldest_makes_room() {
    let (_app, client) = with_stateless("").await;
    let mut streams = Vec::new();
    for id in 0..17 {
        let mut stream = listen(&client, id, json!({"toolsListChanged": true})).await;
        stream.next().await.unwrap();
        streams.push(stream);
    }
    let last = streams[0].next().await.unwrap();
    assert_eq!((&last["id"], &last["result"]["resultType"]), (&json!(0), &json!("complete")));
}
