//! The checks an authorization request passes, in order. [RFC 6749 §4.1.1](https://www.rfc-editor.org/rfc/rfc6749#section-4.1.1)

use std::net::IpAddr;

use crate::authorization_server::AuthorizationServer;
use crate::authorization_server::authorize::AuthorizeFault;
use crate::authorization_server::authorize::response::Answer;
use crate::authorization_server::client::ResolveFault;
use crate::authorization_server::client::documents::DocumentRefusal;
use crate::authorization_server::error::Refused;
use crate::base::id::ClientId;
use crate::model::authorization::AuthorizationRequest;
use crate::model::client::{Client, Origin};
use crate::protocol::oauth::error::{ErrorCode, OauthError};
use crate::protocol::oauth::parameters::{Malformed, Parameters, Repeated};
use crate::protocol::oauth::pkce;
use crate::protocol::oauth::redirect_uri;
use crate::protocol::oauth::resource;
use crate::protocol::oauth::scope::ScopeSet;
use crate::store::StoreError;

/// A client and a redirect URI of it: from here on there is somebody to answer to.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) client: Client,
    redirect_uri: String,
    state: Option<String>,
}

/// Why there is nobody to answer to. The texts are for the person at the browser.
#[derive(Debug, thiserror::Error)]
pub enum PageFault {
    /// The query cannot be read.
    #[error("The app sent a request that cannot be read.")]
    Malformed(#[from] Malformed),
    /// The query is longer than any client needs.
    #[error("The app sent a request that is too long.")]
    TooLong,
    /// A parameter came twice.
    #[error("The app sent a request that can be read in two ways: {0}.")]
    Repeated(#[from] Repeated),
    /// There is no `client_id`.
    #[error("The app did not say who it is: client_id is missing.")]
    NoClient,
    /// RFC 6749 §4.1.2.1: unknown client. Not a redirect: anybody could make one up.
    #[error("This app is not registered here, or its registration has expired.")]
    UnknownClient,
    /// MCP 2026-07-28, Client ID Metadata Documents: the person is told, and nobody is redirected.
    #[error("This app could not be verified by the document that it publishes about itself.")]
    Document(DocumentRefusal),
    /// RFC 6749 §4.1.2.1: a redirect URI that the client did not register.
    #[error("The app asked to be answered at an address that it did not register.")]
    UnregisteredRedirectUri(ClientId),
    /// Several are registered, or the request has none.
    #[error("The app did not say where to send the answer: redirect_uri is missing.")]
    NoRedirectUri,
    /// The operator's list has changed since the client registered.
    #[error("This server no longer allows the address at which the app asked to be answered.")]
    NotAllowed(ClientId),
    /// The store cannot answer.
    #[error("The server cannot do this now.")]
    Unavailable(#[from] StoreError),
}

impl PageFault {
    /// What only the log is told.
    #[must_use]
    pub fn cause(&self) -> Option<&dyn std::fmt::Display> {
        match self {
            Self::Document(refusal) => Some(refusal),
            Self::Unavailable(error) => Some(error),
            _ => None,
        }
    }

    /// The word for it in the audit trail. `None`: it says nothing about whoever asks.
    #[must_use]
    pub const fn word(&self) -> Option<&'static str> {
        match self {
            Self::UnknownClient => Some("unknown_client"),
            Self::Document(_) => Some("client_document_refused"),
            Self::UnregisteredRedirectUri(_) => Some("unregistered_redirect_uri"),
            Self::NotAllowed(_) => Some("redirect_uri_not_allowed"),
            Self::Malformed(_)
            | Self::TooLong
            | Self::Repeated(_)
            | Self::NoClient
            | Self::NoRedirectUri
            | Self::Unavailable(_) => None,
        }
    }

    /// The client, where there is such a one.
    #[must_use]
    pub const fn client(&self) -> Option<&ClientId> {
        match self {
            Self::UnregisteredRedirectUri(client) | Self::NotAllowed(client) => Some(client),
            _ => None,
        }
    }

    /// What the person can do about it.
    #[must_use]
    pub const fn next_step(&self) -> &'static str {
        match self {
            Self::UnknownClient | Self::UnregisteredRedirectUri(_) => {
                "Remove the connection in the app and add it again: it then registers anew."
            }
            Self::NotAllowed(_) => "Ask the operator of this server to add it to allowed_redirect_uris.",
            Self::Document(DocumentRefusal::NotAllowed(_)) => {
                "Ask the operator of this server to add it to client_id_metadata_documents.allowed_hosts."
            }
            Self::Document(DocumentRefusal::Invalid(_)) => {
                "Tell the makers of the app; its document cannot be accepted."
            }
            Self::Unavailable(_) | Self::Document(_) => "Go back to the app and connect again in a moment.",
            Self::Malformed(_) | Self::TooLong | Self::Repeated(_) | Self::NoClient | Self::NoRedirectUri => {
                "Go back to the app and connect again. If that does not help, the app needs an update."
            }
        }
    }
}

/// Whether `requested` is what the client registered as `one`.
///
/// Deviation: RFC 8252 §7.3 leaves only the port open. Goose's document has `http://localhost` without any path, for programs that
/// listen on a port and a path of their own choice; it is that or turning them away. The path keeps nobody out: who may listen on
/// any port of that computer may answer on any path there.
fn is_registered(client: &Client, one: &str, requested: &str) -> bool {
    let is_open =
        matches!(client.origin, Origin::Document { .. }) && redirect_uri::is_under_bare_loopback(one, requested);
    is_open || redirect_uri::is_same(one, requested)
}

type Check = fn(&AuthorizationServer, &Parameters) -> Result<(), OauthError>;

/// Checks that only pass or fail, in the order in which they are answered.
const CHECKS: [Check; 5] = [no_repeats, no_request_object, response_type, response_mode, no_prompt_none];

/// Parameters that are looked at below; each may come once (RFC 6749 §3.1).
const ONCE: [&str; 11] = [
    "response_type",
    "response_mode",
    "state",
    "scope",
    "code_challenge",
    "code_challenge_method",
    "prompt",
    "request",
    "request_uri",
    "login_hint",
    "nonce",
];

impl AuthorizationServer {
    /// Who asks, and where the answer would go.
    pub(super) async fn find_target(&self, parameters: &Parameters, asker: IpAddr) -> Result<Target, PageFault> {
        let id = parameters.one("client_id")?.ok_or(PageFault::NoClient)?;
        let requested = parameters.one("redirect_uri")?;
        let found = match self.find_client(&ClientId::new(id), Some(asker)).await {
            Ok(found) => found,
            Err(ResolveFault::Store(error)) => return Err(error.into()),
            Err(ResolveFault::Document(refusal)) => return Err(PageFault::Document(refusal)),
        };
        let client = found.ok_or(PageFault::UnknownClient)?;
        let redirect_uri = match (requested, client.redirect_uris.as_slice()) {
            (Some(requested), registered) if registered.iter().any(|one| is_registered(&client, one, requested)) => {
                requested
            }
            (Some(_), _) => return Err(PageFault::UnregisteredRedirectUri(client.id)),
            // RFC 6749 §3.1.2.3: it may be left out when exactly one is registered.
            (None, [only]) => only,
            (None, _) => return Err(PageFault::NoRedirectUri),
        };
        let redirect_uri = redirect_uri.to_owned();
        self.settings.redirect_uris.check(&redirect_uri).map_err(|_| PageFault::NotAllowed(client.id.clone()))?;
        // A repeated `state` is answered without one: which of the two the client meant is not known.
        let state = parameters.one("state").ok().flatten().map(str::to_owned);
        Ok(Target { client, redirect_uri, state })
    }

    /// All that is asked, checked.
    pub(super) fn check_request(
        &self,
        target: &Target,
        parameters: &Parameters,
        cross_site: bool,
    ) -> Result<AuthorizationRequest, Refused> {
        // RFC 6749 §4.1.2.1: a client without this grant is told `unauthorized_client`; the operator gave it redirect URIs all
        // the same, or it would not be here.
        if !target.client.grants.authorization_code {
            return Err(Refused::new(ErrorCode::UnauthorizedClient, "this client may not ask people"));
        }
        for check in CHECKS {
            check(self, parameters)?;
        }
        Ok(AuthorizationRequest {
            client_id: target.client.id.clone(),
            redirect_uri: target.redirect_uri.clone(),
            state: target.state.clone(),
            code_challenge: code_challenge(parameters)?,
            resource: self.check_resource(parameters)?,
            scopes: self.possible_scopes(&target.client, parameters)?,
            // OpenID Connect Core §3.1.2.1: prompt=consent asks before anything is returned.
            asks_again: cross_site || prompts(parameters, "consent"),
        })
    }

    /// Tells the client what was wrong with its request, if it may be told before anybody has logged in.
    pub(super) fn refusal(&self, target: &Target, refused: Refused) -> AuthorizeFault {
        let (uri, state, reason) = (&target.redirect_uri, target.state.as_deref(), refused.reason());
        let answer = Answer::refusal(uri, state, &self.settings.issuer, refused.public);
        AuthorizeFault::Answer(target.client.id.clone(), reason, answer)
    }

    /// RFC 8707 §2: the resource the token is for. Left out, it is the only one there is.
    pub(in crate::authorization_server) fn check_resource(
        &self,
        parameters: &Parameters,
    ) -> Result<String, OauthError> {
        let refused = |text| OauthError::new(ErrorCode::InvalidTarget, text);
        let sent = parameters.one("resource").map_err(|_| refused("one resource at a time"))?;
        let ours = &self.settings.resource;
        match sent {
            None if parameters.has("resource") => Err(refused("resource is empty")),
            None => Ok(ours.clone()),
            Some(sent) if resource::canonical(sent).as_ref() == Some(ours) => Ok(ours.clone()),
            Some(_) => {
                Err(refused("this server issues no tokens for that resource; see the protected resource metadata"))
            }
        }
    }

    /// The scopes asked for that exist here and that the client may be granted. None, when the client asks for nothing in
    /// particular and may be granted anything.
    fn possible_scopes(&self, client: &Client, parameters: &Parameters) -> Result<ScopeSet, OauthError> {
        let known = self.known_scopes(parameters)?;
        let Some(most) = &client.scopes else { return Ok(known) };
        let asked = if known.is_empty() { self.settings.default_scopes.clone() } else { known.clone() };
        match asked.limited_to(most) {
            none if none.is_empty() && known.is_empty() => Ok(most.clone()),
            none if none.is_empty() => {
                let text = "this client may be granted none of these scopes; the operator sets them in clients";
                Err(OauthError::new(ErrorCode::InvalidScope, text))
            }
            some => Ok(some),
        }
    }

    /// The scopes asked for that exist here, none when nothing in particular is asked for. Unknown ones are dropped: clients
    /// ask for what another server had, and rmcp refreshes with `offline_access` although it was never granted.
    pub(in crate::authorization_server) fn known_scopes(
        &self,
        parameters: &Parameters,
    ) -> Result<ScopeSet, OauthError> {
        let refused = |text| OauthError::new(ErrorCode::InvalidScope, text);
        let repeated = |fault: Repeated| OauthError::new(ErrorCode::InvalidRequest, fault.to_string());
        let sent = parameters.one("scope").map_err(repeated)?.unwrap_or_default();
        let sent = ScopeSet::parse(sent).map_err(|_| refused("scope holds a character that scopes cannot have"))?;
        let supported = &self.settings.scopes_supported;
        let known: ScopeSet = sent.iter().filter(|scope| supported.contains(scope)).collect();
        // A client that asks for a refresh token and nothing else asks for no scope in particular.
        let asks_for_something = sent.iter().any(|scope| scope != "offline_access");
        if known.is_empty() && asks_for_something {
            return Err(refused("none of these scopes exists here; see scopes_supported in the metadata"));
        }
        Ok(known)
    }
}

fn no_repeats(_: &AuthorizationServer, parameters: &Parameters) -> Result<(), OauthError> {
    for name in ONCE {
        parameters.one(name).map_err(|fault| OauthError::new(ErrorCode::InvalidRequest, fault.to_string()))?;
    }
    Ok(())
}

/// OpenID Connect Core §6: neither form is supported, and nothing is ever fetched because a request says so.
fn no_request_object(_: &AuthorizationServer, parameters: &Parameters) -> Result<(), OauthError> {
    if parameters.has("request") {
        return Err(OauthError::new(ErrorCode::RequestNotSupported, "request objects are not supported"));
    }
    if parameters.has("request_uri") {
        return Err(OauthError::new(ErrorCode::RequestUriNotSupported, "request_uri is not supported"));
    }
    Ok(())
}

fn response_type(_: &AuthorizationServer, parameters: &Parameters) -> Result<(), OauthError> {
    match parameters.one("response_type").unwrap_or_default() {
        Some("code") => Ok(()),
        None => Err(OauthError::new(ErrorCode::InvalidRequest, "response_type is missing; send code")),
        Some(_) => Err(OauthError::new(ErrorCode::UnsupportedResponseType, "response_type must be code")),
    }
}

fn response_mode(_: &AuthorizationServer, parameters: &Parameters) -> Result<(), OauthError> {
    match parameters.one("response_mode").unwrap_or_default() {
        None | Some("query") => Ok(()),
        Some(_) => Err(OauthError::new(ErrorCode::InvalidRequest, "response_mode must be query")),
    }
}

/// OpenID Connect Core §3.1.2.6: whether there is somebody signed in who has allowed it is nobody's to try out unseen.
fn no_prompt_none(_: &AuthorizationServer, parameters: &Parameters) -> Result<(), OauthError> {
    if prompts(parameters, "none") {
        return Err(OauthError::new(ErrorCode::LoginRequired, "a person has to log in"));
    }
    Ok(())
}

/// OpenID Connect Core §3.1.2.1: whether the person is to log in although somebody is logged in.
pub(super) fn wants_login(parameters: &Parameters) -> bool {
    prompts(parameters, "login") || prompts(parameters, "select_account")
}

fn prompts(parameters: &Parameters, word: &str) -> bool {
    let prompt = parameters.one("prompt").unwrap_or_default().unwrap_or_default();
    prompt.split(' ').any(|given| given == word)
}

fn code_challenge(parameters: &Parameters) -> Result<String, Refused> {
    let refused = |text| Refused::new(ErrorCode::InvalidRequest, text).word("no_pkce");
    // OAuth 2.1 §7.5.1, RFC 7636 §4.4.1: no challenge, no code. An omitted method would mean plain (§4.3).
    let challenge = parameters.one("code_challenge").unwrap_or_default();
    let challenge = challenge.ok_or_else(|| refused("code_challenge is missing; PKCE with S256 is required"))?;
    if parameters.one("code_challenge_method").unwrap_or_default() != Some("S256") {
        return Err(refused("code_challenge_method must be S256"));
    }
    if !pkce::is_challenge(challenge) {
        return Err(refused("code_challenge must be the base64url form of a SHA-256"));
    }
    Ok(challenge.to_owned())
}
