//! The only outbound HTTP. Nothing here follows a redirect, keeps a cookie or listens to a proxy variable.

mod client;

pub use client::{Client, FetchError, Request, Response, Verb};
