//! What is recorded, and what of each event stands in its line.
//!
//! Whatever a client, a person or a provider says freely has no place in an event: reasons are words of ours, so that no
//! secret and no forged line can come in by them.

use crate::audit::line::{Kind, Record};
use crate::audit::origin::Origin;
use crate::base::id::{ClientId, GrantId, ProviderName, UserId};
use crate::model::grant::Grant;
use crate::model::principal::Principal;
use crate::protocol::oauth::scope::ScopeSet;

/// A security event. Recording one: `audit.record(Event::LoggedOut { user: &user }).await?`.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "each field is called what it is, everywhere the same")]
pub enum Event<'a> {
    /// `login`, accepted: with a password, or at an identity provider.
    LoggedIn { user: &'a UserId, client: Option<&'a ClientId>, at: Option<&'a ProviderName> },
    /// `login`, refused. An unknown user name is not among it: it may be a password, typed into the wrong field.
    LoginRefused {
        user: Option<&'a UserId>,
        client: Option<&'a ClientId>,
        at: Option<&'a ProviderName>,
        reason: &'static str,
    },
    /// `login`, refused before the password was looked at: there are as many of these as anybody likes.
    LoginUnheard { user: Option<&'a UserId>, client: Option<&'a ClientId>, reason: &'static str },
    /// `logout`: the browser's session ended.
    LoggedOut { user: &'a UserId },
    /// `session`, ended by the person from elsewhere: a browser is logged out.
    SessionEnded { user: &'a UserId },
    /// `password`, changed by its user.
    PasswordChanged { user: &'a UserId },
    /// `consent`, allowed: the client gets a code for these scopes.
    Consented { user: &'a UserId, client: &'a ClientId, scopes: &'a ScopeSet, by: ConsentBy },
    /// `consent`, denied; before login nobody knows by whom.
    ConsentDenied { user: Option<&'a UserId>, client: &'a ClientId },
    /// `consent`, withdrawn by the person.
    ConsentWithdrawn { user: &'a UserId, client: &'a ClientId },
    /// `grant`, issued for this grant type.
    Granted { grant: &'a Grant, grant_type: &'static str },
    /// `token`, refused: the client did not prove itself, or what it presented is worth nothing. `client`: the one it says it
    /// is, if there is such a one. `user`: whose it is, if anybody's.
    TokenRefused { client: Option<&'a ClientId>, user: Option<&'a UserId>, reason: &'static str },
    /// `authorize`, refused: an authorization request that is not granted, or a form that nobody trusts.
    AuthorizeRefused { client: Option<&'a ClientId>, user: Option<&'a UserId>, reason: &'static str },
    /// `form`, refused: no page of ours sent it, or not in this browser (CSRF). `user`: whose browser it came from.
    FormRefused { user: Option<&'a UserId>, reason: &'static str },
    /// `refresh_grace`: a refresh token was presented again within its grace, and answered with the same successor.
    RefreshRepeated { grant: &'a Grant },
    /// `refresh_reuse`: a refresh token was presented again after its grace; its grant is revoked (RFC 9700 §4.14.2).
    RefreshReused { grant: &'a Grant },
    /// `code_replay`: a code was redeemed twice; what it gave is revoked (RFC 6749 §4.1.2).
    CodeReplayed { grant: &'a GrantId, user: &'a UserId, client: &'a ClientId },
    /// `grant`, revoked.
    GrantRevoked { grant: &'a Grant, reason: &'static str },
    /// `grant`, revoked: all those of a person or of a client.
    GrantsRevoked { user: Option<&'a UserId>, client: Option<&'a ClientId>, reason: &'static str },
    /// `access_token`, revoked alone.
    AccessTokenRevoked { user: &'a UserId, client: &'a ClientId, grant: &'a GrantId },
    /// `access`, refused: a token at the MCP endpoint. `holder`: whose it is, when we signed it.
    AccessRefused { holder: Option<&'a Principal>, reason: &'static str },
    /// `client`, registered by itself or added by the operator.
    ClientAdded { client: &'a ClientId },
    /// `client`, refused: it may not register so, or who came is not the one who manages this registration.
    ClientRefused { client: Option<&'a ClientId>, reason: &'static str },
    /// `client`, changed: what it registered, or what its document says.
    ClientChanged { client: &'a ClientId },
    /// `client`, removed, and its grants revoked.
    ClientRemoved { client: &'a ClientId },
    /// `user`, changed by the operator.
    UserChanged { user: &'a UserId, change: UserChange },
    /// `client`, evicted: it was not used, or not any more, and its place was needed or its time was up.
    ClientEvicted { client: &'a ClientId, reason: &'static str },
    /// `client`, renewed: who registers the same unused is the same client, and nobody manages it any more.
    ClientRenewed { client: &'a ClientId },
    /// `key`: a step of the life of a signing key.
    KeyChanged { key_id: &'a str, change: KeyChange },
    /// `reload`, done: another configuration is in force.
    Reloaded,
    /// `reload`, refused: the one before stays in force.
    ReloadRefused { reason: &'static str },
}

/// Whose yes a consent is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConsentBy {
    /// The person was asked in this flow.
    Person,
    /// The person was asked before, or the operator answers for everybody.
    Memory,
}

/// What became of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserChange {
    /// There is a new one.
    Added,
    /// Has another password, and no grants.
    Password,
    /// May not log in any more.
    Disabled,
    /// May log in again.
    Enabled,
    /// Is gone.
    Removed,
}

/// What became of a signing key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyChange {
    /// Was made by a command; a bridge publishes it as soon as it notices, and says so itself.
    Made,
    /// Is in the key set, and will sign.
    Published,
    /// Signs from now on; at the start of a bridge, the one that does.
    Signs,
    /// Is no longer in the key set.
    Retired,
}

/// For whom a line is withheld once he had his.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Stranger {
    /// The kind.
    pub(super) kind: Kind,
    /// Where it comes from. All that comes from there shares a bound.
    pub(super) network: String,
    /// Whatever else the line says of whom it comes from.
    pub(super) who: String,
}

impl<'a> Event<'a> {
    /// Whether what it tells of may not happen without its line: whatever hands something out.
    #[must_use]
    pub const fn is_required(&self) -> bool {
        matches!(
            self,
            Self::LoggedIn { .. }
                | Self::PasswordChanged { .. }
                | Self::Consented { .. }
                | Self::Granted { .. }
                | Self::RefreshRepeated { .. }
                | Self::ClientAdded { .. }
                | Self::ClientChanged { .. }
                | Self::ClientRenewed { .. }
                | Self::UserChanged { change: UserChange::Added | UserChange::Password | UserChange::Enabled, .. }
                | Self::KeyChanged { change: KeyChange::Made | KeyChange::Published | KeyChange::Signs, .. }
        )
    }

    /// Whoever can cause it as often as he likes, if anybody can: strangers who try tokens and names, and the holder of one
    /// token that is worth nothing any more. They must not be able to fill a disk, or to push what happened out of the files
    /// that are kept.
    pub(super) fn stranger(&self, origin: &Origin) -> Option<Stranger> {
        let who = match *self {
            Self::LoginRefused { user: None, client, reason, .. } => Some(("login", reason, None, client)),
            Self::LoginUnheard { user, client, reason } => Some(("login", reason, user, client)),
            Self::ConsentDenied { user: None, client } => Some(("consent", "denied", None, Some(client))),
            Self::TokenRefused { client, user, reason } => Some(("token", reason, user, client)),
            Self::AuthorizeRefused { client, user, reason } => Some(("authorize", reason, user, client)),
            Self::FormRefused { user, reason } => Some(("form", reason, user, None)),
            Self::ClientRefused { client, reason } => Some(("client", reason, None, client)),
            Self::AccessRefused { holder: None, reason } => Some(("access", reason, None, None)),
            Self::AccessRefused { holder: Some(holder), reason } => {
                let who = holder.grant.as_ref().map(ToString::to_string).unwrap_or_default();
                return Some(Stranger { kind: ("access", reason), network: origin.network(), who });
            }
            _ => None,
        };
        let (event, reason, user, client): (_, _, Option<&UserId>, Option<&ClientId>) = who?;
        let name = |name: Option<&str>| name.unwrap_or_default().to_owned();
        let who = [name(user.map(UserId::as_str)), name(client.map(ClientId::as_str))].join(" ");
        Some(Stranger { kind: (event, reason), network: origin.network(), who })
    }

    /// Its line, without what all lines have.
    pub(super) fn record(&self) -> Record<'a> {
        match *self {
            Self::LoggedIn { user, client, at } => {
                Record::new("login", "accepted").maybe(Some(user), client).provider(at)
            }
            Self::LoginRefused { user, client, at, reason } => {
                Record::new("login", "refused").maybe(user, client).provider(at).reason(reason)
            }
            Self::LoginUnheard { user, client, reason } => {
                Record::new("login", "refused").maybe(user, client).reason(reason)
            }
            Self::LoggedOut { user } => Record::new("logout", "done").subject(user),
            Self::SessionEnded { user } => Record::new("session", "ended").subject(user),
            Self::PasswordChanged { user } => Record::new("password", "changed").subject(user),
            Self::Consented { user, client, scopes, by } => {
                Record::new("consent", "allowed").maybe(Some(user), Some(client)).scopes(scopes).reason(by.word())
            }
            Self::ConsentDenied { user, client } => Record::new("consent", "denied").maybe(user, Some(client)),
            Self::ConsentWithdrawn { user, client } => {
                Record::new("consent", "withdrawn").maybe(Some(user), Some(client))
            }
            Self::Granted { grant, grant_type } => Record::new("grant", "issued").of_grant(grant).reason(grant_type),
            Self::TokenRefused { client, user, reason } => {
                Record::new("token", "refused").maybe(user, client).reason(reason)
            }
            Self::AuthorizeRefused { client, user, reason } => {
                Record::new("authorize", "refused").maybe(user, client).reason(reason)
            }
            Self::FormRefused { user, reason } => Record::new("form", "refused").maybe(user, None).reason(reason),
            Self::RefreshRepeated { grant } => Record::new("refresh_grace", "repeated").of_grant(grant),
            Self::RefreshReused { grant } => Record::new("refresh_reuse", "revoked").of_grant(grant),
            Self::CodeReplayed { grant, user, client } => {
                Record::new("code_replay", "revoked").maybe(Some(user), Some(client)).grant(Some(grant))
            }
            Self::GrantRevoked { grant, reason } => Record::new("grant", "revoked").of_grant(grant).reason(reason),
            Self::GrantsRevoked { user, client, reason } => {
                Record::new("grants", "revoked").maybe(user, client).reason(reason)
            }
            Self::AccessTokenRevoked { user, client, grant } => {
                Record::new("access_token", "revoked").maybe(Some(user), Some(client)).grant(Some(grant))
            }
            Self::AccessRefused { holder, reason } => {
                Record::new("access", "refused").maybe_holder(holder).reason(reason)
            }
            Self::ClientAdded { client } => Record::new("client", "added").maybe(None, Some(client)),
            Self::ClientRefused { client, reason } => {
                Record::new("client", "refused").maybe(None, client).reason(reason)
            }
            Self::ClientChanged { client } => Record::new("client", "changed").maybe(None, Some(client)),
            Self::ClientRemoved { client } => Record::new("client", "removed").maybe(None, Some(client)),
            Self::UserChanged { user, change } => Record::new("user", change.word()).subject(user),
            Self::ClientEvicted { client, reason } => {
                Record::new("client", "evicted").maybe(None, Some(client)).reason(reason)
            }
            Self::ClientRenewed { client } => Record::new("client", "renewed").maybe(None, Some(client)),
            Self::KeyChanged { key_id, change } => Record::new("key", change.word()).key(key_id),
            Self::Reloaded => Record::new("reload", "done"),
            Self::ReloadRefused { reason } => Record::new("reload", "refused").reason(reason),
        }
    }
}

impl ConsentBy {
    const fn word(self) -> &'static str {
        match self {
            Self::Person => "asked",
            Self::Memory => "remembered",
        }
    }
}

impl UserChange {
    const fn word(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Password => "password_set",
            Self::Disabled => "disabled",
            Self::Enabled => "enabled",
            Self::Removed => "removed",
        }
    }
}

impl KeyChange {
    const fn word(self) -> &'static str {
        match self {
            Self::Made => "made",
            Self::Published => "published",
            Self::Signs => "signs",
            Self::Retired => "retired",
        }
    }
}
