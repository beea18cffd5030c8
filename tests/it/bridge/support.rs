//! A bridge with scripted children, and clients of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use serde_json::{Value, json};

use mcp_bridge::base::clock::{Clock, Timestamp};
use mcp_bridge::base::id::{ClientId, UserId};
use mcp_bridge::bridge::pool::{EmailAddresses, Limits};
use mcp_bridge::bridge::{Answer, Bridge, EventStream, GetRequest, Options, PostRequest, Refusal};
use mcp_bridge::config::section::{
    BuiltinServer, ChildStderr, Command, HttpProtocol, HttpUpstream, InheritEnv, Isolation, RestartPolicy, Session,
    Upstream, UpstreamAuth, UpstreamKind, UpstreamTls,
};
use mcp_bridge::model::principal::Principal;
use mcp_bridge::protocol::mcp::mirror::{Field, Mirror};
use mcp_bridge::protocol::oauth::scope::ScopeSet;

/// No test waits longer than this for anything.
pub const LONG: Duration = Duration::from_secs(20);

pub fn upstream(name: &str, kind: UpstreamKind) -> Upstream {
    Upstream {
        name: name.to_owned(),
        kind,
        era: None,
        prefix: None,
        separator: "__".to_owned(),
        timeout: LONG,
        isolation: Isolation::Shared,
        required: true,
        include_tools: vec!["*".to_owned()],
        exclude_tools: Vec::new(),
        tools: BTreeMap::new(),
    }
}

pub fn builtin(name: &str) -> Upstream {
    upstream(name, UpstreamKind::Builtin(BuiltinServer::Whoami))
}

/// The scripted child, told to do this and that.
pub fn child(name: &str, flags: &[&str]) -> Upstream {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/children/scripted.py");
    let args = [&["-u", script], flags].concat();
    command(name, "python3", &args)
}

pub fn command(name: &str, program: &str, args: &[&str]) -> Upstream {
    let delay = Duration::from_millis(20);
    let command = Command {
        command: program.to_owned(),
        args: args.iter().map(|arg| (*arg).to_owned()).collect(),
        env: BTreeMap::new(),
        inherit_env: InheritEnv::Only(vec!["PATH".to_owned()]),
        dir: None,
        startup_timeout: LONG,
        graceful_shutdown_timeout: Duration::from_secs(1),
        restart: RestartPolicy { enabled: true, max_restarts: None, delay, max_delay: delay },
        stderr: ChildStderr::Log,
    };
    upstream(name, UpstreamKind::Stdio(command))
}

/// A server of HTTP+SSE.
pub fn sse(url: &str) -> Upstream {
    let mut upstream = http("s", url);
    if let UpstreamKind::Http(settings) = &mut upstream.kind {
        settings.protocol = HttpProtocol::Sse;
    }
    upstream
}

/// Why a bridge with this upstream does not start.
pub async fn refused(upstream: Upstream) -> String {
    let started = tokio::time::timeout(LONG, Bridge::start(&[upstream], options())).await.unwrap();
    started.map(|_| "it starts").unwrap_err().reason
}

pub fn http(name: &str, url: &str) -> Upstream {
    let settings = HttpUpstream {
        url: url.parse().unwrap(),
        protocol: HttpProtocol::Auto,
        message_url: None,
        connect_timeout: Duration::from_secs(5),
        proxy_url: None,
        tls: UpstreamTls::default(),
        headers: vec![("X-Team".to_owned(), "core".to_owned().into())],
        auth: UpstreamAuth::Bearer("upstream-token".to_owned().into()),
    };
    upstream(name, UpstreamKind::Http(settings))
}

pub fn options() -> Options {
    Options {
        session: Session {
            timeout: Duration::from_secs(60),
            max_sessions: 0,
            max_per_principal: 0,
            max_streams_per_user: 0,
            replay_events: 100,
        },
        max_streams: 0,
        request_timeout: LONG,
        tool_search: None,
        limits: Limits::default(),
        addresses: EmailAddresses::none(),
        keeper: env!("CARGO_BIN_EXE_mcp-bridge").into(),
        clock: Clock::fixed(Timestamp::from_unix(1_000)),
    }
}

pub async fn bridge(upstreams: &[Upstream]) -> Arc<Bridge> {
    Bridge::start(upstreams, options()).await.unwrap()
}

pub fn person(name: &str, scopes: &str) -> Arc<Principal> {
    Arc::new(Principal {
        user: Some(UserId::new(name)),
        client_id: Some(ClientId::new("client")),
        scopes: ScopeSet::parse(scopes).unwrap(),
        ..Principal::anonymous()
    })
}

/// A client with or without a session.
#[derive(Clone)]
pub struct Client {
    pub bridge: Arc<Bridge>,
    pub principal: Arc<Principal>,
    pub session: Option<String>,
    pub accepts_event_stream: bool,
}

impl Client {
    /// Without a session.
    pub fn new(bridge: &Arc<Bridge>, name: &str) -> Self {
        let (bridge, principal) = (Arc::clone(bridge), person(name, "mcp:write"));
        Self { bridge, principal, session: None, accepts_event_stream: true }
    }

    /// With a session, able to do everything.
    pub async fn connect(bridge: &Arc<Bridge>, name: &str) -> Self {
        Self::connect_as(bridge, name, "2025-11-25", &json!({"sampling": {}, "elicitation": {}, "roots": {}})).await
    }

    pub async fn connect_as(bridge: &Arc<Bridge>, name: &str, version: &str, capabilities: &Value) -> Self {
        let mut client = Self::new(bridge, name);
        let params = json!({"protocolVersion": version, "capabilities": capabilities, "clientInfo": {"name": "t", "version": "1"}});
        match client.post(&request("0", "initialize", &params)).await {
            Answer::Message { session_id, .. } => client.session = session_id,
            other => panic!("{other:?}"),
        }
        assert!(client.session.is_some());
        client
    }

    /// The same, taking JSON alone.
    pub fn json_only(&self) -> Self {
        Self { accepts_event_stream: false, ..self.clone() }
    }

    pub async fn post(&self, body: &str) -> Answer {
        let request = PostRequest {
            session_id: self.session.as_deref(),
            protocol_version: Field::Absent,
            mirror: Mirror::default(),
            accepts_json: true,
            accepts_event_stream: self.accepts_event_stream,
        };
        let body = Bytes::copy_from_slice(body.as_bytes());
        tokio::time::timeout(LONG, self.bridge.post(&self.principal, &request, body)).await.unwrap()
    }

    /// Everything that comes for a request; the answer is last.
    pub async fn all(&self, body: &str) -> Vec<String> {
        match self.post(body).await {
            Answer::Message { body, .. } => vec![String::from_utf8(body.to_vec()).unwrap()],
            Answer::Stream { events, .. } => Events::new(events).rest().await,
            Answer::Pieces(pieces) => {
                let parts: Vec<Bytes> = pieces.map(Result::unwrap).collect().await;
                vec![String::from_utf8(parts.concat()).unwrap()]
            }
            other => panic!("{other:?}"),
        }
    }

    /// The answer, as it is written.
    pub async fn raw(&self, body: &str) -> String {
        self.all(body).await.pop().unwrap()
    }

    pub async fn rpc(&self, method: &str, params: &Value) -> Value {
        serde_json::from_str(&self.raw(&request("1", method, params)).await).unwrap()
    }

    /// Calls a tool; gives the text of its result, or the error.
    pub async fn tool(&self, name: &str, arguments: &Value) -> String {
        let answer = self.rpc("tools/call", &json!({"name": name, "arguments": arguments})).await;
        match answer["result"]["content"][0]["text"].as_str() {
            Some(text) => text.to_owned(),
            None => answer["error"].to_string(),
        }
    }

    /// What the scripted child got so far.
    pub async fn seen(&self) -> Vec<String> {
        serde_json::from_str(&self.tool("seen", &json!({})).await).unwrap()
    }

    pub async fn refusal(&self, body: &str) -> Refusal {
        match self.post(body).await {
            Answer::Refused { refusal, .. } => refusal,
            other => panic!("{other:?}"),
        }
    }

    /// Begins a request of which a stream is expected.
    pub async fn stream(&self, body: &str) -> Events {
        match self.post(body).await {
            Answer::Stream { events, .. } => Events::new(events),
            other => panic!("{other:?}"),
        }
    }

    pub fn listen(&self) -> Events {
        match self.get(None) {
            Answer::Stream { events, .. } => Events::new(events),
            other => panic!("{other:?}"),
        }
    }

    /// GET, with `Last-Event-ID` or without.
    pub fn get(&self, last_event_id: Option<&str>) -> Answer {
        let session_id = self.session.as_deref();
        self.bridge.listen(&self.principal, GetRequest { session_id, last_event_id, protocol_version: Field::Absent })
    }
}

/// Events, as messages.
pub struct Events {
    events: EventStream,
    /// The id of the last one.
    pub id: Option<String>,
}

impl Events {
    pub fn new(events: EventStream) -> Self {
        Self { events, id: None }
    }

    /// The next message. Events without one are passed over.
    pub async fn next(&mut self) -> Option<String> {
        loop {
            let event = tokio::time::timeout(LONG, self.events.next()).await.unwrap()?;
            let text = String::from_utf8(event.to_vec()).unwrap();
            if text.starts_with(':') {
                continue;
            }
            let lines = text.strip_suffix("\n\n").unwrap_or_else(|| panic!("{text:?}")).lines();
            let fields: BTreeMap<&str, &str> = lines.map(|line| line.split_once(": ").unwrap()).collect();
            if let Some(id) = fields.get("id") {
                self.id = Some((*id).to_owned());
            }
            match fields["data"] {
                "" => assert_eq!(fields["retry"], "3000"),
                message => {
                    assert_eq!(fields["event"], "message");
                    return Some(message.to_owned());
                }
            }
        }
    }

    pub async fn value(&mut self) -> Value {
        serde_json::from_str(&self.next().await.unwrap()).unwrap()
    }

    pub async fn rest(&mut self) -> Vec<String> {
        let mut all = Vec::new();
        while let Some(message) = self.next().await {
            all.push(message);
        }
        all
    }
}

/// A request with an id as written.
pub fn request(id: &str, method: &str, params: &Value) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{params}}}"#)
}

pub fn notification(method: &str, params: &Value) -> String {
    format!(r#"{{"jsonrpc":"2.0","method":"{method}","params":{params}}}"#)
}

pub fn tool_call(id: &str, name: &str, arguments: &Value) -> String {
    request(id, "tools/call", &json!({"name": name, "arguments": arguments}))
}

pub fn tool_call_with_progress(id: &str, name: &str, arguments: &Value, token: &Value) -> String {
    request(id, "tools/call", &json!({"name": name, "arguments": arguments, "_meta": {"progressToken": token}}))
}

/// Waits until something is so. What is waited for is a task's work, which ends by itself.
pub async fn until(mut is_so: impl FnMut() -> bool) {
    let waiting = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(LONG, waiting).await.unwrap();
}
