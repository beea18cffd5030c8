//! `server.oauth_server.clients`: clients that the operator knows. [RFC 7591 §2](https://www.rfc-editor.org/rfc/rfc7591#section-2) for the words.

use std::path::Path;

use serde_json::json;
use url::Url;

use crate::base::digest::Digest;
use crate::base::secret::Secret;
use crate::config::document::Node;
use crate::config::fault::Wrong;
use crate::config::reader::Reader;
use crate::config::reader::kind::{self, Kind};
use crate::config::value::redirect_uri::REDIRECT_URI;
use crate::config::value::scope::SCOPE;
use crate::protocol::oauth::client_keys::KeySource;
use crate::protocol::oauth::grant_type;
use crate::protocol::oauth::scope::ScopeSet;

/// One of `clients`.
#[derive(Clone, Debug)]
pub struct StaticClient {
    /// `client_id`, as the client sends it.
    pub client_id: String,
    /// `client_name`, shown to people.
    pub name: Option<String>,
    /// How it proves itself.
    pub authentication: StaticAuthentication,
    /// `redirect_uris`, complete; the port of one on loopback does not count.
    pub redirect_uris: Vec<String>,
    /// `scopes`: the most it may be granted. `None`: what the person may have is the only bound.
    pub scopes: Option<ScopeSet>,
    /// `authorization_code` is among its `grant_types`.
    pub asks_people: bool,
    /// `refresh_token` is among its `grant_types`.
    pub may_refresh: bool,
    /// `client_credentials` is among its `grant_types`.
    pub acts_alone: bool,
    /// The JWT bearer grant (RFC 7523 §2.1) is among its `grant_types`: it may present assertions of `enterprise.issuers`.
    pub has_assertions: bool,
    /// `skip_consent`: nobody is asked whether it may act.
    pub skip_consent: bool,
    /// `introspect_any`: it is a resource server, which may ask about every access token (RFC 7662 §2.1).
    pub introspect_any: bool,
}

/// How a static client proves itself at the token endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StaticAuthentication {
    /// Not at all: a public client, whose codes PKCE alone protects.
    None,
    /// By the secret of this digest.
    Secret(Digest),
    /// By one of these keys (`private_key_jwt`): those in `jwks_file`, or at `jwks_uri`.
    Keys(KeySource),
}

/// `grant_types`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Grant {
    AuthorizationCode,
    RefreshToken,
    ClientCredentials,
    JwtBearer,
}

const GRANTS: [(&str, Grant); 4] = [
    ("authorization_code", Grant::AuthorizationCode),
    ("refresh_token", Grant::RefreshToken),
    ("client_credentials", Grant::ClientCredentials),
    (grant_type::JWT_BEARER, Grant::JwtBearer),
];
const SECRETS: [&str; 4] = ["client_secret", "client_secret_env", "client_secret_file", "client_secret_hash"];
const PROOFS: [&str; 6] =
    ["client_secret", "client_secret_env", "client_secret_file", "client_secret_hash", "jwks_file", "jwks_uri"];

/// A shorter secret can be found by trying: it is checked with one SHA-256, since it is sent with every request.
const SHORTEST_SECRET: usize = 32;

/// The characters that form-encoding leaves as they are, so that `client_secret_basic` has one way of writing it (RFC 6749
/// §2.3.1). None is an address, which is the identifier of a metadata document.
const CLIENT_ID: Kind<String> = Kind {
    schema: || json!({"type": "string", "pattern": "^[A-Za-z0-9._~-]{1,200}$"}),
    parse: |node| {
        let text = kind::text(node)?;
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._~-".contains(&byte);
        if text.is_empty() || text.len() > 200 || !text.bytes().all(is_plain) {
            let problem = "is not 1 to 200 letters, digits, `.`, `_`, `~` and `-`";
            return Err(Wrong::new(problem, "write a plain name, such as reports"));
        }
        Ok(text.into_owned())
    },
    print: |id| Node::String(id.clone()),
};

/// One of `grant_types`.
const GRANT: Kind<Grant> = Kind {
    schema: || json!({"enum": GRANTS.map(|(word, _)| word)}),
    parse: |node| {
        let text = kind::text(node)?;
        let found = GRANTS.iter().find(|(word, _)| *word == text);
        let words = GRANTS.map(|(word, _)| word).join(", ");
        found
            .map(|(_, grant)| *grant)
            .ok_or_else(|| Wrong::new("is no grant type of static clients", format!("write one of {words}")))
    },
    print: |grant| {
        let word = GRANTS.iter().find(|(_, known)| known == grant).map_or("", |(word, _)| word);
        Node::from(word)
    },
};

/// `sha256:` and the digest in hexadecimal.
pub(super) const SECRET_HASH: Kind<Digest> = Kind {
    schema: || json!({"type": "string", "pattern": "^sha256:[0-9a-f]{64}$"}),
    parse: |node| {
        let fix = "make one with `printf %s SECRET | sha256sum` and write it as sha256:…";
        let wrong = || Wrong::new("is no digest of a secret", fix);
        let text = kind::text(node).map_err(|_| wrong())?;
        text.strip_prefix("sha256:").and_then(hexadecimal).map(Digest::from_bytes).ok_or_else(wrong)
    },
    print: |_| Node::from("<redacted>"),
};

/// Where keys are. Http is let through for addresses that are named for development; the fetcher says which.
const KEYS_ADDRESS: Kind<Url> = Kind {
    schema: || json!({"type": "string", "format": "uri"}),
    parse: |node| {
        let url = Url::parse(&kind::text(node)?).ok();
        url.filter(|url| matches!(url.scheme(), "https" | "http") && url.has_host())
            .ok_or_else(|| kind::expected(node, "an https URL", "write one such as https://client.example/jwks.json"))
    },
    print: |url| Node::String(url.to_string()),
};

impl StaticClient {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let doc = "What the client calls itself in requests.";
        let client_id = reader.required("client_id", &CLIENT_ID, "reports", doc).unwrap_or_default();
        if !client_id.is_empty() {
            reader.speak_of(format!("client `{}`", kind::shortened(&client_id)));
        }
        let name = reader.optional_text("client_name", "What people are shown.");
        let authentication = read_authentication(reader);
        let doc = "Where people are sent back to, each complete; on localhost any port will do.";
        let redirect_uris = reader.list("redirect_uris", &REDIRECT_URI, &[], doc);
        let doc = "The most it may be granted. Without it, what the person may have.";
        let scopes = reader.optional_list("scopes", &SCOPE, doc).map(|scopes| scopes.into_iter().collect());
        let doc = "authorization_code, refresh_token, client_credentials, urn:ietf:params:oauth:grant-type:jwt-bearer.";
        let grants = reader.list("grant_types", &GRANT, &["authorization_code", "refresh_token"], doc);
        let doc = "Nobody is asked whether this client may act: you answer for it.";
        let skip_consent = reader.boolean("skip_consent", false, doc);
        let doc = "A resource server: it may ask about every access token. It needs no grant_types of its own.";
        let introspect_any = reader.boolean("introspect_any", false, doc);
        let client = Self {
            client_id,
            name,
            authentication,
            redirect_uris,
            scopes,
            asks_people: grants.contains(&Grant::AuthorizationCode),
            may_refresh: grants.contains(&Grant::RefreshToken),
            acts_alone: grants.contains(&Grant::ClientCredentials),
            has_assertions: grants.contains(&Grant::JwtBearer),
            skip_consent,
            introspect_any,
        };
        client.check(reader);
        client
    }

    fn check(&self, reader: &Reader<'_>) {
        if self.asks_people && (!reader.is_set("redirect_uris") || reader.is_empty("redirect_uris")) {
            let fix = "write them, or grant_types without authorization_code";
            reader.fault("redirect_uris", Wrong::new("is missing: nobody could be sent back to the client", fix));
        }
        if !self.asks_people && !self.acts_alone && !self.has_assertions && !self.introspect_any {
            let fix = "write authorization_code, client_credentials, or jwt-bearer with its whole name";
            reader.fault("grant_types", Wrong::new("leaves no way to get a token", fix));
        }
        // RFC 6749 §4.4: the client credentials grant type MUST only be used by confidential clients.
        // Whoever finds an assertion must not be able to use it: EMA §7.7 wants client authentication, too.
        let for_proven = [(self.acts_alone, "client_credentials"), (self.has_assertions, "jwt-bearer")];
        let first = for_proven.iter().find(|(is_there, _)| *is_there);
        if let Some((_, grant)) = first.filter(|_| !PROOFS.iter().any(|key| reader.is_set(key))) {
            let problem = format!("has {grant}, but the client has nothing to prove itself with");
            let fix = format!("write client_secret_env, jwks_file or jwks_uri, or take {grant} out");
            reader.fault("grant_types", Wrong::new(problem, fix));
        }
        // RFC 7662 §2.1: the endpoint MUST require authorization.
        if self.introspect_any && !PROOFS.iter().any(|key| reader.is_set(key)) {
            let problem = "lets anybody ask about every token: the client has nothing to prove itself with";
            reader.fault("introspect_any", Wrong::new(problem, "write client_secret_env or jwks_file"));
        }
        if self.acts_alone && self.scopes.is_none() {
            let problem = "is missing, so that the client would act with every scope there is";
            reader.fault("scopes", Wrong::new(problem, "write what it needs, such as [mcp:read]"));
        }
    }
}

fn read_authentication(reader: &mut Reader<'_>) -> StaticAuthentication {
    let secret = reader.optional_secret("client_secret", "Its secret; better not in this file.");
    let variable = reader.secret_from_environment("client_secret_env", "A variable with the secret.");
    let file = reader.secret_from_file("client_secret_file", "A file with the secret.");
    let hash =
        reader.optional("client_secret_hash", &SECRET_HASH, "sha256: and the hexadecimal SHA-256 of the secret.");
    let keys = reader.optional_path("jwks_file", "A file with its public keys (JWK set), for private_key_jwt.");
    let doc = "The https address of its public keys (JWK set), for private_key_jwt.";
    let address = reader.optional("jwks_uri", &KEYS_ADDRESS, doc);
    reader.at_most_one(&PROOFS);
    let secret = secret.or(variable).or(file);
    check_length(reader, &SECRETS, secret.as_ref());
    let keys = keys.and_then(|path| match read_keys(reader, &path) {
        Ok(keys) => Some(keys),
        Err(problem) => {
            reader.fault("jwks_file", Wrong::new(problem, "write a JSON file with {\"keys\": [public keys]}"));
            None
        }
    });
    let keys = keys.map(KeySource::Inline).or(address.map(KeySource::Url));
    match (secret.as_ref().map(Digest::of).or(hash), keys) {
        (Some(digest), _) => StaticAuthentication::Secret(digest),
        (None, Some(keys)) => StaticAuthentication::Keys(keys),
        (None, None) => StaticAuthentication::None,
    }
}

/// A secret that is too short is a fault of whichever of `keys` has it.
pub(super) fn check_length(reader: &Reader<'_>, keys: &[&'static str], secret: Option<&Secret>) {
    if let Some(written) = keys.iter().find(|key| reader.is_set(key))
        && secret.is_some_and(|secret| secret.expose().len() < SHORTEST_SECRET)
    {
        let problem = format!("gives a secret of less than {SHORTEST_SECRET} characters");
        reader.fault(written, Wrong::new(problem, "make one with `openssl rand -base64 32`"));
    }
}

/// A JWK set without private keys, as JSON.
fn read_keys(reader: &Reader<'_>, path: &Path) -> Result<String, String> {
    let text = reader.read_text(path).map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
    let set: serde_json::Value =
        serde_json::from_str(&text).map_err(|error| format!("{} is no JSON: {error}", path.display()))?;
    let keys = set.get("keys").and_then(serde_json::Value::as_array).filter(|keys| !keys.is_empty());
    let keys = keys.ok_or_else(|| format!("{} has no `keys`", path.display()))?;
    match keys.iter().any(|key| key.get("d").is_some() || key.get("k").is_some()) {
        true => Err(format!("{} holds a private key, which is the client's alone", path.display())),
        false => Ok(text),
    }
}

fn hexadecimal(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 2 * bytes.len() || !text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * index..2 * index + 2)?, 16).ok()?;
    }
    Some(bytes)
}
