//! Load for one address of this machine; prints one JSON line.
//!
//! `mcp-load calls --url URL --connections N --seconds S [--warm-up S] [--token-file F] [--pid P] [--tool echo]`:
//! each connection has a session of its own and calls the tool again and again. CPU time is that of process P alone, and with its children.
//!
//! `mcp-load posts --url URL --connections N --count N --body TEXT`: so many POSTs of one JSON body in all.

use std::cell::{Cell, RefCell};
use std::error::Error;
use std::rc::Rc;
use std::time::{Duration, Instant};

use mcp_bench::http::{Connection, Message, find};
use mcp_bench::{number, option};
use tokio::net::TcpStream;
use tokio::task::LocalSet;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const VERSION: &str = "2025-11-25";
const MESSAGE: &str = "hello from a load test, 64 bytes of text or thereabouts.";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let target = Target::from_options()?;
    let local = LocalSet::new();
    match std::env::args().nth(1).as_deref() {
        Some("calls") => local.run_until(calls(target)).await,
        Some("posts") => local.run_until(posts(target)).await,
        _ => Err("mcp-load calls|posts, see the head of mcp-load.rs".into()),
    }
}

/// Whom to load.
struct Target {
    address: String,
    path: String,
    token: Option<String>,
}

impl Target {
    fn from_options() -> Result<Self> {
        let url = option("--url").ok_or("--url is missing")?;
        let rest = url.strip_prefix("http://127.0.0.1:").ok_or("--url must begin with http://127.0.0.1:")?;
        let (port, path) = rest.split_once('/').ok_or("--url has no path")?;
        let token = option("--token-file").map(std::fs::read_to_string).transpose()?;
        Ok(Self { address: format!("127.0.0.1:{port}"), path: format!("/{path}"), token })
    }

    async fn connect(&self) -> Result<Connection> {
        Ok(Connection::new(TcpStream::connect(&self.address).await?)?)
    }

    fn post(&self, session: Option<&str>, body: &str) -> Vec<u8> {
        let mut headers = String::new();
        if let Some(token) = &self.token {
            headers += &format!("Authorization: Bearer {}\r\n", token.trim());
        }
        if let Some(session) = session {
            headers += &format!("Mcp-Session-Id: {session}\r\nMCP-Protocol-Version: {VERSION}\r\n");
        }
        format!(
            "POST {} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nAccept: application/json, text/event-stream\r\n{headers}Content-Length: {}\r\n\r\n{body}",
            self.path, self.address, body.len()
        )
        .into_bytes()
    }
}

async fn exchange(connection: &mut Connection, request: &[u8]) -> Result<Message> {
    connection.write(request).await?;
    Ok(connection.read().await?.ok_or("closed instead of an answer")?)
}

fn unexpected(what: &str, answer: &Message) -> Box<dyn Error> {
    let text = String::from_utf8_lossy(&answer.body);
    format!("{what}: {} {}", answer.first_line, text.chars().take(300).collect::<String>()).into()
}

/// What all connections share.
#[derive(Default)]
struct Shared {
    measuring: Cell<bool>,
    stop: Cell<bool>,
    ready: Cell<usize>,
    micros: RefCell<Vec<u32>>,
    error: RefCell<Option<String>>,
}

async fn calls(target: Target) -> Result<()> {
    let connections: usize = number("--connections", 1)?;
    let (seconds, warm_up) = (number("--seconds", 3.0)?, number("--warm-up", 0.5)?);
    let pid: Option<u32> = option("--pid").map(|pid| pid.parse()).transpose()?;
    let (target, shared) = (Rc::new(target), Rc::new(Shared::default()));
    let tasks: Vec<_> = (0..connections)
        .map(|index| tokio::task::spawn_local(call_until_stopped(target.clone(), shared.clone(), index)))
        .collect();
    while shared.ready.get() < connections && shared.error.borrow().is_none() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    tokio::time::sleep(Duration::from_secs_f64(warm_up)).await;
    let (before, started) = (pid.map(processor_time), Instant::now());
    shared.measuring.set(true);
    tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
    shared.measuring.set(false);
    let (elapsed, after) = (started.elapsed().as_secs_f64(), pid.map(processor_time));
    shared.stop.set(true);
    for task in tasks {
        task.await?;
    }
    if let Some(error) = shared.error.take() {
        return Err(error.into());
    }
    let mut micros = shared.micros.take();
    micros.sort_unstable();
    let at = |share: usize| micros.get((micros.len() * share / 100).min(micros.len().saturating_sub(1))).copied();
    let processor = before.zip(after).map(|(before, after)| {
        let each = |before: f64, after: f64| ((after - before) * 1e7 / micros.len() as f64).round() / 10.0;
        serde_json::json!({"alone": each(before.0, after.0), "with_children": each(before.1, after.1)})
    });
    let line = serde_json::json!({
        "connections": connections, "calls": micros.len(), "per_second": (micros.len() as f64 / elapsed).round(),
        "p50_us": at(50), "p99_us": at(99), "cpu_us": processor,
    });
    println!("{line}");
    Ok(())
}

async fn call_until_stopped(target: Rc<Target>, shared: Rc<Shared>, index: usize) {
    if let Err(error) = call_again_and_again(&target, &shared, index).await {
        shared.error.borrow_mut().get_or_insert(error.to_string());
        shared.stop.set(true);
    }
}

async fn call_again_and_again(target: &Target, shared: &Shared, index: usize) -> Result<()> {
    let tool = option("--tool").unwrap_or_else(|| "echo".to_owned());
    let mut connection = target.connect().await?;
    let session = initialize(target, &mut connection).await?;
    shared.ready.set(shared.ready.get() + 1);
    let mut id = index * 1_000_000_000;
    while !shared.stop.get() {
        id += 1;
        let body = format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"{tool}","arguments":{{"message":"{MESSAGE}"}}}}}}"#
        );
        let request = target.post(session.as_deref(), &body);
        let started = Instant::now();
        let answer = exchange(&mut connection, &request).await?;
        let took = started.elapsed();
        if answer.status() != 200
            || answered(&answer.body) != Some(id)
            || find(&answer.body, MESSAGE.as_bytes()).is_none()
        {
            return Err(unexpected(&format!("the call with id {id}"), &answer));
        }
        if shared.measuring.get() {
            shared.micros.borrow_mut().push(u32::try_from(took.as_micros()).unwrap_or(u32::MAX));
        }
    }
    Ok(())
}

/// The id of a JSON-RPC answer, which came as JSON or as the last event of a stream.
fn answered(body: &[u8]) -> Option<usize> {
    #[derive(serde::Deserialize)]
    struct Answer {
        id: usize,
    }
    let text = std::str::from_utf8(body).ok()?;
    let text = if text.starts_with('{') { text } else { text.rsplit_once("data:")?.1.split('\n').next()? };
    Some(serde_json::from_str::<Answer>(text.trim()).ok()?.id)
}

async fn initialize(target: &Target, connection: &mut Connection) -> Result<Option<String>> {
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":0,"method":"initialize","params":{{"protocolVersion":"{VERSION}","capabilities":{{}},"clientInfo":{{"name":"mcp-load","version":"0.1.0"}}}}}}"#
    );
    let answer = exchange(connection, &target.post(None, &body)).await?;
    if answer.status() != 200 || find(&answer.body, b"\"result\"").is_none() {
        return Err(unexpected("initialize", &answer));
    }
    let initialized = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
    let accepted = exchange(connection, &target.post(answer.session.as_deref(), initialized)).await?;
    if accepted.status() != 202 {
        return Err(unexpected("notifications/initialized", &accepted));
    }
    Ok(answer.session)
}

async fn posts(target: Target) -> Result<()> {
    let (connections, count): (usize, usize) = (number("--connections", 8)?, number("--count", 1)?);
    let request = Rc::new(target.post(None, &option("--body").ok_or("--body is missing")?));
    let (target, left, started) = (Rc::new(target), Rc::new(Cell::new(count)), Instant::now());
    let tasks: Vec<_> = (0..connections)
        .map(|_| tokio::task::spawn_local(post_until_none_left(target.clone(), request.clone(), left.clone())))
        .collect();
    for task in tasks {
        task.await??;
    }
    println!("{}", serde_json::json!({"posts": count, "seconds": started.elapsed().as_secs_f64()}));
    Ok(())
}

async fn post_until_none_left(target: Rc<Target>, request: Rc<Vec<u8>>, left: Rc<Cell<usize>>) -> Result<()> {
    let mut connection = target.connect().await?;
    while left.get() > 0 {
        left.set(left.get() - 1);
        let answer = exchange(&mut connection, &request).await?;
        if !(200..300).contains(&answer.status()) {
            return Err(unexpected("a POST", &answer));
        }
        if answer.close {
            connection = target.connect().await?;
        }
    }
    Ok(())
}

/// Processor seconds of a process alone, and with everything below it (proc(5): `utime` and `stime`, in hundredths on Linux).
fn processor_time(pid: u32) -> (f64, f64) {
    let table: Vec<(u32, u32, f64)> = std::fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| status(entry.ok()?.file_name().to_str()?.parse().ok()?))
        .collect();
    let (mut family, mut seconds) = (vec![pid], 0.0);
    let mut next = 0;
    while let Some(&parent) = family.get(next) {
        family.extend(table.iter().filter(|(_, above, _)| *above == parent).map(|(child, ..)| *child));
        next += 1;
    }
    let of = |wanted: u32| table.iter().find(|(pid, ..)| *pid == wanted).map_or(0.0, |(.., seconds)| *seconds);
    for member in &family {
        seconds += of(*member);
    }
    (of(pid), seconds)
}

/// (process, its parent, its processor seconds).
fn status(pid: u32) -> Option<(u32, u32, f64)> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = text.rsplit_once(") ")?.1.split(' ').collect();
    let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
    Some((pid, fields.get(1)?.parse().ok()?, (ticks(11) + ticks(12)) / 100.0))
}
