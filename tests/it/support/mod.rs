//! What the tests share: the bridge itself, a browser, and clients.

pub mod app;
pub mod browser;
pub mod client;
pub mod host;
pub mod mcp;
pub mod program;
pub mod provider;
pub mod stateless;

pub use app::App;
pub use browser::Browser;
pub use client::Client;
pub use program::Program;
pub use provider::Provider;
pub use stateless::Stateless;
