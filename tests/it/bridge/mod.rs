//! The bridge as a whole, with children and servers that are told what to do.

pub mod support;
pub mod fake_server;
pub mod fake_sse;
mod sessions;
mod isolation;
mod tenants;
mod probe;
mod children;
mod sse_upstream;
mod sse_faults;
mod attended;
mod sse_found;
mod streams;
mod several;
mod subscriptions;
mod http_upstream;
mod proxies;
pub mod certificates;
mod tls;
mod proxying;
