//! Two bridges on one database and one folder of keys, behind a balancer.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::json;
use tempfile::TempDir;

use crate::operation::{LONG, PEOPLE, hashed, log_in};
use crate::support::client::{REDIRECT_URI, http};
use crate::support::mcp::Session;
use crate::support::stateless::Stateless;
use crate::support::{Client, Program};

/// What both are called by people.
pub const PUBLIC: &str = "http://127.0.0.1:9";

/// A folder for two.
pub fn shared() -> (TempDir, String) {
    let listen = format!("  listen: 127.0.0.1:0\n  public_url: \"{PUBLIC}\"\n  pre_stop_delay: 500ms\n");
    let yaml = hashed(PEOPLE).replace("  listen: 127.0.0.1:0\n", &listen);
    (TempDir::new().unwrap(), yaml)
}

/// The `number`-th start of a bridge there.
pub fn start(folder: &Path, yaml: &str, number: usize) -> Program {
    let (file, log) = (format!("{number}.yaml"), format!("log-{number}"));
    fs::write(folder.join(&file), yaml.replace("{output: log}", &format!("{{output: {log}}}"))).unwrap();
    Program::start_beside(folder, &file, &log)
}

pub async fn register(program: &Program) -> Client {
    let metadata = json!({"redirect_uris": [REDIRECT_URI]});
    Client::register_for(&format!("{PUBLIC}/mcp"), &program.url, metadata).await
}

fn both(folder: &Path, yaml: &str) -> [Program; 2] {
    std::thread::scope(|scope| {
        let starts = [1, 2].map(|number| scope.spawn(move || start(folder, yaml, number)));
        starts.map(|start| start.join().unwrap())
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn meta_16_two_bridges_on_one_folder_say_the_same_byte_for_byte() {
    let (folder, yaml) = shared();
    let programs = both(folder.path(), &yaml);
    for path in ["/.well-known/oauth-authorization-server", "/.well-known/oauth-protected-resource/mcp", "/oauth/jwks"]
    {
        let mut said = Vec::new();
        for program in &programs {
            let answer = http().get(format!("{}{path}", program.url)).send().await.unwrap();
            assert_eq!(answer.status(), 200, "{path}");
            said.push(answer.bytes().await.unwrap());
        }
        assert_eq!(said[0], said[1], "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ops_2_two_bridges_on_one_database_are_one_authorization_server() {
    let (folder, yaml) = shared();
    let [one, other] = both(folder.path(), &yaml);
    let keys = |program: &Program| {
        let request = http().get(format!("{}/oauth/jwks", program.url));
        async move { request.send().await.unwrap().text().await.unwrap() }
    };
    assert_eq!(keys(&one).await, keys(&other).await, "who starts at the same time has the same key");
    let client = register(&one).await;
    let tokens = log_in(&client, "alice").await;
    let at = |program: &Program, token: &str| Session::at(&format!("{}/mcp", program.url), token);
    for program in [&one, &other] {
        assert_eq!(at(program, tokens.access()).status().await, 200);
    }
    // Of twenty refreshes of one token, at both, all are answered with the same successor.
    let form = [("grant_type", "refresh_token"), ("refresh_token", tokens.refresh()), ("client_id", &client.id)];
    let asked = (0..20).map(|number| {
        let program = if number % 2 == 0 { &one } else { &other };
        Client::read(http().post(format!("{}/oauth/token", program.url)).form(&form))
    });
    let answers = futures_util::future::join_all(asked).await;
    let first = answers[0].refresh();
    assert!(answers.iter().all(|answer| answer.status == 200 && answer.refresh() == first), "{answers:?}");
    // What one revokes the other refuses within a second.
    assert_eq!(client.revoke(first).await, 200);
    let (began, session) = (Instant::now(), at(&other, tokens.access()));
    while session.status().await != 401 {
        assert!(began.elapsed() < Duration::from_secs(1), "the other one has not heard of it");
    }
    assert_eq!(at(&one, tokens.access()).status().await, 401);
}

/// Sends each request to a bridge that says that it is ready, and once more to the other when no connection was made.
struct Balancer {
    bridges: Mutex<[Option<Arc<Stateless>>; 2]>,
    turn: AtomicUsize,
    answered: AtomicUsize,
}

impl Balancer {
    fn place(&self, number: usize, bridge: Option<&Arc<Stateless>>) {
        self.bridges.lock().unwrap()[number] = bridge.map(Arc::clone);
    }

    fn candidates(&self) -> Vec<Arc<Stateless>> {
        let mut all: Vec<_> = self.bridges.lock().unwrap().iter().flatten().map(Arc::clone).collect();
        if all.len() > 1 && self.turn.fetch_add(1, Ordering::Relaxed) % 2 == 1 {
            all.reverse();
        }
        all
    }

    /// One call: what went wrong, if anything.
    async fn call(&self, id: u64) -> Result<(), String> {
        let mut trouble = "no bridge is ready".to_owned();
        for bridge in self.candidates() {
            let message =
                bridge.message(id, "tools/call", json!({"name": "echo", "arguments": {"text": id.to_string()}}));
            match bridge.request(&message).send().await {
                Ok(response) => {
                    let status = response.status().as_u16();
                    let text = response.text().await.map_err(|error| format!("{error:?}"))?;
                    let is_right = status == 200 && text.contains(&format!("\"text\":\"{id}\""));
                    self.answered.fetch_add(1, Ordering::Relaxed);
                    return if is_right { Ok(()) } else { Err(format!("{status} {text}")) };
                }
                // As nginx does of itself: nothing was sent yet.
                Err(error) if error.is_connect() => trouble = format!("{error:?}"),
                Err(error) => return Err(format!("{error:?}")),
            }
        }
        Err(trouble)
    }
}

/// Asks whether a bridge is ready, and tells the balancer.
async fn watch(balancer: Arc<Balancer>, number: usize, url: String, bridge: Arc<Stateless>) {
    let http = http();
    loop {
        let ready = http.get(format!("{url}/readyz")).send().await.is_ok_and(|response| response.status().is_success());
        balancer.place(number, ready.then_some(&bridge));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ops_2_a_rolling_restart_at_two_hundred_a_second_fails_nobody() {
    let (folder, yaml) = shared();
    let mut bridges = both(folder.path(), &yaml);
    let tokens = log_in(&register(&bridges[0]).await, "alice").await;
    let balancer =
        Arc::new(Balancer { bridges: Mutex::default(), turn: AtomicUsize::new(0), answered: AtomicUsize::new(0) });
    let watched = |number: usize, program: &Program| {
        let bridge = Arc::new(Stateless::at(&format!("{}/mcp", program.url), tokens.access()));
        tokio::spawn(watch(Arc::clone(&balancer), number, program.url.clone(), bridge))
    };
    let mut watches = [watched(0, &bridges[0]), watched(1, &bridges[1])];
    let all = || balancer.bridges.lock().unwrap().iter().flatten().count();
    crate::operation::until(|| all() == 2).await;
    let is_over = Arc::new(AtomicBool::new(false));
    let load = tokio::spawn({
        let (balancer, is_over) = (Arc::clone(&balancer), Arc::clone(&is_over));
        async move {
            let (mut calls, mut ticks) = (tokio::task::JoinSet::new(), tokio::time::interval(Duration::from_millis(5)));
            let mut id = 0;
            while !is_over.load(Ordering::Relaxed) {
                ticks.tick().await;
                id += 1;
                let balancer = Arc::clone(&balancer);
                calls.spawn(async move { balancer.call(id).await });
            }
            calls.join_all().await
        }
    });
    for number in 0..2 {
        let before = balancer.answered.load(Ordering::Relaxed);
        crate::operation::until(|| balancer.answered.load(Ordering::Relaxed) > before + 100).await;
        bridges[number].terminate();
        let ended = tokio::task::block_in_place(|| bridges[number].ended());
        assert_eq!(ended, Some(0));
        watches[number].abort();
        balancer.place(number, None);
        bridges[number] = tokio::task::block_in_place(|| start(folder.path(), &yaml, 3 + number));
        watches[number] = watched(number, &bridges[number]);
        crate::operation::until(|| all() == 2).await;
    }
    is_over.store(true, Ordering::Relaxed);
    let outcomes = tokio::time::timeout(LONG, load).await.unwrap().unwrap();
    let failed: Vec<_> = outcomes.iter().filter_map(|outcome| outcome.as_ref().err()).collect();
    assert!(failed.is_empty(), "{} of {}: {:#?}", failed.len(), outcomes.len(), &failed[..failed.len().min(5)]);
    assert!(outcomes.len() > 300, "{}", outcomes.len());
}
