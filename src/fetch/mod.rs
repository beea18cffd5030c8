//! The only outbound HTTP. Nothing here follows a redirect, keeps a cookie or listens to a proxy variable.

mod client;
mod connection;
mod connector;
mod fault;
mod kept;
mod proxy;
mod public;
mod response;
mod tls;

pub use client::{Answer, Client, FieldName, NOTHING, Own, Prepared, Request, Verb};
pub use connection::Connection;
pub use fault::FetchError;
pub use public::{Document, PublicClient, PublicFault};
pub use response::{Begun, Response};
