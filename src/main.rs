//! The `mcp-bridge` program.

use std::process::ExitCode;

use mcp_bridge::bridge::upstream::child::keeper;

fn main() -> ExitCode {
    // Before everything else: a keeper is started for each child and must cost nothing.
    if let Some(code) = keeper::run_if_asked() {
        return code;
    }
    ExitCode::SUCCESS
}
