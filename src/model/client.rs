//! An OAuth client, as it registered.

use serde_json::{Map, Value};

use crate::base::clock::Timestamp;
use crate::base::digest::Digest;
use crate::base::id::ClientId;

/// A client that may ask for authorization (RFC 7591 §2).
#[derive(Clone, Debug, PartialEq)]
pub struct Client {
    /// `client_id`.
    pub id: ClientId,
    /// `client_name`, cleaned of control and direction-changing characters; shown, never trusted.
    pub name: Option<String>,
    /// `redirect_uris`, each accepted by the operator's policy when it was registered.
    pub redirect_uris: Vec<String>,
    /// Digest of the `client_secret`; `None` for a public client (`token_endpoint_auth_method: none`).
    pub secret: Option<Digest>,
    /// Whether `refresh_token` is among its `grant_types`.
    pub may_refresh: bool,
    /// Everything it registered that was understood, as it is echoed (RFC 7591 §3.2.1), without secrets.
    pub metadata: Map<String, Value>,
    /// When it registered.
    pub registered_at: Timestamp,
    /// When a grant was last made for it; `None` for one that was never used, which may expire.
    pub last_granted_at: Option<Timestamp>,
}
