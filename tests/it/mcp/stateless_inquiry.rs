//! Questions of a server of the stateless era: requests to a session's client, results for a client of its own era.

use serde_json::{Value, json};

use crate::mcp::stateless_server::{BOTH, Over, Rig, content};
use crate::mcp::until;
use crate::support::mcp::{Events, Session, last_message};
use crate::support::stateless::refusal;
use crate::support::{Client, Stateless};

const METHODS: [&str; 3] = ["elicitation/create", "sampling/createMessage", "roots/list"];

fn everything() -> Value {
    json!({"sampling": {}, "elicitation": {"form": {}}, "roots": {}})
}

fn ask(methods: &[&str], rounds: u64) -> Value {
    json!({"name": "ask", "arguments": {"methods": methods, "rounds": rounds}})
}

fn request(id: u64, method: &str, params: &Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
}

fn answer(method: &str) -> Value {
    match method {
        "roots/list" => json!({"roots": [{"uri": "file:///here"}]}),
        "sampling/createMessage" => {
            json!({"role": "assistant", "model": "m", "content": {"type": "text", "text": "yes"}})
        }
        _ => json!({"action": "accept", "content": {"name": "Ada\n"}}),
    }
}

async fn reply(session: &Session, question: &Value) -> u16 {
    let result = answer(question["method"].as_str().unwrap());
    session.post(&json!({"jsonrpc": "2.0", "id": question["id"], "result": result})).await.status
}

#[tokio::test]
async fn mr_a_sessions_client_is_asked_by_requests_round_after_round() {
    for over in BOTH {
        let rig = Rig::start(over, &[]).await;
        let session = rig.session(everything()).await;
        let mut params = ask(&METHODS, 2);
        params["_meta"] = json!({"progressToken": "p", "own": 1});
        let mut stream = session.stream(&request(7, "tools/call", &params)).await;
        for _ in 0..2 {
            let mut questions = Vec::new();
            for _ in METHODS {
                questions.push(stream.next().await.unwrap());
            }
            assert_eq!(
                questions.iter().map(|question| question["method"].as_str().unwrap()).collect::<Vec<_>>(),
                METHODS
            );
            assert_eq!(questions[0]["params"]["x-kept"], 1.0);
            assert!(questions[2].get("params").is_none());
            // In any order.
            for question in questions.iter().rev() {
                assert_eq!(reply(&session, question).await, 202);
            }
            assert_eq!(reply(&session, &questions[0]).await, 400, "a question is answered once");
        }
        let last = stream.next().await.unwrap();
        assert_eq!(last["id"], 7);
        let round = json!({"q 0": answer(METHODS[0]), "q 1": answer(METHODS[1]), "q 2": answer(METHODS[2])});
        assert_eq!(content(&last), json!({"answers": [round, round]}));
        assert_eq!(stream.next().await, None);
        let got = rig.server.got("tools/call");
        let ids: Vec<_> = got.iter().map(|got| got["got"]["id"].as_u64().unwrap()).collect();
        assert!(ids.len() == 3 && ids[0] < ids[1] && ids[1] < ids[2], "each try has an id of its own: {ids:?}");
        for got in &got {
            assert_eq!(got["got"]["params"]["_meta"]["own"], 1);
            assert_eq!(got["got"]["params"]["_meta"]["progressToken"], got["got"]["id"]);
        }
    }
}

#[tokio::test]
async fn mr_prompts_ask_too_and_a_state_alone_brings_the_request_back() {
    let rig = Rig::start(Over::Http, &[]).await;
    let session = rig.session(everything()).await;
    let mut stream = session.stream(&request(1, "prompts/get", &json!({"name": "greeting"}))).await;
    let question = stream.next().await.unwrap();
    assert_eq!(reply(&session, &question).await, 202);
    assert!(stream.next().await.unwrap()["result"]["description"].to_string().contains("Ada"));
    assert_eq!(content(&session.tool("state", json!({})).await), "again");
    assert!(session.tool("ask", json!({"rounds": 99, "methods": []})).await["error"].is_object(), "not for ever");
}

#[tokio::test]
async fn mr_who_cannot_be_asked_or_refuses_has_no_result() {
    for over in BOTH {
        let rig = Rig::start(over, &[]).await;
        // What it did not declare, the server knows not to ask.
        let unable = rig.session(json!({"roots": {}})).await;
        assert_eq!(unable.call("tools/call", ask(&METHODS[..1], 1)).await["error"]["code"], -32021);
        let session = rig.session(everything()).await;
        let mut stream = session.stream(&request(1, "tools/call", &ask(&METHODS, 1))).await;
        let questions = [stream.next().await.unwrap(), stream.next().await.unwrap(), stream.next().await.unwrap()];
        let refused =
            json!({"jsonrpc": "2.0", "id": questions[1]["id"], "error": {"code": -1, "message": "not today"}});
        assert_eq!(session.post(&refused).await.status, 202);
        let last = stream.next().await.unwrap();
        assert!(last["error"]["message"].to_string().contains("not today"), "{last}");
        // What is still open is taken back.
        let mut own = Events::of(session.listen().await);
        let withdrawn = [own.next().await.unwrap(), own.next().await.unwrap()];
        assert!(withdrawn.iter().all(|note| note["method"] == "notifications/cancelled"));
        assert_eq!(withdrawn[0]["params"]["requestId"], questions[0]["id"]);
        assert_eq!(reply(&session, &questions[0]).await, 400);
        assert_eq!(rig.server.got("tools/call").len(), 2, "it was not sent again");
    }
}

#[tokio::test]
async fn mr_18_nobody_else_answers_and_a_cancelled_call_is_not_sent_again() {
    for over in BOTH {
        let rig = Rig::start(over, &[]).await;
        let (session, other) = (rig.session(everything()).await, rig.session(everything()).await);
        let mut stream = session.stream(&request(5, "tools/call", &ask(&METHODS[..1], 1))).await;
        let question = stream.next().await.unwrap();
        assert_eq!(reply(&other, &question).await, 400);
        let cancelled = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 5}});
        assert_eq!(session.post(&cancelled).await.status, 202);
        assert_eq!(stream.next().await.unwrap()["error"]["code"], -32800);
        assert_eq!(reply(&session, &question).await, 400);
        assert_eq!(content(&session.tool("echo", json!({})).await), json!({}));
        assert_eq!(rig.server.got("tools/call").len(), 2);
        assert!(rig.server.got("notifications/cancelled").is_empty(), "the server had nothing of it");
    }
}

fn again(params: &Value, result: &Value) -> Value {
    let asked = result["inputRequests"].as_object().unwrap();
    let mut params = params.clone();
    params["inputResponses"] =
        asked.iter().map(|(key, request)| (key.clone(), answer(request["method"].as_str().unwrap()))).collect();
    params["requestState"] = result["requestState"].clone();
    params
}

async fn asked(client: &Stateless, params: &Value) -> Value {
    let result = client.call("tools/call", params.clone()).await["result"].clone();
    assert_eq!(result["resultType"], "input_required", "{result}");
    result
}

#[tokio::test]
async fn mr_a_client_of_the_same_era_gets_the_questions_as_they_are() {
    for over in BOTH {
        let rig = Rig::start(over, &[]).await;
        let client = rig.stateless(everything());
        let params = ask(&METHODS, 2);
        let mut result = asked(&client, &params).await;
        for _ in 0..2 {
            assert_eq!(result["inputRequests"]["q 0"]["params"]["x-kept"], 1.0);
            assert!(result.get("ttlMs").is_none());
            result = client.call("tools/call", again(&params, &result)).await["result"].clone();
        }
        let round = json!({"q 0": answer(METHODS[0]), "q 1": answer(METHODS[1]), "q 2": answer(METHODS[2])});
        assert_eq!(content(&json!({"result": result})), json!({"answers": [round, round]}));
        // The state comes to the server as it left it, line feed and all.
        let params = json!({"name": "state"});
        let state = asked(&client, &params).await["requestState"].clone();
        let params = json!({"name": "state", "requestState": state});
        assert_eq!(content(&client.call("tools/call", params).await), "again");
    }
}

#[tokio::test]
async fn c_19_a_state_is_nobody_elses_and_no_other_requests() {
    let rig = Rig::start(Over::Http, &[]).await;
    let client = rig.stateless(everything());
    let params = ask(&METHODS[..1], 1);
    let result = asked(&client, &params).await;
    let back = again(&params, &result);
    let stranger = Client::register(&rig.app).await.tokens().await.access().to_owned();
    let stranger = Stateless::new(&rig.app, &stranger).able(everything());
    assert_eq!(refusal(&stranger.page("tools/call", back.clone()).await).1, -32602);
    let mut changed = back.clone();
    changed["requestState"] = format!("{}x", result["requestState"].as_str().unwrap()).into();
    let mut bare = back.clone();
    bare["requestState"] = r#"{"answers": [1]}"#.into();
    let mut other = back.clone();
    other["arguments"]["rounds"] = 2.into();
    for forged in [changed, bare, other] {
        assert_eq!(refusal(&client.page("tools/call", forged).await).1, -32602);
    }
    assert_eq!(rig.server.got("tools/call").len(), 1, "none of it reached the server");
    assert!(client.call("tools/call", back.clone()).await["result"]["content"].is_array());
    rig.app.clock.advance(std::time::Duration::from_secs(601));
    assert_eq!(refusal(&client.page("tools/call", back).await).1, -32602);
}

#[tokio::test]
async fn mr_a_session_that_ends_takes_its_questions_with_it() {
    let rig = Rig::start(Over::Stdio, &[]).await;
    let session = rig.session(everything()).await;
    let mut stream = session.stream(&request(5, "tools/call", &ask(&METHODS[..1], 1))).await;
    stream.next().await.unwrap();
    let ended = session.request(reqwest::Method::DELETE).send().await.unwrap();
    assert!(ended.status().is_success());
    let next = rig.session(everything()).await;
    assert_eq!(content(&next.tool("echo", json!({"a": 1})).await), json!({"a": 1}));
    until(|| rig.server.got("tools/call").len() == 2).await;
    let page = next.post(&request(1, "ping", &json!({}))).await;
    assert_eq!(last_message(&page)["result"], json!({}));
}
