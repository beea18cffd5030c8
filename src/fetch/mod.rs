//! The only outbound HTTP. Nothing here follows a redirect, keeps a cookie or listens to a proxy variable.

mod client;
mod public;
mod settings;

pub use client::{Answer, Client, FetchError, Request, Response, Verb};
pub use public::{Document, PublicClient, PublicFault};
pub use settings::{Proxy, ServerName, Settings, Trust};
