//! Authorization server metadata. [RFC 8414 §2](https://www.rfc-editor.org/rfc/rfc8414#section-2)

use serde::Serialize;

use crate::protocol::oauth::grant_type;

/// The document at `/.well-known/oauth-authorization-server`. It lists what really works, nothing else.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "the specification's own words")]
pub struct AuthorizationServerMetadata {
    pub issuer: String,
    pub authorization_endpoint: String,
    pub token_endpoint: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub registration_endpoint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revocation_endpoint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub introspection_endpoint: Option<String>,
    pub jwks_uri: String,
    pub scopes_supported: Vec<String>,
    pub response_types_supported: [&'static str; 1],
    pub response_modes_supported: [&'static str; 1],
    pub grant_types_supported: Vec<&'static str>,
    /// MCP Enterprise-Managed Authorization §6.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub authorization_grant_profiles_supported: Vec<&'static str>,
    pub code_challenge_methods_supported: [&'static str; 1],
    pub token_endpoint_auth_methods_supported: Vec<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub token_endpoint_auth_signing_alg_values_supported: Vec<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub revocation_endpoint_auth_methods_supported: Vec<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub revocation_endpoint_auth_signing_alg_values_supported: Vec<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub introspection_endpoint_auth_methods_supported: Vec<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub introspection_endpoint_auth_signing_alg_values_supported: Vec<&'static str>,
    /// RFC 9207 §3.
    pub authorization_response_iss_parameter_supported: bool,
    /// Client ID Metadata Documents §5.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub client_id_metadata_document_supported: bool,
}

/// What differs between one configuration and another.
#[derive(Clone, Debug)]
pub struct Offered {
    /// `scopes_supported`.
    pub scopes: Vec<String>,
    /// `grant_types_supported`.
    pub grant_types: Vec<&'static str>,
    /// The algorithms of client assertions; empty where no client can have a key.
    pub assertion_algorithms: Vec<&'static str>,
    /// Whether clients may register themselves.
    pub dynamic_registration: bool,
    /// Whether clients may be named by the address of their metadata.
    pub metadata_documents: bool,
    /// Whether tokens can be asked about.
    pub introspection: bool,
    /// Whether clients may end their tokens.
    pub revocation: bool,
}

impl AuthorizationServerMetadata {
    /// The metadata of `issuer`, whose endpoints are below it.
    #[must_use]
    pub fn new(issuer: &str, offered: Offered) -> Self {
        let endpoint = |name: &str| format!("{issuer}/oauth/{name}");
        let mut methods = vec!["none", "client_secret_basic", "client_secret_post"];
        methods.extend((!offered.assertion_algorithms.is_empty()).then_some("private_key_jwt"));
        let where_offered = |offered: bool, values: &[&'static str]| if offered { values.to_vec() } else { Vec::new() };
        // RFC 7662 §2.1: the endpoint MUST require authorization, so `none` is no method there.
        let proofs: Vec<_> = methods.iter().copied().filter(|method| *method != "none").collect();
        let algorithms = offered.assertion_algorithms;
        Self {
            issuer: issuer.to_owned(),
            authorization_endpoint: endpoint("authorize"),
            token_endpoint: endpoint("token"),
            registration_endpoint: offered.dynamic_registration.then(|| endpoint("register")),
            revocation_endpoint: offered.revocation.then(|| endpoint("revoke")),
            introspection_endpoint: offered.introspection.then(|| endpoint("introspect")),
            jwks_uri: endpoint("jwks"),
            scopes_supported: offered.scopes,
            response_types_supported: ["code"],
            response_modes_supported: ["query"],
            // Of JWT bearer assertions, ID-JAG is the only kind that is taken.
            authorization_grant_profiles_supported: offered
                .grant_types
                .contains(&grant_type::JWT_BEARER)
                .then_some(grant_type::ID_JAG_PROFILE)
                .into_iter()
                .collect(),
            grant_types_supported: offered.grant_types,
            // MCP "Authorization Code Protection": clients refuse a server that does not list it.
            code_challenge_methods_supported: ["S256"],
            token_endpoint_auth_methods_supported: methods.clone(),
            // RFC 8414 §2: MUST be there when private_key_jwt is.
            revocation_endpoint_auth_methods_supported: where_offered(offered.revocation, &methods),
            revocation_endpoint_auth_signing_alg_values_supported: where_offered(offered.revocation, &algorithms),
            introspection_endpoint_auth_methods_supported: where_offered(offered.introspection, &proofs),
            introspection_endpoint_auth_signing_alg_values_supported: where_offered(offered.introspection, &algorithms),
            token_endpoint_auth_signing_alg_values_supported: algorithms,
            authorization_response_iss_parameter_supported: true,
            client_id_metadata_document_supported: offered.metadata_documents,
        }
    }
}
