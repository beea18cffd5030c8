//! Password hashes: bcrypt `$2a$`, `$2b$`, `$2y$`, checked with the same work whatever the answer.

use std::hint::black_box;

use zeroize::Zeroizing;

use crate::base::secret::Secret;

/// The cost of the hashes we make: 2¹² rounds, a quarter of a second.
pub const COST: u32 = 12;

/// bcrypt looks at no more, in bytes. Most implementations cut what is longer off in silence.
const MAX_LENGTH: usize = 72;
/// Above this one check takes ten seconds and more.
const MAX_COST: u32 = 16;
/// Dummy work needs a salt as well; nobody's hash has it.
const DUMMY_SALT: [u8; 16] = *b"mcp-bridge dummy";

/// Makes a hash of cost 12, `$2b$`. Takes a quarter of a second: not for an asynchronous thread.
///
/// # Errors
/// The password is empty, longer than 72 bytes or has a NUL in it, so that bcrypt would not see all of it.
pub fn hash_password(password: &Secret) -> Result<Secret, PasswordError> {
    check_password(password)?;
    match bcrypt::hash(password.expose(), COST) {
        Ok(hash) => Ok(Secret::from(hash)),
        Err(error) => Err(PasswordError::Failed(error.to_string())),
    }
}

/// Whether a password can be hashed whole.
///
/// # Errors
/// As [`hash_password`].
pub fn check_password(password: &Secret) -> Result<(), PasswordError> {
    match password.expose() {
        "" => Err(PasswordError::Empty),
        text if text.len() > MAX_LENGTH => Err(PasswordError::TooLong),
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
    /// bcrypt would cut it off.
    #[error("the password is longer than {MAX_LENGTH} bytes, which is all that bcrypt looks at")]
    TooLong,
    /// bcrypt would confuse it with others.
    #[error("the password has a NUL character in it")]
    Nul,
    /// The system gave no random numbers.
    #[error("the password could not be hashed: {0}")]
    Failed(String),
}

/// A bcrypt hash that can be checked without surprises.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PasswordHash {
    text: Secret,
    cost: u32,
}

/// Not a bcrypt hash that we take. The text does not show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a bcrypt hash ($2a$, $2b$ or $2y$, 60 characters, cost 4 to {MAX_COST})")]
pub struct InvalidHash;

impl PasswordHash {
    /// Reads a hash.
    pub fn parse(hash: &Secret) -> Result<Self, InvalidHash> {
        let text = hash.expose();
        // `$2x$` marks hashes of an implementation that was broken (CVE-2011-2483).
        let legal = ["$2a$", "$2b$", "$2y$"].iter().any(|version| text.starts_with(version));
        let parts: bcrypt::HashParts = text.parse().map_err(|_| InvalidHash)?;
        let cost = parts.get_cost();
        // The parser also takes a sign for a digit.
        let legal = legal && text.bytes().skip(4).take(2).all(|byte| byte.is_ascii_digit());
        if legal && (4..=MAX_COST).contains(&cost) { Ok(Self { text: hash.clone(), cost }) } else { Err(InvalidHash) }
    }

    /// Its cost: 2 to this power rounds.
    pub const fn cost(&self) -> u32 {
        self.cost
    }
}

/// What came of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Whether it is the password.
    pub matches: bool,
    /// How many rounds of bcrypt were made: 2^ceiling, always.
    pub rounds: u64,
}

/// Checks a password against a hash, or against nobody's. Makes 2^`ceiling` rounds in any case; `ceiling` is not below the
/// hash's cost. A password that bcrypt would not see whole never matches, after the same work.
pub fn check(password: &Secret, hash: Option<&PasswordHash>, ceiling: u32) -> Outcome {
    let presentable = check_password(password).is_ok();
    // Its length makes no difference to bcrypt's work.
    let bytes = Zeroizing::new(password.expose().bytes().take(MAX_LENGTH).collect::<Vec<u8>>());
    let Some(hash) = hash else {
        return Outcome { matches: false, rounds: dummy(&bytes, ceiling) };
    };
    let matches = bcrypt::verify(&*bytes, hash.text.expose()).unwrap_or(false);
    let mut rounds = 1 << hash.cost;
    // 2^c + (2^c + 2^(c+1) + … + 2^(C-1)) = 2^C.
    for cost in hash.cost..ceiling {
        rounds += dummy(&bytes, cost);
    }
    Outcome { matches: matches && presentable, rounds }
}

/// Work for its own sake.
fn dummy(password: &[u8], cost: u32) -> u64 {
    // The result is an error only for a cost that no ceiling has.
    let _ = black_box(bcrypt::hash_with_salt(black_box(password), cost, DUMMY_SALT));
    1 << cost
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(password: &str, cost: u32) -> PasswordHash {
        PasswordHash::parse(&Secret::from(bcrypt::hash(password, cost).unwrap())).unwrap()
    }

    fn matches(password: &str, hash: &PasswordHash) -> bool {
        check(&Secret::new(password), Some(hash), 6).matches
    }

    #[test]
    fn hashes_of_htpasswd_and_python_are_understood() {
        // The test vector "U*U" of crypt_blowfish, of which the three versions agree.
        for version in ["$2a$", "$2b$", "$2y$"] {
            let text = format!("{version}05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW");
            let hash = PasswordHash::parse(&Secret::from(text)).unwrap();
            assert!(matches("U*U", &hash) && !matches("U*", &hash) && !matches("", &hash));
        }
        let made = PasswordHash::parse(&hash_password(&Secret::new("pass word")).unwrap()).unwrap();
        assert_eq!(made.cost(), 12);
        assert!(check(&Secret::new("pass word"), Some(&made), 12).matches);
    }

    #[test]
    fn login_7_every_check_makes_the_same_rounds() {
        let hashes = [None, Some(hash("right", 4)), Some(hash("right", 5)), Some(hash("right", 7))];
        for hash in &hashes {
            for password in ["right", "wrong", "", &"p".repeat(71), &"p".repeat(72), &"p".repeat(73), &"p".repeat(4096)]
            {
                assert_eq!(
                    check(&Secret::new(password), hash.as_ref(), 7).rounds,
                    1 << 7,
                    "{hash:?} {}",
                    password.len()
                );
            }
        }
    }

    #[test]
    fn login_8_a_password_is_never_cut_off() {
        let secret = "s".repeat(80);
        assert_eq!(hash_password(&Secret::new(secret.as_str())), Err(PasswordError::TooLong));
        // Made elsewhere, by a program that cuts off.
        let hash = hash(&secret, 4);
        for tail in ["s", "other tail", "ssssssss"] {
            assert!(!matches(&format!("{}{tail}", &secret[..72]), &hash), "{tail}");
        }
        let whole = "w".repeat(72);
        assert!(matches(&whole, &self::hash(&whole, 4)));
        assert!(!matches("a\0a", &self::hash("a", 4)));
        assert_eq!(hash_password(&Secret::new("a\0a")), Err(PasswordError::Nul));
        assert_eq!(hash_password(&Secret::new("")), Err(PasswordError::Empty));
    }

    #[test]
    fn login_10_an_odd_hash_is_refused_and_not_shown() {
        let good = bcrypt::hash("p", 4).unwrap();
        let odd = [
            String::new(),
            "plaintext".to_owned(),
            good[..59].to_owned(),
            format!("{good}x"),
            format!("{}é", &good[..58]),
            format!("é{}", &good[2..]),
            good.replace("$04$", "$03$"),
            good.replace("$04$", "$32$"),
            good.replace("$04$", "$31$"),
            good.replace("$04$", "$+4$"),
            good.replace("$2b$", "$2x$"),
            good.replace("$2b$", "$2$$"),
            "$2a$10$...".to_owned(),
            "\0".repeat(60),
        ];
        for hash in odd {
            let error = PasswordHash::parse(&Secret::new(hash.as_str())).expect_err(&hash);
            assert!(hash.is_empty() || !error.to_string().contains(&hash));
        }
        assert!(PasswordHash::parse(&Secret::new(good)).is_ok());
    }
}
