//! The stateless era, questions of a server that knows sessions: they come back as `input_required` results.

use std::time::Duration;

use serde_json::{Value, json};

use crate::mcp::{child, journal, until, with_stateless};
use crate::support::app::BASIC;
use crate::support::mcp::{Events, Session, last_message};
use crate::support::stateless::refusal;
use crate::support::{App, Browser, Client, Stateless};

fn everything() -> Value {
    json!({"sampling": {}, "elicitation": {}, "roots": {}})
}

/// An answer to what is asked with this method.
fn answer(method: &str) -> Value {
    match method {
        "roots/list" => json!({"roots": [{"uri": "file:///here"}]}),
        "sampling/createMessage" => {
            json!({"role": "assistant", "model": "m", "content": {"type": "text", "text": "four"}})
        }
        _ => json!({"action": "accept", "content": {"name": "Ada"}}),
    }
}

/// Answers to all that an `input_required` result asks.
fn answers(result: &Value) -> Value {
    let asked = result["inputRequests"].as_object().unwrap_or_else(|| panic!("{result}"));
    asked.iter().map(|(key, request)| (key.clone(), answer(request["method"].as_str().unwrap()))).collect()
}

/// The request again, with what was asked for.
fn again(params: &Value, result: &Value, responses: Value) -> Value {
    let mut params = params.clone();
    params["inputResponses"] = responses;
    params["requestState"] = result["requestState"].clone();
    params
}

fn ask(method: &str) -> Value {
    json!({"name": "ask", "arguments": {"method": method}})
}

async fn asked(client: &Stateless, params: &Value) -> Value {
    let result = client.call("tools/call", params.clone()).await["result"].clone();
    assert_eq!(result["resultType"], "input_required", "{result}");
    result
}

/// A bridge whose server writes down what it gets, and that looks every second for what is over.
async fn with_journal() -> (tempfile::TempDir, App, Stateless) {
    let folder = tempfile::tempdir().unwrap();
    let child = child(&format!(", \"--journal\", \"{}\"", folder.path().join("journal").display()));
    let yaml = BASIC.replace("me: {builtin: whoami}", &format!("fake: {child}"));
    let app =
        App::with(&yaml.replace(
            "listen: 127.0.0.1:0",
            "listen: 127.0.0.1:0\n  session: {timeout: 4s}\n  sse_keepalive_interval: 1s",
        ));
    let client = Stateless::new(&app, Client::register(&app).await.tokens().await.access()).able(everything());
    (folder, app, client)
}

fn was_cancelled(folder: &tempfile::TempDir) -> bool {
    journal(&folder.path().join("journal")).iter().any(|got| got["method"] == "notifications/cancelled")
}

#[tokio::test]
async fn d_24_a_question_becomes_a_result_and_the_request_sent_again_its_answer() {
    let (_app, client) = with_stateless("").await;
    let client = client.able(everything());
    for method in ["roots/list", "sampling/createMessage", "elicitation/create"] {
        let result = asked(&client, &ask(method)).await;
        let requests = result["inputRequests"].as_object().unwrap();
        assert_eq!(requests.len(), 1);
        let request = requests.values().next().unwrap();
        assert_eq!(request["method"], method);
        assert!(request.get("id").is_none() && request.get("jsonrpc").is_none());
        assert!(result["requestState"].is_string() && result.get("ttlMs").is_none());
        let retried = client.call("tools/call", again(&ask(method), &result, answers(&result))).await;
        assert_eq!(retried["result"]["resultType"], "complete", "{retried}");
        assert_eq!(retried["result"]["structuredContent"]["result"], answer(method));
    }
}

#[tokio::test]
async fn d_24_a_question_keeps_its_params_but_for_the_token_of_its_progress() {
    let (_app, client) = with_stateless("").await;
    let client = client.able(everything());
    let params =
        json!({"message": "?", "requestedSchema": {}, "x": 1.50, "_meta": {"progressToken": 3, "kept": [1e2]}});
    let call = json!({"name": "ask", "arguments": {"method": "elicitation/create", "params": params}});
    let result = asked(&client, &call).await;
    let put = result["inputRequests"].as_object().unwrap().values().next().unwrap()["params"].clone();
    assert_eq!(put, json!({"message": "?", "requestedSchema": {}, "x": 1.5, "_meta": {"kept": [1e2]}}));
}

#[tokio::test]
async fn d_24_prompts_and_resources_can_ask_too() {
    let (_app, client) = with_stateless("").await;
    let client = client.able(everything());
    for (method, params) in [
        ("prompts/get", json!({"name": "greeting", "arguments": {"name": "ask"}})),
        ("resources/read", json!({"uri": "fake://item/ask"})),
    ] {
        let result = client.call(method, params.clone()).await["result"].clone();
        assert!(result["resultType"] == "input_required" && result.get("cacheScope").is_none(), "{result}");
        let retried = client.call(method, again(&params, &result, answers(&result))).await["result"].clone();
        assert!(retried["resultType"] == "complete" && retried.to_string().contains("Ada"), "{retried}");
    }
}

#[tokio::test]
async fn c_17_what_was_answered_with_help_of_the_client_is_asked_anew() {
    let (_app, client) = with_stateless("").await;
    let client = client.able(everything());
    let params = json!({"uri": "fake://item/ask"});
    let mut states = Vec::new();
    for _ in 0..3 {
        // The same question each time, of a result that an answer without help could be kept of.
        let result = client.call("resources/read", params.clone()).await["result"].clone();
        assert!(result["resultType"] == "input_required" && result.get("ttlMs").is_none(), "{result}");
        let read = client.call("resources/read", again(&params, &result, answers(&result))).await["result"].clone();
        assert_eq!(read["resultType"], "complete", "{read}");
        states.push(result["requestState"].clone());
    }
    states.dedup();
    assert_eq!(states.len(), 3);
}

#[tokio::test]
async fn d_24_questions_put_at_once_come_together_and_later_ones_in_another_round() {
    let (_app, client) = with_stateless("").await;
    let client = client.able(everything());
    let methods = ["roots/list", "sampling/createMessage", "elicitation/create"];
    let call = json!({"name": "ask_several", "arguments": {"methods": methods, "then": "roots/list"}});
    let first = asked(&client, &call).await;
    assert_eq!(first["inputRequests"].as_object().unwrap().len(), 3);
    let second = asked(&client, &again(&call, &first, answers(&first))).await;
    assert_eq!(second["inputRequests"].as_object().unwrap().len(), 1);
    assert_ne!(first["requestState"], second["requestState"]);
    let last = client.call("tools/call", again(&call, &second, answers(&second))).await;
    assert_eq!(last["result"]["structuredContent"]["answers"].as_object().unwrap().len(), 3, "{last}");
}

#[tokio::test]
async fn d_24_what_is_missing_is_asked_for_again_and_what_is_too_much_is_ignored() {
    let (_app, client) = with_stateless("").await;
    let client = client.able(everything());
    let call = json!({"name": "ask_several", "arguments": {"methods": ["roots/list", "elicitation/create"]}});
    let first = asked(&client, &call).await;
    let mut some = answers(&first);
    let (missing, _) = first["inputRequests"].as_object().unwrap().iter().next().unwrap();
    some.as_object_mut().unwrap().remove(missing).unwrap();
    some["unknown"] = json!({"action": "accept"});
    let second = asked(&client, &again(&call, &first, some)).await;
    let keys: Vec<_> = second["inputRequests"].as_object().unwrap().keys().collect();
    assert_eq!(keys, [missing]);
    let last = client.call("tools/call", again(&call, &second, answers(&second))).await;
    assert_eq!(last["result"]["resultType"], "complete", "{last}");
    let plain = ask("roots/list");
    let first = asked(&client, &plain).await;
    let nothing = asked(&client, &again(&plain, &first, json!({}))).await;
    assert_eq!(nothing["inputRequests"], first["inputRequests"]);
    let null = asked(&client, &again(&plain, &nothing, Value::Null)).await;
    assert_eq!(null["inputRequests"], first["inputRequests"], "null reads as absent");
    let last = client.call("tools/call", again(&plain, &null, answers(&null))).await;
    assert_eq!(last["result"]["resultType"], "complete", "{last}");
}

#[tokio::test]
async fn c_19_a_state_that_is_changed_foreign_used_or_late_is_refused() {
    let (_app, client) = with_stateless("").await;
    let client = client.able(everything());
    let call = ask("roots/list");
    let result = asked(&client, &call).await;
    let good = again(&call, &result, answers(&result));
    let refused = async |client: &Stateless, method: &str, params: Value| {
        let answer = client.call(method, params.clone()).await;
        assert_eq!(answer["error"]["code"], -32602, "{params}: {answer}");
    };
    for state in [
        json!(format!("{}-TAMPERED", result["requestState"].as_str().unwrap())),
        json!(""),
        json!(7),
        json!("x".repeat(32)),
    ] {
        let mut changed = good.clone();
        changed["requestState"] = state;
        refused(&client, "tools/call", changed).await;
    }
    let mut other = good.clone();
    other["arguments"]["method"] = json!("elicitation/create");
    refused(&client, "tools/call", other).await;
    refused(&client, "prompts/get", json!({"name": "plain", "requestState": good["requestState"]})).await;
    for bad in [json!([]), json!(7), json!({"ask-1": null})] {
        let mut malformed = good.clone();
        malformed["inputResponses"] = bad;
        refused(&client, "tools/call", malformed).await;
    }
    let honest = client.call("tools/call", good.clone()).await;
    assert_eq!(honest["result"]["resultType"], "complete", "nothing of it did any harm: {honest}");
    refused(&client, "tools/call", good).await;
}

#[tokio::test]
async fn c_19_a_state_is_of_use_to_nobody_else() {
    let (app, client) = with_stateless("").await;
    let client = client.able(everything());
    let call = ask("roots/list");
    let result = asked(&client, &call).await;
    let good = again(&call, &result, answers(&result));
    let stranger = Stateless::new(&app, Client::register(&app).await.tokens().await.access()).able(everything());
    assert_eq!(
        stranger.call("tools/call", good.clone()).await["error"]["code"],
        -32602,
        "the same person, another client"
    );
    assert_eq!(client.call("tools/call", good).await["result"]["resultType"], "complete");
}

#[tokio::test]
async fn c_19_a_refreshed_token_of_the_same_client_comes_back_to_its_call() {
    let (app, _) = with_stateless("").await;
    let owner = Client::register(&app).await;
    let tokens = owner.tokens().await;
    let call = ask("roots/list");
    let result = asked(&Stateless::new(&app, tokens.access()).able(everything()), &call).await;
    let later = Stateless::new(&app, owner.refresh(tokens.refresh()).await.access()).able(everything());
    assert_eq!(
        later.call("tools/call", again(&call, &result, answers(&result))).await["result"]["resultType"],
        "complete"
    );
}

#[tokio::test]
async fn c_19_who_does_not_come_back_in_time_finds_nothing_and_the_server_is_told() {
    let (folder, app, client) = with_journal().await;
    let call = ask("roots/list");
    let result = asked(&client, &call).await;
    app.clock.advance(Duration::from_secs(599));
    let good = again(&call, &result, answers(&result));
    let second = client.call("tools/call", good.clone()).await;
    assert_eq!(second["result"]["resultType"], "complete", "in time: {second}");
    let result = asked(&client, &call).await;
    app.clock.advance(Duration::from_secs(600));
    let late = client.call("tools/call", again(&call, &result, answers(&result))).await;
    assert_eq!(late["error"]["code"], -32602);
    until(|| was_cancelled(&folder)).await;
}

#[tokio::test]
async fn the_oldest_of_too_many_parked_calls_is_given_up() {
    let (folder, _app, client) = with_journal().await;
    let call = ask("roots/list");
    let first = asked(&client, &call).await;
    for _ in 0..32 {
        asked(&client, &call).await;
    }
    assert_eq!(client.call("tools/call", again(&call, &first, answers(&first))).await["error"]["code"], -32602);
    until(|| was_cancelled(&folder)).await;
}

#[tokio::test]
async fn d_14_what_the_client_did_not_declare_is_not_asked_and_a_call_that_fails_for_it_says_so() {
    let (_app, client) = with_stateless("").await;
    let sampler = client.clone().able(json!({"sampling": {}}));
    let demand = json!({"name": "demand", "arguments": {"method": "elicitation/create"}});
    let page = sampler.page("tools/call", demand).await;
    assert_eq!(refusal(&page), (400, -32021));
    let data = last_message(&page)["error"]["data"].clone();
    assert_eq!(data, json!({"requiredCapabilities": {"elicitation": {}}}));
    let lenient = sampler.call("tools/call", ask("elicitation/create")).await;
    assert!(
        lenient["result"]["structuredContent"]["error"].is_object(),
        "a server that can do without goes on: {lenient}"
    );
    let both =
        json!({"name": "ask_several", "arguments": {"methods": ["elicitation/create", "sampling/createMessage"]}});
    let asked = asked(&sampler, &both).await;
    let methods: Vec<_> =
        asked["inputRequests"].as_object().unwrap().values().map(|request| request["method"].clone()).collect();
    assert_eq!(methods, ["sampling/createMessage"]);
}

#[tokio::test]
async fn d_24_sampling_with_tools_or_context_is_for_who_declared_that() {
    let (app, client) = with_stateless("").await;
    let params = json!({"messages": [], "includeContext": "allServers", "maxTokens": 5, "_meta": {"progressToken": 1}});
    let mut with_tools = params.clone();
    with_tools["tools"] = json!([{"name": "t", "inputSchema": {"type": "object"}}]);
    let ask =
        |params: &Value| json!({"name": "ask", "arguments": {"method": "sampling/createMessage", "params": params}});
    let token = Client::register(&app).await.tokens().await.access().to_owned();
    let session = Session::initialize_as(&app, &token, json!({"sampling": {}})).await;
    let refused = session.call("tools/call", ask(&with_tools)).await;
    assert!(refused.to_string().contains("cannot do this"), "{refused}");
    let (plain, able) =
        (client.clone().able(json!({"sampling": {}})), client.able(json!({"sampling": {"tools": {}, "context": {}}})));
    let put = |result: &Value| result["inputRequests"].as_object().unwrap().values().next().unwrap()["params"].clone();
    assert_eq!(put(&asked(&plain, &ask(&params)).await), json!({"messages": [], "maxTokens": 5, "_meta": {}}));
    let refused = plain.call("tools/call", ask(&with_tools)).await;
    assert!(refused.to_string().contains("cannot do this"), "{refused}");
    let all = put(&asked(&able, &ask(&with_tools)).await);
    assert_eq!((&all["includeContext"], &all["tools"]), (&json!("allServers"), &with_tools["tools"]));
}

#[tokio::test]
async fn d_24_who_comes_back_able_to_do_less_is_not_asked_the_rest() {
    let (_app, client) = with_stateless("").await;
    let call = |name: &str| json!({"name": name, "arguments": {"method": "elicitation/create", "methods": ["elicitation/create", "roots/list"]}});
    let able = client.clone().able(everything());
    let less = client.able(json!({"roots": {}}));
    let first = asked(&able, &call("ask_several")).await;
    let second = asked(&less, &again(&call("ask_several"), &first, json!({}))).await;
    let left: Vec<&Value> =
        second["inputRequests"].as_object().unwrap().values().map(|request| &request["method"]).collect();
    assert_eq!(left, ["roots/list"]);
    let first = asked(&able, &call("demand")).await;
    let page = less.page("tools/call", again(&call("demand"), &first, json!({}))).await;
    assert_eq!(refusal(&page), (400, -32021), "{}", page.body);
}

#[tokio::test]
async fn d_14_a_call_that_failed_for_a_capability_while_its_client_was_asked_says_so_to_who_comes_back() {
    let (folder, _app, client) = with_journal().await;
    let sampler = client.able(json!({"sampling": {}}));
    let is_answered =
        |text: &str| journal(&folder.path().join("journal")).iter().any(|got| got.to_string().contains(text));
    let wanted = json!({"mode": "url", "message": "Log in", "url": "https://x.example/", "elicitationId": "e1"});
    let error = json!({"code": -32042, "message": "m", "data": {"elicitations": [wanted]}});
    for (arguments, missing) in [
        (
            json!({"methods": ["elicitation/create", "sampling/createMessage"], "fail": true}),
            json!({"elicitation": {}}),
        ),
        (json!({"methods": ["sampling/createMessage"], "error": error}), json!({"elicitation": {"url": {}}})),
    ] {
        let call = json!({"name": "ask_impatiently", "arguments": arguments});
        let first = asked(&sampler, &call).await;
        // The call has ended meanwhile: its question is taken back.
        until(|| is_answered("The call is over")).await;
        let params = again(&call, &first, answers(&first));
        let page = sampler.page("tools/call", params).await;
        assert_eq!(refusal(&page), (400, -32021), "{}", page.body);
        assert_eq!(last_message(&page)["error"]["data"], json!({"requiredCapabilities": missing}));
        std::fs::remove_file(folder.path().join("journal")).unwrap();
    }
}

#[tokio::test]
async fn d_19_progress_before_and_after_a_question_bears_the_token_of_its_round() {
    let (_app, client) = with_stateless("").await;
    let client = client.able(everything());
    let mut call = json!({"name": "ask_progress", "arguments": {"steps": 2}, "_meta": {"progressToken": "first"}});
    let mut stream = Events::of(client.send(1, "tools/call", call.clone()).await);
    assert_eq!(stream.next().await.unwrap()["params"]["progressToken"], "first");
    let asked = stream.next().await.unwrap();
    assert_eq!((&asked["id"], &asked["result"]["resultType"]), (&json!(1), &json!("input_required")));
    assert_eq!(stream.next().await, None);
    call["_meta"]["progressToken"] = json!("second");
    let retry = again(&call, &asked["result"], answers(&asked["result"]));
    let mut stream = Events::of(client.send(77, "tools/call", retry).await);
    for step in 1..=2 {
        let progress = stream.next().await.unwrap();
        assert_eq!(
            (&progress["params"]["progressToken"], &progress["params"]["progress"]),
            (&json!("second"), &json!(step))
        );
    }
    let last = stream.next().await.unwrap();
    assert_eq!((&last["id"], &last["result"]["resultType"]), (&json!(77), &json!("complete")));
}

#[tokio::test]
async fn d_20_a_client_that_leaves_after_it_came_back_cancels_its_call() {
    let (folder, _app, client) = with_journal().await;
    let call = json!({"name": "ask_progress", "arguments": {"steps": 1000, "milliseconds": 50}, "_meta": {"progressToken": 1}});
    let mut stream = Events::of(client.send(1, "tools/call", call.clone()).await);
    stream.next().await.unwrap();
    let result = stream.next().await.unwrap()["result"].clone();
    assert_eq!((&result["resultType"], stream.next().await), (&json!("input_required"), None));
    assert!(!was_cancelled(&folder), "to be asked is not to leave");
    let retry = again(&call, &result, answers(&result));
    let mut stream = Events::of(client.send(2, "tools/call", retry).await);
    stream.next().await.unwrap();
    assert!(!was_cancelled(&folder), "nor is to come back");
    drop((stream, client));
    until(|| was_cancelled(&folder)).await;
}

#[tokio::test]
async fn a_crash_while_a_call_is_parked_is_told_to_who_comes_back() {
    let (_app, client) = with_stateless("").await;
    let client = client.able(everything());
    let call = ask("roots/list");
    let result = asked(&client, &call).await;
    client.tool("crash", json!({})).await;
    let late = client.call("tools/call", again(&call, &result, answers(&result))).await;
    assert_eq!(late["error"]["code"], -32603, "{late}");
}

#[tokio::test]
async fn mcp_18_a_question_goes_to_nobody_else_whatever_their_era() {
    let (app, client) = with_stateless("").await;
    let client = client.able(everything());
    let owner = Client::register(&app).await;
    let page = owner.authorize(&mut Browser::new(), "rita", &[]).await;
    let tokens = owner.redeem(&page.answer("code").unwrap()).await;
    let session = Session::initialize_as(&app, tokens.access(), everything()).await;
    let parked = asked(&client, &ask("roots/list")).await;
    // While somebody else's call is under way, nobody can tell whose question it is on the one pipe of a child.
    let prompt = json!({"jsonrpc": "2.0", "id": 1, "method": "prompts/get",
        "params": {"name": "greeting", "arguments": {"name": "ask"}}});
    let answered = last_message(&session.post(&prompt).await);
    assert!(answered.to_string().contains("cannot be attributed"), "{answered}");
    let call = ask("roots/list");
    let done = client.call("tools/call", again(&call, &parked, answers(&parked))).await;
    assert_eq!(done["result"]["resultType"], "complete");
    let mut stream = Events::of(session.send(&prompt).await);
    let question = stream.next().await.unwrap();
    assert_eq!(question["method"], "elicitation/create", "and alone it is asked again");
    let reply = json!({"jsonrpc": "2.0", "id": question["id"], "result": answer("elicitation/create")});
    assert_eq!(session.post(&reply).await.status, 202);
    assert_eq!(stream.next().await.unwrap()["id"], 1);
}
