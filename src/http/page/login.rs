//! The page that asks for a name and a password.

use std::fmt;

use askama::Template;

use crate::authorization_server::authorize::Ways;
use crate::config::section::Branding;
use crate::http::page::client_name::ClientName;
use crate::http::page::target::Target;

/// The login page. Its form sends `csrf`, and `provider`, or `username`, `password` and `decision`, which is `login` or
/// `cancel`; and `stay`.
#[derive(Template)]
#[template(path = "login.html")]
pub struct LoginPage<'a> {
    /// The path below which the files of the page stand.
    pub base: &'a str,
    /// The operator's words.
    pub branding: &'a Branding,
    /// The client that sent the person here; `None` when it gave no name.
    pub client: Option<&'a ClientName>,
    /// Where the answer will go; `None`: nowhere, the person goes to the own account.
    pub target: Option<&'a Target>,
    /// Where the form is sent.
    pub action: &'a str,
    /// The value of the hidden field `csrf`.
    pub csrf: &'a str,
    /// Where a person can log in.
    pub ways: &'a Ways,
    /// The name typed before; empty at first. The cursor starts in the first field that is still to be filled.
    pub username: &'a str,
    /// Why the attempt before failed.
    pub error: Option<LoginError>,
}

impl LoginPage<'_> {
    /// On the way to a provider for a client the question is asked on the page in between.
    fn may_stay(&self) -> bool {
        self.ways.can_stay && (self.ways.password || self.target.is_none())
    }

    /// Whether the fields hold what was rejected; after a refusal for other reasons they may be right.
    fn is_rejected(&self) -> bool {
        self.error == Some(LoginError::WrongCredentials)
    }
}

/// Why an attempt to log in failed, in words that tell nothing about which names exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginError {
    /// Unknown name, wrong password or disabled user: which of them is hidden on purpose.
    WrongCredentials,
    /// Guessing is being slowed down.
    TooManyAttempts {
        /// Seconds until the next attempt is looked at.
        retry_after: u64,
    },
    /// More logins are under way than can be checked in time.
    Busy {
        /// Seconds until it is worth another try.
        retry_after: u64,
    },
}

impl fmt::Display for LoginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::WrongCredentials => f.write_str("That name and password do not match. Check both and try again."),
            Self::TooManyAttempts { retry_after } => {
                write!(f, "Too many attempts. Wait {}, then try again.", waiting_time(retry_after))
            }
            Self::Busy { retry_after } => {
                write!(f, "Many people are logging in right now. Wait {}, then try again.", waiting_time(retry_after))
            }
        }
    }
}

/// Seconds up to two minutes, then minutes, rounded up.
fn waiting_time(seconds: u64) -> String {
    match seconds {
        0 | 1 => "1 second".to_owned(),
        2..=120 => format!("{seconds} seconds"),
        _ => format!("{} minutes", seconds.div_ceil(60)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_is_never_understated() {
        let shown = [0, 1, 45, 120, 121, 900].map(waiting_time);
        assert_eq!(shown, ["1 second", "1 second", "45 seconds", "120 seconds", "3 minutes", "15 minutes"]);
    }
}
