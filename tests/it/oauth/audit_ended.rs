//! The audit trail of what ends by the way: grants whose client is not what it was, sessions that make room for others; and of
//! the keys.

use std::path::Path;
use std::time::{Duration, Instant};

use josekit::jwk::KeyPair as _;
use josekit::jws::ES256;
use serde_json::{Value, json};

use super::audit::{all_lines, lines, recorded, recorded_with, told};
use super::metadata_documents::{PATH, document, redemption, token};
use crate::support::app::{BASIC, PASSWORD};
use crate::support::client::{REDIRECT_URI, http};
use crate::support::host::Host;
use crate::support::{App, Browser, Client};

fn keys() -> Value {
    json!({"keys": [ES256.generate_key_pair().unwrap().to_jwk_public_key()]})
}

#[tokio::test]
async fn reg_24_grants_that_end_with_another_way_to_prove_itself_stand_in_the_trail() {
    let app = recorded();
    let client = Client::register(&app).await;
    client.tokens().await;
    let before = told(app.folder.path(), &client).len();
    let put = async |changes: Value| {
        let mut body = json!({"client_id": client.id, "redirect_uris": [REDIRECT_URI]});
        body.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        let request = http().put(client.registration["registration_client_uri"].as_str().unwrap()).json(&body);
        let token = client.registration["registration_access_token"].as_str().unwrap();
        assert_eq!(request.bearer_auth(token).send().await.unwrap().status(), 200, "{changes}");
    };
    put(json!({"token_endpoint_auth_method": "none", "client_name": "Another"})).await;
    put(json!({"token_endpoint_auth_method": "private_key_jwt", "jwks": keys()})).await;
    put(json!({"token_endpoint_auth_method": "private_key_jwt", "jwks": keys()})).await;
    let expected = [
        "client changed - - client",
        "client changed - - client",
        "grants revoked client_authentication_changed - client",
        "client changed - - client",
    ];
    assert_eq!(told(app.folder.path(), &client)[before..], expected, "once: then there was none left");
}

#[tokio::test]
async fn cimd_15_grants_that_end_with_a_document_stand_in_the_trail() {
    let host = Host::start().await;
    let with_keys = |keys| {
        document(
            &host,
            &[
                ("token_endpoint_auth_method", json!("private_key_jwt")),
                ("token_endpoint_auth_methods_supported", json!(["none", "private_key_jwt"])),
                ("jwks", keys),
            ],
        )
    };
    host.json(PATH, "", &with_keys(keys()));
    let on = "allow_dynamic_registration: true\n";
    let documents = format!("    client_id_metadata_documents: {{danger_allow_addresses: [\"{}\"]}}\n", host.address);
    let app = recorded_with(&BASIC.replace(on, &format!("{on}{documents}")));
    let (id, some) = (host.url(PATH), Client::register(&app).await);
    let page = some.authorize(&mut Browser::new(), "alice", &[("client_id", Some(&id))]).await;
    let tokens = token(&app, &redemption(&id, &page.answer("code").unwrap())).await;
    assert_eq!(tokens.status, 200, "{tokens:?}");
    host.json(PATH, "", &with_keys(keys()));
    app.clock.advance(Duration::from_secs(3601));
    let before = lines(app.folder.path()).len();
    let refresh = [("grant_type", "refresh_token"), ("refresh_token", tokens.refresh()), ("client_id", &id)];
    assert_eq!(token(&app, &refresh).await.error(), "invalid_grant");
    let lines = lines(app.folder.path()).split_off(before);
    assert!(lines.iter().all(|line| line["oauth_client_id"] == id.as_str() && line["address"] == "127.0.0.1"));
    let told: Vec<String> = lines.iter().map(|line| format!("{} {}", line["event"], line["reason"])).collect();
    let expected = ["\"client\" null", "\"grants\" \"client_authentication_changed\"", "\"token\" \"invalid_grant\""];
    assert_eq!(told, expected, "{lines:#?}");
}

#[tokio::test]
async fn a_session_that_somebody_else_takes_over_stands_in_the_trail() {
    let app = recorded();
    let client = Client::register(&app).await;
    let mut browser = Browser::new();
    client.authorize(&mut browser, "alice", &[]).await;
    let page = browser.open(&client.authorize_url(&[("prompt", Some("consent"))])).await;
    let before = told(app.folder.path(), &client).len();
    let login = browser.submit(&page, &[("decision", "switch")]).await;
    browser.submit(&login, &[("username", "rita"), ("password", PASSWORD)]).await;
    assert_eq!(told(app.folder.path(), &client)[before..], ["logout done - alice -", "login accepted - rita client"]);
    // Asked for by the client, a login takes the place of the session without a word of who it was.
    let login = browser.open(&client.authorize_url(&[("prompt", Some("login"))])).await;
    let before = told(app.folder.path(), &client).len();
    let again = browser.submit(&login, &[("username", "rita"), ("password", PASSWORD)]).await;
    assert_eq!(told(app.folder.path(), &client)[before..], ["login accepted - rita client"], "it is her own");
    assert_eq!(again.status, 200);
    let login = browser.open(&client.authorize_url(&[("prompt", Some("login"))])).await;
    let before = told(app.folder.path(), &client).len();
    browser.submit(&login, &[("username", "alice"), ("password", PASSWORD)]).await;
    let expected = ["login accepted - alice client", "logout done - rita -"];
    assert_eq!(told(app.folder.path(), &client)[before..][..2], expected);
}

fn of_keys(folder: &Path) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let lines = all_lines(folder).into_iter().filter(|line| line["event"] == "key");
    lines.map(|line| (text(&line["outcome"]), text(&line["key_id"]))).collect()
}

/// Waits until the trail has so many lines about keys: the bridge looks after them every second.
async fn until(app: &App, count: usize) -> Vec<(String, String)> {
    let began = Instant::now();
    loop {
        let told = of_keys(app.folder.path());
        if told.len() >= count {
            return told;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "{told:?}");
        http().get(format!("{}/oauth/jwks", app.url)).send().await.unwrap();
    }
}

#[tokio::test]
async fn jwt_15_each_step_in_the_life_of_a_key_stands_in_the_trail_once() {
    let app = recorded();
    let told = of_keys(app.folder.path());
    let first = told[0].1.clone();
    let line = |word: &str, key: &str| (word.to_owned(), key.to_owned());
    assert_eq!(told, [line("published", &first), line("signs", &first)]);
    app.clock.advance(Duration::from_secs(30 * 86_400 - 3600));
    let second = until(&app, 3).await[2].1.clone();
    assert_ne!(first, second);
    app.clock.advance(Duration::from_secs(3600));
    until(&app, 4).await;
    app.clock.advance(Duration::from_secs(86_400));
    let told = until(&app, 5).await;
    let expected = [line("published", &second), line("signs", &second), line("retired", &first)];
    assert_eq!(told[2..], expected);
    // Whatever began while no bridge ran is told when one does.
    let app = app.restart();
    assert_eq!(until(&app, 6).await[5..], [line("signs", &second)]);
}
