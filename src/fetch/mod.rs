//! The only outbound HTTP. Nothing here follows a redirect, keeps a cookie or listens to a proxy variable.

mod client;
mod settings;

pub use client::{Answer, Client, FetchError, Request, Response, Verb};
pub use settings::{Proxy, ServerName, Settings, Trust};
