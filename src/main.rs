//! The `mcp-bridge` program.

use std::process::ExitCode;

use tikv_jemalloc_ctl::background_thread;
use tikv_jemallocator::Jemalloc;

/// Memory of a process that lives for months: the allocator of glibc keeps, in an arena for each thread, what the largest burst once took, in pieces.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    // A keeper is a single thread and stays one.
    if let Some(code) = mcp_bridge::bridge::upstream::child::keeper::run_if_asked() {
        return code;
    }
    // Free memory goes back while nothing happens. Where there can be no such thread, it goes back with the next allocations.
    let _ = background_thread::write(true);
    mcp_bridge::cli::main()
}
