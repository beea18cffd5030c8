//! OAuth 2.1 and its companions: the words of RFC 6749, 6750, 7009, 7591, 7636, 8414, 8707, 9068, 9207 and 9728.

pub mod parameters;
pub mod error;
pub mod grant_type;
pub mod scope;
pub mod pkce;
pub mod resource;
pub mod redirect_uri;
pub mod metadata;
pub mod client_document;
pub mod client_keys;
pub mod client_metadata;
pub mod claims;
pub mod token_response;
