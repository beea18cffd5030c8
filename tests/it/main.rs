//! Everything a client, a browser or an operator can see, through HTTP and the command line. One binary: quick to link.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test says what it expects by failing; clippy exempts only the test functions themselves"
)]

mod bridge;
mod children;
mod cli;
mod config;
mod isolation;
mod log;
mod mcp;
mod oauth;
mod operation;
mod oversight;
mod resource;
mod support;
mod tidy;
mod upstream_settings;
