//! The token endpoint: a code or a refresh token for tokens. [RFC 6749 §4.1.3, §6](https://www.rfc-editor.org/rfc/rfc6749#section-4.1.3)

use std::future::Future;

use futures_util::future::BoxFuture;
use oauth2::basic::{
    BasicErrorResponse, BasicRevocationErrorResponse, BasicTokenIntrospectionResponse, BasicTokenType,
};
use oauth2::{
    AuthType, AuthorizationCode, Client, ClientId, ClientSecret, EndpointNotSet, EndpointSet, ExtraTokenFields,
    HttpRequest, HttpResponse, PkceCodeVerifier, RedirectUrl, RefreshToken, RequestTokenError, StandardRevocableToken,
    StandardTokenResponse, TokenResponse as _, TokenUrl,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::base::clock::Timestamp;
use crate::base::random;
use crate::base::secret::Secret;
use crate::config::section::ClientAuthentication;
use crate::identity::federated::discovery::Metadata;
use crate::identity::federated::{Attempt, Failure, Provider, Reason};

/// How long a client assertion is valid, in seconds: it is used at once.
const ASSERTION_LIFETIME: i64 = 60;
/// The value of `client_assertion_type` (RFC 7523 §2.2).
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// How much of a provider's words goes into the log, in characters.
const QUOTED: usize = 200;

/// What the token endpoint gave.
pub struct Tokens {
    /// `access_token`, for the provider's own userinfo endpoint and nothing else.
    pub access_token: Secret,
    /// `refresh_token`.
    pub refresh_token: Option<Secret>,
    /// `id_token` (OpenID Connect Core §3.1.3.3).
    pub id_token: Option<Secret>,
}

/// What is given for tokens.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Grant {
    Code,
    RefreshToken,
}

/// What OpenID Connect adds to a token response.
#[derive(Debug, Serialize, Deserialize)]
struct WithIdToken {
    #[serde(default)]
    id_token: Option<String>,
}

impl ExtraTokenFields for WithIdToken {}

type Response = StandardTokenResponse<WithIdToken, BasicTokenType>;
type TokenClient = Client<
    BasicErrorResponse,
    Response,
    BasicTokenIntrospectionResponse,
    StandardRevocableToken,
    BasicRevocationErrorResponse,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointSet,
>;

impl Provider {
    /// Redeems a code.
    pub(super) async fn redeem(
        &self,
        metadata: &Metadata,
        code: &Secret,
        attempt: &Attempt,
        now: Timestamp,
    ) -> Result<Tokens, Failure> {
        let redirect_uri = RedirectUrl::new(self.redirect_uri.clone())
            .map_err(|error| Failure::new(Reason::Misconfigured, error.to_string()))?;
        let client = self.token_client(metadata).set_redirect_uri(redirect_uri);
        let mut request = client
            .exchange_code(AuthorizationCode::new(code.expose().to_owned()))
            .set_pkce_verifier(PkceCodeVerifier::new(attempt.code_verifier.expose().to_owned()));
        for (name, value) in self.assertion(metadata, now)? {
            request = request.add_extra_param(name, value);
        }
        let send = self.sender();
        let presented = self.presented([code, &attempt.code_verifier]);
        received(request.request_async(&send), Grant::Code, &presented).await
    }

    /// Redeems a refresh token.
    pub(super) async fn refresh(
        &self,
        metadata: &Metadata,
        refresh_token: &Secret,
        now: Timestamp,
    ) -> Result<Tokens, Failure> {
        let client = self.token_client(metadata);
        let token = RefreshToken::new(refresh_token.expose().to_owned());
        let mut request = client.exchange_refresh_token(&token);
        for (name, value) in self.assertion(metadata, now)? {
            request = request.add_extra_param(name, value);
        }
        let send = self.sender();
        let presented = self.presented([refresh_token]);
        received(request.request_async(&send), Grant::RefreshToken, &presented).await
    }

    /// What must not reach the log when the provider repeats it: these, and the client's own secret.
    fn presented<'a>(&'a self, secrets: impl IntoIterator<Item = &'a Secret>) -> Vec<&'a Secret> {
        let own = match &self.settings.client_authentication {
            ClientAuthentication::Secret(secret)
            | ClientAuthentication::Basic(secret)
            | ClientAuthentication::Post(secret) => Some(secret),
            ClientAuthentication::PrivateKeyJwt { .. } | ClientAuthentication::None => None,
        };
        secrets.into_iter().chain(own).collect()
    }

    /// How the crate sends a request: a closure that borrows nothing, since a future that does could not be spawned.
    fn sender(&self) -> impl Fn(HttpRequest) -> BoxFuture<'static, Result<HttpResponse, Failure>> + 'static {
        let http = self.http.clone();
        move |request| {
            let http = http.clone();
            Box::pin(async move { http.call(request).await })
        }
    }

    fn token_client(&self, metadata: &Metadata) -> TokenClient {
        let client = Client::new(ClientId::new(self.settings.client_id.clone()))
            .set_token_uri(TokenUrl::from_url(metadata.token_endpoint.clone()));
        let (secret, method) = match &self.settings.client_authentication {
            ClientAuthentication::Secret(secret) if metadata.wants_post => (Some(secret), AuthType::RequestBody),
            ClientAuthentication::Secret(secret) | ClientAuthentication::Basic(secret) => {
                (Some(secret), AuthType::BasicAuth)
            }
            ClientAuthentication::Post(secret) => (Some(secret), AuthType::RequestBody),
            ClientAuthentication::PrivateKeyJwt { .. } | ClientAuthentication::None => (None, AuthType::RequestBody),
        };
        let client = client.set_auth_type(method);
        match secret {
            Some(secret) => client.set_client_secret(ClientSecret::new(secret.expose().to_owned())),
            None => client,
        }
    }

    /// The parameters of `private_key_jwt` (OpenID Connect Core §9, RFC 7523 §3); none with another method.
    fn assertion(&self, metadata: &Metadata, now: Timestamp) -> Result<Vec<(&'static str, String)>, Failure> {
        let Some(key) = &self.client_key else { return Ok(Vec::new()) };
        let client_id = Value::from(self.settings.client_id.as_str());
        let claims = Map::from_iter([
            ("iss".to_owned(), client_id.clone()),
            ("sub".to_owned(), client_id),
            // The very address it is sent to, which is what every provider takes. The issuer would do at some, and a list of
            // both could be used at either.
            ("aud".to_owned(), Value::from(metadata.token_endpoint.as_str())),
            ("jti".to_owned(), Value::from(random::identifier())),
            ("iat".to_owned(), Value::from(now.unix())),
            ("exp".to_owned(), Value::from(now.unix().saturating_add(ASSERTION_LIFETIME))),
        ]);
        let signed = key.sign(&claims, now).map_err(|error| Failure::new(Reason::Misconfigured, error.to_string()))?;
        let assertion = signed.expose().to_owned();
        Ok(vec![("client_assertion_type", JWT_BEARER.to_owned()), ("client_assertion", assertion)])
    }
}

async fn received(
    response: impl Future<Output = Result<Response, RequestTokenError<Failure, BasicErrorResponse>>>,
    grant: Grant,
    presented: &[&Secret],
) -> Result<Tokens, Failure> {
    let response = response.await.map_err(|error| fault(error, grant, presented))?;
    // RFC 6749 §7.1: the client MUST NOT use an access token of a type it does not understand.
    if *response.token_type() != BasicTokenType::Bearer {
        return Err(Failure::new(
            Reason::Misconfigured,
            "the provider gives access tokens that are not of type Bearer",
        ));
    }
    let secret = |text: &String| Secret::from(text.clone());
    Ok(Tokens {
        access_token: secret(response.access_token().secret()),
        refresh_token: response.refresh_token().map(|token| secret(token.secret())),
        id_token: response.extra_fields().id_token.as_ref().map(secret),
    })
}

fn fault(error: RequestTokenError<Failure, BasicErrorResponse>, grant: Grant, presented: &[&Secret]) -> Failure {
    let unreadable = |what: String| Failure::new(Reason::Unreachable, format!("the token endpoint's answer {what}"));
    match error {
        RequestTokenError::Request(failure) => failure,
        RequestTokenError::ServerResponse(answer) => {
            let code = answer.error().as_ref();
            let description = answer.error_description().map(|text| quoted(text, presented));
            let cause = match description {
                Some(description) => format!("the token endpoint says {:?}: {description:?}", quoted(code, presented)),
                None => format!("the token endpoint says {:?}", quoted(code, presented)),
            };
            Failure::new(reason(code, grant), cause)
        }
        // What it could not read may be a token: only the place is told.
        RequestTokenError::Parse(error, _) => unreadable(format!("cannot be read, at {}", error.path())),
        RequestTokenError::Other(_) => unreadable("is empty or not JSON".to_owned()),
    }
}

/// RFC 6749 §5.2, and what GitHub says instead.
fn reason(error: &str, grant: Grant) -> Reason {
    match (error, grant) {
        ("invalid_grant" | "bad_verification_code", Grant::Code) => Reason::Untrusted,
        ("invalid_grant" | "bad_refresh_token" | "access_denied", Grant::RefreshToken) => Reason::Ended,
        // OpenID Connect Core §3.1.2.6, told at the token endpoint by some when the person has to act.
        (
            "interaction_required" | "login_required" | "consent_required" | "account_selection_required",
            Grant::RefreshToken,
        ) => Reason::Ended,
        ("access_denied", Grant::Code) => Reason::Denied,
        ("unverified_user_email", Grant::Code) => Reason::NoVerifiedEmail,
        ("server_error" | "temporarily_unavailable" | "slow_down", _) => Reason::Unreachable,
        _ => Reason::Misconfigured,
    }
}

/// The provider's words for the log, unless they repeat what was presented.
fn quoted(text: &str, presented: &[&Secret]) -> String {
    if presented.iter().any(|secret| text.contains(secret.expose())) {
        return "(not shown: it repeats what was presented)".to_owned();
    }
    text.chars().take(QUOTED).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_say_whose_fault_it_is() {
        for (error, code, refresh) in [
            ("invalid_grant", Reason::Untrusted, Reason::Ended),
            ("bad_verification_code", Reason::Untrusted, Reason::Misconfigured),
            ("bad_refresh_token", Reason::Misconfigured, Reason::Ended),
            ("invalid_client", Reason::Misconfigured, Reason::Misconfigured),
            ("incorrect_client_credentials", Reason::Misconfigured, Reason::Misconfigured),
            ("temporarily_unavailable", Reason::Unreachable, Reason::Unreachable),
            ("interaction_required", Reason::Misconfigured, Reason::Ended),
        ] {
            assert_eq!((reason(error, Grant::Code), reason(error, Grant::RefreshToken)), (code, refresh), "{error}");
        }
    }

    #[test]
    fn fed_15_a_secret_that_the_provider_repeats_is_not_quoted() {
        let (token, own) = (Secret::new("rt-4711"), Secret::new("client-0815"));
        assert!(!quoted("no such token: rt-4711!", &[&token, &own]).contains("4711"));
        assert!(!quoted("client-0815 is wrong", &[&token, &own]).contains("0815"));
        assert_eq!(quoted(&"x".repeat(1000), &[&token, &own]).len(), QUOTED);
    }
}
