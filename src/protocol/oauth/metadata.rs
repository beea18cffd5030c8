//! Authorization server metadata. [RFC 8414 §2](https://www.rfc-editor.org/rfc/rfc8414#section-2)

use serde::Serialize;

/// The document at `/.well-known/oauth-authorization-server`. It lists what really works, nothing else.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "the specification's own words")]
pub struct AuthorizationServerMetadata {
    pub issuer: String,
    pub authorization_endpoint: String,
    pub token_endpoint: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub registration_endpoint: Option<String>,
    pub revocation_endpoint: String,
    pub jwks_uri: String,
    pub scopes_supported: Vec<String>,
    pub response_types_supported: [&'static str; 1],
    pub response_modes_supported: [&'static str; 1],
    pub grant_types_supported: [&'static str; 2],
    pub code_challenge_methods_supported: [&'static str; 1],
    pub token_endpoint_auth_methods_supported: [&'static str; 3],
    pub revocation_endpoint_auth_methods_supported: [&'static str; 3],
    /// RFC 9207 §3.
    pub authorization_response_iss_parameter_supported: bool,
}

/// Client authentication at the token and revocation endpoints (RFC 7591 §2).
pub const AUTH_METHODS: [&str; 3] = ["none", "client_secret_basic", "client_secret_post"];

impl AuthorizationServerMetadata {
    /// The metadata of `issuer`, whose endpoints are below it.
    #[must_use]
    pub fn new(issuer: &str, scopes_supported: Vec<String>, dynamic_registration: bool) -> Self {
        let endpoint = |name: &str| format!("{issuer}/oauth/{name}");
        Self {
            issuer: issuer.to_owned(),
            authorization_endpoint: endpoint("authorize"),
            token_endpoint: endpoint("token"),
            registration_endpoint: dynamic_registration.then(|| endpoint("register")),
            revocation_endpoint: endpoint("revoke"),
            jwks_uri: endpoint("jwks"),
            scopes_supported,
            response_types_supported: ["code"],
            response_modes_supported: ["query"],
            grant_types_supported: ["authorization_code", "refresh_token"],
            // MCP "Authorization Code Protection": clients refuse a server that does not list it.
            code_challenge_methods_supported: ["S256"],
            token_endpoint_auth_methods_supported: AUTH_METHODS,
            revocation_endpoint_auth_methods_supported: AUTH_METHODS,
            authorization_response_iss_parameter_supported: true,
        }
    }
}
