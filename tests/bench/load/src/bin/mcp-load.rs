//! Load for one address of this machine; prints one JSON line.
//!
//! All: `--url URL [--token-file F] [--era sessions|stateless] [--pid P]`; F has a token on each line, P is whose processor time and memory are taken.
//!
//! `calls --connections N (--seconds S | --count N) [--sessions N] [--warm-up S] [--tool echo] [--arguments JSON] [--expect TEXT]
//! [--least-bytes N] [--progress] [--slow]`: calls on each connection, in the sessions in turn; `--count` is for each connection.
//!
//! `streams --count N --hold S`: sessions with an open stream on which nothing happens.
//!
//! `requests --connections N --seconds S --requests FILE [--expect STATUS] [--contains TEXT]`: the requests of a file, see requests.rs.
//!
//! `posts --connections N --count N --body TEXT`: so many POSTs of one JSON body in all.

use mcp_bench::target::Target;
use mcp_bench::{Result, calls, posts, requests, streams};
use tokio::task::LocalSet;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let target = Target::from_options()?;
    let local = LocalSet::new();
    match std::env::args().nth(1).as_deref() {
        Some("calls") => local.run_until(calls::run(target)).await,
        Some("streams") => local.run_until(streams::run(target)).await,
        Some("posts") => local.run_until(posts::run(target)).await,
        Some("requests") => local.run_until(requests::run(target)).await,
        _ => Err("mcp-load calls|streams|posts|requests, see the head of mcp-load.rs".into()),
    }
}
