//! `server.oauth_server`: the authorization server in built-in mode.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::base::secret::Secret;
use crate::protocol::oauth::scope::ScopeSet;

/// `server.oauth_server`.
#[derive(Clone, Debug)]
pub struct OauthServer {
    /// `issuer`, without trailing slash, query or fragment; https unless its host is loopback. `None`: the public URL.
    pub issuer: Option<String>,
    /// `token_lifetime` of access tokens.
    pub token_lifetime: Duration,
    /// `refresh_token_lifetime`: how long an unused refresh token lives.
    pub refresh_token_lifetime: Duration,
    /// `refresh_token_max_lifetime`: how long a grant lives, however often it is refreshed.
    pub refresh_token_max_lifetime: Duration,
    /// `refresh_token_grace`: how long after its rotation a refresh token is answered with the same successor.
    pub refresh_token_grace: Duration,
    /// `auth_code_lifetime`.
    pub auth_code_lifetime: Duration,
    /// `signing`.
    pub signing: Signing,
    /// `builtin.users`.
    pub users: Vec<BuiltinUser>,
    /// `builtin.create_first_user`: without any user at start, one named `admin` is made, its random password printed once.
    pub create_first_user: bool,
    /// `builtin.branding`.
    pub branding: Branding,
    /// `builtin.lockout`.
    pub lockout: Lockout,
    /// `allowed_redirect_uris`: exact URIs, `http://localhost:*/cb` with `*` as the port only, presets such as `@claude`.
    pub allowed_redirect_uris: Vec<String>,
    /// `scopes_supported`, each with its words for the consent page when the configuration has any.
    pub scopes_supported: BTreeMap<String, Option<String>>,
    /// `default_scopes`: granted to a client that asks for none. `None`: what the user may have of `scopes_supported`.
    pub default_scopes: Option<ScopeSet>,
    /// `allow_dynamic_registration`.
    pub allow_dynamic_registration: bool,
    /// `registration`.
    pub registration: Registration,
    /// `consent.remember`: how long a consent answers for later requests. Zero: not at all.
    pub remember_consent: Duration,
}

/// `signing`.
#[derive(Clone, Debug)]
pub struct Signing {
    /// `algorithm`. `None`: that of the key file; ES256 when a key is generated.
    pub algorithm: Option<SigningAlgorithm>,
    /// `key_file`: a PEM private key (PKCS#1, PKCS#8 or SEC1), absolute here. `None`: one is generated into `key_dir`.
    pub key_file: Option<PathBuf>,
    /// `key_id`. `None`: the key's RFC 7638 thumbprint.
    pub key_id: Option<String>,
    /// `key_dir`, absolute here: where generated keys are kept, 0600.
    pub key_dir: PathBuf,
}

/// `signing.algorithm` (RFC 7518 §3.1, RFC 8037 §3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SigningAlgorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// Ed25519.
    EdDsa,
}

/// One of `builtin.users`.
#[derive(Clone, Debug)]
pub struct BuiltinUser {
    /// `username`, as written.
    pub username: String,
    /// `password_hash`, `password_env` or `password_file`, exactly one.
    pub password: PasswordSource,
    /// `scopes`.
    pub scopes: ScopeSet,
    /// `email`.
    pub email: Option<String>,
    /// `disabled`.
    pub disabled: bool,
}

/// Where a user's password comes from.
#[derive(Clone, Debug)]
pub enum PasswordSource {
    /// `password_hash`: a checked bcrypt hash.
    Hash(Secret),
    /// The value of `password_env` or the content of `password_file` (one trailing line end removed): hashed at start.
    Plain(Secret),
}

/// `builtin.branding`: the words and colours of the pages.
#[derive(Clone, Debug)]
pub struct Branding {
    /// `page_title`.
    pub page_title: String,
    /// `heading`.
    pub heading: String,
    /// `subtitle`.
    pub subtitle: Option<String>,
    /// `username_label`.
    pub username_label: String,
    /// `password_label`.
    pub password_label: String,
    /// `button_text` of the login form.
    pub button_text: String,
    /// `footer_text`.
    pub footer_text: Option<String>,
    /// `primary_color`: `#rgb` or `#rrggbb`.
    pub primary_color: Option<String>,
    /// `secondary_color`: `#rgb` or `#rrggbb`.
    pub secondary_color: Option<String>,
    /// `logo_url`: https, or a `data:image/` URL.
    pub logo_url: Option<String>,
}

/// `builtin.lockout`: how much guessing at one account is slowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lockout {
    /// `max_failures` for one account from one address within `window`.
    pub max_failures: u32,
    /// `window`.
    pub window: Duration,
}

/// `registration`: bounds of dynamic registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registration {
    /// `max_clients`; clients that were never used make room, clients with a grant never do.
    pub max_clients: u32,
    /// `unused_expiry`: how long a client that was never used is kept.
    pub unused_expiry: Duration,
}
