//! The enterprise grant (ID-JAG): an identity provider says that its person may use this client here. What is here: the
//! bridge that trusts one, and an assertion that is right.

mod clients;
mod issuers;
mod lies;
mod people;
mod scopes;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::federated::{config, with_users};
use crate::support::client::{Tokens, http};
use crate::support::provider::SUBJECT;
use crate::support::{App, Client, Provider};

const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const SECRET: &str = "a-secret-of-more-than-32-characters";
/// `typ` of an assertion.
const KIND: &str = "oauth-id-jag+jwt";

/// A bridge, and the issuer that it trusts.
struct Enterprise {
    provider: Provider,
    app: App,
}

impl Enterprise {
    fn start() -> Self {
        Self::with(|_| ())
    }

    /// With a change to `oauth_server`.
    fn with(change: impl FnOnce(&mut Value)) -> Self {
        Self::of(Provider::start(), change)
    }

    fn of(provider: Provider, change: impl FnOnce(&mut Value)) -> Self {
        let mut oauth_server = oauth_server(&provider);
        change(&mut oauth_server);
        let app = App::with_clock(&config(&oauth_server), provider.clock.clone());
        Self { provider, app }
    }

    fn now(&self) -> i64 {
        self.app.clock.now().unix()
    }

    /// What is right, with a `jti` of its own.
    fn claims(&self, jti: &str) -> Value {
        json!({
            "iss": self.provider.url, "sub": SUBJECT, "aud": self.app.url, "client_id": "agent", "jti": jti,
            "iat": self.now(), "exp": self.now() + 300, "resource": self.app.resource(), "scope": "mcp:read",
        })
    }

    /// The same with one claim changed; `null` takes it away.
    fn changed(&self, name: &str, value: &Value) -> Value {
        let mut claims = self.claims(&format!("{name} {value}"));
        match value {
            Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
            value => claims[name] = value.clone(),
        }
        claims
    }

    fn assertion(&self, claims: &Value) -> String {
        self.provider.signed(KIND, claims)
    }

    /// `agent` presents an assertion.
    async fn present(&self, assertion: &str) -> Tokens {
        self.present_as("agent", assertion, &[]).await
    }

    /// One of the clients presents an assertion, with further parameters.
    async fn present_as(&self, client: &str, assertion: &str, more: &[(&str, &str)]) -> Tokens {
        let form: Vec<_> = [("grant_type", GRANT), ("assertion", assertion)].into_iter().chain(more.to_vec()).collect();
        let basic = format!("Basic {}", STANDARD.encode(format!("{client}:{SECRET}")));
        self.send(&form, Some(basic)).await
    }

    async fn send(&self, form: &[(&str, &str)], authorization: Option<String>) -> Tokens {
        let mut request = http().post(format!("{}/oauth/token", self.app.url)).form(form);
        if let Some(value) = authorization {
            request = request.header("authorization", value);
        }
        Client::read(request).await
    }

    /// An assertion with these claims is not taken, and nobody is told why.
    async fn refuses(&self, claims: &Value) {
        let tokens = self.present(&self.assertion(claims)).await;
        refused(&tokens, &claims.to_string());
    }
}

/// Presents an assertion that is right and some that are not, and gives back all that was sent.
pub async fn presented() -> Vec<String> {
    let enterprise = Enterprise::start();
    let mut sent = vec![SECRET.to_owned()];
    for (name, value) in [("scope", json!("mcp:read")), ("client_id", json!("other")), ("exp", json!(0))] {
        let assertion = enterprise.assertion(&enterprise.changed(name, &value));
        enterprise.present(&assertion).await;
        enterprise.present(&assertion[1..]).await;
        sent.extend(assertion.split('.').skip(1).map(str::to_owned));
    }
    sent
}

/// The one answer to an assertion that does not work.
fn refused(tokens: &Tokens, what: &str) {
    let expected = json!({"error": "invalid_grant", "error_description": "the assertion is not accepted"});
    assert_eq!((tokens.status, &tokens.body), (400, &expected), "{what}");
}

/// `oauth_server`: `agent` and `other` may present assertions of this issuer, `web` may not.
fn oauth_server(provider: &Provider) -> Value {
    let client = |id: &str| json!({"client_id": id, "client_secret": SECRET, "grant_types": [GRANT]});
    let web = json!({"client_id": "web", "client_secret": SECRET, "redirect_uris": ["https://client.example/cb"]});
    let mut oauth_server = json!({
        "enabled": true,
        "builtin": {},
        "allow_dynamic_registration": true,
        "allowed_redirect_uris": ["@loopback", "https://client.example/cb"],
        "clients": [client("agent"), client("other"), web],
        "enterprise": {"issuers": [{"issuer": provider.url, "default_scopes": ["mcp:read", "mcp:write"]}]},
    });
    with_users(&mut oauth_server);
    oauth_server["mode"] = json!("builtin");
    oauth_server
}
