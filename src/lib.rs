//! `mcp-bridge`: an OAuth 2.1 authorization server, a protected resource and an MCP bridge in one process.
//!
//! The modules, lowest layer first; `ARCHITECTURE.md` has the picture and the table of who may import whom.

pub mod base;
pub mod protocol;
pub mod config;
pub mod model;
pub mod telemetry;
pub mod fetch;
pub mod store;
pub mod keys;
pub mod audit;
pub mod identity;
pub mod authorization_server;
pub mod resource_server;
pub mod bridge;
pub mod http;
pub mod app;
pub mod cli;
