//! A proxy on the way to a server.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::Uri;
use hyper::header::HeaderValue;
use percent_encoding::percent_decode_str;
use url::Url;

use crate::fetch::fault::FetchError;

/// A proxy, and who we are to it.
pub(super) enum Proxy {
    /// Of HTTP, perhaps behind TLS: it forwards requests to http, and gives tunnels to https.
    Http {
        /// Where it is.
        uri: Uri,
        /// `Proxy-Authorization`.
        authorization: Option<HeaderValue>,
    },
    /// SOCKS5 (RFC 1928).
    Socks {
        /// Where it is.
        uri: Uri,
        /// User name and password (RFC 1929).
        credentials: Option<(String, String)>,
        /// Whether names are left for it to look up (`socks5h`).
        looks_up: bool,
    },
}

impl Proxy {
    /// http, https, socks5 or socks5h, with its credentials.
    pub(super) fn parse(text: &str) -> Result<Self, FetchError> {
        // What the parsers say may quote the URL, which may hold a password.
        let unusable = || FetchError::Unsendable("the proxy cannot be used".to_owned());
        let url = Url::parse(text).map_err(|_| unusable())?;
        let host = url.host_str().ok_or_else(unusable)?;
        let port = url.port_or_known_default().unwrap_or(1080);
        let uri = format!("{}://{host}:{port}", url.scheme()).parse().map_err(|_| unusable())?;
        let decoded = |text: &str| percent_decode_str(text).decode_utf8().map(String::from).map_err(|_| unusable());
        let (user, password) = (decoded(url.username())?, decoded(url.password().unwrap_or_default())?);
        let has_credentials = !user.is_empty() || url.password().is_some();
        match url.scheme() {
            "http" | "https" => {
                let basic = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
                let mut value = HeaderValue::from_str(&basic).map_err(|_| unusable())?;
                value.set_sensitive(true);
                Ok(Self::Http { uri, authorization: has_credentials.then_some(value) })
            }
            scheme @ ("socks5" | "socks5h") => {
                let credentials = has_credentials.then_some((user, password));
                Ok(Self::Socks { uri, credentials, looks_up: scheme == "socks5h" })
            }
            _ => Err(unusable()),
        }
    }

    /// Whether a request to this URL is the proxy's to read, and to pass on.
    pub(super) fn forwards(&self, url: &Url) -> bool {
        matches!(self, Self::Http { .. }) && url.scheme() == "http"
    }
}
