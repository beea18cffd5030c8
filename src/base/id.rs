//! Typed identifiers, so that a client's cannot be handed in where a grant's is meant.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Takes an identifier as it is written.
            pub fn new(value: impl Into<String>) -> Self {
                Self(value.into())
            }

            /// The identifier as it is written.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

id! {
    /// `client_id` of an OAuth client (RFC 6749 §2.2). Chosen by us at registration.
    ClientId
}
id! {
    /// A person: the canonical user name of a built-in user, or issuer and subject at an identity provider. The `sub` of
    /// our access tokens (RFC 9068 §2.2).
    UserId
}

/// What the identifiers of clients that act for themselves begin with.
pub const CLIENT: &str = "client:";

impl UserId {
    /// A person at an identity provider. OpenID Connect Core §5.7: only `iss` and `sub` together identify one, never an
    /// e-mail address. No user name has this form; an issuer has no fragment (§2), so it reads one way only.
    #[must_use]
    pub fn federated(issuer: &str, subject: &str) -> Self {
        Self(format!("{issuer}#{subject}"))
    }

    /// A client that acts for itself. RFC 9068 §2.2: `sub` then indicates the client; RFC 9700 §4.15: never so that it could be
    /// taken for a person, so no user name begins like this.
    #[must_use]
    pub fn of_client(client: &ClientId) -> Self {
        Self(format!("{CLIENT}{client}"))
    }

    /// Whether it is a client that acts for itself.
    #[must_use]
    pub fn is_client(&self) -> bool {
        self.0.starts_with(CLIENT)
    }

    /// Whether it is a person at an identity provider.
    #[must_use]
    pub fn is_federated(&self) -> bool {
        self.0.contains("://")
    }
}

id! {
    /// The operator's name of an identity provider; `default` for the only one that has none.
    ProviderName
}

impl ProviderName {
    /// That of the only provider, which has none of its own.
    #[must_use]
    pub fn the_only() -> Self {
        Self("default".to_owned())
    }
}

id! {
    /// What one approval gave to one client: its refresh-token family and all access tokens made from it.
    GrantId
}
id! {
    /// One authorization request on its way through login and consent in one browser.
    FlowId
}
