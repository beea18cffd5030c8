//! The protected resource metadata document. [RFC 9728 §2](https://www.rfc-editor.org/rfc/rfc9728#section-2)

use bytes::Bytes;
use serde::Serialize;

use crate::resource_server::Settings;

#[derive(Serialize)]
struct Document<'a> {
    resource: &'a str,
    authorization_servers: [&'a str; 1],
    scopes_supported: Vec<&'a str>,
    bearer_methods_supported: [&'a str; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_name: Option<&'a str>,
}

/// The document, which is the same for everybody: nothing of a request gets into it.
pub fn document(settings: &Settings) -> Bytes {
    let document = Document {
        resource: &settings.resource,
        authorization_servers: [&settings.issuer],
        // MCP authorization, Refresh Tokens: `offline_access` is the authorization server's, and not listed here.
        scopes_supported: settings
            .scopes_supported
            .iter()
            .map(String::as_str)
            .filter(|scope| *scope != "offline_access")
            .collect(),
        bearer_methods_supported: ["header"],
        resource_name: settings.resource_name.as_deref(),
    };
    Bytes::from(serde_json::to_vec(&document).expect("strings and lists of strings can be written as JSON"))
}
