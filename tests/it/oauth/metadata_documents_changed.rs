//! Documents that change under the people who trusted them, and servers of documents that are not who they should be.

use std::time::Duration;

use josekit::jwk::KeyPair as _;
use josekit::jws::ES256;
use serde_json::{Value, json};

use super::metadata_documents::{PATH, allow, app_with, begin, document, is_refused, redemption, token};
use crate::bridge::certificates::Pair;
use crate::support::app::PASSWORD;
use crate::support::client::REDIRECT_URI;
use crate::support::host::Host;
use crate::support::mcp::Session;
use crate::support::{App, Browser, Client, Program};

const MORE_THAN_THE_COPY_LASTS: Duration = Duration::from_secs(3601);

/// The keys of a client that may come without one too, as ChatGPT's may: what it may do follows from the document alone.
fn keys() -> [(&'static str, Value); 3] {
    let set = json!({"keys": [ES256.generate_key_pair().unwrap().to_jwk_public_key()]});
    [
        ("token_endpoint_auth_method", json!("private_key_jwt")),
        ("token_endpoint_auth_methods_supported", json!(["none", "private_key_jwt"])),
        ("jwks", set),
    ]
}

/// Whether `alice`, who has just logged in, is asked.
async fn is_asked(app: &App, id: &str) -> bool {
    let client = Client::register(app).await;
    let mut browser = Browser::new();
    let login = browser.open(&client.authorize_url(&[("client_id", Some(id))])).await;
    let next = browser.submit(&login, &[("username", "alice"), ("password", PASSWORD)]).await;
    assert_eq!(next.status, 200, "{}", next.body);
    !next.body.contains("http-equiv=\"refresh\"")
}

#[tokio::test]
async fn cimd_15_other_keys_or_another_method_end_what_was_granted() {
    let (first, second) = (keys(), keys());
    let none: [(&str, Value); 0] = [];
    let moved = [first[0].clone(), first[1].clone(), ("jwks_uri", json!("https://client.example/jwks"))];
    let only = [first[0].clone(), first[2].clone()];
    for after in [&second[..], &none[..], &moved[..], &only[..]] {
        let host = Host::start().await;
        host.json(PATH, "", &document(&host, &first));
        let app = app_with(&host, "");
        let id = host.url(PATH);
        let tokens = grant(&app, &id).await;
        let refresh = async |refresh_token: &str| {
            token(&app, &[("grant_type", "refresh_token"), ("refresh_token", refresh_token), ("client_id", &id)]).await
        };
        let refreshed = refresh(&tokens.0).await;
        assert_eq!(refreshed.status, 200, "{refreshed:?}");
        // The same, fetched anew, is no change.
        app.clock.advance(MORE_THAN_THE_COPY_LASTS);
        assert!(!is_asked(&app, &id).await);
        // Nor is it one that its server says something bad in between; what comes then is compared with what let it in.
        host.json(PATH, "", "{}");
        app.clock.advance(MORE_THAN_THE_COPY_LASTS);
        assert!(is_refused(&begin(&app, &id, REDIRECT_URI).await));
        host.json(PATH, "", &document(&host, after));
        let answered = refresh(refreshed.refresh()).await;
        assert!(matches!(answered.error(), "invalid_grant" | "invalid_client"), "{after:?}: {answered:?}");
        assert_eq!(Session::new(&app, refreshed.access()).status().await, 401);
        assert!(is_asked(&app, &id).await, "{after:?}");
    }
}

/// A grant of `alice`: its refresh token, and its access token.
async fn grant(app: &App, id: &str) -> (String, String) {
    let client = Client::register(app).await;
    let page = client.authorize(&mut Browser::new(), "alice", &[("client_id", Some(id))]).await;
    let tokens = token(app, &redemption(id, &page.answer("code").unwrap())).await;
    assert_eq!(tokens.status, 200, "{tokens:?}");
    (tokens.refresh().to_owned(), tokens.access().to_owned())
}

#[tokio::test]
async fn cimd_15_other_hosts_to_be_sent_to_are_asked_about_anew() {
    let host = Host::start().await;
    host.json(PATH, "", &document(&host, &[]));
    let app = app_with(&host, "");
    let id = host.url(PATH);
    let (refresh, _) = grant(&app, &id).await;
    let change = async |uris: Value| {
        host.json(PATH, "", &document(&host, &[("redirect_uris", uris), ("client_name", json!("Renamed"))]));
        app.clock.advance(MORE_THAN_THE_COPY_LASTS);
        is_asked(&app, &id).await
    };
    let same_hosts = json!([REDIRECT_URI, "https://client.example/another", "http://localhost/cb"]);
    assert!(!change(same_hosts).await, "another path at the same host");
    assert!(change(json!([REDIRECT_URI, "https://other.example/cb", "http://localhost/cb"])).await);
    let form = [("grant_type", "refresh_token"), ("refresh_token", &refresh), ("client_id", &id)];
    assert_eq!(token(&app, &form).await.status, 200, "who holds the tokens is who held them");
    let app = app.restart_in_place();
    host.json(PATH, "", &document(&host, &[("redirect_uris", json!([REDIRECT_URI]))]));
    grant(&app, &id).await;
    assert!(!is_asked(&app, &id).await);
}

#[tokio::test]
async fn cimd_17_a_destination_at_another_host_is_named_beside_the_host_of_the_document() {
    let host = Host::start().await;
    host.json(PATH, "", &document(&host, &[("redirect_uris", json!(["https://other.example/cb", REDIRECT_URI]))]));
    let app = app_with(&host, "");
    let (consent, _) = allow(&app, &host.url(PATH)).await;
    assert!(consent.body.contains(&host.address) && consent.body.contains("client.example"), "{}", consent.body);
}

#[tokio::test]
async fn cimd_10_a_host_that_hangs_holds_up_no_other() {
    let (hanging, host) = (Host::start().await, Host::start().await);
    host.json(PATH, "", &document(&host, &[]));
    let app = app_of([&hanging, &host]);
    let slow: Vec<String> = (0..25).map(|number| hanging.url(&format!("/hangs?{number}"))).collect();
    for number in 0..25 {
        hanging.raw(&format!("/hangs?{number}"), "");
    }
    // More of them than there are fetches at all wait for the one, and this one is answered all the same: none of the
    // others has been, for they take as long as a fetch may.
    let waiting = futures_util::future::select_all(slow.iter().map(|id| Box::pin(begin(&app, id, REDIRECT_URI))));
    let id = host.url(PATH);
    let other = async {
        while (0..25).map(|number| hanging.hits(&format!("/hangs?{number}"))).sum::<usize>() < 2 {
            tokio::task::yield_now().await;
        }
        begin(&app, &id, REDIRECT_URI).await.status
    };
    tokio::select! {
        biased;
        status = other => assert_eq!(status, 200),
        _ = waiting => panic!("it was not answered first"),
    }
    assert_eq!(
        (0..25).map(|number| hanging.hits(&format!("/hangs?{number}"))).sum::<usize>(),
        2,
        "two at once for one address"
    );
}

fn app_of(hosts: [&Host; 2]) -> App {
    let addresses = hosts.map(|host| format!("\"{}\"", host.address)).join(", ");
    let documents = format!(
        "    allow_dynamic_registration: true\n    client_id_metadata_documents: {{timeout: 6s, danger_allow_addresses: [{addresses}]}}\n"
    );
    App::with(&crate::support::app::BASIC.replace("    allow_dynamic_registration: true\n", &documents))
}

/// The real program, which believes `authority`, in an environment that names a proxy.
fn program(authority: &Pair, allowed: &[&Host], proxy: &Host) -> Program {
    let folder = tempfile::tempdir().unwrap();
    let addresses = allowed.iter().map(|host| format!("\"{}\"", host.address)).collect::<Vec<_>>().join(", ");
    let yaml = format!(
        "log: {{level: info, output: log}}\nserver:\n  listen: 127.0.0.1:0\n  rate_limit: {{login: {{limit: 0}}}}\n  oauth_server:\n    enabled: true\n    \
         builtin: {{users: [{{username: alice, password_env: ALICE_PASSWORD, scopes: [\"mcp:read\"]}}]}}\n    \
         allowed_redirect_uris: [\"{REDIRECT_URI}\"]\n    client_id_metadata_documents: {{danger_allow_addresses: [{addresses}]}}\n\
         upstreams:\n  me: {{builtin: whoami}}\n"
    );
    std::fs::write(folder.path().join("config.yaml"), yaml).unwrap();
    let roots = folder.path().join("roots.pem");
    std::fs::write(&roots, authority.certificate_pem()).unwrap();
    let proxy = proxy.url("");
    let environment = [
        ("SSL_CERT_FILE", roots.to_str().unwrap()),
        ("ALICE_PASSWORD", PASSWORD),
        ("HTTPS_PROXY", &proxy),
        ("https_proxy", &proxy),
        ("ALL_PROXY", &proxy),
    ];
    let environment = environment.map(|(name, value)| (name, value.to_owned()));
    let environment: Vec<(&str, &str)> = environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
    Program::start(folder, &environment)
}

#[tokio::test]
async fn cimd_18_cimd_23_only_a_server_that_is_vouched_for_is_believed_and_no_proxy_is_asked() {
    let (authority, stranger, proxy) = (Pair::authority(), Pair::authority(), Host::start().await);
    let good = Host::start_tls(Pair::of("127.0.0.1", &authority).server(None)).await;
    let expired = Host::start_tls(Pair::expired("127.0.0.1", &authority).server(None)).await;
    let named = Host::start_tls(Pair::of("client.example", &authority).server(None)).await;
    let unknown = Host::start_tls(Pair::of("127.0.0.1", &stranger).server(None)).await;
    let itself = Host::start_tls(Pair::authority().server(None)).await;
    let hosts = [&good, &expired, &named, &unknown, &itself];
    let program = program(&authority, &hosts, &proxy);
    let status = async |host: &Host| {
        host.json(PATH, "", &document(host, &[("redirect_uris", json!([REDIRECT_URI]))]));
        let resource = format!("{}/mcp", program.url);
        let metadata = json!({"redirect_uris": [REDIRECT_URI], "software_version": host.address});
        let client = Client::register_for(&resource, &program.url, metadata).await;
        let url = client.authorize_url(&[("client_id", Some(&host.url(PATH))), ("scope", None)]);
        Browser::new().open(&url).await
    };
    let page = status(&good).await;
    assert_eq!(page.status, 200, "{}\n{}", page.body, program.log());
    for host in [&expired, &named, &unknown, &itself] {
        let page = status(host).await;
        assert!(is_refused(&page), "{}", page.body);
        assert_eq!(host.hits(PATH), 0, "nothing was asked of it");
    }
    assert_eq!(proxy.connections(), 0);
    let log = program.stop();
    for cause in ["expired", "not valid for name", "BadSignature", "CaUsedAsEndEntity"] {
        assert!(log.contains(cause), "{cause}: {log}");
    }
}
