//! What a text is about: its words, as they are compared.

use bm25::Tokenizer;
use rust_stemmers::{Algorithm, Stemmer};

/// Cuts texts into words. Names are made of words too: `list_pull-requests`, `listPullRequests`.
#[derive(Debug, Default)]
pub struct Words;

impl Tokenizer for Words {
    fn tokenize(&self, text: &str) -> Vec<String> {
        let stemmer = Stemmer::create(Algorithm::English);
        let spaced = separate(text).to_lowercase();
        let words = spaced.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty());
        words.map(|word| stemmer.stem(word).into_owned()).collect()
    }
}

/// Puts a space where a word ends inside a name: `readFile`, `HTTPServer`.
fn separate(text: &str) -> String {
    let mut spaced = String::with_capacity(text.len() + 8);
    let mut letters = text.chars().peekable();
    let mut before = None;
    while let Some(letter) = letters.next() {
        let begins = letter.is_uppercase()
            && before.is_some_and(|before: char| {
                before.is_lowercase()
                    || before.is_numeric()
                    || before.is_uppercase() && letters.peek().is_some_and(|next| next.is_lowercase())
            });
        if begins {
            spaced.push(' ');
        }
        spaced.push(letter);
        before = Some(letter);
    }
    spaced
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_sentences_have_the_same_words() {
        let words = |text: &str| Words.tokenize(text);
        assert_eq!(words("listPullRequests"), words("list pull-requests"));
        assert_eq!(words("github__list_pull_request"), ["github", "list", "pull", "request"]);
        assert_eq!(words("HTTPServer v2Beta Straße"), ["http", "server", "v2", "beta", "straße"]);
        assert_eq!(words("Creating files, created FILE"), ["creat", "file", "creat", "file"]);
        assert!(words(" …!\u{0}").is_empty());
    }
}
