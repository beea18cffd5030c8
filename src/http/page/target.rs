//! Where the answer to an authorization request goes, as a person is told.
//! [RFC 8252 §7](https://www.rfc-editor.org/rfc/rfc8252#section-7)

use std::fmt;

use url::{Host, Url};

/// The destination of a redirect, in the terms that tell a person who will receive it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A web site.
    Site {
        /// Its host in ASCII (punycode), with the port when it is not that of the scheme.
        host: String,
    },
    /// Whichever program listens at a port of this computer.
    Loopback {
        /// The loopback name or address, in its canonical form.
        host: String,
        /// The port.
        port: u16,
    },
    /// Whichever app on this device has taken the private-use scheme.
    Scheme {
        /// The scheme, without its colon.
        scheme: String,
    },
}

/// Says where `redirect_uri` leads.
///
/// It is read as a browser reads it (WHATWG), so that what is shown is where the browser will go: user names before
/// an `@` are no host, backslashes are slashes, `127.1` is `127.0.0.1`. What is no URL at all cannot be navigated to and
/// is named by what precedes its colon.
#[must_use]
pub fn redirect_target(redirect_uri: &str) -> Target {
    let Ok(url) = Url::parse(redirect_uri) else {
        return Target::Scheme { scheme: leading_scheme(redirect_uri) };
    };
    match (url.scheme(), url.host(), url.port_or_known_default()) {
        ("http" | "https", Some(host), Some(port)) if is_this_computer(&host) => {
            Target::Loopback { host: host.to_string(), port }
        }
        ("http" | "https", Some(host), _) => Target::Site { host: with_port(&host, url.port()) },
        (scheme, _, _) => Target::Scheme { scheme: scheme.to_owned() },
    }
}

/// Also the unspecified address, which systems connect to themselves, and names under `localhost` (RFC 6761 §6.3).
fn is_this_computer(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => {
            let name = name.trim_end_matches('.');
            name == "localhost" || name.ends_with(".localhost")
        }
        Host::Ipv4(address) => address.is_loopback() || address.is_unspecified(),
        Host::Ipv6(address) => {
            let address = address.to_canonical();
            address.is_loopback() || address.is_unspecified()
        }
    }
}

fn with_port(host: &Host<&str>, port: Option<u16>) -> String {
    match port {
        Some(port) => format!("{host}:{port}"),
        None => host.to_string(),
    }
}

fn leading_scheme(text: &str) -> String {
    let is_scheme = |character: char| character.is_ascii_alphanumeric() || matches!(character, '+' | '-' | '.');
    match text.split_once(':') {
        Some((scheme, _)) if !scheme.is_empty() && scheme.chars().all(is_scheme) => scheme.to_ascii_lowercase(),
        Some(_) | None => "unknown".to_owned(),
    }
}

impl fmt::Display for Target {
    /// As part of a sentence, after "to".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Site { host } => f.write_str(host),
            Self::Loopback { host, port } => write!(f, "a program on this computer ({host}, port {port})"),
            Self::Scheme { scheme } => write!(f, "the app that opens {scheme}: links"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(host: &str) -> Target {
        Target::Site { host: host.to_owned() }
    }

    fn loopback(host: &str, port: u16) -> Target {
        Target::Loopback { host: host.to_owned(), port }
    }

    fn scheme(scheme: &str) -> Target {
        Target::Scheme { scheme: scheme.to_owned() }
    }

    #[test]
    fn a_site_is_named_by_the_host_the_browser_will_ask() {
        for (uri, host) in [
            ("https://claude.ai/api/mcp/auth_callback", "claude.ai"),
            ("https://CLAUDE.ai:443/cb", "claude.ai"),
            ("https://claude.ai:8443/cb", "claude.ai:8443"),
            ("https://claude.ai@evil.example/cb", "evil.example"),
            (r"https:\\evil.example\@claude.ai", "evil.example"),
            ("https://evil.example/?https://claude.ai/cb", "evil.example"),
            ("https://127.0.0.1.evil.example:5/cb", "127.0.0.1.evil.example:5"),
            ("https://localhost.evil.example/cb", "localhost.evil.example"),
            ("https://192.168.0.7/cb", "192.168.0.7"),
            ("https://[2001:db8::7]/cb", "[2001:db8::7]"),
        ] {
            assert_eq!(redirect_target(uri), site(host), "{uri}");
        }
    }

    #[test]
    fn reg_9_a_lookalike_host_is_shown_in_ascii() {
        assert_eq!(redirect_target("https://сlaude.ai/cb"), site("xn--laude-0ye.ai"));
        assert_eq!(redirect_target("https://bücher.example/"), site("xn--bcher-kva.example"));
    }

    #[test]
    fn every_way_to_write_this_computer_is_loopback() {
        for (uri, target) in [
            ("http://127.0.0.1:33418/", loopback("127.0.0.1", 33418)),
            ("http://127.1:5/cb", loopback("127.0.0.1", 5)),
            ("http://localhost/cb", loopback("localhost", 80)),
            ("http://app.localhost./cb", loopback("app.localhost.", 80)),
            ("http://[::1]:8080/cb", loopback("[::1]", 8080)),
            ("http://[::ffff:127.0.0.1]:8080/cb", loopback("[::ffff:7f00:1]", 8080)),
            ("https://0.0.0.0/cb", loopback("0.0.0.0", 443)),
        ] {
            assert_eq!(redirect_target(uri), target, "{uri}");
        }
    }

    #[test]
    fn other_schemes_are_named_and_garbage_names_no_host() {
        assert_eq!(redirect_target("cursor://anysphere.cursor-mcp/oauth/callback"), scheme("cursor"));
        assert_eq!(redirect_target("com.example.app:/cb"), scheme("com.example.app"));
        assert_eq!(redirect_target("https://"), scheme("https"));
        assert_eq!(redirect_target("claude.ai"), scheme("unknown"));
        assert_eq!(redirect_target(""), scheme("unknown"));
    }
}
