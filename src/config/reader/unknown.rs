//! Keys that nobody asked for: a typo, a key in the wrong place, or a key of a later version.

use std::sync::OnceLock;

use crate::config::fault::Wrong;
use crate::config::lines::key_path;
use crate::config::reader::Reader;
use crate::config::{known_places, later};

impl Reader<'_> {
    pub(super) fn report_unknown(&self, key: &str) {
        let path = key_path(&self.path, key);
        if later::has_key(&key_path(&self.place, key)) {
            self.report(&path, later::key_fault());
            return;
        }
        let fix = match nearest(key, self.names.iter().copied()) {
            Some(name) => format!("did you mean {name}?"),
            None => match self.elsewhere(key) {
                Some(place) => format!("did you mean {place}?"),
                None => "remove it".to_owned(),
            },
        };
        self.report(&path, Wrong::new("unknown key", fix));
    }

    /// The place of a key of this very name, when there is just one: most likely the indentation is wrong.
    fn elsewhere(&self, key: &str) -> Option<&'static str> {
        static PLACES: OnceLock<Vec<String>> = OnceLock::new();
        if self.shared.describing {
            return None;
        }
        let places = PLACES.get_or_init(known_places).iter();
        let mut same = places.filter(|place| place.rsplit('.').next() == Some(key));
        let first = same.next().filter(|place| !place.contains('*'))?;
        same.next().is_none().then_some(first.as_str())
    }
}

/// The word that was most likely meant.
pub fn nearest<'n>(word: &str, known: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let word = word.to_lowercase().replace('-', "_");
    let likeness = |name: &str| {
        let likeness = strsim::normalized_damerau_levenshtein(&word, name);
        // `redirect_uris` is meant to be `allowed_redirect_uris`.
        let contained = word.len() > 3 && name.len() > 3 && (name.contains(&word) || word.contains(name));
        if contained { likeness.max(0.7) } else { likeness }
    };
    let scored = known.map(|name| (likeness(name), name)).filter(|(likeness, _)| *likeness >= 0.6);
    scored.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_slip_of_the_finger_is_understood() {
        let keys = ["token_lifetime", "refresh_token_lifetime", "issuer", "allowed_redirect_uris"];
        for (written, meant) in [
            ("token_lifetme", Some("token_lifetime")),
            ("tokenLifetime", Some("token_lifetime")),
            ("refresh-token-lifetime", Some("refresh_token_lifetime")),
            ("redirect_uris", Some("allowed_redirect_uris")),
            ("isuer", Some("issuer")),
            ("colour", None),
        ] {
            assert_eq!(nearest(written, keys.into_iter()), meant, "{written}");
        }
    }
}
