//! What a person sees of the own account, and may end: apps, browsers, and the password.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::audit::Event;
use crate::authorization_server::AuthorizationServer;
use crate::authorization_server::authorize::FlowFault;
use crate::authorization_server::session::SignedIn;
use crate::base::clock::Timestamp;
use crate::base::id::ClientId;
use crate::base::secret::Secret;
use crate::identity::{ChangeError, LoginError, NewPassword, OwnPassword};
use crate::model::browser_session::BrowserSession;
use crate::model::client::{Client, Origin};
use crate::model::connection::Connection;
use crate::model::consent::Consent;
use crate::protocol::oauth::client_document::DocumentUrl;
use crate::protocol::oauth::scope::ScopeSet;
use crate::store::StoreError;

/// A person's account, at one moment.
#[derive(Debug)]
pub struct Account {
    /// When.
    pub at: Timestamp,
    /// The apps, the latest used first.
    pub apps: Vec<App>,
    /// The browsers, this one first.
    pub browsers: Vec<AccountBrowser>,
    /// Where the password is kept.
    pub password: OwnPassword,
}

/// An app that has access, or would get it again without a question.
#[derive(Debug)]
pub struct App {
    /// Its identifier.
    pub client_id: ClientId,
    /// What it calls itself.
    pub name: Option<String>,
    /// The host that vouches for that.
    pub vouched_by: Option<String>,
    /// Where it was last answered.
    pub redirect_uri: Option<String>,
    /// What it may do.
    pub scopes: ScopeSet,
    /// Since when it has access; `None`: it has none now, its person just would not be asked again.
    pub connected_at: Option<Timestamp>,
    /// When it last came with a token, or fetched one; or when the person last said yes, if it has no access.
    pub used_at: Timestamp,
}

/// A browser in which the person is signed in.
#[derive(Debug)]
pub struct AccountBrowser {
    /// Tells it from others; worth nothing to anybody.
    pub id: String,
    /// What people call it; may be empty.
    pub device: String,
    /// When the person signed in.
    pub since: Timestamp,
    /// When the person was last seen there.
    pub used_at: Timestamp,
    /// Whether it is the one that asks.
    pub is_this: bool,
}

impl AuthorizationServer {
    /// The account of who is signed in.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn account(&self, here: &SignedIn) -> Result<Account, StoreError> {
        let (store, now, user) = (&self.services.store, self.services.clock.now(), &here.person.id);
        // Best effort: a page that shows less than it could is better than none.
        if let Err(error) = store.record_calls().await {
            tracing::debug!(%error, "when apps were last used could not be written down");
        }
        let connections = store.list_connections(user, now - self.settings.token_lifetime, now).await?;
        let mut consents = store.list_consents(user).await?;
        let remember = self.settings.consent.remember;
        let mut found = by_client(connections, &consents);
        consents.retain(|consent| now.since(consent.granted_at) < remember);
        for consent in consents {
            found.entry(consent.client_id.clone()).or_insert_with(|| App::remembered(consent));
        }
        let mut apps = Vec::new();
        for app in found.into_values() {
            apps.push(self.described(app).await?);
        }
        apps.sort_by_key(|app| std::cmp::Reverse(app.used_at));
        let mut browsers: Vec<_> =
            store.list_sessions(user, now).await?.into_iter().map(|session| shown(session, here)).collect();
        browsers.sort_by_key(|browser| !browser.is_this);
        Ok(Account { at: now, apps, browsers, password: self.own_password(here) })
    }

    /// The token that the forms of the account's pages must bring back.
    #[must_use]
    pub fn account_token(&self, session: &Secret) -> Secret {
        self.services.keys.derive("account", &[session.expose().as_bytes()])
    }

    /// Checks a form's token.
    ///
    /// # Errors
    /// [`FlowFault::Forged`].
    pub fn check_account_token(&self, session: &Secret, sent: Option<&str>) -> Result<(), FlowFault> {
        let matches = sent.is_some_and(|sent| Secret::new(sent) == self.account_token(session));
        if matches { Ok(()) } else { Err(FlowFault::Forged) }
    }

    /// Where the password of who is signed in is kept.
    #[must_use]
    pub fn own_password(&self, here: &SignedIn) -> OwnPassword {
        self.services.identity.own_password(&here.person.id)
    }

    /// Takes all access from an app, and what was remembered of its person's yes. Its access tokens end within a second.
    /// `false`: it had nothing.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn disconnect(&self, here: &SignedIn, client: &ClientId) -> Result<bool, StoreError> {
        let ended = self.services.store.disconnect(&here.person.id, client, self.services.clock.now()).await?;
        if ended {
            tracing::info!(user = %here.person.id, oauth.client = %client, "an app was disconnected by its person");
            self.services.audit.record(Event::ConsentWithdrawn { user: &here.person.id, client }).await?;
        }
        Ok(ended)
    }

    /// Signs the person out in another browser, or in all others. How many there were.
    ///
    /// # Errors
    /// The store cannot be read or written.
    pub async fn sign_out_elsewhere(&self, here: &SignedIn, only: Option<&str>) -> Result<usize, StoreError> {
        let (store, user, this) = (&self.services.store, &here.person.id, &here.session.digest);
        let only = match only {
            None => None,
            Some(id) => {
                let sessions = store.list_sessions(user, self.services.clock.now()).await?;
                let Some(session) = sessions.into_iter().find(|session| session.digest.base64url() == id) else {
                    return Ok(0);
                };
                Some(session.digest)
            }
        };
        let ended = store.remove_sessions_elsewhere(user, this, only).await?;
        tracing::info!(%user, ended, "browser sessions were ended by their person");
        if ended > 0 {
            self.services.audit.record(Event::SessionEnded { user }).await?;
        }
        Ok(ended)
    }

    /// Replaces the password of who is signed in.
    ///
    /// # Errors
    /// [`ChangeError`].
    pub async fn change_password(&self, here: &SignedIn, form: PasswordForm<'_>) -> Result<(), ChangeError> {
        let change = NewPassword {
            user: &here.person.id,
            old: form.old,
            new: form.new,
            address: form.address,
            here: here.session.digest,
            disconnects: form.disconnects,
        };
        // What lets somebody in is not changed where it could not be recorded.
        self.services.audit.check().await?;
        let changed = self.services.identity.change_password(change, self.services.clock.now()).await;
        let (user, audit) = (&here.person.id, &self.services.audit);
        match &changed {
            // Nobody but the person was asked, so it is known whose password it would have been.
            Err(ChangeError::Old(LoginError::Throttled { .. })) => {
                audit.record(Event::LoginUnheard { user: Some(user), client: None, reason: "throttled" }).await?;
            }
            Err(ChangeError::Old(error)) => self.record_login(None, Err(error)).await?,
            _ => {}
        }
        let ended = changed?;
        let recorded = audit.record(Event::PasswordChanged { user }).await;
        if ended.sessions > 0 {
            audit.record(Event::SessionEnded { user }).await?;
        }
        if ended.grants > 0 {
            let event = Event::GrantsRevoked { user: Some(user), client: None, reason: "password_changed" };
            audit.record(event).await?;
        }
        Ok(recorded?)
    }

    /// Says who the app is, from what is known of it here: a page of a person's does not wait for strangers' servers.
    async fn described(&self, mut app: App) -> Result<App, StoreError> {
        let client = self.find_known_client(&app.client_id).await?;
        if let Ok(url) = DocumentUrl::parse(app.client_id.as_str()) {
            app.vouched_by = Some(url.host());
        }
        if let Some(Client { name, origin, redirect_uris, .. }) = client {
            if let Origin::Document { host } = origin {
                app.vouched_by = Some(host);
            }
            app.name = name;
            app.redirect_uri = app.redirect_uri.or_else(|| redirect_uris.into_iter().next());
        }
        Ok(app)
    }
}

/// A change of the password, as it was typed.
#[derive(Debug)]
pub struct PasswordForm<'a> {
    /// The password until now.
    pub old: &'a Secret,
    /// The new one.
    pub new: &'a Secret,
    /// Whether the apps lose their access, too.
    pub disconnects: bool,
    /// The address of the browser.
    pub address: IpAddr,
}

impl App {
    /// One that has no access now, but would get it again unasked.
    fn remembered(consent: Consent) -> Self {
        Self {
            client_id: consent.client_id,
            name: None,
            vouched_by: None,
            redirect_uri: Some(consent.redirect_uri),
            scopes: consent.scopes,
            connected_at: None,
            used_at: consent.granted_at,
        }
    }
}

/// One app for all grants of a client: on two machines it is the same app for its person.
fn by_client(connections: Vec<Connection>, consents: &[Consent]) -> BTreeMap<ClientId, App> {
    let mut apps: BTreeMap<ClientId, App> = BTreeMap::new();
    for Connection { client_id, scopes, connected_at, used_at } in connections {
        let answered = consents.iter().rfind(|consent| consent.client_id == client_id);
        let app = apps.entry(client_id.clone()).or_insert_with(|| App {
            client_id,
            name: None,
            vouched_by: None,
            redirect_uri: answered.map(|consent| consent.redirect_uri.clone()),
            scopes: ScopeSet::default(),
            connected_at: Some(connected_at),
            used_at,
        });
        app.scopes = app.scopes.iter().chain(scopes.iter()).map(str::to_owned).collect();
        app.connected_at = app.connected_at.map(|earlier| earlier.min(connected_at));
        app.used_at = app.used_at.max(used_at);
    }
    apps
}

fn shown(session: BrowserSession, here: &SignedIn) -> AccountBrowser {
    AccountBrowser {
        id: session.digest.base64url(),
        is_this: session.digest == here.session.digest,
        device: session.device,
        since: session.created_at,
        used_at: session.used_at,
    }
}
