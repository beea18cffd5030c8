//! An address that a page sends the browser to: back to the client, with the answer.

use url::Url;

use crate::http::page::target::{Target, redirect_target};
use crate::protocol::oauth::redirect_uri::NO_DESTINATION;

/// An absolute URL that can stand in a link and in `<meta http-equiv="refresh">`.
///
/// Redirect URIs are checked when a client registers; this is the second lock on the same door.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link<'a> {
    href: &'a str,
    target: Target,
}

impl<'a> Link<'a> {
    /// A link to `href`, kept byte for byte. `None` when it is no absolute URL, holds white space or control characters
    /// (browsers drop some of them, so two readers could see two URLs), or has a scheme that leads nowhere but to code.
    #[must_use]
    pub fn new(href: &'a str) -> Option<Self> {
        let is_plain = !href.chars().any(|character| character.is_whitespace() || character.is_control());
        let url = Url::parse(href).ok()?;
        let leads_somewhere = !NO_DESTINATION.contains(&url.scheme());
        (is_plain && leads_somewhere).then(|| Self { href, target: redirect_target(href) })
    }

    /// The URL.
    #[must_use]
    pub fn href(&self) -> &str {
        self.href
    }

    /// Where it leads, for its label.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.target
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reg_1_code_is_no_destination() {
        for href in [
            "javascript:alert(1)",
            "JaVaScRiPt:alert(1)",
            "\tjavascript:alert(1)",
            "java\nscript:alert(1)",
            "data:text/html,<script>alert(1)</script>",
            "vbscript:x",
            "file:///etc/passwd",
            "blob:https://a.example/1",
            "about:blank",
            "view-source:https://a.example/",
            "/relative",
            "",
        ] {
            assert_eq!(Link::new(href), None, "{href:?}");
        }
    }

    #[test]
    fn a_destination_is_kept_byte_for_byte() {
        for href in ["https://Claude.ai:443/cb?code=a&state=b%20c", "cursor://x/cb?code=1", "http://127.0.0.1:1/cb"] {
            assert_eq!(Link::new(href).unwrap().href(), href);
        }
    }
}
