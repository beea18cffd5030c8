//! Large answers of servers behind a URL: passed on as they come, byte for byte, and never held whole.

use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Value, json};

use crate::bridge::fake_server::{FakeServer, Got, Reply};
use crate::mcp::large_server::{LargeServer, answer, result, wanted};
use crate::mcp::until;
use crate::support::app::BASIC;
use crate::support::mcp::{Events, Session};
use crate::support::{App, Client, Program, Stateless};

const MIB: usize = 1024 * 1024;

struct Rig {
    app: App,
    server: LargeServer,
    token: String,
}

impl Rig {
    async fn start(is_stateless: bool) -> Self {
        let server = LargeServer::start(is_stateless).await;
        let yaml = BASIC.replace("listen: 127.0.0.1:0", "listen: 127.0.0.1:0\n  sse_keepalive_interval: 1s");
        let app = App::with(&yaml.replace("me: {builtin: whoami}", &format!("up: {{url: \"{}\"}}", server.url)));
        let token = Client::register(&app).await.tokens().await.access().to_owned();
        Self { app, server, token }
    }

    async fn session(&self) -> Session {
        Session::initialize(&self.app, &self.token).await
    }

    fn stateless(&self) -> Stateless {
        Stateless::new(&self.app, &self.token)
    }
}

fn call(id: &str, arguments: &Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": "tools/call",
        "params": {"name": "large", "arguments": arguments, "_meta": {"progressToken": "t"}}})
}

/// What comes to a client that takes JSON: the text, and whether that was all of it.
async fn body(mut response: reqwest::Response) -> (String, bool) {
    let (mut all, mut is_whole) = (Vec::new(), true);
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) => all.extend_from_slice(&chunk),
            Ok(None) => break,
            Err(_) => {
                is_whole = false;
                break;
            }
        }
    }
    (String::from_utf8_lossy(&all).into_owned(), is_whole)
}

async fn json_of(session: &Session, message: &Value) -> (String, bool) {
    let request = session.request(reqwest::Method::POST).header("accept", "application/json");
    let response = request.header("content-type", "application/json").body(message.to_string()).send().await.unwrap();
    assert_eq!(
        (response.status().as_u16(), &response.headers()["content-type"]),
        (200, &"application/json".parse().unwrap())
    );
    body(response).await
}

/// The messages of an event stream, as an MCP client takes them: events of another name are none.
async fn messages(response: reqwest::Response) -> Vec<String> {
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let (text, is_whole) = body(response).await;
    assert!(is_whole && text.ends_with("\n\n"), "the stream ends as it should");
    let data = |event: &str| {
        let name = event.lines().filter_map(|line| line.strip_prefix("event: ")).next_back();
        let data = event.lines().find_map(|line| line.strip_prefix("data: "))?;
        (name == Some("message")).then(|| data.to_owned())
    };
    text.split_terminator("\n\n").filter_map(data).collect()
}

async fn stream_of(session: &Session, message: &Value) -> Vec<String> {
    let request = session.request(reqwest::Method::POST).header("accept", "text/event-stream");
    let request = request.header("content-type", "application/json").body(message.to_string());
    messages(request.send().await.unwrap()).await
}

fn with(mut wanted: Value, name: &str, value: impl Into<Value>) -> Value {
    wanted[name] = value.into();
    wanted
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_byte_of_a_large_answer_comes_through_in_both_eras() {
    for is_stateless in [false, true] {
        let rig = Rig::start(is_stateless).await;
        let session = rig.session().await;
        let more = if is_stateless { r#","resultType":"complete""# } else { "" };
        for (bytes, order, is_stream) in [
            (5 * MIB, "first", false),
            (5 * MIB, "last", true),
            (MIB, "middle", false),
            (MIB, "middle", true),
            (MIB, "last", false),
            (MIB, "first", true),
            (50_000, "last", false),
        ] {
            let text = result(bytes, 7, more);
            let expected = answer(order, r#""a""#, &text);
            let message = call("a", &wanted(bytes, 7, order, is_stream, "whole"));
            let (got, is_whole) = json_of(&session, &message).await;
            assert!(is_whole && got == expected, "JSON: {bytes} {order} {is_stream} of {is_stateless}");
            let got = stream_of(&session, &message).await;
            assert!(got == [expected.as_str()], "stream: {bytes} {order} {is_stream} of {is_stateless}");
            // To a client of 2026-07-28 the same, completed where a server of before is silent.
            let message = rig.stateless().message(
                5,
                "tools/call",
                json!({"name": "large", "arguments": wanted(bytes, 7, order, is_stream, "whole")}),
            );
            let (got, _) = body(rig.stateless().request(&message).send().await.unwrap()).await;
            let identity = r#""_meta":{"io.modelcontextprotocol/serverInfo":{"name":"fake","version":"1"}}"#;
            let added = if is_stateless { String::new() } else { format!(r#","resultType":"complete",{identity}"#) };
            let completed = format!("{}{added}}}", text.strip_suffix('}').unwrap());
            assert!(got == answer(order, "5", &completed), "stateless: {bytes} {order} {is_stream} of {is_stateless}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mcp_16_large_answers_at_once_never_cross() {
    let rig = Rig::start(false).await;
    let mut calls = tokio::task::JoinSet::new();
    for seed in 0..12_u64 {
        let (session, stateless) = (rig.session().await, rig.stateless());
        calls.spawn(async move {
            let wanted = wanted(2 * MIB, seed, ["first", "last"][seed as usize % 2], seed % 3 == 0, "whole");
            let got = match seed % 4 {
                0 => json_of(&session, &call("a", &wanted)).await.0,
                1 => stream_of(&session, &call("a", &wanted)).await.remove(0),
                _ => body(stateless.send(3, "tools/call", json!({"name": "large", "arguments": wanted})).await).await.0,
            };
            let text: Value = serde_json::from_str(&got).unwrap();
            let expected: Value = serde_json::from_str(&result(2 * MIB, seed, "")).unwrap();
            assert!(text["result"]["content"] == expected["content"], "{seed}");
        });
    }
    while let Some(done) = calls.join_next().await {
        done.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn proxy_10_and_13_what_goes_wrong_in_the_middle_is_never_a_whole_answer() {
    for is_stateless in [false, true] {
        let rig = Rig::start(is_stateless).await;
        let session = rig.session().await;
        for (end, bytes) in [("broken", MIB), ("vanish", MIB), ("mismatch", MIB), ("tail", MIB), ("whole", 17 * MIB)] {
            for is_stream in [false, true] {
                let wanted = wanted(bytes, 1, "last", is_stream, end);
                let (got, is_whole) = json_of(&session, &call("a", &wanted)).await;
                assert!(!is_whole && got.len() > 100_000, "{end}: JSON breaks off");
                assert!(serde_json::from_str::<Value>(&got).is_err(), "{end}: and is none");
                let got = stream_of(&session, &call("a", &wanted)).await;
                assert_eq!(got.len(), 1, "{end}: what came of it is passed over");
                let error: Value = serde_json::from_str(&got[0]).unwrap();
                assert!(error["id"] == "a" && error["error"]["code"] == -32000, "{end}: {error}");
                let client = rig.stateless();
                let message = client.message(8, "tools/call", json!({"name": "large", "arguments": wanted}));
                assert!(
                    !body(client.request(&message).send().await.unwrap()).await.1,
                    "{end}: to a stateless client, too"
                );
            }
        }
        // The bridge and the way to the server are as good as before.
        let wanted = wanted(MIB, 1, "first", false, "whole");
        assert!(json_of(&session, &call("a", &wanted)).await.1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mr_a_question_in_a_large_result_is_not_taken_for_a_result() {
    let rig = Rig::start(true).await;
    let session = rig.session().await;
    let wanted = |more: &str| with(wanted(MIB, 1, "last", false, "whole"), "more", more);
    let late = wanted(r#","inputRequests":{},"resultType":"input_required""#);
    assert!(!json_of(&session, &call("a", &late)).await.1, "what comes first is not of a question");
    let error = stream_of(&session, &call("a", &late)).await.remove(0);
    assert!(error.contains("kind"), "{error}");
    assert!(!body(rig.stateless().send(3, "tools/call", json!({"name": "large", "arguments": late})).await).await.1);
    let without = wanted("");
    assert!(json_of(&session, &call("a", &without)).await.1, "one of no kind is complete");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_is_not_kept_alive_in_the_middle_of_an_event() {
    let rig = Rig::start(false).await;
    let session = rig.session().await;
    let mut wanted = with(wanted(MIB, 1, "first", true, "whole"), "pause", 2500);
    let expected = answer("first", r#""a""#, &result(MIB, 1, ""));
    assert!(stream_of(&session, &call("a", &wanted)).await == [expected.as_str()]);
    // A large message that is no answer is one as before, and the answer after it passes.
    wanted = with(with(wanted, "progress", true), "pause", 0);
    let got = stream_of(&session, &call("a", &wanted)).await;
    assert!(got.len() == 2 && got[1] == expected);
    assert!(got[0].contains(r#""progressToken":"t""#) && got[0].len() > 200_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_comes_back_for_what_passed_is_told_that_it_is_gone() {
    let rig = Rig::start(false).await;
    let session = rig.session().await;
    // More than the sockets on the way hold.
    let wanted = with(wanted(15 * MIB, 1, "first", true, "whole"), "progress", true);
    let mut stream = session.stream(&call("a", &wanted)).await;
    stream.event().await.unwrap();
    let progress = stream.event().await.unwrap();
    drop(stream);
    until(|| rig.server.counts.given_up.load(Ordering::Relaxed) == 1).await;
    let rest = Events::of(session.resume(&progress.id).await).all().await;
    let error = rest.last().unwrap().message();
    assert!(error["id"] == "a" && error["error"]["message"].as_str().unwrap().contains("too large"), "{error}");
    // What is small enough to be kept is there.
    let wanted = with(with(wanted, "bytes", 150_000), "pause", 1);
    let mut stream = session.stream(&call("b", &wanted)).await;
    stream.event().await.unwrap();
    let progress = stream.event().await.unwrap();
    drop(stream);
    let rest = Events::of(session.resume(&progress.id).await).all().await;
    let last = &rest.last().unwrap().data;
    assert!(*last == answer("first", r#""b""#, &result(150_000, 1, "")), "{:.300}", last);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_lost_what_was_delivered_to_its_machine_is_told_that_it_is_gone() {
    let rig = Rig::start(false).await;
    let session = rig.session().await;
    let wanted = with(wanted(400_000, 1, "first", true, "whole"), "progress", true);
    let mut stream = session.stream(&call("a", &wanted)).await;
    let priming = stream.event().await.unwrap();
    let progress = stream.event().await.unwrap();
    let rest = stream.all().await;
    let answered = rest.last().unwrap();
    assert!(answered.data == answer("first", r#""a""#, &result(400_000, 1, "")));
    // Its machine had all of it, and the client fell over before it had read it.
    for before in [&priming, &progress, &progress] {
        let rest = Events::of(session.resume(&before.id).await).all().await;
        let last = rest.last().unwrap();
        let error = last.message();
        assert!(error["id"] == "a" && error["error"]["message"].as_str().unwrap().contains("too large"), "{error}");
        assert_eq!(last.id, answered.id, "in the place of the answer");
    }
    // Who has read it misses nothing.
    assert_eq!(session.resume(&answered.id).await.status(), 400);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_comes_back_beside_its_dead_connection_is_answered_at_once() {
    let rig = Rig::start(false).await;
    let session = rig.session().await;
    let wanted = with(wanted(15 * MIB, 1, "first", true, "whole"), "progress", true);
    let mut dead = session.send(&call("a", &wanted)).await;
    let mut begun = String::new();
    while begun.matches("\n\n").count() < 3 {
        begun += std::str::from_utf8(&dead.chunk().await.unwrap().unwrap()).unwrap();
    }
    let progress = begun.lines().filter_map(|line| line.strip_prefix("id: ")).nth(1).unwrap();
    // The machine was cut off: nothing is read, and nothing says that the connection is over.
    until(|| rig.server.counts.is_stalled.load(Ordering::Relaxed)).await;
    let again = async { Events::of(session.resume(progress).await).all().await };
    let rest = tokio::time::timeout(Duration::from_secs(20), again).await.expect("it does not wait for the other one");
    let error = rest.last().unwrap().message();
    assert!(error["id"] == "a" && error["error"]["message"].as_str().unwrap().contains("too large"), "{error}");
    // The server is let go although the dead connection is still there, which ends where it stands.
    until(|| rig.server.counts.given_up.load(Ordering::Relaxed) == 1).await;
    assert!(!body(dead).await.0.ends_with("\n\n"), "no whole event comes on it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mcp_3_a_result_whose_kind_can_be_read_in_two_ways_is_an_error_small_or_large() {
    let rig = Rig::start(true).await;
    let session = rig.session().await;
    for more in [
        r#","resultType":"complete","resultType":"input_required""#,
        r#","resultType":"complete","ResultType":"input_required""#,
        r#","resulttype":"input_required""#,
        r#","RESULTTYPE":"complete""#,
    ] {
        for (bytes, is_stream) in [(1000, false), (1000, true), (MIB, false), (MIB, true)] {
            let wanted = with(wanted(bytes, 1, "last", is_stream, "whole"), "more", more);
            let error: Value = serde_json::from_str(&stream_of(&session, &call("a", &wanted)).await.remove(0)).unwrap();
            assert!(error["id"] == "a" && error["error"]["code"] == -32000, "{more} {bytes} {is_stream}: {error:.200}");
            let (of_session, is_whole) = json_of(&session, &call("a", &wanted)).await;
            let of_stateless =
                rig.stateless().send(3, "tools/call", json!({"name": "large", "arguments": wanted})).await;
            let (of_stateless, is_also_whole) = body(of_stateless).await;
            if bytes > 1000 {
                assert!(!is_whole && !is_also_whole, "{more} {is_stream}: it breaks off");
                continue;
            }
            for got in [of_session, of_stateless] {
                let error: Value = serde_json::from_str(&got).unwrap();
                let text = error["error"]["message"].as_str().unwrap_or_default();
                assert!(text.contains("two ways"), "{more} {is_stream}: {got:.200}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d_20_a_stateless_client_that_leaves_stops_the_server() {
    for is_stateless in [false, true] {
        let rig = Rig::start(is_stateless).await;
        for (number, is_stream) in [false, true].into_iter().enumerate() {
            let wanted = wanted(15 * MIB, 1, "first", is_stream, "whole");
            let mut response =
                rig.stateless().send(3, "tools/call", json!({"name": "large", "arguments": wanted})).await;
            response.chunk().await.unwrap().unwrap();
            drop(response);
            until(|| rig.server.counts.given_up.load(Ordering::Relaxed) == number + 1).await;
        }
    }
}

#[tokio::test]
async fn a_question_for_a_call_whose_answer_passes_is_refused_at_once() {
    let (events, of_get) = tokio::sync::mpsc::unbounded_channel();
    let (pieces, of_call) = tokio::sync::mpsc::unbounded_channel();
    let channels = std::sync::Mutex::new((Some(of_get), Some(of_call)));
    let server = FakeServer::start(move |got| {
        let mut channels = channels.lock().unwrap();
        match got.method().as_str() {
            "tools/call" => channels.1.take().map(Reply::Follow),
            _ if got.line.starts_with("GET") => channels.0.take().map(Reply::Follow),
            _ => None,
        }
    })
    .await;
    let app = App::with(&BASIC.replace("me: {builtin: whoami}", &format!("up: {{url: \"{}\"}}", server.url)));
    let token = Client::register(&app).await.tokens().await.access().to_owned();
    let client = Stateless::new(&app, &token).able(json!({"roots": {}}));
    events.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n".to_owned()).unwrap();
    let calling =
        tokio::spawn(async move { client.send(5, "tools/call", json!({"name": "echo", "arguments": {}})).await });
    until(|| !server.got_of("tools/call").is_empty()).await;
    let id = server.got_of("tools/call")[0].json()["id"].to_string();
    let text = answer("first", &id, &result(MIB, 1, ""));
    let (begin, rest) = text.split_at(MIB / 2);
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", text.len());
    pieces.send(head + begin).unwrap();
    let is_refused = |got: &Got| got.json()["id"] == "late" && got.json()["error"].is_object();
    let response = calling.await.unwrap();
    events.send("data: {\"jsonrpc\":\"2.0\",\"id\":\"late\",\"method\":\"roots/list\"}\n\n".to_owned()).unwrap();
    until(|| server.got().iter().any(is_refused)).await;
    pieces.send(rest.to_owned()).unwrap();
    let (got, is_whole) = body(response).await;
    assert!(is_whole && got.contains(r#""resultType":"complete""#), "{got:.200}");
}

/// How much of the program's memory is its own: not what of its file happens to be there.
fn anonymous_kib(program: &Program) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", program.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// How many bytes the kernel holds of what the program at this port sent and nobody took, on the connection that has most:
/// ss(8), skmem.
fn most_unsent(program: &Program) -> usize {
    let port: u16 = program.url.rsplit(':').next().unwrap().parse().unwrap();
    let table = std::fs::read_to_string(format!("/proc/{}/net/tcp", program.id())).unwrap();
    // proc(5): local address, remote address, state, bytes sent and not acknowledged, or not sent: those received.
    let rows = table.lines().map(|row| row.split_whitespace().collect::<Vec<_>>());
    let own = rows.filter(|row| row[1].ends_with(&format!(":{port:04X}")));
    own.map(|row| usize::from_str_radix(row[4].split(':').next().unwrap(), 16).unwrap()).max().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mcp_24_and_proxy_13_a_client_that_stops_reading_stops_the_server_and_nothing_piles_up() {
    const AT_ONCE: usize = 24;
    const MOST_KIB: usize = 256;
    let server = LargeServer::start(false).await;
    let folder = tempfile::tempdir().unwrap();
    let yaml = format!(
        "log: {{output: log}}\nserver: {{listen: \"127.0.0.1:0\"}}\nupstreams: {{up: {{url: \"{}\"}}}}\n",
        server.url
    );
    std::fs::write(folder.path().join("config.yaml"), yaml).unwrap();
    let program = Program::start(folder, &[]);
    let session = Session::at(&format!("{}/mcp", program.url), "none").initialized(json!({})).await;
    assert!(json_of(&session, &call("a", &wanted(MIB, 1, "first", false, "whole"))).await.1);
    let before = anonymous_kib(&program);
    let mut open = Vec::new();
    for number in 0..AT_ONCE {
        let message = call("b", &wanted(15 * MIB, 1, "first", number % 2 == 0, "whole"));
        let accept = ["application/json", "text/event-stream"][number * 2 / AT_ONCE];
        let request = session.request(reqwest::Method::POST).header("accept", accept);
        let request = request.header("content-type", "application/json").body(message.to_string());
        open.push(request.send().await.unwrap());
    }
    until(|| server.counts.is_stalled.load(Ordering::Relaxed)).await;
    tokio::time::timeout(Duration::from_secs(20), async {
        let mut last = 0;
        // Stalled, all of them: nothing was taken from the server for longer than a write of it waits.
        while std::mem::replace(&mut last, server.counts.written.load(Ordering::Relaxed)) != last {
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    })
    .await
    .unwrap();
    let written = server.counts.written.load(Ordering::Relaxed);
    assert!(written < AT_ONCE * 8 * MIB, "the server wrote {written} bytes that nobody reads");
    // What the client of the upstream reads at a time, three times, and a few parts of 16 KiB.
    let each = anonymous_kib(&program).saturating_sub(before) / AT_ONCE;
    assert!(each < MOST_KIB, "{each} KiB for each of {AT_ONCE} answers of 15 MiB");
    let unsent = most_unsent(&program);
    assert!((100_000..600_000).contains(&unsent), "{unsent} bytes in the kernel of an answer that nobody takes");
    // And those who read on get all of it.
    let (text, is_whole) = body(open.remove(0)).await;
    assert!(is_whole && text == answer("first", r#""b""#, &result(15 * MIB, 1, "")));
}
