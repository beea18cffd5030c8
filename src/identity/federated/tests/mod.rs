//! Tests of what is asked of a provider and what is believed of its answers. The whole way is tested over HTTP, in `tests/it`.

mod authorize;
mod discovery;
mod github;
mod id_token;
mod oidc;
mod people;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use url::Url;

use super::*;
use crate::config::section::{Admission, Signing};

/// The time of these tests.
const NOW: Timestamp = Timestamp::from_unix(1_800_000_000);

/// A server that answers as it is told, by path, and remembers what it was asked.
#[derive(Clone, Default)]
struct Script {
    answers: Arc<Mutex<HashMap<String, (u16, String)>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Script {
    /// Starts it; gives its address as well.
    async fn start() -> (Self, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let script = Self::default();
        let serving = script.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serving.clone().serve(stream));
            }
        });
        (script, address)
    }

    /// From now on, this is the answer at a path. Anything else is 404.
    fn answer(&self, path: &str, status: u16, body: impl ToString) {
        self.answers.lock().unwrap().insert(path.to_owned(), (status, body.to_string()));
    }

    /// What was asked at a path: head and body.
    fn asked(&self, path: &str) -> Vec<String> {
        let asked = self.asked.lock().unwrap();
        asked.iter().filter(|request| place(request) == path).cloned().collect()
    }

    async fn serve(self, mut stream: TcpStream) {
        let (mut request, mut piece) = (Vec::new(), [0; 4096]);
        while !is_complete(&request) {
            let length = stream.read(&mut piece).await.unwrap();
            request.extend_from_slice(&piece[..length]);
        }
        let request = String::from_utf8(request).unwrap();
        let answer = self.answers.lock().unwrap().get(place(&request)).cloned();
        let (status, body) = answer.unwrap_or((404, "{}".to_owned()));
        self.asked.lock().unwrap().push(request);
        let head = "Content-Type: application/json\r\nConnection: close\r\nLocation: /elsewhere";
        let answer = format!("HTTP/1.1 {status} X\r\n{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        stream.write_all(answer.as_bytes()).await.unwrap();
    }
}

fn is_complete(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let mut lengths = head.lines().filter_map(|line| line.strip_prefix("content-length: "));
    body.len() >= lengths.next().map_or(0, |length| length.parse().unwrap())
}

fn place(request: &str) -> &str {
    request.split(' ').nth(1).unwrap().split('?').next().unwrap()
}

fn admission() -> Admission {
    Admission {
        allowed_domains: Vec::new(),
        require_email_verified: true,
        default_scopes: ScopeSet::parse("mcp:read").unwrap(),
        admin_users: Vec::new(),
        admin_scopes: ScopeSet::default(),
        groups_claim: "groups".to_owned(),
        group_scopes: std::collections::BTreeMap::new(),
    }
}

fn settings(dialect: Dialect) -> section::Provider {
    section::Provider {
        name: ProviderName::new("default"),
        label: "Provider".to_owned(),
        dialect,
        client_id: "bridge".to_owned(),
        client_authentication: ClientAuthentication::Secret(Secret::new("se:cret %")),
        scopes: vec!["email".to_owned(), "profile".to_owned()],
        authorize_parameters: Vec::new(),
        admission: admission(),
        reauthentication_interval: Duration::from_secs(3600),
        http_timeout: Duration::from_secs(10),
    }
}

fn connect(issuer: &str) -> section::Provider {
    settings(Dialect::Oidc { issuer: issuer.to_owned(), discovery_url: None })
}

fn github(address: &str) -> section::Provider {
    let at = |path: &str| Url::parse(&format!("{address}{path}")).unwrap();
    settings(Dialect::Oauth2 {
        issuer: address.to_owned(),
        authorize_url: at("/login/oauth/authorize"),
        token_url: at("/token"),
        userinfo_url: at("/user"),
    })
}

fn keys() -> Arc<Keys> {
    let folder = tempfile::tempdir().unwrap();
    let key_dir = folder.path().join("keys");
    Arc::new(Keys::open(&Signing::generated(key_dir), Timestamp::from_unix(0)).unwrap())
}

fn provider(settings: section::Provider) -> Provider {
    Provider::new(settings, "https://bridge.example/oauth/callback".to_owned(), keys()).unwrap()
}

fn attempt() -> Attempt {
    Attempt {
        state: Secret::new("flow.state"),
        nonce: Secret::new("the nonce"),
        code_verifier: Secret::new("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"),
    }
}

fn callback(code: &str) -> Callback {
    Callback { outcome: Ok(Secret::new(code)), issuer: None }
}

fn metadata(address: &str) -> Value {
    serde_json::json!({
        "issuer": address,
        "authorization_endpoint": format!("{address}/authorize"),
        "token_endpoint": format!("{address}/token"),
        "jwks_uri": format!("{address}/jwks"),
    })
}
