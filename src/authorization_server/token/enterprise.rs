//! `grant_type=urn:ietf:params:oauth:grant-type:jwt-bearer` with an ID-JAG: an enterprise's identity provider says that its
//! person may use this client here. [MCP Enterprise-Managed Authorization §5](https://github.com/modelcontextprotocol/ext-auth/blob/main/specification/stable/enterprise-managed-authorization.mdx), [RFC 7523 §2.1](https://www.rfc-editor.org/rfc/rfc7523#section-2.1)

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::audit::Event;
use crate::authorization_server::AuthorizationServer;
use crate::authorization_server::assertion::{Audience, Validity};
use crate::authorization_server::client::authentication::{AuthenticatedClient, Confidence};
use crate::authorization_server::error::Refused;
use crate::base::clock::Timestamp;
use crate::base::digest::Digest;
use crate::base::id::GrantId;
use crate::base::random;
use crate::base::secret::Secret;
use crate::identity::federated::{Asserted, Failure, Reason};
use crate::model::client::Client;
use crate::model::grant::{AssertionOutcome, CheckedAssertion, Grant};
use crate::protocol::oauth::error::{ErrorCode, OauthError};
use crate::protocol::oauth::grant_type;
use crate::protocol::oauth::parameters::Parameters;
use crate::protocol::oauth::resource;
use crate::protocol::oauth::scope::ScopeSet;
use crate::protocol::oauth::token_response::TokenResponse;

/// Claims that narrow an assertion to something that is not done here. Who would not look at them would take a token that
/// only its holder may use for anybody's (`cnf`), or one person for another's namesake in another tenant.
const NOT_DONE_HERE: [&str; 4] = ["cnf", "authorization_details", "tenant", "aud_tenant"];

/// The claims of the ID-JAG draft. What the identity provider's part checked stands here for what it has to be besides.
#[derive(Deserialize)]
struct Claims {
    iss: String,
    aud: Audience,
    client_id: String,
    jti: String,
    resource: Option<Resources>,
    scope: Option<String>,
    #[serde(flatten)]
    validity: Validity,
}

/// One resource, or several.
#[derive(Deserialize)]
#[serde(untagged)]
enum Resources {
    One(String),
    Several(Vec<String>),
}

impl AuthorizationServer {
    pub(super) async fn redeem_assertion(
        &self,
        client: &AuthenticatedClient,
        form: &Parameters,
    ) -> Result<TokenResponse, Refused> {
        let AuthenticatedClient(client, confidence) = client;
        // EMA §7.7: client authentication MUST be enforced, or whoever finds an assertion could use it.
        if *confidence == Confidence::Claimed {
            return Err(Refused::new(
                ErrorCode::UnauthorizedClient,
                "the client has to prove itself for this grant_type",
            ));
        }
        let sent = form.one("assertion")?;
        let assertion =
            Secret::new(sent.ok_or_else(|| Refused::new(ErrorCode::InvalidRequest, "assertion is missing"))?);
        let resource = self.check_resource(form)?;
        let asked = self.known_scopes(form)?;
        let now = self.services.clock.now();
        let asserted = self.services.identity.read_assertion(&assertion, &client.id, now).await.map_err(refused)?;
        let (claims, expires_at) = self.check_assertion_claims(&asserted.claims, client, now)?;
        let granted = self.asserted_scopes(&claims, &asserted, client)?;
        // EMA §7.2.1: the intersection of what the assertion has and what is asked for; all of it when nothing is.
        let scopes = if asked.is_empty() { granted } else { asked.limited_to(&granted) };
        if scopes.is_empty() {
            return Err(Refused::new(ErrorCode::InvalidScope, "the assertion gives none of these scopes"));
        }
        let grant = Grant {
            id: GrantId::new(random::identifier()),
            user: asserted.account.user.clone(),
            client_id: client.id.clone(),
            resource,
            scopes,
            created_at: now,
            revoked_at: None,
        };
        let Asserted { account, description, .. } = asserted;
        let digest = claims.digest();
        // Before it is spent: who cannot be recorded keeps the assertion, and may come again with it.
        self.services.audit.check().await?;
        let checked = CheckedAssertion { digest, expires_at, account, description, grant: grant.clone() };
        self.spend_for_person(checked, now).await?;
        self.services.audit.record(Event::Granted { grant: &grant, grant_type: grant_type::JWT_BEARER }).await?;
        // RFC 7521 §4.1: refresh tokens are not typically issued. The identity provider is asked again for the next token.
        self.issue(&grant, grant.scopes.clone(), None)
    }

    /// Before anything is minted, and last of the checks: nobody else who has it can use it up for its client.
    async fn spend_for_person(&self, assertion: CheckedAssertion, now: Timestamp) -> Result<(), Refused> {
        let (user, client) = (assertion.grant.user.clone(), assertion.grant.client_id.clone());
        match self.services.store.redeem_assertion(assertion, now).await? {
            AssertionOutcome::Granted => {
                tracing::info!(%user, oauth.client = %client, "an assertion became a grant");
                Ok(())
            }
            AssertionOutcome::Replayed => Err(invalid("it was presented before").word("assertion_replayed").of(&user)),
            AssertionOutcome::Disabled => Err(invalid(&format!("{user} is disabled")).word("user_disabled").of(&user)),
        }
    }

    /// The claims, and until when the assertion could be presented again.
    fn check_assertion_claims(
        &self,
        claims: &Map<String, Value>,
        client: &Client,
        now: Timestamp,
    ) -> Result<(Claims, Timestamp), Refused> {
        if NOT_DONE_HERE.iter().any(|name| claims.get(*name).is_some_and(|value| !value.is_null())) {
            return Err(invalid("it has a cnf, authorization_details, tenant or aud_tenant, which mean nothing here"));
        }
        let claims = Claims::deserialize(claims).map_err(|fault| invalid(&format!("its claims: {fault}")))?;
        // EMA §7.6.2: MUST equal the issuer. The token endpoint, which RFC 7523 also allows, is not enough.
        if claims.aud.only() != Some(&self.settings.issuer) {
            return Err(invalid("its audience is not this issuer alone"));
        }
        // ID-JAG §4.4.1: MUST be the client that was authenticated.
        if claims.client_id != client.id.as_str() {
            return Err(invalid("it is another client's"));
        }
        let expires_at = claims.validity.check(now).map_err(invalid)?;
        if !claims.validity.is_dated() || claims.jti.is_empty() {
            return Err(invalid("it has no iat or jti"));
        }
        // EMA §5.1: MUST match a resource of this server; `invalid_grant`, whatever the request asks for.
        match claims.resource.as_ref().is_none_or(|resources| self.has_own_resource(resources)) {
            true => Ok((claims, expires_at)),
            false => Err(invalid("its resource is none of ours")),
        }
    }

    fn has_own_resource(&self, resources: &Resources) -> bool {
        let is_ours = |one: &String| resource::canonical(one).as_ref() == Some(&self.settings.resource);
        match resources {
            Resources::One(one) => is_ours(one),
            Resources::Several(several) => several.iter().any(is_ours),
        }
    }

    /// What the assertion, the rules for the person, and the client's own bounds give together.
    fn asserted_scopes(&self, claims: &Claims, asserted: &Asserted, client: &Client) -> Result<ScopeSet, Refused> {
        let said = match &claims.scope {
            None => self.settings.default_scopes.clone(),
            Some(said) => ScopeSet::parse(said).map_err(|_| invalid("its scope holds what no scope can"))?,
        };
        let known: ScopeSet = said.iter().filter(|scope| self.settings.scopes_supported.contains(scope)).collect();
        let scopes = client.limit(known.limited_to(&asserted.scopes));
        match scopes.is_empty() {
            true => Err(invalid("it has no scope that the person and the client may have")),
            false => Ok(scopes),
        }
    }
}

impl Claims {
    /// RFC 7519 §4.1.7: a `jti` is unique to its issuer. Not one that a client's own assertion could have.
    fn digest(&self) -> Digest {
        Digest::of_bytes(format!("ID-JAG {}\n{}", self.iss, self.jti).as_bytes())
    }
}

/// The one answer to every assertion that does not work: what is wrong with it is for the log alone.
fn invalid(cause: &str) -> Refused {
    let public = OauthError::new(ErrorCode::InvalidGrant, "the assertion is not accepted");
    Refused::with_cause(public, format!("assertion: {cause}"))
}

fn refused(failure: Failure) -> Refused {
    match failure.reason {
        Reason::Unreachable | Reason::Misconfigured => {
            let text = "the assertion cannot be checked now; try again later";
            let public = OauthError::new(ErrorCode::TemporarilyUnavailable, text);
            Refused::with_cause(public, failure.to_string())
        }
        _ => invalid(&failure.to_string()),
    }
}
