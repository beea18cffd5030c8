//! The name a client gave itself, made fit to be quoted.
//! [OAuth 2.1 §7.9](https://datatracker.ietf.org/doc/html/draft-ietf-oauth-v2-1)

use std::fmt;

/// How many characters of a name are shown. Real names are shorter; a longer one is a text that tries to speak for us.
const MAX_CHARACTERS: usize = 60;

/// A `client_name` for display: one line, bounded, without characters that are unseen or turn the text around.
///
/// Pages quote it and never show it larger than the destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientName(String);

impl ClientName {
    /// The displayable form of `name`. `None` when nothing of it can be seen.
    #[must_use]
    pub fn new(name: &str) -> Option<Self> {
        let visible: String = name.chars().filter(|character| !is_deceptive(*character)).collect();
        let line = visible.split_whitespace().collect::<Vec<_>>().join(" ");
        if line.is_empty() { None } else { Some(Self(shortened(line))) }
    }
}

impl fmt::Display for ClientName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Control characters other than white space, what sets the direction of text, what has no width, and the double
/// quotation marks in which the name stands. The joiners U+200C and U+200D stay: Persian, Indic scripts and emoji need
/// them.
fn is_deceptive(character: char) -> bool {
    (character.is_control() && !character.is_whitespace())
        || matches!(character, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{feff}')
        || matches!(character, '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{e0000}'..='\u{e007f}')
        || matches!(character, '“' | '”' | '„' | '‟')
}

fn shortened(line: String) -> String {
    match line.char_indices().nth(MAX_CHARACTERS) {
        Some((end, _)) => format!("{}…", line[..end].trim_end()),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(name: &str) -> Option<String> {
        ClientName::new(name).map(|name| name.to_string())
    }

    #[test]
    fn ordinary_names_stay_as_they_are() {
        for name in ["Claude", "Müllers Agent (Büro)", "クロード", "👩‍💻 Tools", "It's \"quoted\""] {
            assert_eq!(shown(name).as_deref(), Some(name));
        }
    }

    #[test]
    fn reg_9_unseen_and_direction_changing_characters_go() {
        assert_eq!(shown("Cl\u{202e}au\u{200b}de\0\u{7}").as_deref(), Some("Claude"));
        assert_eq!(shown(" two\r\n\tlines\u{2028}three ").as_deref(), Some("two lines three"));
        assert_eq!(shown("Claude” (verified) “").as_deref(), Some("Claude (verified)"));
        assert_eq!(shown("\u{200b}\u{202e} \n"), None);
    }

    #[test]
    fn reg_7_a_long_name_is_cut() {
        let long = shown(&"ä".repeat(10_000)).unwrap();
        assert_eq!((long.chars().count(), long.ends_with("ä…")), (MAX_CHARACTERS + 1, true));
    }
}
