//! A bound, in the words in which the operator is shown it. Each is declared beside the code that keeps it, of the very
//! constant or setting that is kept.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

/// A bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    /// What is bounded.
    pub name: &'static str,
    /// By how much.
    pub amount: Amount,
    /// What becomes of what is beyond it.
    pub on_breach: &'static str,
    /// The configuration key that sets it; `None` for what cannot be set.
    pub key: Option<Cow<'static, str>>,
}

/// How much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amount {
    /// So many.
    Count(usize),
    /// So many bytes.
    Bytes(usize),
    /// So long.
    Time(Duration),
    /// Not bounded.
    None,
}

impl Limit {
    /// So many of something.
    #[must_use]
    pub const fn count(name: &'static str, count: usize, on_breach: &'static str) -> Self {
        Self { name, amount: Amount::Count(count), on_breach, key: None }
    }

    /// So many bytes of something.
    #[must_use]
    pub const fn bytes(name: &'static str, bytes: usize, on_breach: &'static str) -> Self {
        Self { name, amount: Amount::Bytes(bytes), on_breach, key: None }
    }

    /// So long.
    #[must_use]
    pub const fn time(name: &'static str, time: Duration, on_breach: &'static str) -> Self {
        Self { name, amount: Amount::Time(time), on_breach, key: None }
    }

    /// The same, set by this key.
    #[must_use]
    pub fn set_by(self, key: impl Into<Cow<'static, str>>) -> Self {
        Self { key: Some(key.into()), ..self }
    }

    /// The same, where 0 means that there is no bound.
    #[must_use]
    pub fn none_if_zero(self) -> Self {
        let amount = if self.amount == Amount::Count(0) { Amount::None } else { self.amount };
        Self { amount, ..self }
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Count(count) => write!(f, "{count}"),
            Self::Bytes(bytes) => {
                match [(1 << 20, "MiB"), (1 << 10, "KiB")].iter().find(|(unit, _)| bytes.is_multiple_of(*unit)) {
                    Some((unit, name)) => write!(f, "{} {name}", bytes / unit),
                    None => write!(f, "{bytes} B"),
                }
            }
            Self::Time(time) => write!(f, "{time:?}"),
        }
    }
}
