//! The authorization server, endpoint by endpoint. Rows of the abuse catalogue carry their id in the name.

mod account;
pub mod audit;
mod authorize;
mod client_keys;
mod consent;
pub mod enterprise;
mod federated;
mod introspection;
mod login;
mod metadata;
mod metadata_documents;
mod metadata_documents_changed;
mod program;
mod refresh;
mod restart;
mod registration;
mod registration_management;
mod resolver;
mod revocation;
mod rotation;
mod static_clients;
mod throttling;
mod token;
mod whole_flow;
