//! So many POSTs of one JSON body in all: fills a store.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Instant;

use crate::target::{Target, exchange, unexpected};
use crate::{Result, number, option};

/// Runs, and prints a line.
///
/// # Errors
/// One of them is refused.
pub async fn run(target: Target) -> Result<()> {
    let (connections, count): (usize, usize) = (number("--connections", 8)?, number("--count", 1)?);
    let body = option("--body").ok_or("--body is missing")?;
    let request = Rc::new(target.post(&target.seat(0), "", &body));
    let (target, left, started) = (Rc::new(target), Rc::new(Cell::new(count)), Instant::now());
    let tasks: Vec<_> = (0..connections)
        .map(|_| tokio::task::spawn_local(until_none_left(target.clone(), request.clone(), left.clone())))
        .collect();
    for task in tasks {
        task.await??;
    }
    println!("{}", serde_json::json!({"posts": count, "seconds": started.elapsed().as_secs_f64()}));
    Ok(())
}

async fn until_none_left(
    target: Rc<Target>,
    request: Rc<Vec<u8>>,
    left: Rc<Cell<usize>>,
) -> std::result::Result<(), String> {
    let all = async {
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
    };
    all.await.map_err(|error| error.to_string())
}
