//! The text of an argon2id hash: `$argon2id$v=19$m=65536,t=3,p=4$salt$hash`, within bounds.
//! [PHC string format](https://github.com/P-H-C/phc-string-format/blob/master/phc-sf-spec.md), [RFC 9106](https://www.rfc-editor.org/rfc/rfc9106)

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

/// The most memory of one check, in KiB: two run at a time, beside everything else.
const MAX_MEMORY: u32 = 256 * 1024;
/// The most blocks of one check, memory times passes: about two seconds.
const MAX_BLOCKS: u64 = 1024 * 1024;
/// The least that OWASP recommends (7 MiB, 5 passes) makes this many.
const FEW_BLOCKS: u64 = 7 * 1024 * 5;

/// What one check takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Argon2idCost {
    /// `m`, in KiB.
    pub memory: u32,
    /// `t`: how many times all of it is gone through.
    pub passes: u32,
    /// `p`.
    pub lanes: u32,
}

impl Argon2idCost {
    /// RFC 9106 §4, the second recommended option.
    pub const USUAL: Self = Self { memory: 64 * 1024, passes: 3, lanes: 4 };

    /// How many blocks of 1 KiB one check computes.
    #[must_use]
    pub const fn blocks(self) -> u64 {
        self.memory as u64 * self.passes as u64
    }

    /// Whether it is quick to guess at.
    #[must_use]
    pub const fn is_low(self) -> bool {
        self.blocks() < FEW_BLOCKS
    }

    fn check(self) -> Result<Self, &'static str> {
        match self {
            Self { lanes, .. } if !(1..=16).contains(&lanes) => Err("has p outside of 1 to 16"),
            Self { memory, lanes, .. } if memory < 8 * lanes => Err("has m below 8 times p"),
            Self { memory, .. } if memory > MAX_MEMORY => {
                Err("has m above 262144 (256 MiB), which each login would take")
            }
            Self { passes: 0, .. } => Err("has t below 1"),
            cost if cost.blocks() > MAX_BLOCKS => {
                Err("has m times t above 1048576, so that each login would take seconds")
            }
            cost => Ok(cost),
        }
    }
}

/// A hash, taken apart.
#[derive(Clone, PartialEq, Eq)]
pub struct Argon2idHash {
    /// What a check takes.
    pub cost: Argon2idCost,
    /// The salt.
    pub salt: Vec<u8>,
    /// The hash itself.
    pub output: Vec<u8>,
}

impl Argon2idHash {
    /// What the text of a hash begins with.
    pub const MARK: &'static str = "$argon2id$";

    /// Reads a hash.
    ///
    /// # Errors
    /// What is wrong with it, in words that go on after "the hash" and show nothing of it. RFC 9106 §3.1 allows terabytes of
    /// memory; what would let one login starve all others is refused.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let rest = text.strip_prefix(Self::MARK).ok_or("is no argon2id hash")?;
        let rest = rest.strip_prefix("v=19$").ok_or("is not of version 19 of argon2, the only one that is taken")?;
        let mut parts = rest.split('$');
        let (cost, salt, output) = match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(cost), Some(salt), Some(output), None) => (cost, salt, output),
            _ => return Err("is cut off, or has parts that no argon2id hash has"),
        };
        let cost = read_cost(cost).ok_or("does not say m, t and p, in this order")?.check()?;
        let decode = |text| STANDARD_NO_PAD.decode(text).map_err(|_| "holds characters that no argon2id hash has");
        let (salt, output) = (decode(salt)?, decode(output)?);
        if !(8..=64).contains(&salt.len()) {
            return Err("has a salt of fewer than 8 or more than 64 bytes");
        }
        if !(16..=64).contains(&output.len()) {
            return Err("is shorter than 16 or longer than 64 bytes");
        }
        Ok(Self { cost, salt, output })
    }
}

fn read_cost(text: &str) -> Option<Argon2idCost> {
    let mut parts = text.split(',');
    let mut number = |name: &str| {
        let digits = parts.next()?.strip_prefix(name)?.strip_prefix('=')?;
        // The PHC form is decimal, without sign and leading zeros.
        let plain = digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0');
        digits.parse().ok().filter(|_| plain)
    };
    let cost = Argon2idCost { memory: number("m")?, passes: number("t")?, lanes: number("p")? };
    parts.next().is_none().then_some(cost)
}

impl fmt::Display for Argon2idHash {
    /// The text of the hash: keep it from logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Argon2idCost { memory, passes, lanes } = self.cost;
        let (salt, output) = (STANDARD_NO_PAD.encode(&self.salt), STANDARD_NO_PAD.encode(&self.output));
        write!(f, "{}v=19$m={memory},t={passes},p={lanes}${salt}${output}", Self::MARK)
    }
}

impl fmt::Debug for Argon2idHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Argon2idHash").field("cost", &self.cost).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str =
        "$argon2id$v=19$m=65536,t=3,p=4$c29tZXNhbHRzb21lc2FsdA$AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";

    #[test]
    fn a_hash_is_read_and_written_the_same() {
        let hash = Argon2idHash::parse(GOOD).unwrap();
        assert_eq!(hash.cost, Argon2idCost::USUAL);
        assert_eq!((hash.salt.as_slice(), hash.output.len()), (&b"somesaltsomesalt"[..], 32));
        assert_eq!(hash.to_string(), GOOD);
        assert!(!format!("{hash:?}").contains("salt"));
    }

    #[test]
    fn login_10_absurd_costs_and_odd_texts_are_refused() {
        for (from, to) in [
            ("m=65536", "m=4294967295"),
            ("m=65536", "m=262145"),
            ("m=65536", "m=4"),
            ("m=65536", "m=+65536"),
            ("m=65536", "m=065536"),
            ("m=65536", "m=65536é"),
            ("t=3", "t=0"),
            ("t=3", "t=17"),
            ("p=4", "p=0"),
            ("p=4", "p=17"),
            ("p=4", "p=4,keyid=a"),
            ("m=65536,t=3", "t=3,m=65536"),
            ("v=19$", "v=16$"),
            ("v=19$", ""),
            ("argon2id", "argon2i"),
            ("argon2id", "argon2d"),
            ("c29tZXNhbHRzb21lc2FsdA", "c29tZQ"),
            ("c29tZXNhbHRzb21lc2FsdA", "!"),
            ("$AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8", ""),
            ("$AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8", "$AAEC"),
            ("Hh8", "Hh8$more"),
            ("Hh8", "Hh8="),
        ] {
            let odd = GOOD.replacen(from, to, 1);
            assert_ne!(odd, GOOD, "{from}");
            let fault = Argon2idHash::parse(&odd).unwrap_err();
            assert!(!odd.contains(fault), "{fault}");
        }
    }
}
