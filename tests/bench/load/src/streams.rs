//! Sessions with an open stream on which nothing happens: what each costs in memory, and all of them in processor time.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::http::Connection;
use crate::process::Process;
use crate::target::{Target, unexpected};
use crate::{Result, number};

/// Opens so many, holds them, and prints a line.
///
/// # Errors
/// One of them is refused, or does not stay open.
pub async fn run(target: Target) -> Result<()> {
    let (count, hold): (usize, f64) = (number("--count", 100)?, number("--hold", 5.0)?);
    let process = Process(number("--pid", std::process::id())?);
    let before = process.memory();
    let started = Instant::now();
    let mut open = open(target, count).await?;
    let opened = started.elapsed().as_secs_f64();
    // Opening them leaves work behind that is not theirs: it is to be over.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let processor = process.processor_micros();
    tokio::time::sleep(Duration::from_secs_f64(hold)).await;
    let (used, after) = (process.processor_micros(), process.memory());
    let mut comments = 0;
    for stream in &mut open {
        comments += still_open(stream).await?;
    }
    let each = count.max(1) as f64;
    let line = serde_json::json!({
        "streams": count, "open": open.len(), "opened_in_s": opened, "hold_s": hold, "pieces": comments,
        "rss_kib_each": after.resident.since(before.resident, each),
        "pss_kib_each": after.proportional.since(before.proportional, each),
        // Of one core.
        "idle_cpu_percent": used.since(processor, hold * 1e4),
        "rss_kib_before": before.resident.alone, "rss_kib": after.resident.alone,
    });
    println!("{line}");
    Ok(())
}

async fn open(target: Target, count: usize) -> Result<Vec<Connection>> {
    let (target, next, open) = (Rc::new(target), Rc::new(Cell::new(0)), Rc::new(RefCell::new(Vec::new())));
    let tasks: Vec<_> = (0..32)
        .map(|_| {
            let (target, next, open) = (target.clone(), next.clone(), open.clone());
            tokio::task::spawn_local(async move {
                while next.get() < count {
                    let number = next.replace(next.get() + 1);
                    let stream =
                        open_one(&target, number).await.map_err(|error| format!("stream {number}: {error}"))?;
                    open.borrow_mut().push(stream);
                }
                Ok::<(), String>(())
            })
        })
        .collect();
    for task in tasks {
        task.await??;
    }
    Ok(open.take())
}

async fn open_one(target: &Target, number: usize) -> Result<Connection> {
    let mut connection = target.connect().await?;
    let seat = target.open(&mut connection, number).await?;
    connection.write(&target.listen(&seat)).await?;
    let answer = connection.read_head().await?.ok_or("closed instead of a stream")?;
    if answer.status() != 200 {
        return Err(unexpected("GET", &answer));
    }
    Ok(connection)
}

/// How many pieces lie there to be read on a stream that must not have ended.
async fn still_open(stream: &mut Connection) -> Result<usize> {
    let mut pieces = 0;
    while let Ok(piece) = tokio::time::timeout(Duration::from_millis(0), stream.read_piece(usize::MAX)).await {
        pieces += usize::from(!piece?.ok_or("a stream ended while nothing happened")?.is_empty());
    }
    Ok(pieces)
}
