//! Tests of password hashes.

use super::*;

fn hash(password: &str, cost: u32) -> PasswordHash {
    PasswordHash::parse(&Secret::from(bcrypt::hash(password, cost).unwrap())).unwrap()
}

fn bcrypt_work(cost: u32) -> Work {
    Work { cost, ..Work::default() }
}

fn matches(password: &str, hash: &PasswordHash) -> bool {
    check(&Secret::new(password), Some(hash), bcrypt_work(6)).matches
}

#[test]
fn hashes_of_htpasswd_and_python_are_understood() {
    // The test vector "U*U" of crypt_blowfish, of which the three versions agree.
    for version in ["$2a$", "$2b$", "$2y$"] {
        let text = format!("{version}05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW");
        let hash = PasswordHash::parse(&Secret::from(text)).unwrap();
        assert!(matches("U*U", &hash) && !matches("U*", &hash) && !matches("", &hash));
    }
    let made = PasswordHash::parse(&hash_password(&Secret::new("pass word"), HashAlgorithm::Bcrypt).unwrap()).unwrap();
    assert_eq!(made.work(), bcrypt_work(12));
    assert!(check(&Secret::new("pass word"), Some(&made), bcrypt_work(12)).matches);
}

#[test]
fn login_7_every_check_makes_the_same_rounds() {
    let hashes = [None, Some(hash("right", 4)), Some(hash("right", 5)), Some(hash("right", 7))];
    for hash in &hashes {
        for password in ["right", "wrong", "", &"p".repeat(71), &"p".repeat(72), &"p".repeat(73), &"p".repeat(4096)] {
            let rounds = check(&Secret::new(password), hash.as_ref(), bcrypt_work(7)).rounds;
            assert_eq!(rounds, 1 << 7, "{hash:?} {}", password.len());
        }
    }
}

#[test]
fn login_8_a_password_is_never_cut_off() {
    let secret = "s".repeat(80);
    assert_eq!(
        hash_password(&Secret::new(secret.as_str()), HashAlgorithm::Bcrypt),
        Err(PasswordError::TooLong { longest: 72 })
    );
    // Made elsewhere, by a program that cuts off.
    let hash = hash(&secret, 4);
    for tail in ["s", "other tail", "ssssssss"] {
        assert!(!matches(&format!("{}{tail}", &secret[..72]), &hash), "{tail}");
    }
    let whole = "w".repeat(72);
    assert!(matches(&whole, &self::hash(&whole, 4)));
    assert!(!matches("a\0a", &self::hash("a", 4)));
    assert_eq!(hash_password(&Secret::new("a\0a"), HashAlgorithm::Bcrypt), Err(PasswordError::Nul));
    assert_eq!(hash_password(&Secret::new(""), HashAlgorithm::Bcrypt), Err(PasswordError::Empty));
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

/// Vectors of the reference implementation (`test.c`: `hashtest`, version 19, argon2id).
#[test]
fn argon2id_hashes_of_other_programs_are_understood() {
    let text = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";
    let two_lanes = "$argon2id$v=19$m=256,t=2,p=2$c29tZXNhbHQ$bQk8UB/VmZZF4Oo79iDXuL5/0ttZwg2f/5U52iv1cDc";
    for text in [text, two_lanes] {
        let hash = PasswordHash::parse(&Secret::new(text)).unwrap();
        let matches = |password| check(&Secret::new(password), Some(&hash), hash.work()).matches;
        assert!(matches("password") && !matches("Password") && !matches(""), "{text}");
    }
    let made = hash_password(&Secret::new("pass word"), HashAlgorithm::Argon2id).unwrap();
    assert!(made.expose().starts_with("$argon2id$v=19$m=65536,t=3,p=4$"), "{made:?}");
    let made = PasswordHash::parse(&made).unwrap();
    assert!(check(&Secret::new("pass word"), Some(&made), made.work()).matches);
}

#[test]
fn login_8_argon2id_sees_all_of_a_long_password() {
    let long = "p".repeat(100);
    let hash =
        PasswordHash::parse(&hash_password(&Secret::new(long.as_str()), HashAlgorithm::Argon2id).unwrap()).unwrap();
    let matches = |password: &str| check(&Secret::new(password), Some(&hash), hash.work()).matches;
    assert!(matches(&long) && !matches(&format!("{}q", &long[..99])) && !matches(&long[..72]));
    let longer = Secret::new("p".repeat(1025));
    assert_eq!(hash_password(&longer, HashAlgorithm::Argon2id), Err(PasswordError::TooLong { longest: 1024 }));
}
