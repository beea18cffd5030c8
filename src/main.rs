//! The `mcp-bridge` program.

use std::process::ExitCode;

use tikv_jemallocator::Jemalloc;

/// Memory of a process that lives for months: the allocator of glibc keeps, in an arena for each thread, what the largest burst once took, in pieces.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    if let Some(code) = mcp_bridge::bridge::upstream::child::keeper::run_if_asked() {
        return code;
    }
    mcp_bridge::cli::main()
}
