//! What a provider does, and does wrong.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{CLIENT_ID, CLIENT_SECRET, SUBJECT};

/// What the provider does. Members that are [`Value`]s are laid over what it would say; `null` takes a member away.
pub struct Script {
    /// `iss` everywhere, and the `issuer` of the metadata.
    pub issuer: String,
    /// Laid over the metadata.
    pub metadata: Value,
    /// The client that it knows.
    pub client_id: String,
    /// The client's secret. `None`: a client that shows itself otherwise, or not at all.
    pub client_secret: Option<String>,
    /// Laid over the parameters with which it sends the browser back.
    pub callback: Value,
    /// Who logs in: claims of ID token and userinfo both.
    pub person: Value,
    /// Laid over the claims of the ID token.
    pub id_token: Value,
    /// Laid over what userinfo says.
    pub userinfo: Value,
    /// Laid over the header of the ID token.
    pub header: Value,
    /// Laid over the answer of the token endpoint.
    pub tokens: Value,
    /// With what the ID token is signed, whatever its header says.
    pub signer: Signer,
    /// Which of its RSA keys stands in the JWK set, and signs.
    pub rotation: usize,
    /// Whether it gives refresh tokens.
    pub refreshes: bool,
    /// Whether it stands by people no more when asked with a refresh token.
    pub revoked: bool,
    /// `GET /user/emails` of the GitHub dialect.
    pub github_emails: Value,
    /// `GET /user/orgs` of the GitHub dialect.
    pub github_orgs: Value,
    /// What goes wrong, by path.
    pub faults: BTreeMap<&'static str, Fault>,
    /// Closes every connection that comes.
    pub down: bool,
}

/// With what an ID token is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signer {
    /// The RSA key of the JWK set.
    Rsa,
    /// The P-256 key of the JWK set.
    P256,
    /// An RSA key that stands nowhere.
    Stranger,
    /// HMAC with SHA-256, the secret being the public RSA key in PEM.
    PublicKeyAsSecret,
    /// HMAC with SHA-256, the secret being the client's.
    ClientSecret,
    /// Nothing: the third part is empty.
    Nobody,
    /// The RSA key, over other bytes.
    Wrong,
}

/// What an endpoint does in place of its work.
#[derive(Clone, Debug)]
pub enum Fault {
    /// It never answers.
    Hang,
    /// It has been asked too often, as GitHub says it.
    Limited,
    /// It answers with a status and a JSON body.
    Json(u16, Value),
    /// It answers with a status and a page.
    Html(u16),
    /// It sends the client elsewhere.
    Redirect(String),
    /// It answers with a body of 50 MB, as JSON that goes on.
    Huge,
}

impl Script {
    /// An honest provider at this address.
    pub fn new(url: &str) -> Self {
        Self {
            issuer: url.to_owned(),
            metadata: json!({}),
            client_id: CLIENT_ID.to_owned(),
            client_secret: Some(CLIENT_SECRET.to_owned()),
            callback: json!({}),
            person: json!({
                "sub": SUBJECT,
                "name": "Ada Lovelace",
                "email": "ada@example.com",
                "email_verified": true,
                "preferred_username": "ada",
            }),
            id_token: json!({}),
            userinfo: json!({}),
            header: json!({}),
            tokens: json!({}),
            signer: Signer::Rsa,
            rotation: 0,
            refreshes: false,
            revoked: false,
            github_emails: json!([]),
            github_orgs: json!([]),
            faults: BTreeMap::new(),
            down: false,
        }
    }
}

/// Lays `over` on an object: `null` takes a member away, anything else takes its place.
pub fn lay(over: &Value, object: &mut Value) {
    for (name, value) in over.as_object().expect("laid over an object") {
        let object = object.as_object_mut().expect("an object");
        if value.is_null() {
            object.remove(name);
        } else {
            object.insert(name.clone(), value.clone());
        }
    }
}
