//! How the bridge shows a provider that it is the client.

use std::path::PathBuf;

use crate::base::secret::Secret;
use crate::config::fault::Wrong;
use crate::config::reader::Reader;
use crate::config::value::key_file;

/// How the bridge shows the provider that it is the client (OpenID Connect Core §9).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientAuthentication {
    /// `auto`: basic, unless the provider's metadata lists post and not basic.
    Secret(Secret),
    /// `basic`: `client_secret_basic`.
    Basic(Secret),
    /// `post`: `client_secret_post`.
    Post(Secret),
    /// `private_key_jwt` (RFC 7523 §2.2).
    PrivateKeyJwt {
        /// `client_key_file`: PEM. `None`: the key that signs our access tokens, whose public half is at `/oauth/jwks`.
        key_file: Option<PathBuf>,
        /// `client_key_id`. `None`: the key's RFC 7638 thumbprint.
        key_id: Option<String>,
    },
    /// `none`: a public client; PKCE alone protects the code.
    None,
}

/// `auth_method`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Method {
    Auto,
    Basic,
    Post,
    PrivateKeyJwt,
    None,
}

const METHODS: [(&str, Method); 5] = [
    ("auto", Method::Auto),
    ("basic", Method::Basic),
    ("post", Method::Post),
    ("private_key_jwt", Method::PrivateKeyJwt),
    ("none", Method::None),
];
const SECRETS: [&str; 3] = ["client_secret", "client_secret_env", "client_secret_file"];
const KEYS: [&str; 2] = ["client_key_file", "client_key_id"];

impl ClientAuthentication {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let secret = reader.optional_secret("client_secret", "The secret that belongs to client_id.");
        let variable = reader.secret_from_environment("client_secret_env", "A variable with the secret.");
        let file = reader.secret_from_file("client_secret_file", "A file with the secret.");
        reader.at_most_one(&SECRETS);
        let doc = "auto: basic or post, as the provider takes it; none without a secret. Or basic, post, private_key_jwt, none.";
        let method = reader.choice("auth_method", &METHODS, Method::Auto, doc);
        let doc = "For private_key_jwt: a PEM private key. Without it, the key that signs access tokens.";
        let key_file = reader.optional_path("client_key_file", doc);
        let doc = "For private_key_jwt: the key's `kid`. Without it, its RFC 7638 thumbprint.";
        let key_id = reader.optional_text("client_key_id", doc);
        if let Some(Err(wrong)) = key_file.as_deref().map(|path| key_file::check(path, OTHERWISE)) {
            reader.fault("client_key_file", wrong);
        }
        check(method, reader);
        let secret = secret.or(variable).or(file);
        // Without a secret where one belongs there was a fault already.
        let present = |secret: Option<Secret>| secret.unwrap_or_else(|| Secret::new(""));
        match method {
            Method::Auto => secret.map_or(Self::None, Self::Secret),
            Method::Basic => Self::Basic(present(secret)),
            Method::Post => Self::Post(present(secret)),
            Method::PrivateKeyJwt => Self::PrivateKeyJwt { key_file, key_id },
            Method::None => Self::None,
        }
    }
}

/// What happens without `client_key_file`.
const OTHERWISE: &str = "leave client_key_file out: the key that signs access tokens is used then";

/// What the method needs is there, and nothing of another one.
fn check(method: Method, reader: &Reader<'_>) {
    let word = METHODS.iter().find(|(_, known)| *known == method).map_or("auto", |(word, _)| *word);
    let written = SECRETS.iter().find(|key| reader.is_set(key));
    match (method, written) {
        (Method::Basic | Method::Post, None) => {
            let fix = "write client_secret_env with the name of a variable, client_secret_file or client_secret";
            reader.fault("auth_method", Wrong::new(format!("is {word}, but no secret is written"), fix));
        }
        (Method::PrivateKeyJwt | Method::None, Some(key)) => {
            let problem = format!("means nothing to auth_method {word}");
            reader.fault(key, Wrong::new(problem, "remove it, or write auth_method: auto"));
        }
        _ => {}
    }
    for key in KEYS.iter().filter(|key| method != Method::PrivateKeyJwt && reader.is_set(key)) {
        let problem = format!("means nothing to auth_method {word}");
        reader.fault(key, Wrong::new(problem, "remove it, or write auth_method: private_key_jwt"));
    }
}
