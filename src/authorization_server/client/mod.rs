//! Clients: how they register, and how they show who they are.

mod assertion;
pub mod authentication;
pub mod documents;
mod management;
mod registration;
mod resolve;

pub use registration::{Registered, RegistrationFault, tell_of_evicted};
pub use resolve::{ResolveFault, configured};
