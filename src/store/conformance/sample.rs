//! Records to test with.

use std::time::Duration;

use serde_json::json;

use crate::base::clock::Timestamp;
use crate::base::digest::Digest;
use crate::base::id::{ClientId, FlowId, GrantId, ProviderName, UserId};
use crate::base::secret::Secret;
use crate::model::account::{Account, Profile};
use crate::model::authorization::{AuthorizationCode, AuthorizationRequest, Flow, Stage};
use crate::model::browser_session::BrowserSession;
use crate::model::client::{Authentication, RegisteredClient};
use crate::model::consent::{Consent, Decided};
use crate::model::enrolled::Enrolled;
use crate::model::grant::{CheckedAssertion, Description, Grant, Redemption, RefreshPolicy, Rotation};
use crate::model::user::User;
use crate::protocol::oauth::scope::ScopeSet;
use crate::store::{ClientBounds, NewRefreshToken, Store};

/// When every story starts.
pub(in crate::store) const NOW: Timestamp = Timestamp::from_unix(1_800_000_000);

pub(in crate::store) const ACCESS_TOKEN_LIFETIME: Duration = minutes(15);

/// Idle an hour, absolute a day, grace a minute.
pub(in crate::store) const POLICY: RefreshPolicy =
    RefreshPolicy { idle: minutes(60), absolute: minutes(24 * 60), grace: minutes(1) };

pub(super) const BOUNDS: ClientBounds = ClientBounds { max_clients: 3, unused_expiry: minutes(60), expiry: None };

pub(in crate::store) const fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(minutes * 60)
}

/// The digest of a token by that name.
pub(super) fn digest(name: &str) -> Digest {
    Digest::of_bytes(name.as_bytes())
}

/// Somebody of the configuration with this credential.
pub(super) fn enrolled(id: &UserId, credential: &str) -> Enrolled {
    Enrolled { id: id.clone(), credential: digest(credential), key: None, scopes: ScopeSet::everything() }
}

/// Everything that one person's login with one client makes, under names that start with one word.
#[derive(Clone)]
pub(in crate::store) struct Sample {
    pub(in crate::store) name: String,
    /// Where the person logs in; `None`: here, with a password.
    issuer: Option<String>,
}

impl Sample {
    pub(in crate::store) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), issuer: None }
    }

    /// Of a person at an identity provider.
    pub(in crate::store) fn at(issuer: &str, name: &str) -> Self {
        Self { name: name.to_owned(), issuer: Some(issuer.to_owned()) }
    }

    pub(in crate::store) fn client(&self) -> RegisteredClient {
        let metadata = json!({"client_name": "App", "x": [1, {"ä": null}]});
        RegisteredClient {
            id: ClientId::new(&self.name),
            name: Some("App".to_owned()),
            redirect_uris: vec!["http://127.0.0.1/callback".to_owned(), "https://example.com/b?c=d".to_owned()],
            authentication: Authentication::Secret(digest("client secret")),
            may_refresh: true,
            metadata: metadata.as_object().unwrap().clone(),
            management: Some(digest("registration access token")),
            fingerprint: None,
            registered_at: NOW,
            last_granted_at: None,
            by_operator: false,
        }
    }

    pub(in crate::store) fn user(&self) -> User {
        User {
            id: self.user_id(),
            password_hash: Secret::new("$2b$10$hash"),
            scopes: ScopeSet::everything(),
            email: Some("ann@example.com".to_owned()),
            disabled: false,
            created_at: NOW,
        }
    }

    pub(in crate::store) fn user_id(&self) -> UserId {
        match &self.issuer {
            None => UserId::new(format!("{} user", self.name)),
            Some(issuer) => UserId::federated(issuer, &self.name),
        }
    }

    /// The person, of one made with [`Sample::at`].
    pub(in crate::store) fn account(&self) -> Account {
        let profile = Profile {
            name: Some("Ann \"the\" Äffle".to_owned()),
            email: Some("ann@example.com".to_owned()),
            email_verified: true,
            hosted_domain: Some("example.com".to_owned()),
            groups: vec!["admins".to_owned(), "it's".to_owned()],
        };
        Account {
            user: self.user_id(),
            issuer: self.issuer.clone().expect("a person at a provider"),
            subject: self.name.clone(),
            profile,
            refresh_token: Some("sealed".to_owned()),
            disabled: false,
            created_at: NOW,
            confirmed_at: NOW,
        }
    }

    /// An assertion about the person that can be presented for five minutes, of this name.
    pub(in crate::store) fn assertion(&self, name: &str) -> CheckedAssertion {
        let grant = Grant {
            id: GrantId::new(format!("{} {name}", self.name)),
            user: self.user_id(),
            client_id: ClientId::new("agent"),
            resource: "https://mcp.example.com/mcp".to_owned(),
            scopes: ScopeSet::everything(),
            created_at: NOW,
            revoked_at: None,
        };
        CheckedAssertion {
            digest: digest(grant.id.as_str()),
            expires_at: NOW + minutes(5),
            account: self.account(),
            description: Description::Latest,
            grant,
        }
    }

    /// The login, remembered in a browser for an hour.
    pub(in crate::store) fn session(&self) -> BrowserSession {
        let digest = digest(&format!("{} session", self.name));
        BrowserSession {
            digest,
            user: self.user_id(),
            device: "Firefox on Linux".to_owned(),
            created_at: NOW,
            used_at: NOW,
            expires_at: NOW + minutes(60),
        }
    }

    pub(in crate::store) fn flow(&self) -> Flow {
        let request = AuthorizationRequest {
            client_id: ClientId::new(&self.name),
            redirect_uri: "http://127.0.0.1:4711/callback".to_owned(),
            state: Some("s t a t e".to_owned()),
            code_challenge: "challenge".to_owned(),
            resource: "https://mcp.example.com/mcp".to_owned(),
            scopes: ScopeSet::parse("mcp:read mcp:write").unwrap(),
            asks_again: true,
        };
        Flow {
            id: FlowId::new(&self.name),
            browser: digest("browser"),
            request: Some(request),
            stage: Stage::Login { afresh: false },
            started_at: NOW,
            expires_at: NOW + minutes(10),
        }
    }

    /// The stage in which the person is at a provider.
    pub(in crate::store) fn away() -> Stage {
        let scopes = ScopeSet::parse("mcp:read").unwrap();
        Stage::Away {
            provider: ProviderName::new("default"),
            scopes,
            afresh: true,
            stays: true,
            until: NOW + minutes(10),
        }
    }

    /// The stage in which the provider is asked who came back.
    pub(in crate::store) fn returned() -> Stage {
        let scopes = ScopeSet::parse("mcp:read").unwrap();
        Stage::Returned { provider: ProviderName::new("default"), scopes, afresh: false, stays: true }
    }

    /// The stage after login.
    pub(in crate::store) fn consenting(&self) -> Stage {
        Stage::Consent { user: self.user_id(), scopes: ScopeSet::parse("mcp:read").unwrap() }
    }

    pub(in crate::store) fn code(&self) -> AuthorizationCode {
        AuthorizationCode {
            digest: digest(&format!("{} code", self.name)),
            grant: GrantId::new(format!("{} grant", self.name)),
            client_id: ClientId::new(&self.name),
            user: self.user_id(),
            redirect_uri: "http://127.0.0.1:4711/callback".to_owned(),
            code_challenge: "challenge".to_owned(),
            resource: "https://mcp.example.com/mcp".to_owned(),
            scopes: ScopeSet::parse("mcp:read").unwrap(),
            issued_at: NOW,
            expires_at: NOW + minutes(1),
        }
    }

    pub(in crate::store) fn consent(&self) -> Consent {
        Consent {
            user: self.user_id(),
            client_id: ClientId::new(&self.name),
            redirect_uri: "http://127.0.0.1:4711/callback".to_owned(),
            resource: "https://mcp.example.com/mcp".to_owned(),
            scopes: ScopeSet::parse("mcp:read").unwrap(),
            granted_at: NOW,
        }
    }

    /// The consent as the person's answer to that very question.
    pub(in crate::store) fn decided(&self) -> Option<Decided> {
        let consent = self.consent();
        Some(Decided { offered: consent.scopes.clone(), consent, counts_since: NOW - minutes(60) })
    }

    /// The `number`th refresh token of the chain, from 1.
    pub(in crate::store) fn refresh(&self, number: u32) -> Digest {
        digest(&format!("{} refresh {number}", self.name))
    }

    /// Registers the client, and goes through login and approval to a code that waits.
    pub(in crate::store) async fn approve(&self, store: &dyn Store) {
        assert!(
            store
                .add_client(self.client(), ClientBounds { max_clients: 100_000, ..BOUNDS }, NOW)
                .await
                .unwrap()
                .is_admitted
        );
        let mut flow = self.flow();
        store.add_flow(flow.clone(), NOW).await.unwrap();
        assert!(store.advance_flow(&flow, flow.browser, self.consenting(), NOW).await.unwrap());
        flow.stage = self.consenting();
        assert!(store.approve_flow(&flow, self.code(), self.decided()).await.unwrap());
    }

    /// Redeems the code at [`NOW`], with refresh token 1.
    pub(in crate::store) async fn redeem(&self, store: &dyn Store) -> Redemption {
        let refresh = NewRefreshToken { digest: self.refresh(1), expires_at: NOW + POLICY.idle };
        store.redeem_code(&self.code().digest, Some(refresh), NOW).await.unwrap()
    }

    /// All the way to a grant.
    pub(in crate::store) async fn grant(&self, store: &dyn Store) -> Grant {
        self.approve(store).await;
        match self.redeem(store).await {
            Redemption::Granted(grant) => grant,
            other => panic!("not granted: {other:?}"),
        }
    }

    /// Presents token `number`, with the next as its successor.
    pub(in crate::store) async fn rotate(&self, store: &dyn Store, number: u32, now: Timestamp) -> Rotation {
        store.rotate_refresh(&self.refresh(number), self.refresh(number + 1), POLICY, now).await.unwrap()
    }
}
