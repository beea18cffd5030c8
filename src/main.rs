//! The `mcp-bridge` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    if let Some(code) = mcp_bridge::bridge::upstream::child::keeper::run_if_asked() {
        return code;
    }
    mcp_bridge::cli::main()
}
