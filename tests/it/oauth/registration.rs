//! Dynamic registration: forgiving to real clients, closed to tricks.

use serde_json::{Value, json};

use crate::support::app::BASIC;
use crate::support::client::{REDIRECT_URI, http, register};
use crate::support::{App, Browser, Client};

async fn refused(app: &App, body: Value) -> String {
    let page = register(app, body.to_string()).await;
    assert_eq!(page.status, 400, "{body}: {}", page.body);
    assert_eq!(page.header("cache-control"), "no-store");
    serde_json::from_str::<Value>(&page.body).unwrap()["error"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn reg_1_redirect_uris_that_run_code_are_refused() {
    let app = App::start();
    for uri in [
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        "\tjavascript:alert(1)",
        "java\nscript:alert(1)",
        "data:text/html,x",
        "vbscript:x",
        "file:///etc/passwd",
        "blob:https://x/y",
        "about:blank",
        "view-source:https://x/",
    ] {
        assert_eq!(refused(&app, json!({"redirect_uris": [uri]})).await, "invalid_redirect_uri", "{uri:?}");
    }
}

#[tokio::test]
async fn reg_2_reg_3_only_https_and_loopback_addresses_of_plain_form_are_taken() {
    let app = App::start();
    for uri in [
        "http://example.com/cb",
        "https://client.example/cb#f",
        "https://good@evil/",
        "https://*.example/",
        "https://x/*",
        "",
        "/cb",
        "https://x/ y",
        "https:///cb",
        "https:\\\\x",
        "http://127.0.0.1.evil.example/cb",
        "http://0.0.0.0/cb",
    ] {
        assert_eq!(refused(&app, json!({"redirect_uris": [uri]})).await, "invalid_redirect_uri", "{uri:?}");
    }
    let page = register(&app, json!({"redirect_uris": ["https://elsewhere.example/cb"]}).to_string()).await;
    assert!(
        page.body.contains("allowed_redirect_uris: https://elsewhere.example/cb"),
        "the refusal names the line to add: {}",
        page.body
    );
}

#[tokio::test]
async fn reg_4_a_private_scheme_is_taken_when_the_operator_names_it() {
    let app = App::start();
    for uri in ["myapp:/cb", "grokbot://mcp/oauth/callback", "com.example.app:/cb"] {
        assert_eq!(refused(&app, json!({"redirect_uris": [uri]})).await, "invalid_redirect_uri", "{uri}");
    }
    let app = App::with(&BASIC.replace("\"@loopback\"", "\"grokbot://mcp/oauth/callback\", \"com.example.app:/cb\""));
    for uri in ["grokbot://mcp/oauth/callback", "com.example.app:/cb"] {
        let client = Client::register_as(&app, json!({"redirect_uris": [uri]})).await;
        let back = client.authorize(&mut Browser::new(), "alice", &[("redirect_uri", Some(uri))]).await;
        assert!(back.refresh().starts_with(&format!("{uri}?code=")), "{}", back.body);
    }
    for uri in ["grokbot://mcp/oauth/callback/x", "grokbot://mcp/oauth", "com.example.app:/", "myapp:/cb"] {
        assert_eq!(refused(&app, json!({"redirect_uris": [uri]})).await, "invalid_redirect_uri", "{uri}");
    }
}

#[tokio::test]
async fn reg_5_reg_7_at_least_one_redirect_uri_and_not_too_many_or_long() {
    let app = App::start();
    for body in [
        json!({}),
        json!({"redirect_uris": []}),
        json!({"redirect_uris": vec![REDIRECT_URI; 33]}),
        json!({"redirect_uris": [format!("http://localhost/{}", "a".repeat(2049))]}),
    ] {
        refused(&app, body).await;
    }
    assert_eq!(
        refused(&app, json!({"redirect_uris": [REDIRECT_URI], "client_name": "x".repeat(10_000)})).await,
        "invalid_client_metadata"
    );
}

#[tokio::test]
async fn reg_6_native_clients_that_say_nothing_of_their_type_are_registered() {
    let app = App::start();
    let uris = json!(["http://127.0.0.1:1234/cb", "http://[::1]/cb", "http://localhost:33418/cb"]);
    let client = Client::register_as(&app, json!({"redirect_uris": uris})).await;
    assert_eq!(client.registration["redirect_uris"], uris);
    let cursor = json!([
        "cursor://anysphere.cursor-mcp/oauth/callback",
        "https://www.cursor.com/agents/mcp/oauth/callback",
        "http://localhost:8787/callback"
    ]);
    Client::register_as(&app, json!({"redirect_uris": cursor, "application_type": "web"})).await;
}

#[tokio::test]
async fn reg_8_a_hostile_name_is_text_on_every_page() {
    let app = App::start();
    for name in ["<script>alert(1)</script>", "\"><img src=x onerror=alert(1)>", "{{7*7}}", "${7*7}", "%0d%0aX: y"] {
        let client = Client::register_as(&app, json!({"redirect_uris": [REDIRECT_URI], "client_name": name})).await;
        let mut browser = Browser::new();
        let login = browser.open(&client.authorize_url(&[])).await;
        let consent = browser.submit(&login, &[("username", "alice"), ("password", "correct horse")]).await;
        for page in [login, consent] {
            assert_eq!(page.status, 200);
            assert!(
                !page.body.contains("<script") && !page.body.contains("<img src=x") && !page.body.contains(">49<"),
                "{}",
                page.body
            );
        }
    }
}

#[tokio::test]
async fn reg_10_no_address_a_client_names_is_ever_fetched() {
    let app = App::start();
    let canary = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/x", canary.local_addr().unwrap());
    let members =
        ["logo_uri", "client_uri", "policy_uri", "tos_uri", "jwks_uri", "sector_identifier_uri", "initiate_login_uri"];
    for member in members {
        assert_eq!(
            refused(&app, json!({"redirect_uris": [REDIRECT_URI], member: "javascript:alert(1)"})).await,
            "invalid_client_metadata",
            "{member}"
        );
    }
    let mut body = json!({"redirect_uris": [REDIRECT_URI], "request_uris": [url], "post_logout_redirect_uris": [url]});
    for member in members {
        body[member] = url.as_str().into();
    }
    let client = Client::register_as(&app, body).await;
    let page = client.authorize(&mut Browser::new(), "alice", &[]).await;
    assert!(page.answer("code").is_some());
    // Everything that could fetch has been done: nobody knocked.
    let knocked = std::future::poll_fn(|context| std::task::Poll::Ready(canary.poll_accept(context).is_ready())).await;
    assert!(!knocked);
}

#[tokio::test]
async fn reg_11_reg_12_grants_and_scopes_that_do_not_exist_are_not_given() {
    let app = App::start();
    let client = Client::register_as(&app, json!({"redirect_uris": [REDIRECT_URI], "scope": "admin * mcp:admin mcp:read",
        "grant_types": ["authorization_code", "implicit", "password", "client_credentials", "urn:ietf:params:oauth:grant-type:token-exchange"]})).await;
    assert_eq!(client.registration["grant_types"], json!(["authorization_code"]));
    assert_eq!(client.registration["scope"], "mcp:read");
    refused(&app, json!({"redirect_uris": [REDIRECT_URI], "response_types": ["token"]})).await;
    for grant in ["client_credentials", "password", "urn:ietf:params:oauth:grant-type:token-exchange"] {
        let tokens = client.token(&[("grant_type", grant.to_owned()), ("client_id", client.id.clone())]).await;
        assert_eq!((tokens.status, tokens.error()), (400, "unsupported_grant_type"));
    }
    let tokens = client.tokens().await;
    assert!(tokens.body.get("refresh_token").is_none(), "RT-12: not registered for refresh_token");
    assert_eq!(tokens.text("scope"), "mcp:read mcp:write");
}

#[tokio::test]
async fn reg_14_identifiers_are_random_and_secrets_are_stored_as_digests() {
    let app = App::start();
    let mut ids = std::collections::HashSet::new();
    let mut secrets = Vec::new();
    for _ in 0..50 {
        let client = Client::register_as(
            &app,
            json!({"redirect_uris": [REDIRECT_URI], "token_endpoint_auth_method": "client_secret_basic"}),
        )
        .await;
        assert!(client.id.len() >= 22 && ids.insert(client.id.clone()));
        secrets.push(client.registration["client_secret"].as_str().unwrap().to_owned());
    }
    assert!(secrets.iter().all(|secret| secret.len() >= 43));
    for entry in std::fs::read_dir(app.folder.path().join("data")).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        for secret in &secrets {
            assert!(!bytes.windows(secret.len()).any(|window| window == secret.as_bytes()));
        }
    }
}

#[tokio::test]
async fn reg_15_the_answer_has_the_shape_strict_clients_want() {
    let app = App::start();
    let page =
        register(&app, json!({"redirect_uris": [REDIRECT_URI], "logo_uri": null, "tos_uri": ""}).to_string()).await;
    assert_eq!(
        (page.status, page.header("cache-control"), page.header("content-type")),
        (201, "no-store", "application/json")
    );
    let body: Value = serde_json::from_str(&page.body).unwrap();
    assert_eq!(body["token_endpoint_auth_method"], "none");
    assert!(body.get("client_secret").is_none() && body.get("client_secret_expires_at").is_none());
    assert!(body["client_id_issued_at"].is_i64() && !page.body.contains("null") && !page.body.contains("\"\""));
    let secret = Client::register_as(
        &app,
        json!({"redirect_uris": [REDIRECT_URI], "token_endpoint_auth_method": "client_secret_post"}),
    )
    .await;
    assert_eq!(secret.registration["client_secret_expires_at"], 0);
}

#[tokio::test]
async fn reg_15_everything_registered_is_echoed() {
    let app = App::start();
    let sent = json!({"redirect_uris": [REDIRECT_URI], "client_name": "App", "client_name#fr": "Appli", "client_name#ja-Hani-JP": "アプリ",
        "client_uri": "https://client.example/", "client_uri#fr": "https://client.example/fr", "logo_uri": "https://client.example/logo",
        "tos_uri": "https://client.example/tos", "policy_uri": "https://client.example/policy", "contacts": ["a@client.example", "b@client.example"],
        "initiate_login_uri": "https://client.example/login", "post_logout_redirect_uris": ["https://client.example/out"],
        "sector_identifier_uri": "https://client.example/sector", "request_uris": ["https://client.example/request"],
        "jwks_uri": "https://client.example/jwks", "token_endpoint_auth_method": "none", "application_type": "native",
        "software_id": "app", "software_version": "2.0", "scope": "mcp:read", "response_types": ["code"],
        "grant_types": ["authorization_code", "refresh_token"]});
    let client = Client::register_as(&app, sent.clone()).await;
    for (member, value) in sent.as_object().unwrap() {
        assert_eq!(&client.registration[member], value, "{member}");
    }
    let keys = json!({"keys": [{"kty": "EC", "crv": "P-256", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]});
    let with_keys = Client::register_as(&app, json!({"redirect_uris": [REDIRECT_URI], "jwks": keys})).await;
    assert_eq!(with_keys.registration["jwks"], keys);
    // What is neither text nor of a language is nothing that can be registered.
    let odd = json!({"redirect_uris": [REDIRECT_URI], "client_name#": "x", "client_name#fr": 5, "client_name#a b": "x", "made_up": "x", "made_up#fr": "x"});
    let client = Client::register_as(&app, odd).await;
    assert!(!client.registration.as_object().unwrap().keys().any(|name| name.contains('#') || name == "made_up"));
    for (member, value) in [
        ("contacts", json!(vec!["a@client.example"; 33])),
        ("contacts", json!(["a".repeat(2049)])),
        ("post_logout_redirect_uris", json!(vec!["https://client.example/"; 33])),
        ("client_uri#fr", json!("javascript:alert(1)")),
        ("client_name#fr", json!("x".repeat(2049))),
    ] {
        let error = refused(&app, json!({"redirect_uris": [REDIRECT_URI], member: value})).await;
        assert_eq!(error, "invalid_client_metadata", "{member}");
    }
    let mut many = json!({"redirect_uris": [REDIRECT_URI]});
    for number in 0..33 {
        many[format!("client_name#x{number}")] = "x".into();
    }
    assert_eq!(refused(&app, many).await, "invalid_client_metadata");
}

#[tokio::test]
async fn what_a_client_says_clumsily_is_understood() {
    let app = App::start();
    let long = "é".repeat(201);
    let many: Vec<String> = (0..32).map(|number| format!("http://localhost/{number}")).collect();
    for (member, value, registered) in [
        ("grant_types", json!([]), json!(["authorization_code", "refresh_token"])),
        ("response_types", json!([]), json!(["code"])),
        ("token_endpoint_auth_method", json!(""), json!("none")),
        ("software_version", json!(2.5), json!("2.5")),
        ("client_name", json!(long), json!("é".repeat(200))),
        ("redirect_uris", json!(many), json!(many)),
    ] {
        let mut body = json!({"redirect_uris": [REDIRECT_URI], member: value});
        body["software_id"] = member.into();
        let client = Client::register_as(&app, body).await;
        assert_eq!(client.registration[member], registered, "{member}");
    }
    // What says something that cannot be is refused all the same.
    for (member, value) in [
        ("grant_types", json!(["password"])),
        ("response_types", json!(["token"])),
        ("token_endpoint_auth_method", json!("client_secret_jwt")),
        ("software_version", json!({})),
        ("client_name", json!(5)),
    ] {
        refused(&app, json!({"redirect_uris": [REDIRECT_URI], member: value})).await;
    }
}

#[tokio::test]
async fn reg_16_one_address_cannot_flood() {
    let app = App::with(&BASIC.replace("limit: 0", "limit: 5, interval: 5h"));
    let began = std::time::Instant::now();
    let body = json!({"redirect_uris": [REDIRECT_URI]}).to_string();
    for _ in 0..5 {
        assert_eq!(register(&app, body.clone()).await.status, 201);
    }
    let request = http().post(format!("{}/oauth/register", app.url)).header("content-type", "application/json");
    let page = crate::support::browser::Page::read(
        request.header("x-forwarded-for", "1.2.3.4").body(body).send().await.unwrap(),
    )
    .await;
    assert_eq!(page.status, 429, "a forged address shares the bucket");
    // Who comes back when told to must not come too early.
    let told = std::time::Duration::from_secs(page.header("retry-after").parse().unwrap());
    assert!(told + began.elapsed() >= std::time::Duration::from_secs(3600), "{told:?}");
}

#[tokio::test]
async fn reg_17_a_client_with_a_grant_never_makes_room() {
    let app = App::with(&BASIC.replace(
        "allow_dynamic_registration: true",
        "allow_dynamic_registration: true\n    registration: {max_clients: 3}",
    ));
    let used = Client::register(&app).await;
    let tokens = used.tokens().await;
    let first_unused = Client::register(&app).await;
    for _ in 0..5 {
        Client::register(&app).await;
    }
    assert_eq!(used.refresh(tokens.refresh()).await.status, 200);
    let page = Browser::new().open(&first_unused.authorize_url(&[])).await;
    assert_eq!(page.status, 400);
    assert!(page.body.contains("registers anew") && page.goes_nowhere(), "REG-18: {}", page.body);
}

#[tokio::test]
async fn reg_19_malformed_bodies_are_refused_quickly() {
    let app = App::start();
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    let many = format!("{{{}}}", (0..5000).map(|n| format!("\"k{n}\":1")).collect::<Vec<_>>().join(","));
    for body in [
        "null".into(),
        "[]".into(),
        String::new(),
        deep,
        "\u{feff}{}".into(),
        many,
        format!("{{\"redirect_uris\":[\"{REDIRECT_URI}\"],\"redirect_uris\":[\"https://evil.example/cb\"]}}"),
    ] {
        let page = register(&app, body.clone()).await;
        assert!(matches!(page.status, 400 | 413), "{}: {}", page.status, &body[..body.len().min(40)]);
    }
    assert_eq!(register(&app, vec![b'{', 0xff, b'}']).await.status, 400);
    assert_eq!(register(&app, vec![b' '; 1024 * 1024 + 1]).await.status, 413);
    Client::register(&app).await;
}

#[tokio::test]
async fn reg_21_odd_credentials_at_registration_are_no_server_error() {
    let app = App::start();
    for value in ["Bearer", "Bearer ", "bearer\t", "Basic", &"x".repeat(20_000)] {
        let request = http().post(format!("{}/oauth/register", app.url)).header("content-type", "application/json");
        let sent = request
            .header("authorization", value)
            .body(json!({"redirect_uris": [REDIRECT_URI]}).to_string())
            .send()
            .await;
        let status = sent.unwrap().status().as_u16();
        assert!(status < 500, "{status}");
    }
}

#[tokio::test]
async fn reg_18_who_expired_unused_is_told_to_register_anew() {
    let app = App::start();
    let (client, other) = (Client::register(&app).await, Client::register(&app).await);
    other.tokens().await;
    app.clock.advance(std::time::Duration::from_secs(25 * 60 * 60));
    Client::register(&app).await;
    let page = Browser::new().open(&client.authorize_url(&[])).await;
    assert_eq!((page.status, page.goes_nowhere()), (400, true));
    assert!(page.body.contains("add it again"), "{}", page.body);
    let tokens = client.token(&client.redemption("code")).await;
    assert_eq!((tokens.status, tokens.error()), (401, "invalid_client"), "the word that makes clients register anew");
    assert_eq!(Browser::new().open(&other.authorize_url(&[])).await.status, 200, "who was used is kept");
}

#[tokio::test]
async fn reg_27_of_keys_that_a_client_sends_only_what_a_public_key_has_is_kept() {
    let app = App::start();
    let key = json!({"kty": "EC", "crv": "P-256", "x": "x", "y": "y", "kid": "1", "use": "sig", "key_ops": ["verify"]});
    let mut sent = key.clone();
    sent["junk"] = json!("j".repeat(60_000));
    let body = json!({"redirect_uris": [REDIRECT_URI], "jwks": {"keys": [sent], "more": "junk"}});
    let client = Client::register_as(&app, body).await;
    assert_eq!(client.registration["jwks"], json!({"keys": [key]}));
    let uri = client.registration["registration_client_uri"].as_str().unwrap();
    let token = client.registration["registration_access_token"].as_str().unwrap();
    let read = http().get(uri).bearer_auth(token).send().await.unwrap().text().await.unwrap();
    assert!(read.contains("P-256") && !read.contains("junk"), "{read}");
    let mut long = key.clone();
    long["kid"] = json!("j".repeat(17_000));
    let body = json!({"redirect_uris": [REDIRECT_URI], "jwks": {"keys": [long]}});
    assert_eq!(refused(&app, body).await, "invalid_client_metadata");
}
