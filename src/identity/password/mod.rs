//! Password hashes, bcrypt `$2a$`, `$2b$`, `$2y$` and argon2id, checked with the same work whatever the answer.

mod work;
#[cfg(test)]
mod tests;

use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::base::argon2id::{Argon2idCost, Argon2idHash};
use crate::base::random;
use crate::base::secret::Secret;

pub use work::{Ceiling, Work};

/// The cost of the bcrypt hashes we make: 2¹² rounds, a quarter of a second.
pub const COST: u32 = 12;

/// bcrypt looks at no more, in bytes. Most implementations cut what is longer off in silence.
const MAX_LENGTH: usize = 72;
/// argon2id looks at all; what is longer is no password, and a form holds it no more.
const MAX_ARGON2ID_LENGTH: usize = 1024;
/// Above this one check takes ten seconds and more.
const MAX_COST: u32 = 16;

/// How a password is hashed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HashAlgorithm {
    /// bcrypt, `$2b$`, of cost 12.
    #[default]
    Bcrypt,
    /// argon2id with [`Argon2idCost::USUAL`].
    Argon2id,
}

/// Makes a hash. Takes a quarter of a second: not for an asynchronous thread.
///
/// # Errors
/// As [`check_password`].
pub fn hash_password(password: &Secret, algorithm: HashAlgorithm) -> Result<Secret, PasswordError> {
    check_password(password, algorithm)?;
    match algorithm {
        HashAlgorithm::Bcrypt => match bcrypt::hash(password.expose(), COST) {
            Ok(hash) => Ok(Secret::from(hash)),
            Err(error) => Err(PasswordError::Failed(error.to_string())),
        },
        HashAlgorithm::Argon2id => {
            let salt: [u8; 32] = random::bytes();
            let (cost, mut output) = (Argon2idCost::USUAL, vec![0; 32]);
            if !work::argon2id(password.expose().as_bytes(), &salt, cost, &mut output) {
                return Err(PasswordError::Failed("argon2id refused its own parameters".to_owned()));
            }
            Ok(Secret::from(Argon2idHash { cost, salt: salt.to_vec(), output }.to_string()))
        }
    }
}

/// Whether a password can be hashed whole.
///
/// # Errors
/// The password is empty, or so long or of such characters that the algorithm would not see all of it.
pub fn check_password(password: &Secret, algorithm: HashAlgorithm) -> Result<(), PasswordError> {
    let longest = match algorithm {
        HashAlgorithm::Bcrypt => MAX_LENGTH,
        HashAlgorithm::Argon2id => MAX_ARGON2ID_LENGTH,
    };
    match password.expose() {
        "" => Err(PasswordError::Empty),
        text if text.len() > longest => Err(PasswordError::TooLong { longest }),
        // bcrypt repeats the password with a NUL after each turn, so "a" and "a\0a" have the same hash.
        text if text.contains('\0') => Err(PasswordError::Nul),
        _ => Ok(()),
    }
}

/// Why a password is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// There is none.
    #[error("the password is empty")]
    Empty,
    /// Not all of it would count.
    #[error("the password is longer than {longest} bytes{}", if *.longest == MAX_LENGTH { ", which is all that bcrypt looks at" } else { "" })]
    TooLong {
        /// How long it may be, in bytes.
        longest: usize,
    },
    /// bcrypt would confuse it with others.
    #[error("the password has a NUL character in it")]
    Nul,
    /// The system gave no random numbers.
    #[error("the password could not be hashed: {0}")]
    Failed(String),
}

/// A hash that can be checked without surprises.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PasswordHash(Kind);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Bcrypt { text: Secret, cost: u32 },
    Argon2id(Argon2idHash),
}

/// Not a hash that we take. The text does not show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "neither a bcrypt hash ($2a$, $2b$ or $2y$, 60 characters, cost 4 to {MAX_COST}) nor an argon2id one of a usual cost"
)]
pub struct InvalidHash;

impl PasswordHash {
    /// Reads a hash.
    pub fn parse(hash: &Secret) -> Result<Self, InvalidHash> {
        let text = hash.expose();
        if text.starts_with(Argon2idHash::MARK) {
            return Argon2idHash::parse(text).map(|hash| Self(Kind::Argon2id(hash))).map_err(|_| InvalidHash);
        }
        // `$2x$` marks hashes of an implementation that was broken (CVE-2011-2483).
        let legal = ["$2a$", "$2b$", "$2y$"].iter().any(|version| text.starts_with(version));
        let parts: bcrypt::HashParts = text.parse().map_err(|_| InvalidHash)?;
        let cost = parts.get_cost();
        // The parser also takes a sign for a digit.
        let legal = legal && text.bytes().skip(4).take(2).all(|byte| byte.is_ascii_digit());
        if !legal || !(4..=MAX_COST).contains(&cost) {
            return Err(InvalidHash);
        }
        Ok(Self(Kind::Bcrypt { text: hash.clone(), cost }))
    }

    /// What a check takes.
    pub const fn work(&self) -> Work {
        match &self.0 {
            Kind::Bcrypt { cost, .. } => Work { cost: *cost, blocks: 0, memory: 0 },
            Kind::Argon2id(hash) => Work::of(hash.cost),
        }
    }

    /// How it was made.
    pub const fn algorithm(&self) -> HashAlgorithm {
        match &self.0 {
            Kind::Bcrypt { .. } => HashAlgorithm::Bcrypt,
            Kind::Argon2id(_) => HashAlgorithm::Argon2id,
        }
    }
}

/// What came of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Whether it is the password.
    pub matches: bool,
    /// How many rounds of bcrypt were made: 2^ceiling, always.
    pub rounds: u64,
    /// How many blocks of argon2id were computed: those of the ceiling, always, give or take seven.
    pub blocks: u64,
}

/// Checks a password against a hash, or against nobody's. Does all the work of `ceiling` in any case, which is not below that
/// of the hash. A password that the algorithm would not see whole never matches, after the same work.
pub fn check(password: &Secret, hash: Option<&PasswordHash>, ceiling: Work) -> Outcome {
    // Its length makes no difference to bcrypt's work, and next to none to argon2's.
    let short = Zeroizing::new(password.expose().bytes().take(MAX_LENGTH).collect::<Vec<u8>>());
    let (matches, rounds, mut blocks) = match hash.map(|hash| &hash.0) {
        None => (false, work::bcrypt_rounds(&short, ceiling.cost), 0),
        Some(Kind::Bcrypt { text, cost }) => {
            let matches = bcrypt::verify(&*short, text.expose()).unwrap_or(false);
            // 2^c + (2^c + 2^(c+1) + … + 2^(C-1)) = 2^C.
            let others: u64 = (*cost..ceiling.cost).map(|cost| work::bcrypt_rounds(&short, cost)).sum();
            (matches, (1 << cost) + others, 0)
        }
        Some(Kind::Argon2id(hash)) => {
            let rounds = work::bcrypt_rounds(&short, ceiling.cost);
            let mut output = Zeroizing::new(vec![0; hash.output.len()]);
            let is_made = work::argon2id(password.expose().as_bytes(), &hash.salt, hash.cost, &mut output);
            (is_made && bool::from(output.ct_eq(&hash.output)), rounds, hash.cost.blocks())
        }
    };
    blocks += work::argon2id_blocks(&short, ceiling.blocks.saturating_sub(blocks), ceiling.memory);
    let algorithm = hash.map(PasswordHash::algorithm).unwrap_or_default();
    Outcome { matches: matches && check_password(password, algorithm).is_ok(), rounds, blocks }
}
