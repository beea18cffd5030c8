//! `isolation: per_user | per_session`, through HTTP: whose process is whose, and how long.

mod ends;
mod owners;
mod per_session;
mod per_user;

use serde_json::{Value, json};

use crate::children::support::fixture;
use crate::support::app::BASIC;
use crate::support::mcp::Session;
use crate::support::{App, Browser, Client, Stateless};

/// A bridge with these upstreams. `FAKE` stands for the command of the scripted server, to be followed by `, more]`.
fn with(upstreams: &str) -> App {
    with_email_of_rita(upstreams, ", email: rita@example.com")
}

/// The same, where `email` is what is written of Rita's.
fn with_email_of_rita(upstreams: &str, email: &str) -> App {
    let fake = format!("command: python3, args: [\"{}\"", fixture("fake_mcp_server.py"));
    // Idle sessions, and what is looked at with them, are looked for every second.
    let yaml = BASIC.replace("  oauth_server:\n", "  session: {timeout: 4s}\n  oauth_server:\n");
    let yaml = yaml.replace("scopes: [\"mcp:read\"]}", "scopes: [\"mcp:read\"]EMAIL}").replace("EMAIL", email);
    App::with(&yaml.replace("me: {builtin: whoami}", &upstreams.replace("FAKE", &fake)))
}

/// A token of a person, by a client of its own.
async fn token(app: &App, person: &str) -> String {
    let client = Client::register(app).await;
    let page = client.authorize(&mut Browser::new(), person, &[]).await;
    client.redeem(&page.answer("code").unwrap()).await.access().to_owned()
}

/// A new session of a person, by a client of its own, that can answer questions.
async fn session(app: &App, person: &str) -> Session {
    Session::initialize_as(app, &token(app, person).await, json!({"roots": {}})).await
}

/// What a tool gives as `structuredContent`.
async fn give(session: &Session, tool: &str, arguments: Value) -> Value {
    let answer = session.tool(tool, arguments).await;
    assert!(answer["result"]["structuredContent"].is_object(), "{answer}");
    answer["result"]["structuredContent"].clone()
}

async fn pid(session: &Session) -> i64 {
    give(session, "echo", json!({})).await["_pid"].as_i64().unwrap()
}

/// The process that a client of the stateless era gets.
async fn stateless_pid(client: &Stateless) -> i64 {
    client.tool("echo", json!({})).await["result"]["structuredContent"]["_pid"].as_i64().unwrap()
}
