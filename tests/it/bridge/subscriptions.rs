//! Subscriptions whose client leaves, or whose session ends, while the server is asked.

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::task::JoinHandle;

use mcp_bridge::bridge::{Answer, Bridge, PostRequest};
use mcp_bridge::protocol::mcp::mirror::{Field, Mirror};

use super::support::{Client, bridge, command, request, until};

const URI: &str = "fake://one";

/// A server that takes subscriptions and says nothing to them but what it is told to write.
struct Rig {
    bridge: Arc<Bridge>,
    /// Tells the server what to do.
    other: Client,
    folder: tempfile::TempDir,
}

impl Rig {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/children/fake_mcp_server.py");
        let journal = folder.path().join("journal");
        let arguments = ["-u", script, "--mute", "resources/subscribe", "--journal", journal.to_str().unwrap()];
        let bridge = bridge(&[command("fake", "python3", &arguments)]).await;
        let other = Client::connect(&bridge, "bob").await;
        Self { bridge, other, folder }
    }

    fn journal(&self) -> PathBuf {
        self.folder.path().join("journal")
    }

    /// The ids of the requests of this method that the server got.
    fn got(&self, method: &str) -> Vec<Value> {
        let text = std::fs::read_to_string(self.journal()).unwrap_or_default();
        let entries = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let got = entries.map(|entry| entry["got"].clone()).filter(|got| got["method"] == method);
        got.map(|got| got["id"].clone()).collect()
    }

    /// A request that the server has, and its id there.
    async fn begun(&self, posting: impl Future<Output = Answer> + Send + 'static) -> (JoinHandle<Answer>, Value) {
        let posting = tokio::spawn(posting);
        until(|| self.got("resources/subscribe").len() == 1).await;
        (posting, self.got("resources/subscribe").remove(0))
    }

    async fn subscribe(&self, client: &Client) -> (JoinHandle<Answer>, Value) {
        let (client, body) = (client.clone(), request("1", "resources/subscribe", &json!({"uri": URI})));
        self.begun(async move { client.post(&body).await }).await
    }

    async fn write(&self, line: Value) {
        assert!(self.other.tool("write", &json!({"text": line.to_string()})).await.contains("written"));
    }

    /// How many subscriptions the server has after it came back from a crash.
    async fn asked_again(&self) -> usize {
        self.other.tool("crash", &json!({})).await;
        until(|| {
            let status = &self.bridge.status()[0];
            status.restarts > 0 && (status.is_up || self.got("resources/subscribe").len() > 1)
        })
        .await;
        self.got("resources/subscribe").len() - 1
    }
}

#[tokio::test]
async fn a_client_that_leaves_while_the_server_is_asked_is_subscribed_as_the_server_says() {
    for is_refused in [true, false] {
        let rig = Rig::start().await;
        let client = Client::connect(&rig.bridge, "ada").await;
        let (posting, id) = rig.subscribe(&client).await;
        posting.abort();
        posting.await.unwrap_err();
        let answer = match is_refused {
            true => json!({"jsonrpc": "2.0", "id": id, "error": {"code": -32602, "message": "no"}}),
            false => json!({"jsonrpc": "2.0", "id": id, "result": {}}),
        };
        rig.write(answer).await;
        if !is_refused {
            let mut stream = client.listen();
            let params = json!({"uri": URI});
            rig.write(json!({"jsonrpc": "2.0", "method": "notifications/resources/updated", "params": params})).await;
            assert_eq!(stream.value().await["params"], params, "to disconnect cancels nothing");
        }
        if is_refused {
            assert_eq!(rig.asked_again().await, 0, "nobody is subscribed to what was refused");
        }
        rig.bridge.shutdown().await;
    }
}

#[tokio::test]
async fn a_session_that_ends_while_the_server_is_asked_is_not_subscribed() {
    let rig = Rig::start().await;
    let client = Client::connect(&rig.bridge, "ada").await;
    let (posting, id) = rig.subscribe(&client).await;
    let ended = rig.bridge.end(&client.principal, client.session.as_deref(), Field::Absent);
    assert!(matches!(ended, Answer::Ended));
    rig.write(json!({"jsonrpc": "2.0", "id": id, "result": {}})).await;
    posting.await.unwrap();
    until(|| !rig.got("resources/unsubscribe").is_empty()).await;
    assert_eq!(rig.asked_again().await, 0);
    rig.bridge.shutdown().await;
}

#[tokio::test]
async fn who_unsubscribes_while_the_server_is_asked_deafens_nobody_else() {
    let rig = Rig::start().await;
    let client = Client::connect(&rig.bridge, "ada").await;
    let (posting, id) = rig.subscribe(&client).await;
    client.post(&request("2", "resources/unsubscribe", &json!({"uri": URI}))).await;
    rig.write(json!({"jsonrpc": "2.0", "id": id, "result": {}})).await;
    posting.await.unwrap();
    until(|| rig.got("resources/unsubscribe").len() == 1).await;

    let mut stream = rig.other.listen();
    let (other, body) = (rig.other.clone(), request("3", "resources/subscribe", &json!({"uri": URI})));
    let posting = tokio::spawn(async move { other.post(&body).await });
    until(|| rig.got("resources/subscribe").len() == 2).await;
    let id = rig.got("resources/subscribe").remove(1);
    rig.write(json!({"jsonrpc": "2.0", "id": id, "result": {}})).await;
    posting.await.unwrap();
    let params = json!({"uri": URI});
    rig.write(json!({"jsonrpc": "2.0", "method": "notifications/resources/updated", "params": params})).await;
    assert_eq!(stream.value().await["params"], params);
    rig.bridge.shutdown().await;
}

/// Each is what its own request was told, whatever came of others.
#[tokio::test]
async fn who_is_refused_hears_nothing_and_who_comes_back_hears_by_the_second_request() {
    let rig = Rig::start().await;
    let (ada, eve) = (Client::connect(&rig.bridge, "ada").await, Client::connect(&rig.bridge, "eve").await);
    let body = |id: &str, method: &str| request(id, method, &json!({"uri": URI}));
    let asks = async |client: &Client, number: usize| {
        let (client, body) = (client.clone(), body(&number.to_string(), "resources/subscribe"));
        let posting = tokio::spawn(async move { client.post(&body).await });
        until(|| rig.got("resources/subscribe").len() == number).await;
        (posting, rig.got("resources/subscribe").remove(number - 1))
    };
    let (first, first_id) = asks(&ada, 1).await;
    ada.post(&body("8", "resources/unsubscribe")).await;
    let (second, second_id) = asks(&ada, 2).await;
    let (of_eve, id_of_eve) = asks(&eve, 3).await;
    let refuse = |id: Value| json!({"jsonrpc": "2.0", "id": id, "error": {"code": -32602, "message": "no"}});
    rig.write(refuse(first_id)).await;
    first.await.unwrap();
    rig.write(json!({"jsonrpc": "2.0", "id": second_id, "result": {}})).await;
    second.await.unwrap();
    rig.write(refuse(id_of_eve)).await;
    of_eve.await.unwrap();

    let (mut of_ada, mut of_eve) = (ada.listen(), eve.listen());
    let params = json!({"uri": URI});
    rig.write(json!({"jsonrpc": "2.0", "method": "notifications/resources/updated", "params": params})).await;
    assert_eq!(of_ada.value().await["params"], params);
    rig.write(json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"})).await;
    assert_eq!(of_eve.value().await["method"], "notifications/tools/list_changed", "the first that she hears");
    assert!(rig.got("resources/unsubscribe").is_empty());
    // The last who leaves ends it.
    ada.post(&body("9", "resources/unsubscribe")).await;
    until(|| rig.got("resources/unsubscribe").len() == 1).await;
    rig.bridge.shutdown().await;
}

#[tokio::test]
async fn a_listener_that_leaves_while_the_server_is_asked_is_not_subscribed() {
    let rig = Rig::start().await;
    let client = Client::new(&rig.bridge, "ada");
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    let params = json!({"_meta": meta, "notifications": {"resourceSubscriptions": [URI]}});
    let body = request("1", "subscriptions/listen", &params);
    let post = PostRequest {
        session_id: None,
        protocol_version: Field::of(Some("2026-07-28")),
        mirror: Mirror { method: Field::of(Some("subscriptions/listen")), ..Mirror::default() },
        accepts_json: true,
        accepts_event_stream: true,
    };
    let (posting, _) = rig.begun(async move { client.bridge.post(&client.principal, &post, body.into()).await }).await;
    posting.abort();
    posting.await.unwrap_err();
    until(|| !rig.got("resources/unsubscribe").is_empty()).await;
    assert_eq!(rig.asked_again().await, 0);
    rig.bridge.shutdown().await;
}
