//! The same request over each of so many connections for so long, as soon as the one before is answered; what it costs the other side.
//!
//! `--requests FILE` has one JSON object a line, one line for each connection: `{"method", "path", "headers", "body", "token"?}`. Where `token` is
//! there, `@TOKEN@` in the body stands for it, and the `refresh_token` of each answer takes its place: a chain, whose ends are written back.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::http::find;
use crate::process::Process;
use crate::target::{Target, exchange, unexpected};
use crate::{Result, number, option};

/// What one connection sends.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct Line {
    method: String,
    path: String,
    headers: String,
    body: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
}

#[derive(Deserialize)]
struct Answer {
    refresh_token: String,
}

struct Shared {
    target: Target,
    status: u16,
    contains: String,
    measuring: Cell<bool>,
    stop: Cell<bool>,
    micros: RefCell<Vec<u32>>,
    error: RefCell<Option<String>>,
}

/// Runs, and prints a line.
///
/// # Errors
/// An answer is not the one that was expected.
pub async fn run(target: Target) -> Result<()> {
    let (connections, seconds): (usize, f64) = (number("--connections", 1)?, number("--seconds", 3.0)?);
    let process = Process(number("--pid", std::process::id())?);
    let file = option("--requests").ok_or("--requests is missing")?;
    let mut lines: Vec<Line> =
        std::fs::read_to_string(&file)?.lines().map(serde_json::from_str).collect::<std::result::Result<_, _>>()?;
    if lines.len() < connections {
        return Err(format!("{file} has {} lines for {connections} connections", lines.len()).into());
    }
    let shared = Rc::new(Shared {
        target,
        status: number("--expect", 200)?,
        contains: option("--contains").unwrap_or_default(),
        measuring: Cell::new(false),
        stop: Cell::new(false),
        micros: RefCell::default(),
        error: RefCell::default(),
    });
    let tasks: Vec<_> = lines[..connections]
        .iter()
        .map(|line| tokio::task::spawn_local(again_and_again(shared.clone(), line.clone())))
        .collect();
    tokio::time::sleep(Duration::from_secs_f64(number("--warm-up", 0.5)?)).await;
    let (before, started) = (process.processor_micros(), Instant::now());
    shared.measuring.set(true);
    tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
    shared.measuring.set(false);
    let (elapsed, after) = (started.elapsed().as_secs_f64(), process.processor_micros());
    shared.stop.set(true);
    for (line, task) in lines.iter_mut().zip(tasks) {
        *line = task.await?;
    }
    if lines.iter().any(|line| line.token.is_some()) {
        let text: Vec<String> = lines.iter().map(serde_json::to_string).collect::<std::result::Result<_, _>>()?;
        std::fs::write(&file, text.join("\n") + "\n")?;
    }
    if let Some(error) = shared.error.take() {
        return Err(error.into());
    }
    let mut micros = shared.micros.take();
    micros.sort_unstable();
    let at = |share: usize| micros.get((micros.len() * share / 100).min(micros.len().saturating_sub(1))).copied();
    println!(
        "{}",
        serde_json::json!({
            "connections": connections, "requests": micros.len(), "per_second": (micros.len() as f64 / elapsed).round(),
            "p50_us": at(50), "p99_us": at(99), "cpu_us": after.since(before, micros.len().max(1) as f64),
        })
    );
    Ok(())
}

async fn again_and_again(shared: Rc<Shared>, mut line: Line) -> Line {
    if let Err(error) = until_stopped(&shared, &mut line).await {
        shared.error.borrow_mut().get_or_insert(error.to_string());
        shared.stop.set(true);
    }
    line
}

async fn until_stopped(shared: &Shared, line: &mut Line) -> Result<()> {
    let mut connection = shared.target.connect().await?;
    while !shared.stop.get() {
        let body = line.body.replace("@TOKEN@", line.token.as_deref().unwrap_or_default());
        let request = shared.target.any(&line.method, &line.path, &line.headers, &body);
        let started = Instant::now();
        let answer = exchange(&mut connection, &request).await?;
        let micros = u32::try_from(started.elapsed().as_micros()).unwrap_or(u32::MAX);
        if answer.status() != shared.status || find_all(&answer.body, &shared.contains).is_none() {
            return Err(unexpected(&format!("{} {}", line.method, line.path), &answer));
        }
        if line.token.is_some() {
            line.token = Some(serde_json::from_slice::<Answer>(&answer.body)?.refresh_token);
        }
        if answer.close {
            connection = shared.target.connect().await?;
        }
        if shared.measuring.get() {
            shared.micros.borrow_mut().push(micros);
        }
    }
    Ok(())
}

fn find_all(body: &[u8], text: &str) -> Option<usize> {
    if text.is_empty() { Some(0) } else { find(body, text.as_bytes()) }
}
