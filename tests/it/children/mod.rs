//! Children behind the bridge, started for real: what they get, how they end, and that nothing of them stays
//! (`reference/security.md` 1.M, MCP stdio Shutdown).

mod ends;
mod gets;
mod stderr;
pub mod support;
