//! The only outbound HTTP. Nothing here follows a redirect, keeps a cookie or listens to a proxy variable.

mod client;
mod connection;
mod public;

pub use client::{Answer, Begun, Client, FetchError, Request, Response, Verb};
pub use connection::Connection;
pub use public::{Document, PublicClient, PublicFault};
