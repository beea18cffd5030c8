//! What is remembered, and its legal transitions. No I/O; time is an argument.

pub mod account;
pub mod authorization;
pub mod browser_session;
pub mod client;
pub mod connection;
pub mod consent;
pub mod enrolled;
pub mod grant;
pub mod principal;
pub mod user;
