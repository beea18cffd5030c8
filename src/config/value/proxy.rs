//! The URL of a proxy for outbound requests, with or without credentials.

use serde_json::json;
use url::Url;

use crate::base::secret::Secret;
use crate::config::document::Node;
use crate::config::fault::Wrong;
use crate::config::reader::kind::{Kind, text};

/// A proxy.
#[derive(Clone, Debug)]
pub struct Proxy {
    /// http, https, socks5 (names are looked up here) or socks5h (names are looked up there); without credentials.
    pub url: Url,
    /// User name and password, as they are meant: no longer percent-encoded.
    pub credentials: Option<(String, Secret)>,
}

const SCHEMES: [&str; 4] = ["http", "https", "socks5", "socks5h"];
const FIX: &str = "write one such as http://proxy.example.com:3128, https://… or socks5://…";

/// The URL of a proxy. No message shows it, for it may hold a password; it prints without one.
pub const PROXY: Kind<Proxy> = Kind {
    schema: || json!({"type": "string", "format": "uri"}),
    parse: |node| {
        let text = text(node)?;
        let url = Url::parse(&text).ok().filter(|url| SCHEMES.contains(&url.scheme()));
        let mut url = url.ok_or_else(|| Wrong::new("is no URL of a proxy", FIX))?;
        if url.host_str().is_none_or(str::is_empty) {
            return Err(Wrong::new("names no host", FIX));
        }
        if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
            return Err(Wrong::new("has more than scheme, credentials, host and port", "remove the rest"));
        }
        if url.scheme().starts_with("socks") && url.port().is_none() {
            return Err(Wrong::new("names no port", "write the proxy's port, such as :1080"));
        }
        let credentials = read_credentials(&url)?;
        let refused = || Wrong::new("has credentials that cannot be told from its host", FIX);
        url.set_username("").and_then(|()| url.set_password(None)).map_err(|()| refused())?;
        Ok(Proxy { url, credentials })
    },
    print: |proxy| {
        let url = proxy.url.as_str();
        let shown = match (&proxy.credentials, url.split_once("://")) {
            (Some(_), Some((scheme, rest))) => format!("{scheme}://redacted@{rest}"),
            _ => url.to_owned(),
        };
        Node::String(shown)
    },
};

fn read_credentials(url: &Url) -> Result<Option<(String, Secret)>, Wrong> {
    if url.username().is_empty() && url.password().is_none() {
        return Ok(None);
    }
    let user = decode(url.username())?;
    let password = decode(url.password().unwrap_or_default())?;
    // RFC 7617 §2: the first colon ends the user name.
    if user.contains(':') {
        return Err(Wrong::new("has a user name with a colon in it", "a proxy would not understand it"));
    }
    Ok(Some((user, Secret::new(password))))
}

fn decode(text: &str) -> Result<String, Wrong> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let digit = |byte: Option<u8>| char::from(byte.unwrap_or_default()).to_digit(16).map(|digit| digit as u8);
        match byte {
            b'%' => {
                let (high, low) = (digit(rest.next()), digit(rest.next()));
                let wrong = || Wrong::new("has a `%` in its credentials that stands for nothing", "write it as %25");
                bytes.push(high.zip(low).map(|(high, low)| high << 4 | low).ok_or_else(wrong)?);
            }
            byte => bytes.push(byte),
        }
    }
    String::from_utf8(bytes)
        .ok()
        .filter(|text| !text.contains(char::is_control))
        .ok_or_else(|| Wrong::new("has credentials that are no text on one line", "write their characters as UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Proxy, Wrong> {
        (PROXY.parse)(&Node::from(text))
    }

    #[test]
    fn credentials_are_taken_out_and_never_shown() {
        let proxy = read("http://ada:p%40ss%3A%25@proxy.example:3128").unwrap();
        assert_eq!(proxy.url.as_str(), "http://proxy.example:3128/");
        let (user, password) = proxy.credentials.as_ref().unwrap();
        assert_eq!((user.as_str(), password.expose()), ("ada", "p@ss:%"));
        assert_eq!((PROXY.print)(&proxy), Node::from("http://redacted@proxy.example:3128/"));
        let proxy = read("socks5h://10.0.0.1:1080").unwrap();
        assert_eq!((proxy.url.as_str(), proxy.credentials.is_none()), ("socks5h://10.0.0.1:1080", true));
    }

    #[test]
    fn what_is_no_proxy_is_refused_without_showing_it() {
        for text in [
            "proxy.example:3128",
            "ftp://hush:hush@proxy.example",
            "socks4://hush@proxy.example:1080",
            "socks5://hush:hush@proxy.example",
            "http://hush:hush@proxy.example/path",
            "http://hush:hush@proxy.example?a",
            "http://hush:hush%zz@proxy.example",
            "http://hush:hush%@proxy.example",
            "http://hush%3A:hush@proxy.example",
            "http://hush:hush%0a@proxy.example",
            "http://hush:hush%ff@proxy.example",
        ] {
            let wrong = read(text).expect_err(text);
            assert!(!format!("{wrong:?}").contains("hush"), "{wrong:?}");
        }
    }
}
