//! The provider's endpoints. It checks what a strict provider checks, so that a bridge that forgets something is refused.

use std::collections::HashMap;

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use mcp_bridge::base::digest::Digest;
use serde_json::{Value, json};

use super::script::{Script, lay};
use super::server::{Got, Reply};
use super::{AUTHORIZE, CANARY, DISCOVERY, JWKS, Shared, TOKEN, USERINFO, tokens};

/// What it gave away and still takes.
#[derive(Default)]
pub struct Issued {
    /// What was asked for by code.
    codes: HashMap<String, Got>,
    /// Access tokens that userinfo takes.
    access: Vec<String>,
    /// The refresh tokens that are still good.
    refresh: Vec<String>,
    /// Everything, with what it is.
    pub secrets: Vec<(&'static str, String)>,
}

impl Issued {
    fn make(&mut self, what: &'static str) -> String {
        let token = format!("idp-{}-{:04}-{}", what.replace(' ', "-"), self.secrets.len(), "Zk3v9Qw7Lr2T".repeat(2));
        self.secrets.push((what, token.clone()));
        token
    }
}

/// Answers a request.
pub fn answer(got: &Got, shared: &Shared) -> Reply {
    let script = shared.script();
    match (got.method.as_str(), got.path.as_str()) {
        ("GET", path) if path.ends_with(DISCOVERY) || path.ends_with("/openid-configuration") => {
            Reply::json(200, &metadata(&script, &shared.url))
        }
        ("GET", AUTHORIZE) => authorize(got, shared, &script),
        ("POST", TOKEN) => token(got, shared, &script),
        ("GET", JWKS) => Reply::json(200, &tokens::key_set(&script)),
        ("GET", CANARY) => Reply::json(200, &json!({"keys": [tokens::strangers_key()]})),
        ("GET", USERINFO) => guarded(got, shared, || {
            let mut said = script.person.clone();
            lay(&script.userinfo, &mut said);
            said
        }),
        ("GET", "/user") => guarded(got, shared, || {
            let mut said = json!({"login": "ada", "id": 1_815, "name": "Ada Lovelace", "email": null});
            lay(&script.userinfo, &mut said);
            said
        }),
        ("GET", "/user/emails") => guarded(got, shared, || script.github_emails.clone()),
        ("GET", "/user/orgs") => guarded(got, shared, || script.github_orgs.clone()),
        _ => Reply::json(404, &json!({"error": "not_found"})),
    }
}

fn metadata(script: &Script, url: &str) -> Value {
    let mut metadata = json!({
        "issuer": script.issuer,
        "authorization_endpoint": format!("{url}{AUTHORIZE}"),
        "token_endpoint": format!("{url}{TOKEN}"),
        "jwks_uri": format!("{url}{JWKS}"),
        "userinfo_endpoint": format!("{url}{USERINFO}"),
        "end_session_endpoint": format!("{url}/logout"),
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256", "ES256"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "private_key_jwt"],
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": true,
    });
    lay(&script.metadata, &mut metadata);
    metadata
}

/// Nobody is asked: whoever comes is logged in and sent back with a code.
fn authorize(got: &Got, shared: &Shared, script: &Script) -> Reply {
    let complete = got.parameter("response_type") == "code"
        && got.parameter("client_id") == script.client_id
        && !got.parameter("state").is_empty();
    let Ok(mut target) = url::Url::parse(got.parameter("redirect_uri")) else {
        return Reply::page(400, "redirect_uri?");
    };
    if !complete {
        return Reply::page(400, "what do you want?");
    }
    let code = {
        let mut issued = shared.issued();
        let code = issued.make("code");
        issued.codes.insert(code.clone(), got.clone());
        code
    };
    let mut parameters = json!({"code": code, "state": got.parameter("state"), "iss": script.issuer});
    lay(&script.callback, &mut parameters);
    for (name, value) in parameters.as_object().unwrap() {
        target.query_pairs_mut().append_pair(name, value.as_str().unwrap());
    }
    Reply::redirect(target.to_string())
}

fn token(got: &Got, shared: &Shared, script: &Script) -> Reply {
    if let Err(why) = authenticated(got, script, &shared.url) {
        return refused(401, "invalid_client", why);
    }
    match got.parameter("grant_type") {
        "authorization_code" => redeem(got, shared, script),
        "refresh_token" => refresh(got, shared, script),
        _ => refused(400, "unsupported_grant_type", "what?"),
    }
}

fn refused(status: u16, error: &str, why: &str) -> Reply {
    let text = format!("<script>alert('provider-text')</script> {why}");
    Reply::json(status, &json!({"error": error, "error_description": text}))
}

/// The client shows itself in exactly one way (RFC 6749 §2.3). Assertions are looked at, but their signature is the test's to check.
fn authenticated(got: &Got, script: &Script, url: &str) -> Result<(), &'static str> {
    let basic = got.header("authorization").strip_prefix("Basic ").map(|text| {
        let text = BASE64_STANDARD.decode(text).unwrap_or_default();
        let text = String::from_utf8(text).unwrap_or_default();
        let (id, secret) = text.split_once(':').unwrap_or_default();
        (decoded(id), decoded(secret))
    });
    let post = (!got.parameter("client_secret").is_empty())
        .then(|| (got.parameter("client_id").to_owned(), got.parameter("client_secret").to_owned()));
    let assertion = got.parameter("client_assertion");
    if usize::from(basic.is_some()) + usize::from(post.is_some()) + usize::from(!assertion.is_empty()) > 1 {
        return Err("more than one way");
    }
    match (basic.or(post), &script.client_secret) {
        (Some((id, secret)), Some(right)) if id == script.client_id && secret == *right => Ok(()),
        (None, None) if !assertion.is_empty() => asserted(got, script, url),
        (None, None) if got.parameter("client_id") == script.client_id => Ok(()),
        _ => Err("a wrong secret, or none"),
    }
}

fn asserted(got: &Got, script: &Script, url: &str) -> Result<(), &'static str> {
    let claims = payload(got.parameter("client_assertion"));
    let audience = [json!(format!("{url}{TOKEN}")), json!(script.issuer)];
    let meant = audience.contains(&claims["aud"]) || audience.iter().any(|one| claims["aud"] == json!([one]));
    let right = got.parameter("client_assertion_type") == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
        && claims["iss"] == script.client_id
        && claims["sub"] == script.client_id
        && claims["jti"].is_string()
        && meant;
    if right { Ok(()) } else { Err("not an assertion for us") }
}

fn redeem(got: &Got, shared: &Shared, script: &Script) -> Reply {
    let Some(asked) = shared.issued().codes.remove(got.parameter("code")) else {
        return refused(400, "invalid_grant", "no such code");
    };
    let challenge = Digest::of_bytes(got.parameter("code_verifier").as_bytes()).base64url();
    if asked.parameter("code_challenge") != challenge || asked.parameter("code_challenge_method") != "S256" {
        return refused(400, "invalid_grant", "not the verifier");
    }
    if asked.parameter("redirect_uri") != got.parameter("redirect_uri") {
        return refused(400, "invalid_grant", "another redirect_uri");
    }
    grant(shared, script, Some(&asked))
}

/// Refresh tokens are rotated: the old one is good no more.
fn refresh(got: &Got, shared: &Shared, script: &Script) -> Reply {
    let good = {
        let mut issued = shared.issued();
        let before = issued.refresh.len();
        issued.refresh.retain(|token| token != got.parameter("refresh_token"));
        issued.refresh.len() < before
    };
    if !good || script.revoked {
        return refused(400, "invalid_grant", "revoked");
    }
    grant(shared, script, None)
}

fn grant(shared: &Shared, script: &Script, asked: Option<&Got>) -> Reply {
    let mut issued = shared.issued();
    let access = issued.make("access token");
    issued.access.push(access.clone());
    let mut answer = json!({"access_token": access, "token_type": "Bearer", "expires_in": 3600});
    if script.refreshes {
        let refresh = issued.make("refresh token");
        issued.refresh.push(refresh.clone());
        answer["refresh_token"] = json!(refresh);
    }
    if asked.is_none_or(|asked| asked.parameter("scope").split(' ').any(|scope| scope == "openid")) {
        let token = tokens::id_token(script, claims(shared, script, asked, &access));
        issued.secrets.push(("ID token", token.clone()));
        answer["id_token"] = json!(token);
    }
    lay(&script.tokens, &mut answer);
    Reply::json(200, &answer)
}

/// OpenID Connect Core §2. An ID token of a refresh has no `nonce` (§12.2).
fn claims(shared: &Shared, script: &Script, asked: Option<&Got>, access: &str) -> Value {
    let now = shared.clock.now().unix();
    let mut claims = script.person.clone();
    let standard = json!({"iss": script.issuer, "aud": script.client_id, "iat": now, "exp": now + 600,
        "at_hash": tokens::half_hash(access)});
    lay(&standard, &mut claims);
    if let Some(nonce) = asked.map(|asked| asked.parameter("nonce")).filter(|nonce| !nonce.is_empty()) {
        claims["nonce"] = json!(nonce);
    }
    claims
}

fn guarded(got: &Got, shared: &Shared, said: impl FnOnce() -> Value) -> Reply {
    let token = got.header("authorization").split_once(' ').map_or("", |(_, token)| token);
    if shared.issued().access.iter().any(|known| known == token) {
        Reply::json(200, &said())
    } else {
        refused(401, "invalid_token", "not a token of ours")
    }
}

/// The claims of a JWT, whoever signed it.
pub fn payload(token: &str) -> Value {
    let middle = token.split('.').nth(1).unwrap_or_default();
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(middle).unwrap_or_default()).unwrap_or_default()
}

/// RFC 6749 §2.3.1: identifier and secret are form-encoded before they are joined.
fn decoded(text: &str) -> String {
    let pair = format!("={text}");
    url::form_urlencoded::parse(pair.as_bytes()).next().map(|(_, value)| value.into_owned()).unwrap_or_default()
}
