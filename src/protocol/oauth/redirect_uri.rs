//! Redirect URIs: what one may look like, which the operator allows, and when two are the same.
//! [RFC 6749 §3.1.2](https://www.rfc-editor.org/rfc/rfc6749#section-3.1.2), [RFC 8252 §7.3, §8.4](https://www.rfc-editor.org/rfc/rfc8252#section-7.3)

use url::Url;

/// The longest redirect URI that is accepted, in bytes.
const LONGEST: usize = 2048;

/// Parameters of an authorization response. A redirect URI that carries one already would make the answer ambiguous.
const OURS: [&str; 6] = ["code", "state", "iss", "error", "error_description", "error_uri"];

/// Schemes that run or show something, or fetch it, instead of opening an app (OAuth 2.1 §7.12).
pub const NO_DESTINATION: [&str; 11] =
    ["javascript", "data", "vbscript", "file", "blob", "about", "view-source", "filesystem", "ftp", "ws", "wss"];

/// Why a redirect URI is refused, with what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RedirectUriFault {
    /// It cannot be a redirect URI at all.
    #[error("{0}")]
    Malformed(&'static str),
    /// It could be one, but the operator's list does not have it.
    #[error(
        "this redirect URI is not allowed here; the operator can allow it by adding it to allowed_redirect_uris: {0}"
    )]
    NotAllowed(String),
}

/// Checks the form of a redirect URI: https anywhere, http on loopback only, or a private-use scheme.
///
/// # Errors
/// [`RedirectUriFault::Malformed`], saying what is wrong.
pub fn check(uri: &str) -> Result<(), RedirectUriFault> {
    let fault = |text| Err(RedirectUriFault::Malformed(text));
    if uri.len() > LONGEST {
        return fault("the redirect URI is longer than 2048 bytes");
    }
    // Browsers drop or rewrite these; a URI that is read in two ways is not compared safely.
    if !uri.bytes().all(|byte| byte.is_ascii_graphic())
        || uri.contains(['\\', '*', '<', '>', '"', '`', '{', '}', '|', '^'])
    {
        return fault("the redirect URI holds a character that a URI cannot have");
    }
    let Ok(url) = Url::parse(uri) else { return fault("the redirect URI is not an absolute URI") };
    // RFC 6749 §3.1.2: the endpoint URI MUST NOT include a fragment component.
    if uri.contains('#') {
        return fault("the redirect URI has a fragment");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return fault("the redirect URI has user information");
    }
    if url.query_pairs().any(|(name, _)| OURS.contains(&name.as_ref())) {
        return fault("the redirect URI carries a parameter of the authorization response");
    }
    check_scheme(uri, &url)
}

fn check_scheme(uri: &str, url: &Url) -> Result<(), RedirectUriFault> {
    let host_follows = |scheme: &str| uri.strip_prefix(scheme).is_some_and(|rest| !rest.starts_with(['/', '?', ':']));
    match url.scheme() {
        "https" if host_follows("https://") => Ok(()),
        "https" => Err(RedirectUriFault::Malformed("the redirect URI has no host")),
        // OAuth 2.1 §1.5, MCP "Communication Security": loopback or https.
        "http" if loopback(uri).is_some() => Ok(()),
        "http" => {
            Err(RedirectUriFault::Malformed("an http redirect URI must be on 127.0.0.1, [::1] or localhost; use https"))
        }
        scheme if NO_DESTINATION.contains(&scheme) => {
            Err(RedirectUriFault::Malformed("the redirect URI's scheme opens no app"))
        }
        // RFC 8252 §7.1 would have a dot in it, but known programs have none: whose scheme it is, the operator's list says.
        _ => Ok(()),
    }
}

/// Whether a requested redirect URI is the registered one: equal to the letter, but for the port on loopback.
#[must_use]
pub fn is_same(registered: &str, requested: &str) -> bool {
    // OAuth 2.1 §2.3.1: simple string comparison; §8.4.2: any port for loopback.
    registered == requested || loopback(registered).is_some_and(|one| loopback(requested).is_some_and(|two| one == two))
}

/// What is compared of a loopback redirect URI: its host as written, and all that follows the port.
///
/// `None` when it is none. Hosts are never equated: `localhost` may resolve to something else than `127.0.0.1`.
#[must_use]
pub fn loopback(uri: &str) -> Option<(&str, &str)> {
    let rest = uri.strip_prefix("http://")?;
    let host = ["127.0.0.1", "[::1]", "localhost"].into_iter().find(|host| rest.starts_with(host))?;
    let rest = rest.get(host.len()..)?;
    let path = match rest.strip_prefix(':') {
        Some(rest) => {
            let end = rest.find(['/', '?']).unwrap_or(rest.len());
            let (port, path) = rest.split_at_checked(end)?;
            let digits = !port.is_empty() && port.len() <= 5 && port.bytes().all(|byte| byte.is_ascii_digit());
            port.parse::<u16>().ok().filter(|port| digits && *port > 0)?;
            path
        }
        None => rest,
    };
    (path.is_empty() || path.starts_with(['/', '?'])).then_some((host, path))
}

/// Whether `registered` is a loopback address without any path, and `requested` one with the same host, on some port and path.
#[must_use]
pub fn is_under_bare_loopback(registered: &str, requested: &str) -> bool {
    let bare = loopback(registered).filter(|(_, path)| path.is_empty());
    // A `?` right after the host is no path.
    let under = loopback(requested).filter(|(_, path)| path.is_empty() || path.starts_with('/'));
    bare.is_some_and(|(host, _)| under.is_some_and(|(other, _)| host == other))
}

/// A redirect URI as it is remembered with a consent: on loopback without its port, which programs choose anew each time.
#[must_use]
pub fn without_port(uri: &str) -> String {
    loopback(uri).map_or_else(|| uri.to_owned(), |(host, path)| format!("http://{host}{path}"))
}

/// Which redirect URIs the operator allows; it binds every client, however it came.
#[derive(Clone, Debug, Default)]
pub struct RedirectUriPolicy(Vec<Pattern>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Pattern {
    /// This one, and if it is loopback, on any port.
    Exact(String),
    /// One further path segment after this.
    Segment(&'static str),
    /// Any program on this computer.
    Loopback,
}

impl RedirectUriPolicy {
    /// Reads `allowed_redirect_uris`: URIs, `*` as the port of a loopback one, and presets.
    #[must_use]
    pub fn new(entries: &[String]) -> Self {
        Self(entries.iter().flat_map(|entry| patterns(entry)).collect())
    }

    /// Whether a redirect URI of good form is allowed.
    ///
    /// # Errors
    /// [`RedirectUriFault`] of either kind.
    pub fn check(&self, uri: &str) -> Result<(), RedirectUriFault> {
        check(uri)?;
        let allowed = self.0.iter().any(|pattern| pattern.matches(uri));
        if allowed { Ok(()) } else { Err(RedirectUriFault::NotAllowed(uri.to_owned())) }
    }
}

impl Pattern {
    fn matches(&self, uri: &str) -> bool {
        match self {
            Self::Exact(pattern) => is_same(pattern, uri),
            Self::Segment(prefix) => {
                uri.strip_prefix(prefix).is_some_and(|rest| !rest.is_empty() && rest.bytes().all(is_segment_byte))
            }
            Self::Loopback => loopback(uri).is_some(),
        }
    }
}

const fn is_segment_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

/// What a preset stands for, from what the clients send (their documents change, so these are redirect URIs only).
fn patterns(entry: &str) -> Vec<Pattern> {
    let exact = |uris: &[&str]| uris.iter().map(|uri| Pattern::Exact((*uri).to_owned())).collect::<Vec<_>>();
    match entry {
        "@claude" => exact(&["https://claude.ai/api/mcp/auth_callback", "https://claude.com/api/mcp/auth_callback"]),
        "@chatgpt" => {
            let mut patterns = exact(&["https://chatgpt.com/connector_platform_oauth_redirect"]);
            patterns.push(Pattern::Segment("https://chatgpt.com/connector/oauth/"));
            patterns
        }
        "@cursor" => exact(&[
            "cursor://anysphere.cursor-mcp/oauth/callback",
            "https://www.cursor.com/agents/mcp/oauth/callback",
            "http://localhost:8787/callback",
        ]),
        "@vscode" => {
            exact(&["https://vscode.dev/redirect", "https://insiders.vscode.dev/redirect", "http://127.0.0.1/"])
        }
        "@antigravity" => exact(&["https://antigravity.google/oauth-callback"]),
        "@grok" => exact(&["grokbot://mcp/oauth/callback"]),
        "@loopback" => vec![Pattern::Loopback],
        // Any port already matches on loopback, so `*` says no more than no port at all.
        uri => vec![Pattern::Exact(uri.replacen(":*", "", 1))],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn presets() -> RedirectUriPolicy {
        let all = ["@claude", "@chatgpt", "@cursor", "@vscode", "@antigravity", "@grok", "@loopback"];
        RedirectUriPolicy::new(&all.map(str::to_owned))
    }

    #[test]
    fn the_presets_let_the_known_clients_in() {
        for uri in [
            "https://claude.ai/api/mcp/auth_callback",
            "https://chatgpt.com/connector/oauth/abc-1",
            "http://localhost:51234/callback",
            "cursor://anysphere.cursor-mcp/oauth/callback",
            "https://vscode.dev/redirect",
            "http://127.0.0.1:33418/",
            "http://[::1]:9/x",
            "https://antigravity.google/oauth-callback",
            "grokbot://mcp/oauth/callback",
        ] {
            assert_eq!(presets().check(uri), Ok(()), "{uri}");
        }
        for uri in [
            "https://evil.example/cb",
            "https://chatgpt.com/connector/oauth/",
            "https://chatgpt.com/connector/oauth/a/b",
            "com.example.app:/cb",
            "myapp:/cb",
            "grokbot://mcp/oauth/callback/x",
            "https://antigravity.google/oauth-callback/x",
        ] {
            assert!(matches!(presets().check(uri), Err(RedirectUriFault::NotAllowed(_))), "{uri}");
        }
    }

    #[test]
    fn the_seeds_wildcard_port_means_any_port_and_nothing_else() {
        let policy = RedirectUriPolicy::new(&["http://localhost:*/callback".to_owned()]);
        assert!(
            policy.check("http://localhost:1234/callback").is_ok() && policy.check("http://localhost/callback").is_ok()
        );
        assert!(
            policy.check("http://localhost:1234/other").is_err()
                && policy.check("http://127.0.0.1:1/callback").is_err()
        );
    }

    #[test]
    fn loopback_ports_vary_and_nothing_else_does() {
        assert!(
            is_same("http://127.0.0.1:1/cb", "http://127.0.0.1:65535/cb")
                && is_same("http://localhost/cb", "http://localhost:5/cb")
        );
        for other in [
            "http://127.0.0.1:0/cb",
            "http://127.0.0.1:99999/cb",
            "http://localhost:5/cb",
            "http://127.0.0.2:5/cb",
            "http://127.0.0.1.evil:5/cb",
            "http://127.0.0.1@evil/cb",
            "https://127.0.0.1:5/cb",
            "http://127.1:5/cb",
            "http://127.0.0.1:5/cb/",
            "http://127.0.0.1:5/cb?x",
            "http://127.0.0.1:+5/cb",
        ] {
            assert!(!is_same("http://127.0.0.1:1/cb", other), "{other}");
        }
    }

    #[test]
    fn only_a_loopback_address_without_any_path_leaves_the_path_open() {
        for requested in ["http://localhost:5/", "http://localhost/", "http://localhost:5/a/b", "http://localhost:5"] {
            assert!(is_under_bare_loopback("http://localhost", requested), "{requested}");
        }
        for (registered, requested) in [
            ("http://localhost/", "http://localhost:5/a"),
            ("http://localhost?x", "http://localhost:5/a"),
            ("http://localhost", "http://localhost:5?x"),
            ("http://localhost", "http://127.0.0.1:5/a"),
            ("http://localhost", "http://localhost.evil.example/a"),
            ("http://localhost", "http://localhost@evil.example/a"),
            ("http://localhost", "https://localhost/a"),
            ("https://client.example", "https://client.example/a"),
        ] {
            assert!(!is_under_bare_loopback(registered, requested), "{registered} {requested}");
        }
    }

    #[test]
    fn dangerous_and_ambiguous_forms_are_refused() {
        for uri in [
            "javascript:alert(1)",
            "JaVaScRiPt:x",
            "\tjavascript:x",
            "data:text/html,x",
            "file:///etc",
            "about:blank",
            "http://example.com/cb",
            "https://x/#f",
            "https://good@evil/",
            "https://*.x/",
            "",
            "/cb",
            "https:///cb",
            "https:\\\\x",
            "https://x/ y",
            "https://x/\u{0}",
            "https://ä.example/",
            "https://x/?iss=evil",
            "https://x/?a=1&code=2",
            "https:x/cb",
        ] {
            assert!(matches!(check(uri), Err(RedirectUriFault::Malformed(_))), "{uri:?}");
        }
    }
}
