//! Patterns of `allowed_redirect_uris`: exact URIs, a `*` as the port of a loopback URI, and presets by name.

use serde_json::json;
use url::Url;

use crate::config::document::Node;
use crate::config::fault::Wrong;
use crate::config::reader::kind::{Kind, shortened, text};
use crate::config::reader::nearest;
use crate::config::value::url::is_loopback;
use crate::protocol::oauth::redirect_uri;
use crate::protocol::oauth::redirect_uri::NO_DESTINATION;

/// The presets. What they stand for is the authorization server's business.
pub const PRESETS: [&str; 7] = ["@claude", "@chatgpt", "@cursor", "@vscode", "@antigravity", "@grok", "@loopback"];

/// One pattern, kept as it is written, because it is compared as it is written (RFC 9700 §4.1.3).
pub const PATTERN: Kind<String> = Kind {
    schema: || json!({"type": "string"}),
    parse: |node| {
        let text = text(node)?;
        check(&text)?;
        Ok(text.into_owned())
    },
    print: |pattern| Node::String(pattern.clone()),
};

/// One redirect URI of a client, complete.
pub const REDIRECT_URI: Kind<String> = Kind {
    schema: || json!({"type": "string", "format": "uri"}),
    parse: |node| {
        let text = text(node)?;
        let wrong = |fault: redirect_uri::RedirectUriFault| {
            let example = "write the whole URI, such as https://app.example.com/callback";
            Wrong::new(format!("`{}`: {fault}", shortened(&text)), example)
        };
        redirect_uri::check(&text).map_err(wrong)?;
        Ok(text.into_owned())
    },
    print: |uri| Node::String(uri.clone()),
};

fn check(pattern: &str) -> Result<(), Wrong> {
    if pattern.starts_with('@') {
        return check_preset(pattern);
    }
    let shown = shortened(pattern);
    let example = "write the whole URI, such as https://app.example.com/callback";
    if pattern.chars().any(|character| character.is_control() || character.is_whitespace() || character == '\\') {
        return Err(Wrong::new(format!("`{shown}` holds a space, backslash or control character"), example));
    }
    let (single, any_port) = match pattern.split_once(":*") {
        Some((before, after)) if after.is_empty() || after.starts_with('/') => (format!("{before}:1{after}"), true),
        _ => (pattern.to_owned(), false),
    };
    if single.contains('*') {
        let fix = "write every URI in full; `*` may only stand for the port: http://localhost:*/callback";
        return Err(Wrong::new(format!("`{shown}` has a `*` that is not the port"), fix));
    }
    let url = Url::parse(&single).map_err(|_| Wrong::new(format!("`{shown}` is no absolute URI"), example))?;
    // RFC 6749 §3.1.2: the redirection endpoint URI MUST NOT include a fragment component.
    if url.fragment().is_some() {
        return Err(Wrong::new(format!("`{shown}` has a fragment"), "remove everything from `#`"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Wrong::new(format!("`{shown}` has a user name in it"), example));
    }
    if NO_DESTINATION.contains(&url.scheme()) {
        return Err(Wrong::new(format!("`{shown}` would run in the browser instead of an app"), example));
    }
    let loopback = is_loopback(&url);
    if url.scheme() == "http" && !loopback {
        return Err(Wrong::new(format!("`{shown}` is http, and its host is not loopback"), "write https://"));
    }
    if any_port && !loopback {
        let fix = "write the port; `*` is for localhost, 127.0.0.1 and [::1]";
        return Err(Wrong::new(format!("`{shown}` has any port of another machine"), fix));
    }
    // Clients are held to this form, so a pattern that is not of it would never match.
    redirect_uri::check(&single).map_err(|fault| Wrong::new(format!("`{shown}` can be no client's: {fault}"), example))
}

fn check_preset(name: &str) -> Result<(), Wrong> {
    if PRESETS.contains(&name) {
        return Ok(());
    }
    let fix = match nearest(name, PRESETS.into_iter()) {
        Some(preset) => format!("did you mean {preset}?"),
        None => format!("write {}", PRESETS.join(", ")),
    };
    Err(Wrong::new(format!("`{}` is no preset", shortened(name)), fix))
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn legal_patterns() {
        for pattern in [
            "https://claude.ai/api/mcp/auth_callback",
            "http://localhost:*/callback",
            "http://127.0.0.1:*",
            "http://[::1]:*/cb",
            "http://localhost:33418/cb",
            "cursor://anysphere.cursor-retrieval/oauth/callback",
            "com.example.app:/cb",
            "grokbot://mcp/oauth/callback",
            "https://app.example.com/cb?a=b",
            "@claude",
            "@loopback",
        ] {
            assert_eq!(check(pattern), Ok(()), "{pattern}");
        }
    }

    #[test]
    fn patterns_that_match_too_much_are_refused() {
        for pattern in [
            "",
            "/callback",
            "*",
            "https://*.example.com/cb",
            "https://example.com/*",
            "https://example.com:*/cb",
            "http://localhost:*:*/cb",
            "http://localhost:8*/cb",
            "http://*:*/cb",
            "http://example.com/cb",
            "http://127.0.0.1.example.com:*/cb",
            "https://example.com/cb#x",
            "https://good@evil.example/cb",
            "javascript:alert(1)",
            "JaVaScRiPt:alert(1)",
            "java\nscript:alert(1)",
            "data:text/html,x",
            "https:\\\\evil.example",
            "@everything",
            "http://127.1/cb",
            "https://bücher.example/cb",
            "https://app.example.com/cb?code=1",
        ] {
            assert!(check(pattern).is_err(), "{pattern}");
        }
    }
}
