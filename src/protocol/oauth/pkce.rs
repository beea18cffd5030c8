//! Proof Key for Code Exchange, S256 only. [RFC 7636](https://www.rfc-editor.org/rfc/rfc7636)

use subtle::ConstantTimeEq;

use crate::base::digest::Digest;

/// Whether this can be a `code_challenge` of method S256: base64url of a SHA-256, 43 characters (RFC 7636 §4.2).
#[must_use]
pub fn is_challenge(value: &str) -> bool {
    value.len() == 43 && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// Whether this can be a `code_verifier`: 43 to 128 unreserved characters (RFC 7636 §4.1).
#[must_use]
pub fn is_verifier(value: &str) -> bool {
    let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    (43..=128).contains(&value.len()) && value.bytes().all(unreserved)
}

/// Whether `verifier` is the one that `challenge` was made from.
#[must_use]
pub fn matches(verifier: &str, challenge: &str) -> bool {
    // RFC 7636 §4.6: BASE64URL-ENCODE(SHA256(ASCII(code_verifier))) == code_challenge.
    Digest::of_bytes(verifier.as_bytes()).base64url().as_bytes().ct_eq(challenge.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc_7636_appendix_b_holds() {
        let (verifier, challenge) =
            ("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
        assert!(is_verifier(verifier) && is_challenge(challenge) && matches(verifier, challenge));
        assert!(!matches(challenge, challenge));
    }

    #[test]
    fn lengths_and_alphabets_are_those_of_the_rfc() {
        assert!(!is_verifier(&"a".repeat(42)) && is_verifier(&"~".repeat(128)) && !is_verifier(&"a".repeat(129)));
        assert!(!is_verifier(&format!("{}\n", "a".repeat(43))));
        assert!(!is_challenge(&"a".repeat(42)) && !is_challenge(&format!("{}=", "a".repeat(42))));
    }
}
