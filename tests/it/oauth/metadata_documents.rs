//! Clients that are named by the address of their own metadata.

use std::time::Duration;

use futures_util::future::join_all;
use josekit::jwk::KeyPair as _;
use josekit::jws::{ES256, JwsHeader};
use serde_json::{Value, json};

use crate::support::app::{BASIC, PASSWORD};
use crate::support::browser::Page;
use crate::support::client::{REDIRECT_URI, VERIFIER, http, metadata};
use crate::support::host::Host;
use crate::support::mcp::Session;
use crate::support::{App, Browser, Client};

pub const PATH: &str = "/oauth/client.json";
const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

pub fn app_with(host: &Host, more: &str) -> App {
    let documents = format!(
        "    allow_dynamic_registration: true\n    client_id_metadata_documents: {{danger_allow_addresses: [\"{}\"]{more}}}\n",
        host.address
    );
    App::with(&BASIC.replace("    allow_dynamic_registration: true\n", &documents))
}

pub fn document(host: &Host, changes: &[(&str, Value)]) -> String {
    let mut document = json!({"client_id": host.url(PATH), "client_name": "Document client", "redirect_uris": [REDIRECT_URI, "http://localhost/cb"]});
    for (name, value) in changes {
        document[*name] = value.clone();
    }
    document.to_string()
}

/// The page with which an authorization request of this client begins.
pub async fn begin(app: &App, id: &str, redirect_uri: &str) -> Page {
    let client = Client::register(app).await;
    let url = client.authorize_url(&[("client_id", Some(id)), ("redirect_uri", Some(redirect_uri))]);
    Browser::new().open(&url).await
}

pub async fn allow(app: &App, id: &str) -> (Page, Page) {
    let client = Client::register(app).await;
    let mut browser = Browser::new();
    let login = browser.open(&client.authorize_url(&[("client_id", Some(id))])).await;
    let consent = browser.submit(&login, &[("username", "alice"), ("password", PASSWORD)]).await;
    let answer = browser.submit(&consent, &[("decision", "allow")]).await;
    (consent, answer)
}

pub async fn token(app: &App, form: &[(&str, &str)]) -> crate::support::client::Tokens {
    Client::read(http().post(format!("{}/oauth/token", app.url)).form(form)).await
}

pub fn redemption<'a>(id: &'a str, code: &'a str) -> Vec<(&'static str, &'a str)> {
    vec![
        ("grant_type", "authorization_code"),
        ("code", code),
        ("client_id", id),
        ("code_verifier", VERIFIER),
        ("redirect_uri", REDIRECT_URI),
    ]
}

pub fn is_refused(page: &Page) -> bool {
    page.status == 400 && page.header("location").is_empty() && page.body.contains("could not be verified")
}

#[tokio::test]
async fn a_client_comes_in_by_its_document_and_works() {
    let host = Host::start().await;
    host.json(PATH, "", &document(&host, &[]));
    let app = app_with(&host, "");
    let id = host.url(PATH);
    let (consent, answer) = allow(&app, &id).await;
    assert!(consent.body.contains(&format!("<strong class=\"client\">{}</strong>", host.address)), "{}", consent.body);
    assert!(consent.body.contains("Document client"));
    let tokens = token(&app, &redemption(&id, &answer.answer("code").unwrap())).await;
    assert_eq!(tokens.status, 200, "{tokens:?}");
    let refreshed =
        token(&app, &[("grant_type", "refresh_token"), ("refresh_token", tokens.refresh()), ("client_id", &id)]).await;
    assert_eq!(Session::new(&app, refreshed.access()).status().await, 200);
    assert_eq!(host.hits(PATH), 1, "one copy does for all of it");
    let metadata = metadata(&app).await;
    assert_eq!(metadata["client_id_metadata_document_supported"], true);
    assert!(metadata["token_endpoint_auth_methods_supported"].as_array().unwrap().contains(&json!("private_key_jwt")));
}

#[tokio::test]
async fn cimd_16_a_loopback_redirect_is_warned_of_and_its_port_does_not_count() {
    let host = Host::start().await;
    host.json(PATH, "", &document(&host, &[]));
    let app = app_with(&host, "");
    let client = Client::register(&app).await;
    let mut browser = Browser::new();
    let url = client
        .authorize_url(&[("client_id", Some(&host.url(PATH))), ("redirect_uri", Some("http://localhost:50123/cb"))]);
    let login = browser.open(&url).await;
    let consent = browser.submit(&login, &[("username", "alice"), ("password", PASSWORD)]).await;
    assert!(consent.body.contains("Any program on this computer could be listening there"), "{}", consent.body);
    assert!(consent.body.contains(&host.address) && consent.body.contains("localhost"));
    assert!(begin(&app, &host.url(PATH), "http://127.0.0.1:50123/cb").await.body.contains("did not register"));
}

#[tokio::test]
async fn cimd_3_cimd_4_what_is_no_document_is_not_followed_nor_kept() {
    let (host, elsewhere) = (Host::start().await, Host::start().await);
    elsewhere.json(PATH, "", &document(&host, &[]));
    let app = app_with(&host, "");
    let (id, good) = (host.url(PATH), document(&host, &[]));
    // One address may have so many fetched in a minute.
    let a_minute_later = || app.clock.advance(Duration::from_secs(60));
    for status in ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"] {
        host.answer_with(PATH, &format!("{status}\r\nlocation: {}\r\n", elsewhere.url(PATH)), "");
        assert!(is_refused(&begin(&app, &id, REDIRECT_URI).await), "{status}");
    }
    assert_eq!(elsewhere.hits(PATH), 0);
    a_minute_later();
    for head in ["201 Created", "203 Other", "206 Partial", "404 Not Found", "500 Broken"] {
        host.answer_with(PATH, &format!("{head}\r\ncontent-type: application/json\r\n"), &good);
        assert!(is_refused(&begin(&app, &id, REDIRECT_URI).await), "{head}");
    }
    host.answer_with(PATH, "200 OK\r\ncontent-type: text/html\r\n", &good);
    assert!(is_refused(&begin(&app, &id, REDIRECT_URI).await));
    a_minute_later();
    for content in ["", "null", "[]", "{", "\u{feff}{}"] {
        host.json(PATH, "", content);
        assert!(is_refused(&begin(&app, &id, REDIRECT_URI).await), "{content:?}");
    }
    // CIMD-12: no failure is kept.
    host.json(PATH, "", &good);
    assert_eq!(begin(&app, &id, REDIRECT_URI).await.status, 200);
}

#[tokio::test]
async fn cimd_9_cimd_10_a_document_is_bounded_in_size_and_time() {
    let host = Host::start().await;
    let app = app_with(&host, ", timeout: 1s");
    let id = host.url(PATH);
    let padded = |size: usize| document(&host, &[("x", json!("y".repeat(size)))]);
    let room = 5 * 1024 - padded(0).len();
    host.json(PATH, "cache-control: no-store\r\n", &padded(room + 1));
    assert!(is_refused(&begin(&app, &id, REDIRECT_URI).await));
    host.json(PATH, "", &padded(room));
    assert_eq!(begin(&app, &id, REDIRECT_URI).await.status, 200);
    for (path, raw) in [
        ("/hangs", ""),
        ("/half-a-head", "HTTP/1.1 200 OK\r\ncontent-type: appl"),
        ("/no-body", "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{"),
        (
            "/endless",
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n",
        ),
        (
            "/bomb",
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\n\u{1f}b",
        ),
    ] {
        host.raw(path, raw);
        assert!(is_refused(&begin(&app, &host.url(path), REDIRECT_URI).await), "{path}");
    }
}

#[tokio::test]
async fn cimd_1_cimd_5_other_addresses_are_not_fetched_from() {
    let (host, other) = (Host::start().await, Host::start().await);
    let app = app_with(&host, "");
    let port = other.address.rsplit(':').next().unwrap().to_owned();
    for id in [
        other.url(PATH),
        format!("https://127.0.0.1:{port}{PATH}"),
        format!("https://localhost:{port}{PATH}"),
        format!("http://localhost:{port}{PATH}"),
        format!("https://[::1]:{port}{PATH}"),
        format!("{}/../x", host.url("/a")),
        format!("{}#f", host.url(PATH)),
        format!("http://user@{}{PATH}", host.address),
        format!("http://{}", host.address),
        "https://".to_owned(),
        "https:/x".to_owned(),
    ] {
        let page = begin(&app, &id, REDIRECT_URI).await;
        assert!(is_refused(&page), "{id}: {}", page.body);
    }
    assert_eq!((other.hits(PATH), host.hits(PATH)), (0, 0));
}

#[tokio::test]
async fn cimd_12_at_the_same_time_a_document_is_fetched_once() {
    let host = Host::start().await;
    host.json(PATH, "", &document(&host, &[]));
    let app = app_with(&host, "");
    let id = host.url(PATH);
    let pages = join_all((0..20).map(|_| begin(&app, &id, REDIRECT_URI))).await;
    assert!(pages.iter().all(|page| page.status == 200));
    assert_eq!(host.hits(PATH), 1);
}

#[tokio::test]
async fn cimd_13_a_copy_is_used_as_long_as_its_server_says_within_bounds() {
    let host = Host::start().await;
    let app = app_with(&host, "");
    let id = host.url(PATH);
    let mut hits = 0;
    for (header, seconds) in [
        ("", 3600),
        ("cache-control: no-store\r\n", 300),
        ("cache-control: max-age=600\r\n", 600),
        ("cache-control: public, max-age=315360000\r\n", 3600),
        ("cache-control: max-age=1000\r\nage: 400\r\n", 600),
        ("cache-control: max-age=1000\r\nage: 2000\r\n", 300),
        ("cache-control: max-age=1000\r\nexpires: 0\r\n", 1000),
        ("expires: 0\r\n", 300),
        ("date: Tue, 15 Nov 1994 08:00:00 GMT\r\nexpires: Tue, 15 Nov 1994 08:15:00 GMT\r\nage: 60\r\n", 840),
        ("date: Tue, 15 Nov 1994 08:00:00 GMT\r\nexpires: Tue, 15 Nov 1994 07:00:00 GMT\r\n", 300),
    ] {
        host.json(PATH, header, &document(&host, &[]));
        app.clock.advance(Duration::from_secs(4000));
        for (wait, asks) in [(0, 1), (seconds - 1, 0), (1, 1)] {
            app.clock.advance(Duration::from_secs(wait));
            assert_eq!(begin(&app, &id, REDIRECT_URI).await.status, 200);
            hits += asks;
            assert_eq!(host.hits(PATH), hits, "{header:?} after {wait} s");
        }
    }
}

#[tokio::test]
async fn the_last_good_copy_counts_while_its_server_does_not_answer_and_after_a_restart() {
    let host = Host::start().await;
    host.json(PATH, "", &document(&host, &[]));
    let app = app_with(&host, "");
    let id = host.url(PATH);
    let (_, answer) = allow(&app, &id).await;
    let tokens = token(&app, &redemption(&id, &answer.answer("code").unwrap())).await;
    host.answer_with(PATH, "403 Forbidden\r\n", "");
    let refresh = async |app: &App, token_: &str| {
        let tokens =
            token(app, &[("grant_type", "refresh_token"), ("refresh_token", token_), ("client_id", &id)]).await;
        assert_eq!(tokens.status, 200, "{tokens:?}");
        tokens
    };
    app.clock.advance(Duration::from_secs(2 * 3600));
    let tokens = refresh(&app, tokens.refresh()).await;
    let app = app.restart_in_place();
    let tokens = refresh(&app, tokens.refresh()).await;
    // What it says now counts at once, though, if that lets nobody in.
    host.json(PATH, "", &document(&host, &[("client_id", json!("https://elsewhere.example/x"))]));
    app.clock.advance(Duration::from_secs(3600));
    let refused =
        token(&app, &[("grant_type", "refresh_token"), ("refresh_token", tokens.refresh()), ("client_id", &id)]).await;
    assert_eq!((refused.status, refused.error()), (401, "invalid_client"));
    // And goes on counting when its server does not answer again, here and after a restart.
    host.answer_with(PATH, "403 Forbidden\r\n", "");
    let again = async |app: &App| {
        let form = [("grant_type", "refresh_token"), ("refresh_token", tokens.refresh()), ("client_id", &id)];
        let refused = token(app, &form).await;
        assert_eq!((refused.status, refused.error()), (503, "temporarily_unavailable"), "{refused:?}");
    };
    again(&app).await;
    again(&app.restart_in_place()).await;
}

#[tokio::test]
async fn cimd_19_cimd_20_a_client_with_keys_at_an_address_signs_and_changes_its_keys() {
    let host = Host::start().await;
    let key = |kid: &str| {
        let pair = ES256.generate_key_pair().unwrap();
        let mut public = pair.to_jwk_public_key();
        public.set_key_id(kid);
        (pair, serde_json::to_value(public.as_ref()).unwrap(), kid.to_owned())
    };
    let (first, second) = (key("one"), key("two"));
    let keys_at = json!(host.url("/jwks"));
    host.json("/jwks", "", &json!({"keys": [first.1]}).to_string());
    host.json(
        PATH,
        "",
        &document(&host, &[("token_endpoint_auth_method", json!("private_key_jwt")), ("jwks_uri", keys_at)]),
    );
    let app = app_with(&host, "");
    let id = host.url(PATH);
    let assertion = |key: &(josekit::jwk::alg::ec::EcKeyPair, Value, String), jti: &str| {
        let now = app.clock.now().unix();
        let claims = json!({"iss": id, "sub": id, "aud": app.url, "exp": now + 60, "jti": jti}).to_string();
        let mut header = JwsHeader::new();
        header.set_key_id(&key.2);
        let signer = ES256.signer_from_jwk(&key.0.to_jwk_private_key()).unwrap();
        josekit::jws::serialize_compact(claims.as_bytes(), &header, &signer).unwrap()
    };
    let (_, answer) = allow(&app, &id).await;
    let code = answer.answer("code").unwrap();
    let bare = token(&app, &redemption(&id, &code)).await;
    assert_eq!((bare.status, bare.error()), (401, "invalid_client"), "it has to sign");
    let signed = |mut form: Vec<(&'static str, String)>, assertion: String| {
        form.retain(|(name, _)| *name != "client_id");
        form.extend([("client_assertion_type", ASSERTION.to_owned()), ("client_assertion", assertion)]);
        form
    };
    let send = async |form: Vec<(&'static str, String)>| {
        Client::read(http().post(format!("{}/oauth/token", app.url)).form(&form)).await
    };
    let owned =
        |form: Vec<(&'static str, &str)>| form.into_iter().map(|(name, value)| (name, value.to_owned())).collect();
    let tokens = send(signed(owned(redemption(&id, &code)), assertion(&first, "1"))).await;
    assert_eq!(tokens.status, 200, "{tokens:?}");
    // Its keys have changed: the set is fetched anew, once a minute at most.
    let refresh = |token: &str, assertion: String| {
        signed(vec![("grant_type", "refresh_token".to_owned()), ("refresh_token", token.to_owned())], assertion)
    };
    for number in 0..5 {
        let unknown = send(refresh(tokens.refresh(), assertion(&second, &format!("unknown {number}")))).await;
        assert_eq!((unknown.status, unknown.error()), (401, "invalid_client"));
    }
    assert_eq!(host.hits("/jwks"), 2);
    host.json("/jwks", "", &json!({"keys": [first.1, second.1]}).to_string());
    app.clock.advance(Duration::from_secs(61));
    let renewed = send(refresh(tokens.refresh(), assertion(&second, "2"))).await;
    assert_eq!(renewed.status, 200, "{renewed:?}");
    assert_eq!(host.hits("/jwks"), 3);
}

#[tokio::test]
async fn a_document_that_lists_none_too_lets_its_client_in_without_a_key() {
    let host = Host::start().await;
    let also = json!(["none", "private_key_jwt"]);
    let keys_at = json!(host.url("/jwks"));
    let changes = [
        ("token_endpoint_auth_method", json!("private_key_jwt")),
        ("token_endpoint_auth_methods_supported", also),
        ("jwks_uri", keys_at),
    ];
    host.json(PATH, "", &document(&host, &changes));
    let app = app_with(&host, "");
    let id = host.url(PATH);
    let (_, answer) = allow(&app, &id).await;
    assert_eq!(token(&app, &redemption(&id, &answer.answer("code").unwrap())).await.status, 200);
    assert_eq!(host.hits("/jwks"), 0);
}

#[tokio::test]
async fn cimd_22_hosts_can_be_named_and_documents_switched_off() {
    let host = Host::start().await;
    host.json(PATH, "", &document(&host, &[]));
    let app = app_with(&host, ", allowed_hosts: [client.example]");
    let page = begin(&app, &host.url(PATH), REDIRECT_URI).await;
    assert!(is_refused(&page) && page.body.contains("allowed_hosts"), "{}", page.body);
    let app = app_with(&host, ", enabled: false");
    let page = begin(&app, &host.url(PATH), REDIRECT_URI).await;
    assert!(page.status == 400 && page.body.contains("not registered here"), "{}", page.body);
    let metadata = metadata(&app).await;
    assert!(metadata.get("client_id_metadata_document_supported").is_none());
    assert_eq!(host.hits(PATH), 0);
}

#[tokio::test]
async fn cimd_21_nothing_that_was_fetched_is_shown() {
    let host = Host::start().await;
    host.json(PATH, "", r#"{"client_id": "a secret of the intranet"}"#);
    let app = app_with(&host, "");
    let page = begin(&app, &host.url(PATH), REDIRECT_URI).await;
    assert!(is_refused(&page) && !page.body.contains("intranet"));
}
