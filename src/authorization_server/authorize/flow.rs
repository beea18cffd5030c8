//! A flow in its browser: found again by its cookie, and which page comes next, decided from the stored flow alone.

use crate::authorization_server::AuthorizationServer;
use crate::authorization_server::authorize::fault::FlowFault;
use crate::base::digest::Digest;
use crate::base::id::{ClientId, FlowId, ProviderName};
use crate::base::secret::Secret;
use crate::identity::federated::Provider;
use crate::model::authorization::{AuthorizationRequest, Flow, Stage};
use crate::model::client::Origin;
use crate::protocol::oauth::scope::ScopeSet;

/// A flow that was found by its identifier and its cookie: this is the browser it began in.
#[derive(Debug)]
pub struct Bound {
    pub(super) flow: Flow,
    pub(super) cookie: Secret,
}

/// Which page comes next.
#[derive(Debug)]
pub enum Step {
    /// The login page.
    Login {
        /// Who asks; `None`: nobody, it leads to the own account.
        asked: Option<Asked>,
        /// Where a person can log in.
        ways: Ways,
    },
    /// The question whether the client may.
    Consent {
        /// Who asks.
        asked: Asked,
        /// Who is asked.
        person: Person,
        /// What would be granted; to somebody who has yet to log in, at most.
        scopes: ScopeSet,
    },
    /// The browser goes on to a provider.
    Away {
        /// What people call it.
        label: String,
        /// Its authorization endpoint, with the request. Holds `state`.
        url: Secret,
    },
}

/// Who asks, for a page to show.
#[derive(Debug)]
pub struct Asked {
    /// The client's own name for itself.
    pub client_name: Option<String>,
    /// The host that vouches for the name: that of the address by which the client is known.
    pub vouched_by: Option<String>,
    /// Where the answer goes.
    pub redirect_uri: String,
    /// What the tokens are for.
    pub resource: String,
}

/// Where a person can log in.
#[derive(Debug)]
pub struct Ways {
    /// Here, with a password.
    pub password: bool,
    /// At these providers: names, and what people call them.
    pub providers: Vec<(ProviderName, String)>,
    /// Whether a browser can stay signed in.
    pub can_stay: bool,
}

/// Who is asked for consent.
#[derive(Debug)]
pub enum Person {
    /// Somebody who has logged in, by this name; see [`AuthorizationServer::shown_name`].
    LoggedIn(String),
    /// Whoever logs in next at a provider.
    At {
        /// What people call it.
        label: String,
        /// Whether there are other ways to log in.
        has_choice: bool,
        /// Whether a browser can stay signed in.
        can_stay: bool,
    },
}

/// Whether the client may, asked of whoever logs in next.
pub(super) struct Question<'a> {
    /// Where the person will log in.
    pub(super) provider: &'a ProviderName,
    /// See [`Stage::Login`].
    pub(super) afresh: bool,
}

/// A person who goes to a provider.
pub(super) struct Departure<'a> {
    /// Where to.
    pub(super) question: Question<'a>,
    /// What was allowed; nothing, on the way to the own account.
    pub(super) scopes: ScopeSet,
    /// See [`Stage::Away`].
    pub(super) stays: bool,
}

impl Bound {
    /// The flow's identifier.
    #[must_use]
    pub fn id(&self) -> &FlowId {
        &self.flow.id
    }

    /// What a client asked, for the steps that only such a flow takes.
    pub(super) fn request(&self) -> Result<&AuthorizationRequest, FlowFault> {
        self.flow.request.as_ref().ok_or(FlowFault::Gone("no client asked anything: it leads to the own account"))
    }

    /// The client that asked; `None`: it leads to the own account.
    #[must_use]
    pub fn client_id(&self) -> Option<&ClientId> {
        self.flow.request.as_ref().map(|request| &request.client_id)
    }

    /// Whether it leads to the own account and not to a client.
    #[must_use]
    pub fn is_to_account(&self) -> bool {
        self.flow.request.is_none()
    }
}

impl AuthorizationServer {
    /// The flow of this identifier, if this browser has its cookie and it has not been answered.
    ///
    /// # Errors
    /// [`FlowFault::Gone`].
    pub async fn find_flow(&self, id: &FlowId, cookie: Option<Secret>) -> Result<Bound, FlowFault> {
        let cookie = cookie.ok_or(FlowFault::Gone("the browser sent no cookie of it, or two"))?;
        let found = self.services.store.find_flow(id, self.services.clock.now()).await?;
        match found {
            None => Err(FlowFault::Gone("there is no such flow, or not any more")),
            Some(flow) if flow.browser != Digest::of(&cookie) => {
                Err(FlowFault::Gone("the cookie is of an earlier step"))
            }
            Some(flow) if flow.stage == Stage::Finished => Err(FlowFault::Gone("it was answered already")),
            Some(flow) => Ok(Bound { flow, cookie }),
        }
    }

    /// The token that a form of this flow must bring back: it can be made only from the cookie, which pages cannot read.
    #[must_use]
    pub fn csrf_token(&self, bound: &Bound) -> Secret {
        self.services.keys.derive("csrf", &[bound.flow.id.as_str().as_bytes(), bound.cookie.expose().as_bytes()])
    }

    /// Checks a form's token.
    ///
    /// # Errors
    /// [`FlowFault::Forged`].
    pub fn check_csrf_token(&self, bound: &Bound, sent: Option<&str>) -> Result<(), FlowFault> {
        let matches = sent.is_some_and(|sent| Secret::new(sent) == self.csrf_token(bound));
        if matches { Ok(()) } else { Err(FlowFault::Forged) }
    }

    /// The page that comes next.
    ///
    /// # Errors
    /// [`FlowFault`].
    pub async fn step(&self, bound: &Bound) -> Result<Step, FlowFault> {
        if let Some(question) = self.question(&bound.flow) {
            return self.ask(bound, &question).await;
        }
        if self.login(&bound.flow).is_some() {
            let asked = if bound.is_to_account() { None } else { Some(self.asked(bound).await?) };
            return Ok(Step::Login { asked, ways: self.ways() });
        }
        match &bound.flow.stage {
            Stage::Consent { user, scopes } => {
                let user = self.services.identity.find_active(user).await?;
                let user = user.ok_or(FlowFault::Gone("its user may not come in any more"))?;
                let person = Person::LoggedIn(self.shown_name(&user));
                Ok(Step::Consent { asked: self.asked(bound).await?, person, scopes: scopes.clone() })
            }
            Stage::Away { provider, afresh, .. } => {
                let provider = self.provider(provider)?;
                let url = self.way_out(provider, &self.attempt(&bound.flow.id, &bound.cookie), *afresh).await?;
                Ok(Step::Away { label: provider.label().to_owned(), url })
            }
            Stage::Login { .. } | Stage::Permission { .. } | Stage::Returned { .. } | Stage::Finished => {
                Err(FlowFault::Gone("there is nothing to show at this stage"))
            }
        }
    }

    /// The question that stands before the way to a provider, if this stage asks it. Somebody who did not come back in time
    /// is asked again: what the provider would answer to the `state` of then is not taken any more. So is somebody whose
    /// return was broken off, by a reload or a restart; a return that is still under way then ends in nothing.
    pub(super) fn question<'a>(&self, flow: &'a Flow) -> Option<Question<'a>> {
        flow.request.as_ref()?;
        match &flow.stage {
            Stage::Permission { provider, afresh } | Stage::Returned { provider, afresh, .. } => {
                Some(Question { provider, afresh: *afresh })
            }
            Stage::Away { provider, afresh, until, .. } if self.services.clock.now() >= *until => {
                Some(Question { provider, afresh: *afresh })
            }
            _ => None,
        }
    }

    /// Whether somebody can log in or choose where at this stage; `true` when it has to be somebody else. On the way to the own
    /// account no question comes before a provider, so that who does not come back in time, or whose return was broken off,
    /// begins anew here.
    pub(super) fn login(&self, flow: &Flow) -> Option<bool> {
        match (&flow.stage, &flow.request) {
            (Stage::Login { afresh }, _) | (Stage::Returned { afresh, .. }, None) => Some(*afresh),
            (Stage::Away { afresh, until, .. }, None) if self.services.clock.now() >= *until => Some(*afresh),
            _ => None,
        }
    }

    async fn ask(&self, bound: &Bound, question: &Question<'_>) -> Result<Step, FlowFault> {
        let label = self.provider(question.provider)?.label().to_owned();
        let has_choice = matches!(self.login_stage(false), Stage::Login { .. });
        let person = Person::At { label, has_choice, can_stay: self.can_stay() };
        Ok(Step::Consent { asked: self.asked(bound).await?, person, scopes: self.askable(&bound.request()?.scopes) })
    }

    async fn asked(&self, bound: &Bound) -> Result<Asked, FlowFault> {
        let request = bound.request()?;
        let client = self.find_client(&request.client_id, None).await?;
        let client = client.ok_or(FlowFault::Gone("its client is not registered any more"))?;
        let vouched_by = match client.origin {
            Origin::Document { host } => Some(host),
            Origin::Configured { .. } | Origin::Registered => None,
        };
        Ok(Asked {
            vouched_by,
            client_name: client.name,
            redirect_uri: request.redirect_uri.clone(),
            resource: request.resource.clone(),
        })
    }

    fn ways(&self) -> Ways {
        let identity = &self.services.identity;
        let choice = |provider: &Provider| (provider.name().clone(), provider.label().to_owned());
        Ways {
            password: identity.has_passwords(),
            providers: identity.providers().iter().map(choice).collect(),
            can_stay: self.can_stay(),
        }
    }

    /// What a flow begins with when nobody is logged in: where there is nothing to choose, nothing is asked.
    pub(super) fn login_stage(&self, afresh: bool) -> Stage {
        let identity = &self.services.identity;
        match identity.providers() {
            [only] if !identity.has_passwords() => Stage::Permission { provider: only.name().clone(), afresh },
            _ => Stage::Login { afresh },
        }
    }

    /// The provider of a stored stage; the configuration may have changed since.
    pub(super) fn provider(&self, name: &ProviderName) -> Result<&Provider, FlowFault> {
        let found = self.services.identity.provider(name);
        found.ok_or(FlowFault::Gone("its provider is not configured, or not any more"))
    }

    /// What is asked for, before anybody's limits are known.
    pub(super) fn askable(&self, asked: &ScopeSet) -> ScopeSet {
        if asked.is_empty() { self.settings.default_scopes.clone() } else { asked.clone() }
    }

    /// What a person with `limit` grants to a client that asked for `asked`.
    pub(super) fn grantable(&self, asked: &ScopeSet, limit: &ScopeSet) -> ScopeSet {
        self.askable(asked).limited_to(limit)
    }
}
