//! What every assertion says, whoever made it: for whom it is, and for how long. [RFC 7523 §3](https://www.rfc-editor.org/rfc/rfc7523#section-3)

use std::time::Duration;

use serde::{Deserialize, Deserializer};

use crate::base::clock::Timestamp;

/// How far the clock of its maker may be from ours.
const SKEW: Duration = Duration::from_secs(60);
/// An assertion that ends later than this is refused: until it ends, its `jti` has to be remembered.
const LONGEST: Duration = Duration::from_secs(3600);
/// 9999-12-31T23:59:59Z. No later date is meant seriously.
const LAST_DATE: f64 = 253_402_300_799.0;

/// RFC 7519 §4.1.3.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Audience {
    One(String),
    Several(Vec<String>),
}

impl Audience {
    /// The only one. One that names others beside us could be used up there, or here by them.
    pub(super) fn only(&self) -> Option<&str> {
        match self {
            Self::One(one) => Some(one),
            Self::Several(several) => match several.as_slice() {
                [one] => Some(one),
                _ => None,
            },
        }
    }
}

/// `exp`, `nbf` and `iat`.
#[derive(Debug, Deserialize)]
pub(super) struct Validity {
    exp: NumericDate,
    nbf: Option<NumericDate>,
    iat: Option<NumericDate>,
}

impl Validity {
    /// The time from which it is refused for its age, and until which its `jti` must be remembered.
    ///
    /// # Errors
    /// It is not valid now.
    pub(super) fn check(&self, now: Timestamp) -> Result<Timestamp, &'static str> {
        let expires_at = self.exp.0 + SKEW;
        // RFC 7523 §3, 4: expired ones MUST be rejected; ones that end unreasonably far in the future may be.
        if expires_at <= now {
            return Err("it has expired");
        }
        if self.exp.0 > now + LONGEST + SKEW {
            return Err("it ends more than an hour from now");
        }
        let future = |at: &Option<NumericDate>| at.as_ref().is_some_and(|at| at.0 > now + SKEW);
        if future(&self.nbf) || future(&self.iat) {
            return Err("it is not valid yet");
        }
        Ok(expires_at)
    }

    /// Whether it says when it was made.
    pub(super) const fn is_dated(&self) -> bool {
        self.iat.is_some()
    }
}

/// RFC 7519 §2: seconds since 1970, which may have a fraction.
#[derive(Debug)]
struct NumericDate(Timestamp);

impl<'de> Deserialize<'de> for NumericDate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let date = f64::deserialize(deserializer)?;
        if !(0.0..=LAST_DATE).contains(&date) {
            return Err(serde::de::Error::custom("a date that is none"));
        }
        #[expect(clippy::cast_possible_truncation, reason = "it is at most LAST_DATE")]
        Ok(Self(Timestamp::from_unix(date as i64)))
    }
}
