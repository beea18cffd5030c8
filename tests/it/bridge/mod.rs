//! The bridge as a whole, with children and servers that are told what to do.

pub mod support;
pub mod fake_server;
pub mod fake_sse;
pub mod certificates;
mod sessions;
mod isolation;
mod tenants;
mod probe;
mod children;
mod streams;
mod several;
mod http_upstream;
mod sse_upstream;
mod sse_faults;
mod upstream_tls;
mod proxies;
mod standard_error;
