//! How much may be under way at one time, and what those are told who come after that.

use reqwest::Response;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use crate::support::app::BASIC;
use crate::support::mcp::Session;
use crate::support::{App, Client, Stateless};

fn with(settings: &str) -> App {
    App::with(&BASIC.replace("listen: 127.0.0.1:0", &format!("listen: 127.0.0.1:0\n  {settings}")))
}

fn assert_told_to_wait(response: &Response, status: u16) {
    assert_eq!(response.status().as_u16(), status);
    assert!(response.headers()["retry-after"].to_str().unwrap().parse::<u32>().unwrap() > 0);
}

#[tokio::test]
async fn mcp_25_a_person_has_so_many_streams_whatever_the_app_and_the_era() {
    let app = with("session: {max_streams_per_user: 3}");
    let token = Client::register(&app).await.tokens().await.access().to_owned();
    let (first, second) = (Session::initialize(&app, &token).await, Session::initialize(&app, &token).await);
    let other = Stateless::new(&app, Client::register(&app).await.tokens().await.access());
    let listen =
        async |id| other.send(id, "subscriptions/listen", json!({"notifications": {"toolsListChanged": true}})).await;
    let mut open = vec![first.listen().await, second.listen().await, listen(1).await];
    assert!(open.iter().all(|stream| stream.status() == 200));
    assert_told_to_wait(&first.listen().await, 429);
    assert_told_to_wait(&listen(2).await, 429);
    assert_eq!(first.status().await, 200, "calls go on");
    // Its place is free when a stream has ended, and that is when its session has.
    assert_eq!(second.request(reqwest::Method::DELETE).send().await.unwrap().status(), 204);
    assert_eq!(open.remove(1).text().await.unwrap().lines().filter(|line| line.starts_with("data: {")).count(), 0);
    let again = async {
        while listen(3).await.status() != 200 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), again).await.expect("there is room again");
}

#[tokio::test]
async fn mcp_25_streams_leave_connections_for_everything_else() {
    let app = with("workers: 1\n  max_connections: 20");
    let session = Session::initialize(&app, Client::register(&app).await.tokens().await.access()).await;
    let mut open = Vec::new();
    let mut sessions = Vec::new();
    for _ in 0..5 {
        sessions.push(Session::initialize(&app, Client::register(&app).await.tokens().await.access()).await);
    }
    for count in 0..18 {
        let stream = sessions[count % 5].listen().await;
        assert_eq!(stream.status(), 200, "{count}");
        open.push(stream);
    }
    assert_told_to_wait(&sessions[4].listen().await, 503);
    assert_eq!(session.status().await, 200);
    drop(open);
}

#[tokio::test]
async fn one_address_has_its_part_of_all_connections() {
    let app = with("workers: 1\n  max_connections: 16");
    let connect = async || {
        let socket = TcpSocket::new_v4().unwrap();
        // Not the address from which local proxies come.
        socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
        let address = app.local_url().trim_start_matches("http://").parse().unwrap();
        socket.connect(address).await.unwrap()
    };
    let is_served = async |stream: &mut TcpStream| {
        let request = "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
        let _closed = stream.write_all(request.as_bytes()).await;
        matches!(stream.read(&mut [0; 4096]).await, Ok(1..))
    };
    let mut held = [connect().await, connect().await];
    for stream in &mut held {
        assert!(is_served(stream).await);
    }
    assert!(!is_served(&mut connect().await).await);
    drop(held);
    let again = async { while !is_served(&mut connect().await).await {} };
    tokio::time::timeout(std::time::Duration::from_secs(20), again).await.expect("there is room again");
}
