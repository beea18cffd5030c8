//! A provider of OpenID Connect, from the code to the person, and later again.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, json};

use super::*;

/// A provider that signs with a key of ours, and its person.
struct World {
    script: Script,
    address: String,
    keys: Arc<Keys>,
    provider: Provider,
}

impl World {
    async fn new(change: impl FnOnce(&mut section::Provider)) -> Self {
        let (script, address) = Script::start().await;
        let mut document = metadata(&address);
        document["userinfo_endpoint"] = json!(format!("{address}/userinfo"));
        document["end_session_endpoint"] = json!(format!("{address}/bye?x=1"));
        script.answer("/.well-known/openid-configuration", 200, document);
        let mut settings = connect(&address);
        change(&mut settings);
        let world = Self { script, address, keys: keys(), provider: provider(settings) };
        world.publishes(&world.keys);
        world
    }

    fn publishes(&self, keys: &Keys) {
        self.script.answer("/jwks", 200, String::from_utf8(keys.jwks().to_vec()).unwrap());
    }

    /// From now on, the token endpoint gives an ID token with these claims laid over the usual.
    fn says(&self, keys: &Arc<Keys>, claims: Value) {
        let now = NOW.unix();
        let usual = json!({"iss": self.address, "sub": "s-1", "aud": "bridge", "exp": now + 300, "iat": now,
            "nonce": "the nonce"});
        let all: Map<String, Value> =
            usual.as_object().unwrap().clone().into_iter().chain(claims.as_object().unwrap().clone()).collect();
        let id_token = ClientKey::open(keys, None, None).unwrap().sign(&all, NOW).unwrap();
        self.gives(json!({"id_token": id_token.expose()}));
    }

    fn gives(&self, more: Value) {
        let mut answer = json!({"access_token": "at", "token_type": "Bearer", "refresh_token": "rt"});
        answer.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.script.answer("/token", 200, answer);
    }

    async fn log_in(&self) -> Result<Identified, Reason> {
        self.provider.identify(&callback("c"), &attempt(), NOW).await.map_err(|failure| failure.reason)
    }

    async fn again(&self) -> Result<Identified, Reason> {
        let profile = Profile { email: Some("before@example.com".to_owned()), ..Profile::default() };
        let account = Account {
            user: UserId::federated(&self.address, "s-1"),
            issuer: self.address.clone(),
            subject: "s-1".to_owned(),
            profile,
            refresh_token: None,
            disabled: false,
            created_at: NOW,
            confirmed_at: NOW,
        };
        let renewal = self.provider.identify_again(&account, &Secret::new("rt-1"), NOW).await;
        let person = renewal.and_then(|renewal| renewal.person).map_err(|failure| failure.reason)?;
        Ok(person.expect("the provider says who it is"))
    }
}

fn email(person: &Identified) -> (Option<&str>, bool) {
    (person.profile.email.as_deref(), person.profile.email_verified)
}

#[tokio::test]
async fn the_id_token_says_it_and_userinfo_adds_what_is_missing() {
    let world = World::new(|settings| settings.admission.allowed_domains = vec!["example.com".to_owned()]).await;
    world.says(&world.keys, json!({"email": "a@example.com", "email_verified": true, "name": "A"}));
    let person = world.log_in().await.unwrap();
    assert_eq!((person.subject.as_str(), person.issuer == world.address), ("s-1", true));
    assert_eq!(email(&person), (Some("a@example.com"), true));
    assert!(person.refresh_token.is_some() && world.script.asked("/userinfo").is_empty());
    world.says(&world.keys, json!({}));
    let said = json!({"sub": "s-1", "email": "u@example.com", "email_verified": true});
    world.script.answer("/userinfo", 200, said);
    assert_eq!(email(&world.log_in().await.unwrap()), (Some("u@example.com"), true));
    for (status, body, reason) in [
        (200, json!({"sub": "another", "email": "u@example.com", "email_verified": true}), Reason::Untrusted),
        (200, json!({"email": "u@example.com"}), Reason::Unreachable),
        (401, json!({}), Reason::Misconfigured),
        (500, json!({}), Reason::Unreachable),
    ] {
        world.script.answer("/userinfo", status, &body);
        assert_eq!(world.log_in().await.unwrap_err(), reason, "{status} {body}");
    }
    assert_eq!(world.provider.end_session_url().unwrap(), format!("{}/bye?x=1&client_id=bridge", world.address));
}

#[tokio::test]
async fn userinfo_that_no_rule_needs_stops_nobody() {
    let world = World::new(|settings| settings.admission.require_email_verified = false).await;
    world.says(&world.keys, json!({}));
    world.script.answer("/userinfo", 401, "{}");
    assert_eq!(email(&world.log_in().await.unwrap()), (None, false));
    world.script.answer("/userinfo", 200, json!({"sub": "another"}));
    assert_eq!(world.log_in().await.unwrap_err(), Reason::Untrusted);
}

#[tokio::test]
async fn fed_7_the_signature_is_the_providers_and_an_id_token_there_must_be() {
    let world = World::new(|_| {}).await;
    world.says(&keys(), json!({"email": "a@example.com", "email_verified": true}));
    assert_eq!(world.log_in().await.unwrap_err(), Reason::Untrusted);
    world.gives(json!({}));
    assert_eq!(world.log_in().await.unwrap_err(), Reason::Untrusted);
    world.gives(json!({"id_token": "eyJhbGciOiJub25lIn0.e30."}));
    assert_eq!(world.log_in().await.unwrap_err(), Reason::Untrusted);
}

#[tokio::test]
async fn fed_8_fed_16_a_new_key_is_found_and_unknown_ones_are_not_looked_for_again() {
    let world = World::new(|_| {}).await;
    let known = json!({"email": "a@example.com", "email_verified": true});
    world.says(&world.keys, known.clone());
    assert!(world.log_in().await.is_ok());
    let rotated = keys();
    world.publishes(&rotated);
    world.says(&rotated, known.clone());
    assert!(world.log_in().await.is_ok());
    for _ in 0..20 {
        world.says(&keys(), known.clone());
        assert_eq!(world.log_in().await.unwrap_err(), Reason::Untrusted);
    }
    assert_eq!(world.script.asked("/jwks").len(), 2);
}

#[tokio::test]
async fn fed_16_later_the_same_person_is_confirmed_by_id_token_or_userinfo() {
    let world = World::new(|_| {}).await;
    world.says(&world.keys, json!({"nonce": "of then", "email": "a@example.com", "email_verified": true}));
    assert_eq!(email(&world.again().await.unwrap()), (Some("a@example.com"), true));
    assert!(world.script.asked("/token")[0].contains("grant_type=refresh_token&refresh_token=rt-1"));
    for lie in [json!({"sub": "s-2"}), json!({"aud": "other"}), json!({"iss": "https://evil.example"})] {
        world.says(&world.keys, lie.clone());
        assert_eq!(world.again().await.unwrap_err(), Reason::Untrusted, "{lie}");
    }
    // Without an ID token, userinfo says it.
    world.gives(json!({}));
    for (status, body, expected) in [
        (200, json!({"sub": "s-1", "email": "u@example.com"}), Ok(Some("u@example.com"))),
        (200, json!({"sub": "s-1"}), Ok(None)),
        (200, json!({"sub": "s-2"}), Err(Reason::Untrusted)),
        (401, json!({}), Err(Reason::Ended)),
        (503, json!({}), Err(Reason::Unreachable)),
    ] {
        world.script.answer("/userinfo", status, &body);
        let person = world.again().await;
        assert_eq!(
            person.as_ref().map(|person| email(person).0).map_err(|reason| *reason),
            expected,
            "{status} {body}"
        );
    }
    for (error, reason) in [("invalid_grant", Reason::Ended), ("invalid_client", Reason::Misconfigured)] {
        world.script.answer("/token", 400, json!({"error": error}));
        assert_eq!(world.again().await.unwrap_err(), reason, "{error}");
    }
}

#[tokio::test]
async fn private_key_jwt_is_for_this_request_alone() {
    let method = ClientAuthentication::PrivateKeyJwt { key_file: None, key_id: None };
    let world = World::new(|settings| settings.client_authentication = method).await;
    world.says(&world.keys, json!({"email": "a@example.com", "email_verified": true}));
    let mut identifiers = Vec::new();
    for _ in 0..2 {
        world.log_in().await.unwrap();
        let asked = world.script.asked("/token").pop().unwrap();
        assert!(!asked.contains("authorization:") && !asked.contains("client_secret="), "{asked}");
        let assertion = asked.split("client_assertion=").nth(1).unwrap().split('&').next().unwrap();
        let claims = URL_SAFE_NO_PAD.decode(assertion.split('.').nth(1).unwrap()).unwrap();
        let claims: Value = serde_json::from_slice(&claims).unwrap();
        assert_eq!((&claims["iss"], &claims["sub"]), (&json!("bridge"), &json!("bridge")));
        assert_eq!(
            (&claims["aud"], &claims["exp"]),
            (&json!(format!("{}/token", world.address)), &json!(NOW.unix() + 60))
        );
        identifiers.push(claims["jti"].clone());
    }
    assert_ne!(identifiers[0], identifiers[1]);
}
