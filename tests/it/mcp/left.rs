//! Calls that their callers have left, while a server that heeds no cancelling goes on with them: what it asks or tells then
//! reaches nobody else.

use std::path::{Path, PathBuf};

use reqwest::Method;
use serde_json::{Value, json};

use crate::mcp::{child, journal, until};
use crate::support::app::BASIC;
use crate::support::mcp::{Events, Session, last_message};
use crate::support::{App, Browser, Client, Stateless};

struct Rig {
    app: App,
    folder: tempfile::TempDir,
}

/// How somebody leaves a call.
#[derive(Clone, Copy, Debug)]
enum Leaving {
    /// The connection of a client without a session is closed.
    Closed,
    /// `notifications/cancelled`.
    Cancelled,
    /// DELETE of the session.
    Ended,
}

impl Rig {
    fn start() -> Self {
        Self::with("")
    }

    /// With more settings of the upstream.
    fn with(more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let child = child(&format!(", \"--journal\", \"{}\"", folder.path().join("journal").display()));
        let child = child.replace("]}", &format!("]{more}}}"));
        let yaml = BASIC.replace("me: {builtin: whoami}", &format!("fake: {child}"));
        let both = yaml.replace(
            r#"rita, password_hash: HASH, scopes: ["mcp:read"]"#,
            r#"rita, password_hash: HASH, scopes: ["mcp:read", "mcp:write"]"#,
        );
        assert_ne!(yaml, both);
        Self { app: App::with(&both), folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn got(&self, is_meant: impl Fn(&Value) -> bool) -> usize {
        journal(&self.path("journal")).iter().filter(|got| is_meant(got)).count()
    }

    async fn called(&self, times: usize) {
        until(|| self.got(|got| got["method"] == "tools/call") == times).await;
    }

    async fn token(&self, person: &str) -> String {
        let client = Client::register(&self.app).await;
        let page = client.authorize(&mut Browser::new(), person, &[]).await;
        client.redeem(&page.answer("code").unwrap()).await.access().to_owned()
    }

    async fn stateless(&self, person: &str) -> Stateless {
        Stateless::new(&self.app, &self.token(person).await).able(json!({"elicitation": {}}))
    }

    async fn session(&self, person: &str) -> Session {
        Session::initialize_as(&self.app, &self.token(person).await, json!({"elicitation": {}})).await
    }

    /// Has a person call the tool, and leave; the server has heard it.
    async fn leave(&self, person: &str, how: Leaving, name: &str, arguments: Value) {
        let before = self.got(|got| got["method"] == "tools/call");
        let params = json!({"name": name, "arguments": arguments});
        let is_cancelled = |got: &Value| got["method"] == "notifications/cancelled";
        let cancelled = self.got(is_cancelled);
        if matches!(how, Leaving::Closed) {
            let client = self.stateless(person).await;
            let call = tokio::spawn(async move { client.call("tools/call", params).await });
            self.called(before + 1).await;
            call.abort();
        } else {
            let session = self.session(person).await;
            let message = json!({"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params});
            let _stream = session.stream(&message).await;
            self.called(before + 1).await;
            if matches!(how, Leaving::Ended) {
                assert!(session.request(Method::DELETE).send().await.unwrap().status().is_success());
            } else {
                let told = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 7}});
                assert_eq!(session.post(&told).await.status, 202);
            }
        }
        until(|| self.got(is_cancelled) == cancelled + 1).await;
    }
}

fn elicit(file: &Path) -> Value {
    json!({"method": "elicitation/create", "file": file})
}

/// Asks until it is this client that is asked: until the server is done with what another has left.
pub async fn is_asked_again(client: &Stateless) {
    for _ in 0..200 {
        let answer = client.tool("ask", json!({"method": "elicitation/create"})).await;
        if answer["result"]["resultType"] == "input_required" {
            return;
        }
        assert!(answer.to_string().contains("cannot be attributed"), "{answer}");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("the call that was left is long answered");
}

#[tokio::test]
async fn mcp_17_what_is_asked_for_a_call_that_was_left_reaches_no_other_person() {
    for how in [Leaving::Closed, Leaving::Cancelled, Leaving::Ended] {
        for is_session in [false, true] {
            let rig = Rig::start();
            let (ask, done) = (rig.path("ask"), rig.path("done"));
            let refused = || rig.got(|got| got.to_string().contains("cannot be attributed"));
            rig.leave("rita", how, "ask", elicit(&ask)).await;
            let slow = json!({"name": "slow", "arguments": {"file": done}});
            let answered = if is_session {
                let alice = rig.session("alice").await;
                let message = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": slow});
                let call = tokio::spawn(async move { last_message(&alice.post(&message).await) });
                rig.called(2).await;
                call
            } else {
                let alice = rig.stateless("alice").await;
                let call = tokio::spawn(async move { alice.call("tools/call", slow).await });
                rig.called(2).await;
                call
            };
            std::fs::write(&ask, "").unwrap();
            until(|| refused() == 1).await;
            std::fs::write(&done, "").unwrap();
            let answered = answered.await.unwrap();
            assert_eq!(answered["result"]["structuredContent"]["waited"], "file", "{how:?} {is_session}: {answered}");
            // The server is done with what was left: now it is clear again who is asked.
            is_asked_again(&rig.stateless("alice").await).await;
        }
    }
}

#[tokio::test]
async fn mcp_17_what_is_told_while_a_server_works_on_a_call_that_was_left_reaches_no_other_person() {
    let rig = Rig::start();
    let (session, stateless) = (rig.session("alice").await, rig.stateless("alice").await);
    let log =
        json!({"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "error", "data": "whose?"}});
    let write = |meta: Value| json!({"name": "write", "arguments": {"text": log.to_string()}, "_meta": meta});
    let told = async || {
        let call = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": write(json!({}))});
        let meta = json!({"io.modelcontextprotocol/logLevel": "debug"});
        let pages = [session.post(&call).await, stateless.page("tools/call", write(meta)).await];
        pages.map(|page| {
            (last_message(&page)["result"]["structuredContent"]["written"] == true, page.body.contains("whose?"))
        })
    };
    assert_eq!(told().await, [(true, true); 2]);
    rig.leave("rita", Leaving::Ended, "slow", json!({"milliseconds": 60_000})).await;
    assert_eq!(told().await, [(true, false); 2]);
}

#[tokio::test]
async fn who_has_left_a_call_is_asked_by_the_next() {
    let rig = Rig::start();
    let never = rig.path("never");
    let client = Client::register(&rig.app).await;
    let token = client.tokens().await.access().to_owned();
    let stateless = Stateless::new(&rig.app, &token).able(json!({"elicitation": {}}));
    let params = json!({"name": "ask", "arguments": elicit(&never)});
    let call = tokio::spawn({
        let stateless = stateless.clone();
        async move { stateless.call("tools/call", params).await }
    });
    rig.called(1).await;
    call.abort();
    until(|| rig.got(|got| got["method"] == "notifications/cancelled") == 1).await;
    let asked = stateless.tool("ask", json!({"method": "elicitation/create"})).await;
    assert_eq!(asked["result"]["resultType"], "input_required", "{asked}");
}

#[tokio::test]
async fn a_question_of_a_call_that_was_left_is_taken_back_when_its_time_is_up() {
    let rig = Rig::with(", timeout: 1s");
    let rita = rig.session("rita").await;
    let mut listening = Events::of(rita.listen().await);
    let params = json!({"name": "ask", "arguments": {"method": "elicitation/create"}});
    let mut call = rita.stream(&json!({"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params})).await;
    let question = call.next().await.unwrap();
    assert_eq!(question["method"], "elicitation/create");
    let cancelled = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 7}});
    assert_eq!(rita.post(&cancelled).await.status, 202);
    let told = listening.next().await.unwrap();
    assert_eq!((&told["method"], &told["params"]["requestId"]), (&cancelled["method"], &question["id"]), "{told}");
    until(|| rig.got(|got| got["error"].to_string().contains("not answered in time")) == 1).await;
    // An answer comes too late.
    let answer = json!({"jsonrpc": "2.0", "id": question["id"], "result": {"action": "decline"}});
    assert_eq!(rita.post(&answer).await.status, 400);
}
