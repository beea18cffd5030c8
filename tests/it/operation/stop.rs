//! Being told to stop, before a balancer that has to notice.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::operation::{begun, connect, folder, until};
use crate::support::Program;
use crate::support::client::http;

const WITH_DELAY: &str = "server: {listen: \"127.0.0.1:0\", pre_stop_delay: 3s}\n\
    upstreams: {fake: {command: python3, args: [SCRIPT, --marker, FOLDER, --journal, FOLDER/journal]}}\n";

async fn ready(program: &Program) -> (u16, String, Value) {
    let response = http().get(format!("{}/readyz", program.url)).send().await.unwrap();
    let status = response.status().as_u16();
    let connection = response.headers().get("connection").map(|value| value.to_str().unwrap().to_owned());
    (status, connection.unwrap_or_default(), response.json().await.unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ops_1_readiness_goes_first_and_the_listener_after_the_delay() {
    let mut program = Program::start(folder(WITH_DELAY), &[]);
    let place = program.folder.path().to_owned();
    let session = connect(&program).await;
    assert_eq!(ready(&program).await.0, 200);
    let stream = session.listen().await;
    let params = json!({"name": "slow", "arguments": {"file": place.join("go")}});
    let message = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params});
    let slow = tokio::spawn(async move { (session.post(&message).await, session) });
    until(|| begun(&place) == 1).await;
    let told = Instant::now();
    program.terminate();
    until(|| program.log().contains("stopping")).await;
    let (status, connection, body) = ready(&program).await;
    assert_eq!((status, connection.as_str(), &body["ready"]), (503, "close", &json!(false)), "{body}");
    let live = http().get(format!("{}/healthz", program.url)).send().await.unwrap();
    assert_eq!(live.status().as_u16(), 200);
    // Who was sent here before the balancer noticed is served as ever.
    let late = connect(&program).await;
    assert!(late.tool("echo", json!({"text": "x"})).await["result"].is_object());
    let address = program.url.trim_start_matches("http://").to_owned();
    while TcpStream::connect(&address).await.is_ok() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(told.elapsed() >= Duration::from_secs(3), "the listener was there for the delay");
    assert!(stream.text().await.is_ok(), "streams have a clean end");
    std::fs::write(place.join("go"), "").unwrap();
    assert_eq!(slow.await.unwrap().0.status, 200);
    assert_eq!(program.ended(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ops_1_a_second_signal_ends_the_delay_too() {
    let mut program = Program::start(folder(&WITH_DELAY.replace("3s", "600s")), &[]);
    program.terminate();
    until(|| program.log().contains("a second signal stops at once")).await;
    let told = Instant::now();
    program.terminate();
    assert_eq!(program.ended(), Some(0));
    assert!(told.elapsed() < Duration::from_secs(10));
}
