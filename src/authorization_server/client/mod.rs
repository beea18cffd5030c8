//! Clients: how they register, and how they show who they are.

pub mod authentication;
mod registration;

pub use registration::Registered;
