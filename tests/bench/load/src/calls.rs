//! Tool calls over so many connections for so long, each as soon as the one before is answered; what they cost the other side.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::call::Call;
use crate::process::Process;
use crate::target::{Seat, Target};
use crate::{Result, number, option};

/// What all connections share.
struct Shared {
    target: Target,
    call: Call,
    connections: usize,
    sessions: usize,
    count: u64,
    measuring: Cell<bool>,
    stop: Cell<bool>,
    ready: Cell<usize>,
    done: Cell<usize>,
    /// Of the shortest answer.
    least: Cell<usize>,
    micros: RefCell<Vec<u32>>,
    error: RefCell<Option<String>>,
}

impl Shared {
    fn new(target: Target) -> Result<Self> {
        let connections = number("--connections", 1)?;
        Ok(Self {
            sessions: number("--sessions", connections)?.max(connections),
            count: number("--count", u64::MAX)?,
            call: Call::from_options()?,
            target,
            connections,
            measuring: Cell::new(false),
            stop: Cell::new(false),
            ready: Cell::new(0),
            done: Cell::new(0),
            least: Cell::new(usize::MAX),
            micros: RefCell::default(),
            error: RefCell::default(),
        })
    }

    async fn until(&self, reached: impl Fn() -> bool) {
        while !reached() && self.error.borrow().is_none() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

/// Runs, and prints a line.
///
/// # Errors
/// A call failed.
pub async fn run(target: Target) -> Result<()> {
    let (seconds, warm_up) = (number("--seconds", 3.0)?, number("--warm-up", 0.5)?);
    let process = Process(number("--pid", std::process::id())?);
    let shared = Rc::new(Shared::new(target)?);
    let tasks: Vec<_> =
        (0..shared.connections).map(|index| tokio::task::spawn_local(connection(shared.clone(), index))).collect();
    shared.until(|| shared.ready.get() == shared.connections).await;
    tokio::time::sleep(Duration::from_secs_f64(warm_up)).await;
    let memory = process.memory();
    process.forget_peak()?;
    let (processor, started) = (process.processor_micros(), Instant::now());
    shared.measuring.set(true);
    if shared.count == u64::MAX {
        tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
    } else {
        shared.until(|| shared.done.get() == shared.connections).await;
    }
    shared.measuring.set(false);
    let (elapsed, used) = (started.elapsed().as_secs_f64(), process.processor_micros());
    let peak = process.peak();
    shared.stop.set(true);
    shared.call.hurry.set(true);
    for task in tasks {
        task.await?;
    }
    if let Some(error) = shared.error.take() {
        return Err(error.into());
    }
    let mut micros = shared.micros.take();
    micros.sort_unstable();
    let at = |share: usize| micros.get((micros.len() * share / 100).min(micros.len().saturating_sub(1))).copied();
    let line = serde_json::json!({
        "connections": shared.connections, "sessions": shared.sessions, "calls": micros.len(),
        "per_second": (micros.len() as f64 / elapsed).round(), "p50_us": at(50), "p99_us": at(99),
        "cpu_us": used.since(processor, micros.len().max(1) as f64), "least_bytes": shared.least.get(),
        "rss_kib": memory.resident.alone, "peak_growth_kib": peak - memory.resident.alone,
    });
    println!("{line}");
    Ok(())
}

async fn connection(shared: Rc<Shared>, index: usize) {
    if let Err(error) = again_and_again(&shared, index).await {
        shared.error.borrow_mut().get_or_insert(error.to_string());
        shared.stop.set(true);
    }
}

/// One connection: opens its share of the sessions, and calls in each of them in turn.
async fn again_and_again(shared: &Shared, index: usize) -> Result<()> {
    let mut connection = shared.target.connect().await?;
    let mut seats: Vec<Seat> = Vec::new();
    for number in (index..shared.sessions).step_by(shared.connections) {
        seats.push(shared.target.open(&mut connection, number).await?);
    }
    shared.ready.set(shared.ready.get() + 1);
    if option("--warm-up").as_deref() == Some("0") {
        shared.until(|| shared.measuring.get()).await;
    }
    let mut id = index as u64 * 1_000_000_000;
    let last = id.saturating_add(shared.count);
    for seat in seats.iter().cycle() {
        if shared.stop.get() || id >= last {
            break;
        }
        id += 1;
        let started = Instant::now();
        let bytes = shared.call.make(&shared.target, seat, &mut connection, id).await?;
        shared.least.set(shared.least.get().min(bytes));
        if shared.measuring.get() {
            shared.micros.borrow_mut().push(u32::try_from(started.elapsed().as_micros()).unwrap_or(u32::MAX));
        }
    }
    shared.done.set(shared.done.get() + 1);
    shared.until(|| shared.stop.get()).await;
    // The next round must not find our sessions.
    for seat in &seats {
        shared.target.close(&mut connection, seat).await?;
    }
    Ok(())
}
