//! The authorization request that a browser takes to a provider. [OpenID Connect Core §3.1.2.1](https://openid.net/specs/openid-connect-core-1_0.html#AuthRequest)

use std::borrow::Cow;

use oauth2::basic::BasicClient;
use oauth2::{AuthUrl, ClientId, CsrfToken, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, Scope};

use crate::config::section::{self, Dialect};
use crate::identity::federated::discovery::Metadata;
use crate::identity::federated::{Attempt, Failure, Reason, admission};
use crate::protocol::oauth::pkce;

/// The URL of the request.
pub fn url(
    settings: &section::Provider,
    redirect_uri: &str,
    metadata: &Metadata,
    attempt: &Attempt,
    afresh: bool,
) -> Result<String, Failure> {
    let redirect_uri = RedirectUrl::new(redirect_uri.to_owned())
        .map_err(|error| Failure::new(Reason::Misconfigured, format!("{redirect_uri}: {error}")))?;
    let client = BasicClient::new(ClientId::new(settings.client_id.clone()))
        .set_auth_uri(AuthUrl::from_url(metadata.authorization_endpoint.clone()))
        .set_redirect_uri(redirect_uri);
    let mut request = client
        .authorize_url(|| CsrfToken::new(attempt.state.expose().to_owned()))
        .set_pkce_challenge(challenge(attempt)?)
        .add_scopes(scopes(settings).map(|scope| Scope::new(scope.to_owned())));
    if is_oidc(settings) {
        request = request.add_extra_param("nonce", attempt.nonce.expose());
    }
    if let Some(prompt) = prompt(settings, metadata, afresh) {
        request = request.add_extra_param("prompt", prompt);
    }
    // The configuration takes none of those that are ours.
    for (name, value) in settings.authorize_parameters.iter().filter(|(name, _)| name != "prompt") {
        request = request.add_extra_param(name.as_str(), value.as_str());
    }
    Ok(request.url().0.into())
}

fn challenge(attempt: &Attempt) -> Result<PkceCodeChallenge, Failure> {
    // The crate panics at any other length.
    if !pkce::is_verifier(attempt.code_verifier.expose()) {
        return Err(Failure::new(Reason::Misconfigured, "the code_verifier has a wrong form"));
    }
    let verifier = PkceCodeVerifier::new(attempt.code_verifier.expose().to_owned());
    Ok(PkceCodeChallenge::from_code_verifier_sha256(&verifier))
}

fn is_oidc(settings: &section::Provider) -> bool {
    matches!(settings.dialect, Dialect::Oidc { .. })
}

/// OpenID Connect Core §3.1.2.1: a request without `openid` is none of OpenID Connect.
fn scopes(settings: &section::Provider) -> impl Iterator<Item = &str> {
    let written = settings.scopes.iter().map(String::as_str);
    let missing = is_oidc(settings) && !settings.scopes.iter().any(|scope| scope == "openid");
    missing.then_some("openid").into_iter().chain(written)
}

/// `prompt`: the configured one, and with `afresh` one more, so that the provider asks who it is.
fn prompt<'a>(settings: &'a section::Provider, metadata: &Metadata, afresh: bool) -> Option<Cow<'a, str>> {
    let mut configured = settings.authorize_parameters.iter().filter(|(name, _)| name == "prompt");
    let written = configured.next().map(|(_, value)| value.as_str());
    if !afresh {
        return written.map(Cow::Borrowed);
    }
    // Google documents no `login`; the choice of an account is what matters there.
    let wanted = match is_oidc(settings) && !admission::is_google(&metadata.issuer) {
        true => "login",
        false => "select_account",
    };
    match written {
        None | Some("none") => Some(Cow::Borrowed(wanted)),
        Some(written) if written.split(' ').any(|value| value == wanted) => Some(Cow::Borrowed(written)),
        Some(written) => Some(Cow::Owned(format!("{wanted} {written}"))),
    }
}
