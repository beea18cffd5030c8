//! Cookies: one a flow, which binds it to one browser, so that two tabs do not disturb each other; and one that remembers
//! who is logged in.

use actix_web::HttpRequest;
use actix_web::cookie::time::Duration;
use actix_web::cookie::{Cookie, SameSite};
use actix_web::http::header;

use crate::authorization_server::session::NewSession;
use crate::base::id::FlowId;
use crate::base::limit::Limit;
use crate::base::secret::Secret;

/// How many flows one browser may have under way; beginning another forgets the oldest.
const MOST: usize = 8;
/// Shown by `config show --limits`.
pub const LIMITS: [Limit; 1] = [Limit::count("flows under way in one browser", MOST, "the oldest is forgotten")];

/// Names and attributes of the cookies, which depend on whether the public address is https.
#[derive(Clone, Copy, Debug)]
pub struct Cookies {
    /// Whether the public address is https.
    pub is_https: bool,
}

impl Cookies {
    /// MCP "Consent Cookie Security": `__Host-` and `Secure`. On plain loopback http no browser would send such a cookie back.
    const fn prefix(self) -> &'static str {
        if self.is_https { "__Host-mcpb_flow_" } else { "mcpb_flow_" }
    }

    const fn session(self) -> &'static str {
        if self.is_https { "__Host-mcpb_session" } else { "mcpb_session" }
    }

    /// The cookie of a flow, if the browser sent exactly one of that name.
    #[must_use]
    pub fn find(self, request: &HttpRequest, flow: &FlowId) -> Option<Secret> {
        only(request, &format!("{}{flow}", self.prefix()))
    }

    /// The flows of this browser, by their cookies.
    #[must_use]
    pub fn find_flows(self, request: &HttpRequest) -> Vec<(FlowId, Secret)> {
        let all = pairs(request);
        let ours = all.iter().filter_map(|(name, value)| Some((name.strip_prefix(self.prefix())?, *value)));
        ours.take(MOST).map(|(flow, value)| (FlowId::new(flow), Secret::new(value))).collect()
    }

    /// The cookie of the browser's session, if the browser sent exactly one of that name.
    #[must_use]
    pub fn find_session(self, request: &HttpRequest) -> Option<Secret> {
        only(request, self.session())
    }

    /// Sets the cookie of the browser's session. Without an age of its own, it goes when the browser is closed.
    #[must_use]
    pub fn set_session(self, session: &NewSession) -> Cookie<'static> {
        let seconds = i64::try_from(session.lifetime.as_secs()).unwrap_or(i64::MAX);
        let mut cookie = self.build(self.session().to_owned(), session.cookie.expose().to_owned(), seconds);
        if !session.stays {
            cookie.set_max_age(None);
        }
        cookie
    }

    /// Forgets the cookie of the browser's session.
    #[must_use]
    pub fn clear_session(self) -> Cookie<'static> {
        self.build(self.session().to_owned(), String::new(), 0)
    }

    /// Sets the cookie of a flow.
    #[must_use]
    pub fn set(self, flow: &FlowId, value: &Secret, seconds: i64) -> Cookie<'static> {
        self.build(format!("{}{flow}", self.prefix()), value.expose().to_owned(), seconds)
    }

    /// Forgets the cookie of a flow.
    #[must_use]
    pub fn clear(self, flow: &FlowId) -> Cookie<'static> {
        self.build(format!("{}{flow}", self.prefix()), String::new(), 0)
    }

    /// Forgets the oldest, so that the header does not grow until the server refuses it.
    #[must_use]
    pub fn make_room(self, request: &HttpRequest) -> Vec<Cookie<'static>> {
        let all = pairs(request);
        let ours: Vec<_> = all.iter().filter(|(name, _)| name.starts_with(self.prefix())).collect();
        let surplus = (ours.len() + 1).saturating_sub(MOST);
        ours.iter().take(surplus).map(|(name, _)| self.build((*name).to_owned(), String::new(), 0)).collect()
    }

    fn build(self, name: String, value: String, seconds: i64) -> Cookie<'static> {
        Cookie::build(name, value)
            .path("/")
            .http_only(true)
            .secure(self.is_https)
            .same_site(SameSite::Lax)
            .max_age(Duration::seconds(seconds))
            .finish()
    }
}

/// The value of a cookie, if the browser sent exactly one of that name.
fn only(request: &HttpRequest, name: &str) -> Option<Secret> {
    let all = pairs(request);
    let mut values = all.iter().filter(|(key, _)| *key == name);
    match (values.next(), values.next()) {
        (Some((_, value)), None) => Some(Secret::new(*value)),
        _ => None,
    }
}

/// What the browser sent, as it stands: anything odd is simply no cookie of ours.
fn pairs(request: &HttpRequest) -> Vec<(&str, &str)> {
    let headers = request.headers().get_all(header::COOKIE).filter_map(|value| value.to_str().ok());
    headers.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('=')).collect()
}
