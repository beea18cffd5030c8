//! The authorization server, endpoint by endpoint. Rows of the abuse catalogue carry their id in the name.

mod authorize;
mod client_keys;
mod consent;
mod federated;
mod login;
mod metadata;
mod metadata_documents;
mod metadata_documents_changed;
mod program;
mod refresh;
mod registration;
mod registration_management;
mod revocation;
mod static_clients;
mod token;
mod whole_flow;
