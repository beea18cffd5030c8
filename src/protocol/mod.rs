//! Words on the wire: pure parsing and printing, no I/O.

pub mod mcp;
pub mod oauth;
