//! Upstreams of the stateless era (MCP 2026-07-28), behind clients of either era.
//!
//! It owns what such a server wants with every request and a session says once ([`dress`]), how it is recognised
//! ([`probe`]), and what it does differently: it asks by answering ([`inquiry`]), tells changes on a stream that is asked
//! for ([`listening`]), and gives its state away to be brought back ([`state`]). It knows nothing of who listens or of HTTP
//! towards the client; what the upstream speaks is [`Speaks`](crate::bridge::upstream::hello::Speaks), decided once for
//! each connection.

pub mod answer;
pub mod dress;
pub mod inquiry;
pub mod listening;
pub mod onward;
pub mod probe;
pub mod state;
