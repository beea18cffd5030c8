//! The MCP servers behind the bridge.

pub mod child;
