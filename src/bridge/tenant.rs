//! Whom a connection to an upstream serves: everything that comes on it by itself is for them alone.

use crate::base::id::UserId;
use crate::bridge::session::Session;
use crate::model::principal::Principal;

/// Those who share a connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Tenant {
    /// All callers.
    Everybody,
    /// One person, through whatever client.
    Person(UserId),
    /// One session.
    Session {
        /// Its id.
        id: String,
        /// Whose it is.
        person: Option<UserId>,
    },
}

impl Tenant {
    /// The tenant that a session is.
    #[must_use]
    pub fn of_session(session: &Session) -> Self {
        Self::Session { id: session.id.clone(), person: session.principal.user.clone() }
    }

    /// The person behind it, if it is one's.
    #[must_use]
    pub const fn person(&self) -> Option<&UserId> {
        match self {
            Self::Everybody => None,
            Self::Person(person) => Some(person),
            Self::Session { person, .. } => person.as_ref(),
        }
    }

    /// Whether this session is served.
    #[must_use]
    pub fn has_session(&self, session: &Session) -> bool {
        match self {
            Self::Session { id, .. } => *id == session.id,
            _ => self.has_caller(&session.principal),
        }
    }

    /// Whether this caller is served without a session.
    #[must_use]
    pub fn has_caller(&self, principal: &Principal) -> bool {
        match self {
            Self::Everybody => true,
            Self::Person(person) => principal.user.as_ref() == Some(person),
            Self::Session { .. } => false,
        }
    }
}
