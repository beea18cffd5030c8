//! Clients: how they register, and how they show who they are.

mod assertion;
pub mod authentication;
mod registration;
mod resolve;

pub use registration::Registered;
pub(super) use resolve::configured;
