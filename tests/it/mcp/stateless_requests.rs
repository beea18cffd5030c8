//! The stateless era, requests: what each has to say, in body and header. Names carry the rows of MCP 2026-07-28 that
//! `reference/mcp-spec.md` 2 (d) counts.

use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::mcp::{with_child, with_stateless};
use crate::support::browser::Page;
use crate::support::mcp::{Session, last_message};
use crate::support::stateless::{VERSION, refusal};
use crate::support::{Client, Stateless};

async fn answer(request: reqwest::RequestBuilder) -> Page {
    Page::read(request.send().await.unwrap()).await
}

#[tokio::test]
async fn d_13_a_missing_field_of_meta_is_named() {
    let (_app, client) = with_stateless("").await;
    let whole = client.message(7, "server/discover", json!({}));
    for missing in ["protocolVersion", "clientCapabilities"] {
        let mut message = whole.clone();
        let key = format!("io.modelcontextprotocol/{missing}");
        message["params"]["_meta"].as_object_mut().unwrap().remove(&key).unwrap();
        let page = answer(client.request(&message)).await;
        assert_eq!(refusal(&page), (400, -32602), "{missing}");
        assert!(page.body.contains(missing) && page.body.contains(r#""id":7"#), "{}", page.body);
    }
    for params in [json!({}), Value::Null] {
        let message = json!({"jsonrpc": "2.0", "id": 7, "method": "server/discover", "params": params});
        assert_eq!(refusal(&answer(client.request(&message)).await), (400, -32602), "{message}");
    }
    let mut message = whole;
    message["params"]["_meta"].as_object_mut().unwrap().remove("io.modelcontextprotocol/clientInfo").unwrap();
    assert_eq!(answer(client.request(&message)).await.status, 200, "what the client is may stay unsaid");
}

#[tokio::test]
async fn d_10_and_11_the_version_is_the_same_in_header_and_body_and_one_that_is_spoken() {
    let (_app, client) = with_stateless("").await;
    let message = client.message(3, "tools/list", json!({}));
    let bare = || client.bare(&message).header("mcp-method", "tools/list");
    assert_eq!(refusal(&answer(bare()).await), (400, -32020), "no header");
    assert_eq!(refusal(&answer(bare().header("mcp-protocol-version", "2025-11-25")).await), (400, -32020));
    let twice = bare().header("mcp-protocol-version", VERSION).header("mcp-protocol-version", VERSION);
    assert_eq!(refusal(&answer(twice).await), (400, -32020));
    let mut unknown = message.clone();
    unknown["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!("v999");
    let page = answer(client.bare(&unknown).header("mcp-protocol-version", "v999")).await;
    assert_eq!(refusal(&page), (400, -32022));
    let body: Value = serde_json::from_str(&page.body).unwrap();
    assert_eq!((&body["id"], &body["error"]["data"]["requested"]), (&json!(3), &json!("v999")));
    let discovered = client.call("server/discover", json!({})).await;
    assert_eq!(body["error"]["data"]["supported"], discovered["result"]["supportedVersions"]);
}

#[tokio::test]
async fn mcp_1_d_15_method_and_name_in_the_header_are_those_of_the_body() {
    let (_app, client) = with_stateless("").await;
    let calls = client.message(1, "tools/call", json!({"name": "echo", "arguments": {"text": "ü"}}));
    let fields = |method: &str, name: Option<&str>| {
        let request = client.bare(&calls).header("mcp-protocol-version", VERSION).header("mcp-method", method);
        name.into_iter().fold(request, |request, name| request.header("mcp-name", name))
    };
    for (method, name) in [("tools/call", "echo"), ("tools/call", "  echo "), ("tools/call", "=?base64?ZWNobw==?=")] {
        assert_eq!(answer(fields(method, Some(name))).await.status, 200, "{method} {name}");
    }
    for (method, name) in [
        ("tools/list", Some("echo")),
        ("Tools/Call", Some("echo")),
        ("tools/call", Some("crash")),
        ("tools/call", Some("ECHO")),
        ("tools/call", Some("=?base64?ZWNobw?=")),
        ("tools/call", Some("écho")),
        ("tools/call", None),
    ] {
        assert_eq!(refusal(&answer(fields(method, name)).await), (400, -32020), "{method} {name:?}");
    }
    let none = client.bare(&calls).header("mcp-protocol-version", VERSION).header("mcp-name", "echo");
    assert_eq!(refusal(&answer(none).await), (400, -32020), "no Mcp-Method");
    let uri = client.message(1, "resources/read", json!({"uri": "fake://one"}));
    let wrong = client.bare(&uri).header("mcp-protocol-version", VERSION).header("mcp-method", "resources/read");
    assert_eq!(refusal(&answer(wrong.header("mcp-name", "fake://two")).await), (400, -32020));
    for method in ["tools/call", "prompts/get", "resources/read"] {
        for name in [Some("echo"), None] {
            let nameless = client.request(&client.message(1, method, json!({"name": 7, "uri": null})));
            let request = name.into_iter().fold(nameless, |request, name| request.header("mcp-name", name));
            assert_eq!(refusal(&answer(request).await), (400, -32020), "{method} {name:?}: the body has no name");
        }
    }
}

#[tokio::test]
async fn d_8_names_of_fields_are_read_in_any_case_and_values_in_theirs() {
    let (app, client) = with_stateless("").await;
    let body = client.message(1, "tools/call", json!({"name": "echo", "arguments": {"text": "x"}})).to_string();
    let token = Client::register(&app).await.tokens().await.access().to_owned();
    let address = app.local_url().trim_start_matches("http://").to_owned();
    for (version, method, name, value, status) in [
        ("MCP-PROTOCOL-VERSION", "MCP-METHOD", "MCP-NAME", "echo", "200"),
        ("mcp-protocol-version", "mcp-method", "mcp-name", "echo", "200"),
        ("McP-pRoToCoL-vErSiOn", "mCp-MeThOd", "McP-nAmE", "echo", "200"),
        ("Mcp-Protocol-Version", "Mcp-Method", "Mcp-Name", "Echo", "400"),
    ] {
        let mut stream = TcpStream::connect(&address).await.unwrap();
        let head = format!(
            "POST /mcp HTTP/1.1\r\nHOST: {address}\r\nAUTHORIZATION: bearer {token}\r\nContent-TYPE: application/json\r\n\
             accept: application/json, text/event-stream\r\n{version}: {VERSION}\r\n{method}: tools/call\r\n{name}: {value}\r\n\
             connection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{method} {value}: {answer}");
    }
}

#[tokio::test]
async fn d_16_arguments_that_the_tools_schema_repeats_in_the_header_agree() {
    let (_app, client) = with_stateless("").await;
    let call = |arguments: Value| client.message(1, "tools/call", json!({"name": "mirrored", "arguments": arguments}));
    let hello = call(json!({"region": "Hello", "rows": 42}));
    let fields = |region: &str, rows: &str| {
        client.request(&hello).header("Mcp-Param-Region", region).header("Mcp-Param-Rows", rows)
    };
    for (region, rows) in [("Hello", "42"), ("=?base64?SGVsbG8=?=", "42.0")] {
        let page = answer(fields(region, rows).header("Mcp-Param-Other", "x")).await;
        assert_eq!(page.status, 200, "{region} {rows}: {}", page.body);
    }
    for (region, rows) in
        [("hello", "42"), ("Hello", "43"), ("=?base64?SGVsbG8?=", "42"), ("=?base64?SGVs!!!bG8=?=", "42")]
    {
        assert_eq!(refusal(&answer(fields(region, rows)).await), (400, -32020), "{region} {rows}");
    }
    let literal = call(json!({"region": "SGVsbG8="}));
    assert_eq!(answer(client.request(&literal).header("mcp-param-region", "SGVsbG8=")).await.status, 200);
    assert_eq!(refusal(&answer(client.request(&literal)).await), (400, -32020), "the field is missing");
    let nothing = call(json!({"region": null}));
    assert_eq!(answer(client.request(&nothing)).await.status, 200);
    assert_eq!(refusal(&answer(client.request(&nothing).header("mcp-param-region", "x")).await), (400, -32020));
}

#[tokio::test]
async fn d_12_what_is_not_there_is_404_with_the_requests_id() {
    let (_app, client) = with_stateless("").await;
    for method in [
        "initialize",
        "ping",
        "logging/setLevel",
        "resources/subscribe",
        "resources/unsubscribe",
        "roots/list",
        "tasks/list",
        "unknown/method",
    ] {
        let page = client.page(method, json!({})).await;
        assert_eq!(refusal(&page), (404, -32601), "{method}");
        assert_eq!(last_message(&page)["id"], 1);
    }
}

#[tokio::test]
async fn d_4_a_notification_is_taken_and_an_array_or_an_answer_is_not() {
    let (_app, client) = with_stateless("").await;
    let cancelled = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}});
    let page = answer(client.request(&cancelled)).await;
    assert_eq!((page.status, page.body.as_str()), (202, ""));
    let mut whole = cancelled.clone();
    whole["params"]["_meta"] = client.meta();
    assert_eq!(answer(client.request(&whole)).await.status, 202);
    let post = |method: &str, version: &str| {
        client.bare(&whole).header("mcp-protocol-version", version).header("mcp-method", method)
    };
    for contradicting in [post("notifications/progress", VERSION), post("notifications/cancelled", "2025-11-25")] {
        assert_eq!(refusal(&answer(contradicting).await), (400, -32020));
    }
    let answered = json!({"jsonrpc": "2.0", "id": 1, "result": {}});
    assert_eq!(answer(client.bare(&answered)).await.status, 400);
    let batch = json!([client.message(1, "tools/list", json!({}))]);
    for wrong in [answered, batch] {
        let page = answer(client.bare(&wrong).header("mcp-protocol-version", VERSION)).await;
        assert_eq!(refusal(&page), (400, -32600), "it is not the version that is wrong: {}", page.body);
    }
}

#[tokio::test]
async fn d_26_get_and_delete_are_for_sessions_and_a_session_id_is_ignored() {
    let (app, client) = with_stateless("").await;
    for verb in [Method::GET, Method::DELETE] {
        let request = client.verb(verb.clone()).header("accept", "text/event-stream");
        let page = answer(request.header("mcp-protocol-version", VERSION)).await;
        assert_eq!((page.status, page.header("allow")), (405, "POST"), "{verb}");
    }
    let message = client.message(1, "tools/list", json!({}));
    let page = answer(client.request(&message).header("mcp-session-id", "gone").header("last-event-id", "7")).await;
    assert_eq!((page.status, page.header("mcp-session-id")), (200, ""));
    let token = Client::register(&app).await.tokens().await.access().to_owned();
    let session = Session::initialize(&app, &token).await;
    assert_eq!(session.status().await, 200, "and the session era is served beside it");
}

#[tokio::test]
async fn d_29_a_session_is_not_disturbed_by_headers_of_the_new_era() {
    let app = with_child("");
    let token = Client::register(&app).await.tokens().await.access().to_owned();
    let session = Session::initialize(&app, &token).await;
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "echo",
        "_meta": {"io.modelcontextprotocol/protocolVersion": "2025-11-25"}}});
    let request = session.request(Method::POST).header("content-type", "application/json");
    let request = request.header("mcp-method", "something/else").header("mcp-name", "other");
    assert_eq!(answer(request.header("mcp-param-region", "x").body(call.to_string())).await.status, 200);
    let hello = crate::support::mcp::initialize("2025-11-25");
    let opened = Session::new(&app, &token).request(Method::POST).header("mcp-protocol-version", VERSION);
    let opened = opened.header("content-type", "application/json").header("mcp-method", "initialize");
    let page = answer(opened.body(hello.to_string())).await;
    assert_eq!(page.status, 200, "initialize opens a session, whatever the header: {}", page.body);
    assert!(!page.header("mcp-session-id").is_empty());
}

#[tokio::test]
async fn a_browser_may_send_the_fields_of_the_new_era() {
    let (app, client) = with_stateless("").await;
    let request = client.verb(Method::OPTIONS).header("origin", app.url.as_str());
    let request = request.header("access-control-request-method", "POST");
    let page = answer(request.header("access-control-request-headers", "mcp-name,mcp-param-region,x-evil")).await;
    let allowed = page.header("access-control-allow-headers").to_ascii_lowercase();
    for name in ["mcp-protocol-version", "mcp-method", "mcp-name", "mcp-param-region"] {
        assert!(allowed.contains(name), "{name}: {allowed}");
    }
    assert!(!allowed.contains("evil"));
}

#[tokio::test]
async fn mcp_14_scopes_are_asked_for_in_this_era_too() {
    let app = with_child("");
    let client = Client::register(&app).await;
    let page = client.authorize(&mut crate::support::Browser::new(), "rita", &[]).await;
    let reader = Stateless::new(&app, client.redeem(&page.answer("code").unwrap()).await.access());
    assert_eq!(reader.page("tools/call", json!({"name": "echo"})).await.status, 200);
    let page = reader.page("tools/call", json!({"name": "grow"})).await;
    assert!(page.status == 403 && page.header("www-authenticate").contains("mcp:write"), "{page:?}");
}
