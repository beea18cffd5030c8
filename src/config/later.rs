//! Keys and words that the format has but this version does not understand yet: not typos, and said so.

use crate::config::fault::Wrong;

/// Canonical paths, `*` for the names and numbers of elements. What lies below a path is later too.
const KEYS: &[&str] = &[
    "audit.compress_rotated",
    "audit.webhook",
    "client",
    "downstream_cache",
    "endpoints",
    "groups",
    "health",
    "metrics",
    "policy",
    "storage.max_connections",
    "storage.url",
    "upstream_cache",
    "server.cors",
    "server.tls",
    "server.rate_limit.global",
    "server.rate_limit.per_ip",
    "server.rate_limit.per_user",
    "server.session.cleanup_interval",
    "server.session.enabled",
    "server.auth.any",
    "server.auth.api_key",
    "server.auth.bearer",
    "server.auth.enabled",
    "server.auth.keys",
    "server.auth.oauth",
    "server.auth.proxy_header",
    "server.auth.realm",
    "server.auth.script",
    "server.auth.show_error_details",
    "server.oauth_server.builtin.login_template",
    "server.oauth_server.builtin.users.*.groups",
];

/// The same for every upstream, below `upstreams.*` and `server.mcp_server`.
const UPSTREAM_KEYS: &[&str] = &[
    "allow",
    "base_url",
    "deny",
    "forward_headers",
    "openapi",
    "rate_limit",
    "auth.api_key",
    "auth.basic",
    "auth.identity_header",
    "auth.oauth",
    "auth.token_exchange",
    "tools.*.allow",
    "tools.*.deny",
    "tools.*.rate_limit",
];

/// Words of keys that take one of a few.
const WORDS: &[(&str, &[&str])] = &[
    ("mode", &["client"]),
    ("server.auth.type", &["bearer", "oauth", "api_key", "mtls", "proxy_header", "any", "script"]),
    ("storage.type", &["postgres"]),
];

/// The same for every upstream.
const UPSTREAM_WORDS: &[(&str, &[&str])] = &[(
    "auth.type",
    &[
        "api_key",
        "basic",
        "oauth",
        "oauth_user",
        "forward",
        "token_exchange",
        "identity_header",
        "oauth2_client_credentials",
    ],
)];

/// Whether a later version will have the key at this canonical path.
pub fn has_key(place: &str) -> bool {
    KEYS.contains(&place) || below_upstream(place).is_some_and(|key| UPSTREAM_KEYS.contains(&key))
}

/// Whether a later version will take `word` for the key at this canonical path.
pub fn has_word(place: &str, word: &str) -> bool {
    let (place, table) = below_upstream(place).map_or((place, WORDS), |key| (key, UPSTREAM_WORDS));
    table.iter().any(|(key, words)| *key == place && words.contains(&word))
}

/// What is said of a key.
pub fn key_fault() -> Wrong {
    Wrong::new("is not in this version yet", "remove it until it is")
}

/// What is said of a word.
pub fn word_fault(word: &str) -> Wrong {
    Wrong::new(format!("`{word}` is not in this version yet"), "choose another until it is")
}

fn below_upstream(place: &str) -> Option<&str> {
    place.strip_prefix("upstreams.*.").or_else(|| place.strip_prefix("server.mcp_server."))
}
