//! One story, told by clients of each era with servers of each era, alone and merged: nothing is lost between them.

use serde_json::{Value, json};

use crate::mcp::child;
use crate::mcp::stateless_server::{Over, Server};
use crate::support::app::BASIC;
use crate::support::mcp::{Events, Session};
use crate::support::{App, Client, Stateless};

/// What the client of a story does, in the words of its era.
enum Front {
    Session(Session),
    Stateless(Stateless),
}

impl Front {
    async fn call(&self, method: &str, params: Value) -> Value {
        match self {
            Self::Session(session) => session.call(method, params).await,
            Self::Stateless(client) => client.call(method, params).await,
        }
    }

    /// A call that is asked something on its way, and answers it; gives the result.
    async fn asked(&self, params: Value, answer: &Value) -> Value {
        match self {
            Self::Session(session) => {
                let request = json!({"jsonrpc": "2.0", "id": 5, "method": "tools/call", "params": params});
                let mut stream = session.stream(&request).await;
                let question = stream.next().await.unwrap();
                assert_eq!(question["method"], "elicitation/create", "{question}");
                let reply = json!({"jsonrpc": "2.0", "id": question["id"], "result": answer});
                assert_eq!(session.post(&reply).await.status, 202);
                stream.next().await.unwrap()
            }
            Self::Stateless(client) => {
                let result = client.call("tools/call", params.clone()).await["result"].clone();
                assert_eq!(result["resultType"], "input_required", "{result}");
                let (key, question) = result["inputRequests"].as_object().unwrap().iter().next().unwrap();
                assert_eq!(question["method"], "elicitation/create");
                let mut again = params;
                again["inputResponses"] = json!({key: answer});
                again["requestState"] = result["requestState"].clone();
                client.call("tools/call", again).await
            }
        }
    }

    /// The messages that come for a call: those before its answer, and the answer.
    async fn stream(&self, params: Value) -> Vec<Value> {
        let mut stream = match self {
            Self::Session(session) => {
                session.stream(&json!({"jsonrpc": "2.0", "id": 5, "method": "tools/call", "params": params})).await
            }
            Self::Stateless(client) => Events::of(client.send(5, "tools/call", params).await),
        };
        let mut all = Vec::new();
        while let Some(message) = stream.next().await {
            all.push(message);
        }
        all
    }

    /// Hears of tools and of one resource from now on.
    async fn listen(&self) -> Events {
        match self {
            Self::Session(session) => {
                let subscribed = session.call("resources/subscribe", json!({"uri": "fake://one"})).await;
                assert_eq!(subscribed["result"], json!({}));
                Events::of(session.listen().await)
            }
            Self::Stateless(client) => {
                let wanted = json!({"toolsListChanged": true, "resourceSubscriptions": ["fake://one"]});
                let params = json!({"notifications": wanted});
                let mut stream = Events::of(client.send(9, "subscriptions/listen", params).await);
                assert_eq!(stream.next().await.unwrap()["params"]["notifications"], wanted);
                stream
            }
        }
    }
}

/// The story. `lead` stands before the names of tools.
async fn tell(front: &Front, lead: &str) {
    let name = |name: &str| format!("{lead}{name}");
    let tools = front.call("tools/list", json!({})).await["result"]["tools"].clone();
    assert!(tools.as_array().unwrap().iter().any(|tool| tool["name"] == name("echo").as_str()), "{tools}");
    let arguments = json!({"n": 1.50, "text": "é\n"});
    let result = front.call("tools/call", json!({"name": name("echo"), "arguments": arguments})).await;
    let text = result["result"]["content"][0]["text"].as_str().unwrap();
    let echoed: Value = serde_json::from_str(text).unwrap();
    assert_eq!((&echoed["n"], &echoed["text"]), (&arguments["n"], &arguments["text"]));
    let params = json!({"name": name("progress"), "arguments": {"steps": 2}, "_meta": {"progressToken": "mine"}});
    let messages = front.stream(params).await;
    assert_eq!(messages.len(), 3, "{messages:?}");
    assert!(messages[..2].iter().all(|message| message["params"]["progressToken"] == "mine"));
    assert_eq!(messages[2]["id"], 5);
    let answer = json!({"action": "accept", "content": {"name": "Ada"}});
    let arguments = json!({"method": "elicitation/create", "methods": ["elicitation/create"]});
    let result = front.asked(json!({"name": name("ask"), "arguments": arguments}), &answer).await;
    assert!(result["result"]["content"][0]["text"].as_str().unwrap().contains("Ada"), "{result}");
    let read = front.call("resources/read", json!({"uri": "fake://one"})).await;
    assert_eq!(read["result"]["contents"][0]["uri"], "fake://one");
    let missing = front.call("resources/read", json!({"uri": "fake://none"})).await["error"]["code"].clone();
    assert_eq!(missing, if matches!(front, Front::Session(_)) { -32002 } else { -32602 });
    let mut heard = front.listen().await;
    front.call("tools/call", json!({"name": name("touch"), "arguments": {"uri": "fake://one"}})).await;
    let note = heard.next().await.unwrap();
    assert_eq!(
        (&note["method"], &note["params"]["uri"]),
        (&json!("notifications/resources/updated"), &json!("fake://one"))
    );
    front.call("tools/call", json!({"name": name("grow"), "arguments": {"name": "grown_0"}})).await;
    // An update may be told twice, when what is listened for changed just before.
    while heard.next().await.unwrap()["method"] != "notifications/tools/list_changed" {}
    let grown = front.call("tools/call", json!({"name": name("grown_0"), "arguments": {}})).await;
    assert!(grown["result"]["content"].is_array(), "{grown}");
}

async fn fronts(app: &App) -> [Front; 2] {
    let token = Client::register(app).await.tokens().await.access().to_owned();
    let able = json!({"elicitation": {"form": {}}});
    let session = Session::initialize_as(app, &token, able.clone()).await;
    [Front::Session(session), Front::Stateless(Stateless::new(app, &token).able(able))]
}

async fn tell_to_both(upstreams: &str, leads: &[&str]) {
    for era in 0..2 {
        let app = App::with(&BASIC.replace("me: {builtin: whoami}", upstreams));
        let fronts = fronts(&app).await;
        for lead in leads {
            tell(&fronts[era], lead).await;
        }
    }
}

#[tokio::test]
async fn both_eras_in_front_of_a_server_of_sessions() {
    tell_to_both(&format!("up: {}", child("")), &[""]).await;
}

#[tokio::test]
async fn both_eras_in_front_of_a_stateless_server_over_http() {
    for era in 0..2 {
        let server = Server::start(Over::Http, &[]);
        let app = App::with(&BASIC.replace("me: {builtin: whoami}", &format!("up: {}", server.entry)));
        tell(&fronts(&app).await[era], "").await;
    }
}

#[tokio::test]
async fn both_eras_in_front_of_a_stateless_server_on_stdio() {
    let server = Server::start(Over::Stdio, &[]);
    tell_to_both(&format!("up: {}", server.entry), &[""]).await;
}

#[tokio::test]
async fn both_eras_in_front_of_both_merged() {
    for era in 0..2 {
        let (http, stdio) = (Server::start(Over::Http, &[]), Server::start(Over::Stdio, &[]));
        // The first that lists a resource has it; so each comes first once.
        let upstreams = [("new", http.entry.as_str()), ("old", &child("")), ("newer", &stdio.entry)];
        for (first, _) in upstreams {
            let (here, others): (Vec<_>, Vec<_>) = upstreams.iter().partition(|(name, _)| *name == first);
            let entries: Vec<_> = here.iter().chain(&others).map(|(name, entry)| format!("{name}: {entry}")).collect();
            let app = App::with(&BASIC.replace("me: {builtin: whoami}", &entries.join("\n  ")));
            tell(&fronts(&app).await[era], &format!("{first}__")).await;
        }
    }
}
