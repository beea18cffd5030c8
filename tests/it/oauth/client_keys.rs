//! Clients that sign: keys in the registration, at an address, or at one that the operator wrote.

use std::time::Duration;

use josekit::jwk::KeyPair as _;
use josekit::jws::{ES256, JwsHeader};
use serde_json::{Value, json};

use crate::support::app::BASIC;
use crate::support::client::{REDIRECT_URI, Tokens, http, register};
use crate::support::host::Host;
use crate::support::{App, Browser, Client};

const ON: &str = "    allow_dynamic_registration: true\n";
const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

struct Key(josekit::jwk::alg::ec::EcKeyPair);

impl Key {
    fn generate() -> Self {
        Self(ES256.generate_key_pair().unwrap())
    }

    fn set(&self) -> Value {
        json!({"keys": [self.0.to_jwk_public_key()]})
    }

    fn assertion(&self, app: &App, client: &str, jti: &str) -> String {
        let now = app.clock.now().unix();
        let claims = json!({"iss": client, "sub": client, "aud": app.url, "exp": now + 60, "jti": jti}).to_string();
        let signer = ES256.signer_from_jwk(&self.0.to_jwk_private_key()).unwrap();
        josekit::jws::serialize_compact(claims.as_bytes(), &JwsHeader::new(), &signer).unwrap()
    }
}

/// With documents switched off: keys have nothing to do with them.
fn app_near(host: &Host, clients: &str) -> App {
    let documents =
        format!("client_id_metadata_documents: {{enabled: false, danger_allow_addresses: [\"{}\"]}}", host.address);
    App::with(&BASIC.replace(ON, &format!("{ON}    {documents}\n{clients}")))
}

async fn send(app: &App, form: Vec<(&'static str, String)>, assertion: String) -> Tokens {
    let mut form = form;
    form.retain(|(name, _)| *name != "client_id");
    form.extend([("client_assertion_type", ASSERTION.to_owned()), ("client_assertion", assertion)]);
    Client::read(http().post(format!("{}/oauth/token", app.url)).form(&form)).await
}

#[tokio::test]
async fn reg_27_a_client_registers_keys_and_signs_with_them() {
    let host = Host::start().await;
    let app = app_near(&host, "");
    let (key, stranger) = (Key::generate(), Key::generate());
    host.json("/jwks", "", &key.set().to_string());
    for (keys, hits) in [(json!({"jwks": key.set()}), 0), (json!({"jwks_uri": host.url("/jwks")}), 1)] {
        let mut body = json!({"redirect_uris": [REDIRECT_URI], "token_endpoint_auth_method": "private_key_jwt"});
        body.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
        let client = Client::register_as(&app, body).await;
        assert_eq!(client.registration["token_endpoint_auth_method"], "private_key_jwt");
        assert!(client.registration.get("client_secret").is_none());
        for (member, value) in keys.as_object().unwrap() {
            assert_eq!(&client.registration[member], value, "all of it is echoed");
        }
        let code = client.authorize(&mut Browser::new(), "alice", &[]).await.answer("code").unwrap();
        let bare = client.redeem(&code).await;
        assert_eq!((bare.status, bare.error()), (401, "invalid_client"), "it has to sign");
        let forged = send(&app, client.redemption(&code), stranger.assertion(&app, &client.id, "0")).await;
        assert_eq!((forged.status, forged.error()), (401, "invalid_client"));
        let tokens = send(&app, client.redemption(&code), key.assertion(&app, &client.id, "1")).await;
        assert_eq!(tokens.status, 200, "{tokens:?}");
        let refresh = vec![("grant_type", "refresh_token".to_owned()), ("refresh_token", tokens.refresh().to_owned())];
        let replayed = send(&app, refresh.clone(), key.assertion(&app, &client.id, "1")).await;
        assert_eq!((replayed.status, replayed.error()), (401, "invalid_client"), "CIMD-19: once");
        assert_eq!(send(&app, refresh, key.assertion(&app, &client.id, "2")).await.status, 200);
        assert!(host.hits("/jwks") >= hits && (hits > 0 || host.hits("/jwks") == 0));
    }
}

#[tokio::test]
async fn reg_27_keys_in_two_places_private_ones_and_none_are_refused() {
    let host = Host::start().await;
    let app = app_near(&host, "");
    let key = Key::generate();
    let private = json!({"keys": [key.0.to_jwk_private_key()]});
    for members in [
        json!({}),
        json!({"jwks": key.set(), "jwks_uri": host.url("/jwks")}),
        json!({"jwks": private}),
        json!({"jwks": {"keys": "none"}}),
        json!({"jwks": []}),
        json!({"jwks_uri": "no url"}),
    ] {
        let mut body = json!({"redirect_uris": [REDIRECT_URI], "token_endpoint_auth_method": "private_key_jwt"});
        body.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        let page = register(&app, body.to_string()).await;
        assert_eq!(page.status, 400, "{body}");
        assert!(page.body.contains("invalid_client_metadata"), "{}", page.body);
    }
}

#[tokio::test]
async fn cimd_20_keys_are_fetched_from_public_addresses_alone() {
    let (host, canary) = (Host::start().await, Host::start().await);
    let app = app_near(&host, "");
    let port = canary.address.rsplit(':').next().unwrap();
    for uri in [
        canary.url("/jwks"),
        format!("https://127.0.0.1:{port}/jwks"),
        format!("https://[::1]:{port}/jwks"),
        format!("https://2130706433:{port}/jwks"),
        format!("http://client.example:{port}/jwks"),
        "https://localhost./jwks".to_owned(),
        "https://169.254.169.254/jwks".to_owned(),
    ] {
        let body =
            json!({"redirect_uris": [REDIRECT_URI], "token_endpoint_auth_method": "private_key_jwt", "jwks_uri": uri});
        let page = register(&app, body.to_string()).await;
        assert_eq!(page.status, 400, "{uri}: {}", page.body);
    }
    // A name is looked up only when keys are needed, and its address judged then.
    let uri = format!("https://localhost:{port}/jwks");
    let body =
        json!({"redirect_uris": [REDIRECT_URI], "token_endpoint_auth_method": "private_key_jwt", "jwks_uri": uri});
    let client = Client::register_as(&app, body).await;
    let tokens = send(&app, client.redemption("code"), Key::generate().assertion(&app, &client.id, "1")).await;
    assert_eq!((tokens.status, tokens.error()), (503, "temporarily_unavailable"), "{tokens:?}");
    assert_eq!(canary.hits("/jwks"), 0);
    // Nor are more than 64 KiB, or what is no key set.
    for (number, content) in
        [format!("{{\"keys\":[],\"x\":\"{}\"}}", "y".repeat(64 * 1024)), "[]".to_owned()].into_iter().enumerate()
    {
        let path = format!("/large-{number}");
        host.json(&path, "", &content);
        let body = json!({"redirect_uris": [REDIRECT_URI], "token_endpoint_auth_method": "private_key_jwt", "jwks_uri": host.url(&path)});
        let client = Client::register_as(&app, body).await;
        let tokens = send(&app, client.redemption("code"), Key::generate().assertion(&app, &client.id, "1")).await;
        assert!(matches!(tokens.status, 401 | 503), "{tokens:?}");
        assert_eq!(host.hits(&path), 1);
    }
}

#[tokio::test]
async fn a_client_of_the_configuration_keeps_its_keys_at_an_address() {
    let host = Host::start().await;
    let (first, second) = (Key::generate(), Key::generate());
    host.json("/jwks", "", &first.set().to_string());
    let clients = format!(
        "    clients:\n      - {{client_id: robot, jwks_uri: \"{}\", grant_types: [client_credentials], scopes: [\"mcp:read\"]}}\n",
        host.url("/jwks")
    );
    let app = app_near(&host, &clients);
    let ask = async |key: &Key, jti: &str| {
        let form = vec![("grant_type", "client_credentials".to_owned())];
        send(&app, form, key.assertion(&app, "robot", jti)).await
    };
    for jti in ["1", "2"] {
        assert_eq!(ask(&first, jti).await.status, 200);
    }
    assert_eq!(host.hits("/jwks"), 1, "one copy does for both");
    host.json("/jwks", "", &second.set().to_string());
    assert_eq!(ask(&second, "3").await.status, 200, "an unknown key has them fetched anew");
    for number in 0..5 {
        let unknown = ask(&first, &format!("unknown {number}")).await;
        assert_eq!((unknown.status, unknown.error()), (401, "invalid_client"));
    }
    assert_eq!(host.hits("/jwks"), 2, "once a minute at most");
    // What is no key set any more has no key, for the next process too.
    host.json("/jwks", "", "{}");
    app.clock.advance(Duration::from_secs(2 * 3600));
    assert_eq!(ask(&second, "4").await.status, 401);
    let app = app.restart_in_place();
    host.answer_with("/jwks", "HTTP/1.1 500 Internal Server Error\r\n", "");
    let form = vec![("grant_type", "client_credentials".to_owned())];
    let tokens = send(&app, form, second.assertion(&app, "robot", "5")).await;
    assert!(matches!(tokens.status, 401 | 503), "nor by a copy of before: {tokens:?}");
}
