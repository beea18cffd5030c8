//! Persistence, in the words of security: each method is one atomic decision, and what it answers is on disk.
//!
//! `Ok(None)` means not found. `now` is an argument. Codes and tokens are known by their digests alone.

mod calls;
mod revoked;
pub mod sqlite;
#[cfg(test)]
mod conformance;

use std::time::Duration;

use async_trait::async_trait;
use url::Url;

use crate::base::clock::Timestamp;
use crate::base::digest::Digest;
use crate::base::id::GrantId;
use crate::base::id::{ClientId, FlowId, UserId};
use crate::base::secret::Secret;
use crate::model::account::Account;
use crate::model::authorization::{AuthorizationCode, Flow, Stage};
use crate::model::browser_session::BrowserSession;
use crate::model::client::RegisteredClient;
use crate::model::connection::Connection;
use crate::model::consent::{Consent, Decided};
use crate::model::enrolled::Enrolled;
use crate::model::grant::{
    AssertionOutcome, CheckedAssertion, Grant, Redemption, RefreshPolicy, RefreshToken, Rotation,
};
use crate::model::user::User;

pub use calls::Calls;
pub use revoked::Revoked;
pub use sqlite::{OpenError, Sqlite};

/// Everything that is kept.
pub trait Store:
    Clients + ClientDocuments + Flows + Tokens + Consents + Connections + Users + Accounts + BrowserSessions + Oversight
{
    /// What was revoked lately, in memory: asked for every request, never a database read.
    fn revoked(&self) -> &Revoked;

    /// Which grants clients have come with, in memory until [`Connections::record_calls`].
    fn calls(&self) -> &Calls;

    /// How long an access token that was issued until now may live, whatever lifetime was configured then.
    fn longest_access_token(&self) -> Duration;
}

/// Why the store could not answer. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Busy, out of space, or not to be written now. The same call may succeed later.
    #[error("the store cannot be written now: {0}")]
    Unavailable(String),
    /// Something is wrong that waiting does not mend.
    #[error("the store failed: {0}")]
    Broken(String),
}

/// What became of a client that wants a place, and of others for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Admission {
    /// Whether there was room for it.
    pub is_admitted: bool,
    /// Who was gone because its time was up.
    pub expired: Vec<ClientId>,
    /// Who made room for it.
    pub made_room: Vec<ClientId>,
}

/// Registered clients.
#[async_trait]
pub trait Clients: Send + Sync {
    /// The client with this identifier.
    async fn find_client(&self, id: &ClientId) -> Result<Option<RegisteredClient>, StoreError>;

    /// Adds a client, having removed those that have expired. When `max_clients` are there, the
    /// oldest that was never used makes room, or else the one whose grants ended longest ago, or else who is about to be used
    /// for the first time. When every one has a grant, there is no room.
    async fn add_client(
        &self,
        client: RegisteredClient,
        bounds: ClientBounds,
        now: Timestamp,
    ) -> Result<Admission, StoreError>;

    /// The client of this fingerprint that was never used and that nobody manages, as one that registers at `now`.
    async fn renew_client(&self, fingerprint: &Digest, now: Timestamp) -> Result<Renewal, StoreError>;

    /// Replaces what a client registered; `registered_at` and `last_granted_at` stay what they were. What was under way for it
    /// ends, consents too: a person allowed what it was. Its grants are revoked if it proves itself in another way than before,
    /// though a secret in place of another is none. How many they were; `None`: there is no such client, or not with this
    /// management.
    async fn update_client(&self, client: RegisteredClient, now: Timestamp) -> Result<Option<usize>, StoreError>;

    /// Removes the clients that have expired: never used for `unused_expiry`, or used, without a grant left, for `expiry`.
    /// Gives who is gone.
    async fn remove_expired_clients(&self, bounds: ClientBounds, now: Timestamp) -> Result<Vec<ClientId>, StoreError>;

    /// Removes a client, its consents and flows, and revokes its grants; if somebody manages it, only while that is so.
    /// `false`: there was none.
    async fn remove_client(
        &self,
        id: &ClientId,
        managed_by: Option<Digest>,
        now: Timestamp,
    ) -> Result<bool, StoreError>;
}

/// Whether a client that registers is there already.
#[derive(Clone, Debug, PartialEq)]
pub enum Renewal {
    /// It is this one.
    Done(Box<RegisteredClient>),
    /// There is one that registered the same, and may manage what it registered: its own alone.
    Managed,
    /// There is none.
    None,
}

/// What the operator sees of all clients and grants, and what only the operator does.
#[async_trait]
pub trait Oversight: Send + Sync {
    /// Every client of the store, the oldest first.
    async fn list_clients(&self, now: Timestamp) -> Result<Vec<ListedClient>, StoreError>;

    /// Every grant of which a token may still work, the oldest first.
    async fn list_grants(&self, now: Timestamp) -> Result<Vec<ListedGrant>, StoreError>;

    /// Adds a client that never makes room for another, used or not: it is the operator's, whatever it says.
    async fn add_operators_client(&self, client: RegisteredClient) -> Result<(), StoreError>;

    /// Revokes the grants of a client that is not in the store, and forgets consents, flows and its document. `false`: there was
    /// nothing of it.
    async fn revoke_grants_of_client(&self, id: &ClientId, now: Timestamp) -> Result<bool, StoreError>;
}

/// A client of the store, as the operator sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct ListedClient {
    /// The client.
    pub client: RegisteredClient,
    /// How many of its grants live.
    pub grants: usize,
}

/// A grant, as the operator sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedGrant {
    /// The grant.
    pub grant: Grant,
    /// When a refresh token was last rotated; `None`: never yet.
    pub refreshed_at: Option<Timestamp>,
}

/// What clients keep elsewhere: the metadata documents of those that are named by an address, as they last let the client in, and
/// key sets.
#[async_trait]
pub trait ClientDocuments: Send + Sync {
    /// The document, which may have been refused since.
    async fn find_document(&self, client: &ClientId) -> Result<Option<KeptDocument>, StoreError>;

    /// Keeps a document in place of the one before, and ends what was built on that one and not on this; how many grants these
    /// were. Of a thousand others the oldest makes room, of clients without a grant first, and consents to it are forgotten.
    async fn record_document(
        &self,
        client: &ClientId,
        document: &[u8],
        change: DocumentChange,
        now: Timestamp,
    ) -> Result<usize, StoreError>;

    /// Marks a document as refused, if there is one: it lets nobody in any more.
    async fn refuse_document(&self, client: &ClientId, now: Timestamp) -> Result<(), StoreError>;

    /// The keys that clients keep at this address, as they last were found there.
    async fn find_key_set(&self, url: &Url) -> Result<Option<Vec<u8>>, StoreError>;

    /// Keeps the keys at this address in place of those before, `client` being who came with one of them. Of two hundred others the
    /// oldest make room, of clients without a grant first.
    async fn record_key_set(&self, url: &Url, keys: &[u8], client: &ClientId, now: Timestamp)
    -> Result<(), StoreError>;
}

/// A document that once let its client in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptDocument {
    /// The content.
    pub body: Vec<u8>,
    /// What its server says now lets nobody in.
    pub is_refused: bool,
}

/// How a document differs from the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DocumentChange {
    /// In nothing that matters.
    None,
    /// In where people are sent: they are asked anew.
    Destinations,
    /// In how the client proves itself: they are asked anew, and its grants end.
    Authentication,
}

/// How many clients are kept, and for how long when they are never used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientBounds {
    /// How many at most.
    pub max_clients: u32,
    /// How long a client that was never granted anything is kept.
    pub unused_expiry: Duration,
    /// How long one is kept that was last granted something then, and of whose grants none is left. `None`: until its place
    /// is needed.
    pub expiry: Option<Duration>,
}

/// Authorization requests on their way through a browser.
#[async_trait]
pub trait Flows: Send + Sync {
    /// Adds a flow. The oldest make room when there are more than a fixed number.
    async fn add_flow(&self, flow: Flow, now: Timestamp) -> Result<(), StoreError>;

    /// The flow, unless it has expired.
    async fn find_flow(&self, id: &FlowId, now: Timestamp) -> Result<Option<Flow>, StoreError>;

    /// Moves a flow from the stage and browser it was found in to another. `false`: it has moved meanwhile, and nothing changed.
    async fn advance_flow(
        &self,
        from: &Flow,
        browser: Digest,
        stage: Stage,
        now: Timestamp,
    ) -> Result<bool, StoreError>;

    /// Finishes a flow with a code, and remembers what was decided, if anybody was asked, in one step. `false`: it has moved meanwhile, and nothing changed.
    /// Twenty approvals of one flow make one code. A user disabled meanwhile gets none, nor does one of an identity provider
    /// removed meanwhile; that is `false` too.
    async fn approve_flow(
        &self,
        from: &Flow,
        code: AuthorizationCode,
        decided: Option<Decided>,
    ) -> Result<bool, StoreError>;
}

/// Codes, grants and refresh tokens.
#[async_trait]
pub trait Tokens: Send + Sync {
    /// What a code is bound to, redeemed or not, expired or not. Checked by the caller before [`Tokens::redeem_code`].
    async fn find_code(&self, code: &Digest) -> Result<Option<AuthorizationCode>, StoreError>;

    /// Redeems a code whose binding was checked: makes its grant, and the first refresh token if one is given. A replay is
    /// noticed as long as the grant lives.
    /// Of twenty redemptions of one code exactly one is [`Redemption::Granted`]; a later one revokes the grant.
    async fn redeem_code(
        &self,
        code: &Digest,
        refresh: Option<NewRefreshToken>,
        now: Timestamp,
    ) -> Result<Redemption, StoreError>;

    /// What a refresh token is bound to, rotated or not, revoked or not. Checked by the caller before [`Tokens::rotate_refresh`].
    async fn find_refresh(&self, token: &Digest) -> Result<Option<RefreshToken>, StoreError>;

    /// All that is asked for a refresh, read at one moment and in one go: the token as [`Tokens::find_refresh`] finds it, its
    /// person if that is one of the store, and the client of this identifier.
    async fn find_refreshing(&self, token: &Digest, client: &ClientId) -> Result<Refreshing, StoreError>;

    /// Replaces a refresh token by its successor. Of twenty rotations of one token with one successor all are answered
    /// with that successor, and the chain has one live end. See [`Rotation`].
    async fn rotate_refresh(
        &self,
        token: &Digest,
        successor: Digest,
        policy: RefreshPolicy,
        now: Timestamp,
    ) -> Result<Rotation, StoreError>;

    /// Makes a grant of a client that acts for itself, which has no code and no refresh token. `client`: what it was let in by.
    /// `false`: that is in force no more, by a reload or by another process with another configuration, and nothing changed.
    async fn add_grant(&self, grant: Grant, client: Enrolled) -> Result<bool, StoreError>;

    /// Spends a client's assertion by the digest of its `jti`, which is remembered until `expires_at`. `false`: it was spent
    /// before. Of fifty at once exactly one is told `true`.
    async fn spend_assertion(
        &self,
        client: &ClientId,
        jti: &Digest,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<bool, StoreError>;

    /// Turns an assertion about a person into its grant: spends it, and records the person, in one step. Of fifty presentations
    /// exactly one is [`AssertionOutcome::Granted`]; to somebody disabled nothing is granted.
    async fn redeem_assertion(
        &self,
        assertion: CheckedAssertion,
        now: Timestamp,
    ) -> Result<AssertionOutcome, StoreError>;

    /// Revokes a grant: its refresh tokens and, within a second, its access tokens. `false`: it was revoked already, or never was.
    async fn revoke_grant(&self, grant: &GrantId, now: Timestamp) -> Result<bool, StoreError>;

    /// Revokes one access token by its `jti`, until it would have ended.
    async fn revoke_access_token(&self, jti: &str, expires_at: Timestamp) -> Result<(), StoreError>;

    /// Access tokens made from now on live for so long: what is revoked counts until the last of them, and of those made
    /// before, has ended.
    async fn expect_lifetime(&self, access_tokens: Duration, now: Timestamp) -> Result<(), StoreError>;

    /// Removes what no decision needs any more: expired flows, codes, refresh tokens past reuse detection, revocations of ended tokens.
    async fn remove_expired(&self, policy: RefreshPolicy, now: Timestamp) -> Result<(), StoreError>;
}

/// What is asked before a refresh.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Refreshing {
    /// The refresh token that was presented.
    pub token: Option<RefreshToken>,
    /// Its person, if one whom `mcp-bridge user` manages.
    pub user: Option<User>,
    /// The registered client that says it presents it.
    pub client: Option<RegisteredClient>,
}

/// A refresh token about to be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewRefreshToken {
    /// Digest of the token.
    pub digest: Digest,
    /// When it ends if it is not used.
    pub expires_at: Timestamp,
}

/// Consents that were remembered.
#[async_trait]
pub trait Consents: Send + Sync {
    /// What `user` decided to allow `client_id` for this redirect URI and resource.
    async fn find_consent(
        &self,
        user: &UserId,
        client_id: &ClientId,
        redirect_uri: &str,
        resource: &str,
    ) -> Result<Option<Consent>, StoreError>;
}

/// What the apps of a person have, for that person to see and to end.
#[async_trait]
pub trait Connections: Send + Sync {
    /// The grants of this person that are alive. One without a refresh token is, if it was used after `tokens_since`: its
    /// access tokens may be good.
    async fn list_connections(
        &self,
        user: &UserId,
        tokens_since: Timestamp,
        now: Timestamp,
    ) -> Result<Vec<Connection>, StoreError>;

    /// Writes down what was noted in [`Store::calls`]; nothing, when nothing was. What cannot be written is kept for the next
    /// time.
    async fn record_calls(&self) -> Result<(), StoreError>;

    /// What this person allowed and had remembered.
    async fn list_consents(&self, user: &UserId) -> Result<Vec<Consent>, StoreError>;

    /// Ends all that a client has of a person: grants, codes not yet redeemed, questions that wait for an answer, and what
    /// was remembered. `false`: there was nothing.
    async fn disconnect(&self, user: &UserId, client: &ClientId, now: Timestamp) -> Result<bool, StoreError>;
}

/// Users with a password that are managed with `mcp-bridge user`.
///
/// Whoever loses the grants also loses what could still become one: codes not yet redeemed, flows past login, and browser
/// sessions. A flow that is at a provider stays, since nobody knows whose it is: the approval looks again.
#[async_trait]
pub trait Users: Send + Sync {
    /// The user.
    async fn find_user(&self, id: &UserId) -> Result<Option<User>, StoreError>;

    /// Every user, by name.
    async fn list_users(&self) -> Result<Vec<User>, StoreError>;

    /// Adds a user. `false`: the name is taken, and nothing changed.
    async fn add_user(&self, user: User) -> Result<bool, StoreError>;

    /// Sets a password and revokes the user's grants. `false`: no such user.
    async fn set_password(&self, id: &UserId, password_hash: Secret, now: Timestamp) -> Result<bool, StoreError>;

    /// Replaces the password of a user, who proved to know the one with the hash of `old`. Every browser session but the one
    /// it was done in ends, and what waits for a yes in any browser; the grants end if that is wanted. `None`: it is another
    /// password by now, and nothing changed.
    async fn change_password(&self, change: PasswordChange, now: Timestamp) -> Result<Option<Ended>, StoreError>;

    /// Disables a user, one of an identity provider too, and revokes the user's grants. `false`: no such user.
    async fn disable_user(&self, id: &UserId, now: Timestamp) -> Result<bool, StoreError>;

    /// Lets a disabled user log in again, one of an identity provider too. `false`: no such user.
    async fn enable_user(&self, id: &UserId) -> Result<bool, StoreError>;

    /// Removes a user, one of an identity provider too, the consents, and revokes the grants. `false`: no such user.
    async fn remove_user(&self, id: &UserId, now: Timestamp) -> Result<bool, StoreError>;

    /// Revokes the grants of a user who stays, whether in the store or not.
    async fn revoke_grants_of(&self, id: &UserId, now: Timestamp) -> Result<(), StoreError>;

    /// Revokes the grants of everybody, person or client, who may hold none by a configuration any more, and takes down who is in
    /// it. Whoever of it has another credential, may do less, or is gone loses the grants; so does whoever has the name that was
    /// another person's until now, of the store or of the configuration. The second of two reviews of one configuration, by
    /// whichever process, finds nothing.
    ///
    /// `before`: the configuration that this process had in force until now. Then the review is of the difference alone, and of
    /// nobody whom another process has taken down as another since: what an older process knows takes nothing back. `None`, at
    /// the start: it is of everybody.
    async fn review_present(
        &self,
        present: Present,
        before: Option<Present>,
        now: Timestamp,
    ) -> Result<Review, StoreError>;

    /// Who was last in the configuration by this name, of whichever process.
    async fn find_configured(&self, id: &UserId) -> Result<Option<Enrolled>, StoreError>;
}

/// What a look at who is there has found, of the users of the configuration and its clients that act for themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Review {
    /// Who is another than before, may do less, or is gone.
    pub ended: Vec<UserId>,
    /// Who was left alone though this process has something else to say of them: what another has taken down counts.
    pub of_others: Vec<UserId>,
}

/// A password that its user replaces.
#[derive(Clone, Debug)]
pub struct PasswordChange {
    /// Whose.
    pub user: UserId,
    /// The hash of the password until now.
    pub old: Secret,
    /// The hash of the new one.
    pub new: Secret,
    /// The browser session that stays.
    pub here: Digest,
    /// Whether the grants end, too.
    pub disconnects: bool,
}

/// How much ended with something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Grants.
    pub grants: usize,
    /// Browser sessions.
    pub sessions: usize,
}

/// Who may hold grants by a configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Present {
    /// The active users of the configuration file, and its clients that act for themselves.
    pub configured: Vec<Enrolled>,
    /// Whether the users of the store who are not disabled can.
    pub stored: bool,
    /// The issuers whose people can, unless they are disabled. A slash at the end more or less is no difference.
    pub issuers: Vec<String>,
    /// The clients of the configuration file; those that registered are in the store.
    pub clients: Vec<ClientId>,
    /// Whether clients come in that are named by an address.
    pub documents: bool,
}

/// People known from identity providers.
#[async_trait]
pub trait Accounts: Send + Sync {
    /// The person.
    async fn find_account(&self, user: &UserId) -> Result<Option<Account>, StoreError>;

    /// Everybody, by identifier.
    async fn list_accounts(&self) -> Result<Vec<Account>, StoreError>;

    /// Adds a person, or replaces what is known; `created_at` and `disabled` stay what they were, and so does the refresh
    /// token when none is given. `false`: the person is disabled, and nothing changed.
    async fn record_account(&self, account: Account) -> Result<bool, StoreError>;
}

/// Browsers in which somebody has logged in.
///
/// Whoever loses the grants also loses these. The user may be of the store, of the configuration or of an identity provider.
#[async_trait]
pub trait BrowserSessions: Send + Sync {
    /// Adds a session, unless the user was disabled meanwhile, or is one of an identity provider and was removed: then there
    /// is none.
    async fn add_session(&self, session: BrowserSession) -> Result<(), StoreError>;

    /// The session, unless it has expired.
    async fn find_session(&self, cookie: &Digest, now: Timestamp) -> Result<Option<BrowserSession>, StoreError>;

    /// The sessions of a person that have not expired, the latest used first.
    async fn list_sessions(&self, user: &UserId, now: Timestamp) -> Result<Vec<BrowserSession>, StoreError>;

    /// Notes that a session was used.
    async fn touch_session(&self, cookie: &Digest, now: Timestamp) -> Result<(), StoreError>;

    /// Ends a session. `false`: there was none.
    async fn remove_session(&self, cookie: &Digest) -> Result<bool, StoreError>;

    /// Ends sessions of a person elsewhere than `here`: the one of this digest, or all. What waits for a yes there ends too.
    /// How many sessions there were.
    async fn remove_sessions_elsewhere(
        &self,
        user: &UserId,
        here: &Digest,
        only: Option<Digest>,
    ) -> Result<usize, StoreError>;
}
