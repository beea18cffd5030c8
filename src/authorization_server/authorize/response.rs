//! Answers to the client through the browser. [RFC 6749 §4.1.2](https://www.rfc-editor.org/rfc/rfc6749#section-4.1.2), [RFC 9207 §2](https://www.rfc-editor.org/rfc/rfc9207#section-2)

use url::form_urlencoded::Serializer;

use crate::base::secret::Secret;
use crate::protocol::oauth::error::OauthError;

/// An authorization response: the URL the browser goes to. Made only for a redirect URI that the client registered and
/// the operator allows.
#[derive(Debug)]
pub struct Answer {
    /// The redirect URI with the response's parameters. Secret when it carries a code.
    pub url: Secret,
    /// The redirect URI alone, to show where it goes.
    pub redirect_uri: String,
    /// The error it carries, if it does.
    pub error: Option<OauthError>,
}

/// What follows a step.
#[derive(Debug)]
pub enum Next {
    /// The next page of the flow.
    Step {
        /// The new value of the flow's cookie.
        cookie: Secret,
    },
    /// Nothing more to ask.
    Answer(Answer),
    /// To the own account.
    Account,
}

impl Answer {
    /// The code.
    pub(super) fn success(redirect_uri: &str, state: Option<&str>, issuer: &str, code: &Secret) -> Self {
        let url = with_parameters(redirect_uri, issuer, state, &[("code", code.expose())]);
        Self { url, redirect_uri: redirect_uri.to_owned(), error: None }
    }

    /// An error.
    pub(super) fn refusal(redirect_uri: &str, state: Option<&str>, issuer: &str, error: OauthError) -> Self {
        let parameters = [("error", error.error.as_str()), ("error_description", error.description.as_str())];
        let url = with_parameters(redirect_uri, issuer, state, &parameters);
        Self { url, redirect_uri: redirect_uri.to_owned(), error: Some(error) }
    }

    /// Whether the browser may be sent there before anybody has logged in.
    ///
    /// An https address stands in the operator's own list. What listens on a loopback port or for a private-use scheme
    /// is not known, so a person has to choose to go there (OAuth 2.1 §7.12.2).
    #[must_use]
    pub fn may_redirect_unasked(&self) -> bool {
        self.redirect_uri.starts_with("https://")
    }
}

/// Appends to whatever query the redirect URI has, which is kept (RFC 6749 §4.1.2).
fn with_parameters(redirect_uri: &str, issuer: &str, state: Option<&str>, parameters: &[(&str, &str)]) -> Secret {
    let mut query = Serializer::new(String::new());
    query.extend_pairs(parameters);
    if let Some(state) = state {
        query.append_pair("state", state);
    }
    // RFC 9207 §2: iss in every response, errors included.
    query.append_pair("iss", issuer);
    let separator = if redirect_uri.contains('?') { '&' } else { '?' };
    Secret::from(format!("{redirect_uri}{separator}{}", query.finish()))
}
