//! One spelling for each user name.

use unicode_normalization::UnicodeNormalization as _;

use crate::base::id::{CLIENT, UserId};

/// The longest user name, in characters.
const MAX_LENGTH: usize = 128;

/// The user that a name as typed stands for: NFKC, trimmed, in lower case, so that `Alice`, ` ALICE` and full-width `Ａｌｉｃｅ` are
/// one person with one throttle.
///
/// `None`: empty, over 128 characters, with characters that cannot be seen, or with `://`, which is in the identifiers of people
/// at identity providers ([`UserId::federated`]), or beginning like a client's ([`UserId::of_client`]): nobody can have a name
/// that is somebody else's there.
#[must_use]
pub fn canonical_username(name: &str) -> Option<UserId> {
    // Four bytes a character, generously trimmed: nothing longer is worth normalising.
    if name.len() > 8 * MAX_LENGTH {
        return None;
    }
    let composed: String = name.nfkc().collect();
    // Lower case can come apart again ("İ"), hence the second normalisation.
    let lower: String = composed.to_lowercase().nfkc().collect();
    let name = lower.trim();
    let legal = !name.is_empty()
        && name.chars().count() <= MAX_LENGTH
        && !name.chars().any(is_invisible)
        && !name.contains("://")
        && !name.starts_with(CLIENT);
    legal.then(|| UserId::new(name))
}

/// Control characters, and those that only change how others are shown: two names must not look the same.
#[must_use]
pub fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
        || matches!(c, '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn login_13_every_spelling_is_one_user() {
        let alice = Some(UserId::new("alice"));
        for name in
            ["alice", "Alice", "ALICE", " alice", "alice ", "\u{3000}alice\t", "Ａｌｉｃｅ", "ＡＬＩＣＥ", "𝐚𝐥𝐢𝐜𝐞"]
        {
            assert_eq!(canonical_username(name), alice, "{name:?}");
        }
        assert_eq!(canonical_username("E\u{301}va"), canonical_username("éva"));
        assert_ne!(canonical_username("alice+tag@example.com"), canonical_username("alice@example.com"));
    }

    #[test]
    fn what_cannot_be_a_name_is_none() {
        for name in [
            "",
            " ",
            "\n",
            "al\0ice",
            "al\nice",
            "al\u{200b}ice",
            "\u{202e}ecila",
            "https://accounts.google.com#107",
            "https\u{ff1a}//accounts.google.com#107",
            &"a".repeat(129),
            &"é".repeat(100_000),
        ] {
            assert_eq!(canonical_username(name), None, "{name:?}");
        }
        assert!(canonical_username(&"é".repeat(128)).is_some());
    }

    #[test]
    fn a_canonical_name_stays_as_it_is() {
        for name in ["İstanbul", "ΑΣ", "ﬃ", "Straße", "ǅ", "\u{1e9e}", "K\u{212a}", "a\u{345}\u{301}"] {
            let once = canonical_username(name).unwrap();
            assert_eq!(canonical_username(once.as_str()), Some(once.clone()), "{name}");
        }
    }
}
