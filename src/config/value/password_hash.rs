//! bcrypt and argon2id hashes of `password_hash`: everything the hashing library could stumble over is refused here.

use serde_json::json;

use crate::base::argon2id::Argon2idHash;
use crate::base::secret::Secret;
use crate::config::document::Node;
use crate::config::fault::Wrong;
use crate::config::reader::kind::Kind;

const HOW: &str = "make one with `mcp-bridge hash-password`, and write it in quotes";

/// Costs that take neither no time at all nor seconds.
const USUAL_COSTS: std::ops::RangeInclusive<u32> = 10..=14;

/// A bcrypt or argon2id hash. Its faults never show the value: it may be a password by mistake.
pub const PASSWORD_HASH: Kind<Secret> = Kind {
    schema: || json!({"type": "string", "pattern": r"^\$(2[aby]\$\d\d\$[./A-Za-z0-9]{53}|argon2id\$v=19\$m=\d+,t=\d+,p=\d+\$[+/A-Za-z0-9]+\$[+/A-Za-z0-9]+)$"}),
    parse: |node| match node {
        Node::String(text) => check(text).map(|_| Secret::new(text.as_str())),
        _ => Err(Wrong::new("is no password hash", HOW)),
    },
    print: |_| Node::from("<redacted>"),
};

/// What to say of a hash whose cost is legal but unusual.
pub fn unusual_cost(hash: &Secret) -> Option<Wrong> {
    if let Ok(hash) = Argon2idHash::parse(hash.expose()) {
        let problem = "has parameters so low that it is quick to guess at";
        let fix = "make a new one with `mcp-bridge hash-password --algorithm argon2id`";
        return hash.cost.is_low().then(|| Wrong::new(problem, fix));
    }
    let cost = check_bcrypt(hash.expose()).ok().filter(|cost| !USUAL_COSTS.contains(cost))?;
    let problem = if cost < *USUAL_COSTS.start() {
        format!("has cost {cost}, which is quick to guess at")
    } else {
        format!("has cost {cost}, which makes every login take seconds")
    };
    Some(Wrong::new(problem, "make a new one with `mcp-bridge hash-password`"))
}

fn check(text: &str) -> Result<(), Wrong> {
    if text.starts_with(Argon2idHash::MARK) && !is_placeholder(text) {
        return Argon2idHash::parse(text).map(|_| ()).map_err(|problem| Wrong::new(problem, HOW));
    }
    check_bcrypt(text).map(|_| ())
}

/// Three dots in a row may stand in a real bcrypt hash too.
fn is_placeholder(text: &str) -> bool {
    text.len() != 60 && (text.ends_with("...") || text.ends_with('…'))
}

/// Gives the cost.
fn check_bcrypt(text: &str) -> Result<u32, Wrong> {
    if text.is_empty() {
        return Err(Wrong::new("is empty", HOW));
    }
    if is_placeholder(text) {
        return Err(Wrong::new("is the placeholder of an example", HOW));
    }
    if text.starts_with("$argon2") {
        return Err(Wrong::new("is an argon2 hash, but not argon2id, which alone is taken", HOW));
    }
    if text.starts_with("$2x$") {
        // $2x$ marks hashes made by an implementation that mixed up non-ASCII passwords.
        return Err(Wrong::new("begins with $2x$, the mark of a broken implementation", HOW));
    }
    let rest = ["$2a$", "$2b$", "$2y$"].iter().find_map(|mark| text.strip_prefix(mark));
    let rest =
        rest.ok_or_else(|| Wrong::new("is no password hash (those begin with $2a$, $2b$, $2y$ or $argon2id$)", HOW))?;
    // RUSTSEC-2026-0199: a hash that is not ASCII must never reach the library; its length is counted in bytes.
    if !text.is_ascii() {
        return Err(Wrong::new("holds characters that no bcrypt hash has", HOW));
    }
    if text.len() != 60 {
        return Err(Wrong::new(format!("has {} characters where a bcrypt hash has 60", text.len()), HOW));
    }
    let (cost, salt_and_hash) = rest.split_once('$').ok_or_else(|| Wrong::new("has no cost", HOW))?;
    let digits = cost.len() == 2 && cost.bytes().all(|byte| byte.is_ascii_digit());
    let cost = cost.parse().ok().filter(|cost| digits && (4..=31).contains(cost));
    let cost = cost.ok_or_else(|| Wrong::new("has a cost outside of 04 to 31", HOW))?;
    if !salt_and_hash.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'/') {
        return Err(Wrong::new("holds characters that no bcrypt hash has", HOW));
    }
    Ok(cost)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEGAL: &str = "$2b$12$abcdefghijklmnopqrstuuABCDEFGHIJKLMNOPQRSTUVWXYZ01234";

    const ARGON2ID: &str =
        "$argon2id$v=19$m=65536,t=3,p=4$c29tZXNhbHRzb21lc2FsdA$AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";

    #[test]
    fn argon2id_is_taken() {
        assert_eq!(check(ARGON2ID), Ok(()));
    }

    #[test]
    fn the_three_marks_are_taken() {
        for mark in ["$2a$", "$2b$", "$2y$"] {
            assert_eq!(check_bcrypt(&LEGAL.replace("$2b$", mark)), Ok(12), "{mark}");
        }
    }

    #[test]
    fn login_10_no_other_text_reaches_the_library() {
        let multibyte = format!("{}ü", &LEGAL[..58]);
        assert_eq!(multibyte.len(), 60);
        for hash in [
            &multibyte,
            &LEGAL.replace("$12$", "$03$"),
            &LEGAL.replace("$12$", "$32$"),
            &LEGAL.replace("$12$", "$+4$"),
            &LEGAL.replace("$2b$", "$2x$"),
            &LEGAL[..59].to_owned(),
            &format!("{LEGAL}4"),
            &LEGAL.replace('a', "!"),
            &String::new(),
            &"correct horse battery staple".to_owned(),
            &"$2a$10$...".to_owned(),
            &"$argon2id$v=19$m=65536,t=3,p=2$c2FsdA$aGFzaA".to_owned(),
            &ARGON2ID.replace("argon2id", "argon2i"),
            &ARGON2ID.replace("65536", "4294967295"),
            &ARGON2ID.replace("65536", "8"),
            &"$argon2id$v=19$m=65536,t=3,p=4$...".to_owned(),
        ] {
            let wrong = check(hash).expect_err(hash);
            assert!(hash.is_empty() || !wrong.problem.contains(hash.as_str()), "{wrong:?}");
        }
    }

    #[test]
    fn login_11_unusual_costs_are_remarked_upon() {
        let with_cost = |cost: &str| unusual_cost(&Secret::from(LEGAL.replace("$12$", cost))).is_some();
        assert!(with_cost("$04$") && with_cost("$15$"));
        assert!(!with_cost("$10$") && !with_cost("$14$"));
        let with_memory = |memory: &str| unusual_cost(&Secret::from(ARGON2ID.replace("65536", memory))).is_some();
        assert!(with_memory("4096") && !with_memory("19456") && !with_memory("262144"));
    }
}
