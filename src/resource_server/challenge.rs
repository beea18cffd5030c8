//! `WWW-Authenticate`: what a client without a sufficient token is told.
//! [RFC 6750 §3](https://www.rfc-editor.org/rfc/rfc6750#section-3), [RFC 9728 §5.1](https://www.rfc-editor.org/rfc/rfc9728#section-5.1)

use crate::protocol::oauth::scope::ScopeSet;
use crate::resource_server::{Settings, TokenRefused};

/// Why a request is not served.
#[derive(Clone, Copy, Debug)]
pub enum Challenge<'a> {
    /// It carried no token. Answered with 401.
    NoToken,
    /// Its token was refused. Answered with 401.
    InvalidToken(&'a TokenRefused),
    /// Its token does not give these scopes, all that the request needs. Answered with 403.
    InsufficientScope(&'a ScopeSet),
    /// It carried more than one token, or a malformed one: the text says which, in plain words. Answered with 400.
    InvalidRequest(&'a str),
}

/// Writes challenges for one resource.
pub struct Challenges {
    resource_metadata: String,
    /// The scopes of an ordinary session, for clients that cannot ask for more later. Empty when there are none.
    scope: String,
}

impl Challenges {
    /// For the resource of these settings.
    pub fn new(settings: &Settings) -> Self {
        let scopes: Vec<&str> = settings.challenge_scopes.iter().map(String::as_str).collect();
        Self {
            resource_metadata: parameter("resource_metadata", &settings.metadata_url),
            scope: if scopes.is_empty() { String::new() } else { parameter("scope", &scopes.join(" ")) },
        }
    }

    /// The value of the header: one challenge, `Bearer`, since common clients look at the first one only.
    pub fn value(&self, challenge: Challenge<'_>) -> String {
        let error = |code| parameter("error", code);
        let description = |text| parameter("error_description", text);
        let parameters = match challenge {
            // RFC 6750 §3.1: no error code when the request lacks any authentication information.
            Challenge::NoToken => vec![self.resource_metadata.clone(), self.scope.clone()],
            Challenge::InvalidToken(refused) => vec![
                error("invalid_token"),
                description(refused.error_description),
                self.resource_metadata.clone(),
                self.scope.clone(),
            ],
            // RFC 6750 §3: `scope` names what is needed to access the resource; MCP: all of it in one challenge.
            Challenge::InsufficientScope(needed) => vec![
                error("insufficient_scope"),
                parameter("scope", &needed.to_string()),
                self.resource_metadata.clone(),
            ],
            Challenge::InvalidRequest(text) => {
                vec![error("invalid_request"), description(text), self.resource_metadata.clone()]
            }
        };
        let parameters: Vec<String> = parameters.into_iter().filter(|parameter| !parameter.is_empty()).collect();
        format!("Bearer {}", parameters.join(", "))
    }
}

/// A parameter with a quoted value. RFC 6750 §3: no character outside `%x20-21 / %x23-5B / %x5D-7E`, so nothing needs escaping,
/// and nothing can end the header line.
fn parameter(name: &str, value: &str) -> String {
    let legal = |c: char| matches!(c, ' '..='~') && c != '"' && c != '\\';
    let value: String = value.chars().map(|c| if legal(c) { c } else { '?' }).collect();
    format!("{name}=\"{value}\"")
}
