//! What strangers can use up of the fetching of documents and keys: their own part, and nobody else's.

use std::time::{Duration, Instant};

use josekit::jwk::KeyPair as _;
use josekit::jws::{ES256, JwsHeader};
use serde_json::json;
use tokio::task::JoinSet;

use super::metadata_documents::{PATH, allow, document, redemption};
use crate::support::app::BASIC;
use crate::support::client::{REDIRECT_URI, Tokens, http};
use crate::support::host::Host;
use crate::support::{App, Client};

const STRANGER: &str = "203.0.113.1";
const ANOTHER: &str = "203.0.113.2";
const HANGING: usize = 100;

/// Behind a proxy that says where requests come from.
fn app_near(hosts: &[Host]) -> App {
    let addresses: Vec<String> = hosts.iter().map(|host| format!("\"{}\"", host.address)).collect();
    let documents = format!(
        "    allow_dynamic_registration: true\n    client_id_metadata_documents: {{danger_allow_addresses: [{}]}}\n",
        addresses.join(", ")
    );
    let yaml = BASIC.replace("    allow_dynamic_registration: true\n", &documents);
    App::with(&yaml.replace("listen: 127.0.0.1:0", "listen: 127.0.0.1:0\n  trusted_proxies: [127.0.0.1/32]"))
}

/// Begins an authorization of the client that is named by the address `id`, from `address`: the status.
async fn visit(http: &reqwest::Client, url: &str, address: &str) -> u16 {
    let request = http.get(url).header("x-forwarded-for", address).header("sec-fetch-site", "none");
    request.send().await.unwrap().status().as_u16()
}

fn authorization(app: &App, id: &str) -> String {
    Client::known(&app.url, id).authorize_url(&[("redirect_uri", Some(REDIRECT_URI))])
}

async fn token(app: &App, form: &[(&str, &str)], address: &str) -> Tokens {
    let request = http().post(format!("{}/oauth/token", app.url)).header("x-forwarded-for", address);
    Client::read(request.form(form)).await
}

/// Names documents at `host` that are not there, at every endpoint that looks for one: how often the host was asked.
async fn name_bogus(app: &App, host: &Host, address: &str) -> usize {
    let paths: Vec<String> = (0..30).map(|number| format!("/bogus-{address}-{number}")).collect();
    for path in &paths {
        let id = host.url(path);
        let form = [("grant_type", "refresh_token"), ("refresh_token", "x"), ("client_id", id.as_str())];
        let refused = token(app, &form, address).await;
        assert_eq!((refused.status, refused.error()), (503, "temporarily_unavailable"));
        assert_eq!(visit(&http(), &authorization(app, &id), address).await, 400);
    }
    paths.iter().map(|path| host.hits(path)).sum()
}

#[tokio::test]
async fn cimd_11_a_stranger_uses_up_nothing_that_others_need() {
    let host = Host::start().await;
    let app = app_near(std::slice::from_ref(&host));
    let good = |path: &str| host.json(path, "", &document(&host, &[("client_id", json!(host.url(path)))]));
    good("/known");
    let known = authorization(&app, &host.url("/known"));
    assert_eq!(visit(&http(), &known, ANOTHER).await, 303);
    app.clock.advance(Duration::from_secs(3601));
    // A victim is asked so often for one address and no more; another finds what is there.
    assert_eq!(name_bogus(&app, &host, STRANGER).await, 10);
    good(PATH);
    let first = authorization(&app, &host.url(PATH));
    assert_eq!(visit(&http(), &first, STRANGER).await, 400);
    assert_eq!(visit(&http(), &first, ANOTHER).await, 303);
    // Many addresses use up what there is for the unknown; what was let in before is renewed all the same.
    let mut asked = 11;
    for number in 0..8 {
        asked += name_bogus(&app, &host, &format!("198.51.100.{number}")).await;
    }
    assert_eq!(asked, 60);
    assert_eq!(visit(&http(), &known, STRANGER).await, 303);
    assert_eq!(host.hits("/known"), 2);
    // It is over with the minute.
    app.clock.advance(Duration::from_secs(60));
    good("/late");
    assert_eq!(visit(&http(), &authorization(&app, &host.url("/late")), STRANGER).await, 303);
}

#[tokio::test]
async fn the_keys_of_a_client_survive_a_restart_and_whoever_uses_up_the_fetches_of_their_host() {
    let host = Host::start().await;
    let pair = ES256.generate_key_pair().unwrap();
    let documented = [("token_endpoint_auth_method", json!("private_key_jwt")), ("jwks_uri", json!(host.url("/jwks")))];
    host.json(PATH, "", &document(&host, &documented));
    host.json("/jwks", "", &json!({"keys": [pair.to_jwk_public_key()]}).to_string());
    let app = app_near(std::slice::from_ref(&host));
    let id = host.url(PATH);
    let send = async |app: &App, mut form: Vec<(&str, &str)>, jti: &str| {
        let now = app.clock.now().unix();
        let claims = json!({"iss": id, "sub": id, "aud": app.url, "exp": now + 60, "jti": jti}).to_string();
        let signer = ES256.signer_from_jwk(&pair.to_jwk_private_key()).unwrap();
        let assertion = josekit::jws::serialize_compact(claims.as_bytes(), &JwsHeader::new(), &signer).unwrap();
        let of_type = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
        form.extend([("client_assertion_type", of_type), ("client_assertion", assertion.as_str())]);
        let tokens = token(app, &form, ANOTHER).await;
        assert_eq!(tokens.status, 200, "{tokens:?}");
        tokens.refresh().to_owned()
    };
    let (_, answer) = allow(&app, &id).await;
    let refresh = send(&app, redemption(&id, &answer.answer("code").unwrap()), "1").await;
    assert_eq!(host.hits("/jwks"), 1);
    for path in [PATH, "/jwks"] {
        host.answer_with(path, "503 Unavailable\r\n", "");
    }
    let app = app.restart_in_place();
    for address in [STRANGER, ANOTHER] {
        name_bogus(&app, &host, address).await;
    }
    let refresh = send(&app, vec![("grant_type", "refresh_token"), ("refresh_token", &refresh)], "2").await;
    app.clock.advance(Duration::from_secs(4000));
    send(&app, vec![("grant_type", "refresh_token"), ("refresh_token", &refresh)], "3").await;
}

#[tokio::test]
async fn cimd_10_requests_that_hang_hold_up_nobody_elses_first_visit() {
    let mut hosts = Vec::new();
    for _ in 0..16 {
        hosts.push(Host::start().await);
    }
    let app = app_near(&hosts);
    let http = http();
    let mut hanging = JoinSet::new();
    for (number, host) in (0..HANGING).zip(hosts.iter().cycle()) {
        let path = format!("/hangs/{number}");
        host.raw(&path, "");
        let (http, url) = (http.clone(), authorization(&app, &host.url(&path)));
        hanging.spawn(async move { visit(&http, &url, STRANGER).await });
    }
    let connected = || hosts.iter().map(Host::connections).sum::<usize>();
    while connected() < 8 {
        tokio::task::yield_now().await;
    }
    for (number, host) in hosts.iter().enumerate() {
        host.json(PATH, "", &document(host, &[]));
        let began = Instant::now();
        let url = authorization(&app, &host.url(PATH));
        assert_eq!(visit(&http, &url, &format!("198.51.100.{number}")).await, 303);
        assert!(began.elapsed() < Duration::from_secs(2), "visit {number} took {:?}", began.elapsed());
    }
    assert_eq!(connected(), 8 + hosts.len(), "and eight of the stranger's are under way");
    hanging.shutdown().await;
}
