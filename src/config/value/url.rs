//! URLs of this server, of upstreams and of identity providers: issuer (RFC 8414 §2), public origin, logo, upstream.

use serde_json::json;
use url::{Host, Url};

use crate::base::secret::Secret;
use crate::config::document::Node;
use crate::config::fault::Wrong;
use crate::config::reader::kind::{Kind, shortened, text};

/// An issuer: https unless its host is loopback, without query or fragment. A trailing slash is taken off, because
/// metadata, `iss` and tokens have to carry one and the same string and clients compare it byte by byte.
pub const ISSUER: Kind<String> = Kind {
    schema: || json!({"type": "string", "format": "uri"}),
    parse: |node| {
        let text = text(node)?;
        let fix = "write the https URL that clients reach, such as https://mcp.example.com";
        if text.is_empty() {
            return Err(Wrong::new("is empty", fix));
        }
        let url = parse(&text, fix)?;
        secure(&url, &text)?;
        // RFC 8414 §2: the issuer has no query or fragment components; `https://host?` has an empty one.
        if url.query().is_some() || url.fragment().is_some() {
            return Err(Wrong::new(format!("`{}` has a query or a fragment", shortened(&text)), "remove it"));
        }
        // The pages of the issuer are named by their path alone, and `//name/…` would be a path of another host.
        if url.path().contains("//") {
            return Err(Wrong::new(
                format!("`{}` has an empty part in its path", shortened(&text)),
                "write single slashes",
            ));
        }
        Ok(without_slash(&url))
    },
    print: |issuer| Node::String(issuer.clone()),
};

/// The origin people type: scheme, host and port, no path.
pub const ORIGIN: Kind<String> = Kind {
    schema: || json!({"type": "string", "format": "uri"}),
    parse: |node| {
        let text = text(node)?;
        let fix = "write scheme and host, such as https://mcp.example.com";
        let url = parse(&text, fix)?;
        if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
            return Err(Wrong::new(format!("`{}` has more than scheme and host", shortened(&text)), fix));
        }
        Ok(without_slash(&url))
    },
    print: |origin| Node::String(origin.clone()),
};

/// The URL of an upstream.
pub const ENDPOINT: Kind<Url> = Kind {
    schema: || json!({"type": "string", "format": "uri"}),
    parse: |node| {
        let text = text(node)?;
        let url = parse(&text, "write the upstream's URL, such as https://mcp.example.com/mcp")?;
        if url.fragment().is_some() {
            return Err(Wrong::new(format!("`{}` has a fragment", shortened(&text)), "remove it"));
        }
        Ok(url)
    },
    print: |url| Node::String(url.to_string()),
};

/// A proxy on the way to an upstream. Only its password is a secret; no message shows any of it.
pub const PROXY: Kind<Secret> = Kind {
    schema: || json!({"type": "string", "format": "uri"}),
    parse: |node| {
        let text = text(node)?;
        let fix = "write it like http://proxy.example.com:3128 or socks5://user:password@proxy.example.com:1080";
        let url = Url::parse(&text).ok();
        let url = url.filter(|url| matches!(url.scheme(), "http" | "https" | "socks5" | "socks5h") && url.has_host());
        let url = url.ok_or_else(|| Wrong::new("is no http, https, socks5 or socks5h URL", fix))?;
        if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
            return Err(Wrong::new("has more than scheme, credentials, host and port", fix));
        }
        Ok(Secret::new(text))
    },
    print: |proxy| {
        let Ok(mut url) = Url::parse(proxy.expose()) else { return Node::from("<redacted>") };
        if !url.username().is_empty() || url.password().is_some() {
            // Neither can fail: it has a host.
            let _ = url.set_username("redacted");
            let _ = url.set_password(None);
        }
        Node::String(url.to_string())
    },
};

/// The issuer of an identity provider (OpenID Connect Core §2): kept as it is written, because the provider's own word for
/// itself may end in a slash.
pub const FOREIGN_ISSUER: Kind<String> = Kind {
    schema: || json!({"type": "string", "format": "uri"}),
    parse: |node| {
        let text = text(node)?;
        let url = foreign(&text)?;
        // OpenID Connect Discovery §3: the issuer has no query or fragment component.
        if url.query().is_some() || url.fragment().is_some() {
            return Err(Wrong::new(format!("`{}` has a query or a fragment", shortened(&text)), "remove it"));
        }
        Ok(text.into_owned())
    },
    print: |issuer| Node::String(issuer.clone()),
};

/// A URL of an identity provider, where codes and secrets go.
pub const FOREIGN_ENDPOINT: Kind<Url> = Kind {
    schema: || json!({"type": "string", "format": "uri"}),
    parse: |node| {
        let text = text(node)?;
        let url = foreign(&text)?;
        // RFC 6749 §3.1, §3.2: the endpoint URI MUST NOT include a fragment component.
        if url.fragment().is_some() {
            return Err(Wrong::new(format!("`{}` has a fragment", shortened(&text)), "remove everything from `#`"));
        }
        Ok(url)
    },
    print: |url| Node::String(url.to_string()),
};

/// A picture: https, or a `data:image/` URL.
pub const LOGO: Kind<String> = Kind {
    schema: || json!({"type": "string", "format": "uri"}),
    parse: |node| {
        let text = text(node)?;
        let legal = Url::parse(&text).is_ok_and(|url| match url.scheme() {
            "https" => true,
            "data" => url.path().starts_with("image/"),
            _ => false,
        });
        let fix = "write an https URL, or data:image/png;base64,… for a picture in the page";
        let legal = legal && !text.contains(char::is_control);
        if legal { Ok(text.into_owned()) } else { Err(Wrong::new("is no picture's URL", fix)) }
    },
    print: |url| Node::String(url.clone()),
};

/// Whether a URL's host is this machine alone, so that http cannot be listened to on the way.
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// # Errors
/// http to a host that is not loopback (RFC 8414 §2: the issuer uses the "https" scheme).
pub fn secure(url: &Url, written: &str) -> Result<(), Wrong> {
    encrypted(url, written, "write https://, and let a reverse proxy do TLS")
}

fn encrypted(url: &Url, written: &str, fix: &str) -> Result<(), Wrong> {
    if url.scheme() == "http" && !is_loopback(url) {
        return Err(Wrong::new(format!("`{}` is http, and its host is not loopback", shortened(written)), fix));
    }
    Ok(())
}

/// A URL of somebody else to whom secrets are sent. What `Url` would leave out in silence is refused: the text is compared.
fn foreign(text: &str) -> Result<Url, Wrong> {
    let fix = "write the whole URL, such as https://accounts.google.com";
    if text.is_empty() {
        return Err(Wrong::new("is empty", fix));
    }
    if text.chars().any(|character| character.is_control() || character.is_whitespace() || character == '\\') {
        let problem = format!("`{}` holds a space, backslash or control character", shortened(text));
        return Err(Wrong::new(problem, fix));
    }
    let url = parse(text, fix)?;
    encrypted(&url, text, "write https://: people are sent there to log in")?;
    Ok(url)
}

/// An absolute http or https URL without user name and password.
fn parse(text: &str, fix: &str) -> Result<Url, Wrong> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    let url = url.ok_or_else(|| Wrong::new(format!("`{}` is no http or https URL", shortened(text)), fix))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Wrong::new("has a user name or password in it", "remove it; credentials have keys of their own"));
    }
    Ok(url)
}

fn without_slash(url: &Url) -> String {
    url.as_str().trim_end_matches('/').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn issuer(text: &str) -> Option<String> {
        (ISSUER.parse)(&Node::from(text)).ok()
    }

    #[test]
    fn issuers_come_out_in_one_spelling() {
        for (written, meant) in [
            ("https://mcp.example.com", "https://mcp.example.com"),
            ("https://MCP.example.com:443/", "https://mcp.example.com"),
            ("https://mcp.example.com/tenant/", "https://mcp.example.com/tenant"),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("http://localhost:8080/", "http://localhost:8080"),
            ("http://[::1]:8080", "http://[::1]:8080"),
        ] {
            assert_eq!(issuer(written).as_deref(), Some(meant), "{written}");
        }
    }

    #[test]
    fn meta_15_issuers_that_rfc_8414_forbids_are_refused() {
        for written in [
            "",
            "mcp.example.com",
            "http://mcp.example.com",
            "http://10.0.0.1:8080",
            "http://localhost.example.com",
            "https://mcp.example.com?",
            "https://mcp.example.com?a=b",
            "https://mcp.example.com#",
            "https://mcp.example.com#a",
            "https://user:secret@mcp.example.com",
            "ftp://mcp.example.com",
            "https://mcp.example.com//evil.example",
        ] {
            assert_eq!(issuer(written), None, "{written}");
        }
    }
}
