//! `server.oauth_server.registration`: bounds of dynamic registration. [RFC 7591 §3](https://www.rfc-editor.org/rfc/rfc7591#section-3)

use std::time::Duration;

use serde_json::json;

use crate::base::digest::Digest;
use crate::config::document::Node;
use crate::config::quantity::{parse_duration, print_duration};
use crate::config::reader::Reader;
use crate::config::reader::kind::{self, Kind};
use crate::config::section::rate_limit::RateLimit;
use crate::config::section::static_client::{SECRET_HASH, check_length};

/// `registration`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registration {
    /// `max_clients`; clients that were never used make room, clients with a grant never do.
    pub max_clients: u32,
    /// `unused_expiry`: how long a client that was never used is kept.
    pub unused_expiry: Duration,
    /// `expiry`: how long one is kept that was last granted something then, and has no grant left. `None`: until its place is
    /// needed.
    pub expiry: Option<Duration>,
    /// Digest of `initial_access_token`; `None`: everybody may register.
    pub initial_access_token: Option<Digest>,
    /// `rate`: registrations of one address. `None`: as for logins, `server.rate_limit.login`.
    pub rate: Option<RateLimit>,
}

const TOKENS: [&str; 4] =
    ["initial_access_token", "initial_access_token_env", "initial_access_token_file", "initial_access_token_hash"];

/// So many in an interval, such as `20/1m`; `0` is no bound.
const RATE: Kind<RateLimit> = Kind {
    schema: || json!({"anyOf": [{"type": "integer", "const": 0}, kind::pattern(r"^0$|^\d+/[0-9.a-zµμ]+$")]}),
    parse: |node| {
        let text = kind::text(node)?;
        let rate = match text.split_once('/') {
            Some((limit, interval)) => limit.trim().parse().ok().zip(parse_duration(interval.trim())),
            None if text == "0" => Some((0, Duration::from_secs(60))),
            None => None,
        };
        let rate = rate.filter(|(_, interval)| !interval.is_zero());
        rate.map(|(limit, interval)| RateLimit { limit, interval })
            .ok_or_else(|| kind::expected(node, "a rate", "write one such as 20/1m, or 0 for no bound"))
    },
    print: |rate| match rate.limit {
        0 => Node::Integer(0),
        limit => Node::String(format!("{limit}/{}", print_duration(rate.interval))),
    },
};

impl Registration {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            max_clients: reader.value(
                "max_clients",
                &kind::POSITIVE_COUNT,
                1000,
                "How many registered clients are kept; those never used make room.",
            ),
            unused_expiry: reader.duration("unused_expiry", "24h", "How long a client that was never used is kept."),
            expiry: reader.optional(
                "expiry",
                &kind::POSITIVE_DURATION,
                "How long one is kept after its last login that has no login left. Without it, until its place is needed.",
            ),
            rate: reader.optional(
                "rate",
                &RATE,
                "How often one address may register, such as 20/1m; 0: no bound. Without it, as server.rate_limit.login.",
            ),
            initial_access_token: read_token(reader),
        }
    }
}

fn read_token(reader: &mut Reader<'_>) -> Option<Digest> {
    let doc = "Who has no such token cannot register. Better not in this file.";
    let token = reader.optional_secret("initial_access_token", doc);
    let variable = reader.secret_from_environment("initial_access_token_env", "A variable with the token.");
    let file = reader.secret_from_file("initial_access_token_file", "A file with the token.");
    let doc = "sha256: and the hexadecimal SHA-256 of the token.";
    let hash = reader.optional("initial_access_token_hash", &SECRET_HASH, doc);
    reader.at_most_one(&TOKENS);
    let token = token.or(variable).or(file);
    check_length(reader, &TOKENS, token.as_ref());
    token.as_ref().map(Digest::of).or(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_so_many_in_an_interval() {
        let parse =
            |text: &str| (RATE.parse)(&Node::String(text.to_owned())).ok().map(|rate| (rate.limit, rate.interval));
        assert_eq!(parse("20/1m"), Some((20, Duration::from_secs(60))));
        assert_eq!(parse("5/1h30m"), Some((5, Duration::from_secs(5400))));
        assert_eq!(parse("0").map(|(limit, _)| limit), Some(0));
        for text in ["", "20", "20/", "/1m", "20/0s", "-1/1m", "20 per minute"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
