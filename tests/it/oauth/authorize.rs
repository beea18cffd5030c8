//! The authorization endpoint: who is answered, where, and with what.

use serde_json::json;

use crate::support::client::REDIRECT_URI;
use crate::support::{App, Browser, Client};

const LOOPBACK: &str = "http://127.0.0.1:1/cb";

/// A fault that the person sees: 400, and nothing leads anywhere.
async fn page(client: &Client, changes: &[(&'static str, Option<&str>)]) {
    let page = Browser::new().open(&client.authorize_url(changes)).await;
    assert_eq!((page.status, page.goes_nowhere()), (400, true), "{changes:?}: {page:?}");
    assert!(page.header("content-type").starts_with("text/html"));
}

/// A fault that the client is told: a redirect with the error, the state, and one issuer.
async fn redirected(app: &App, client: &Client, changes: &[(&'static str, Option<&str>)], error: &str) {
    let page = Browser::new().open(&client.authorize_url(changes)).await;
    assert_eq!(page.status, 303, "{changes:?}: {page:?}");
    assert!(page.location().starts_with(&format!("{REDIRECT_URI}?")), "{page:?}");
    assert_eq!(page.answer("error").as_deref(), Some(error), "{changes:?}");
    assert_eq!(page.answer("state").as_deref(), Some("a state & more"));
    assert_eq!(page.answer("iss").as_deref(), Some(app.url.as_str()));
    assert_eq!(page.location().matches("iss=").count(), 1);
    assert!(page.answer("code").is_none() && !page.location().contains('#'));
}

#[tokio::test]
async fn authz_1_an_unknown_client_is_a_page() {
    let app = App::start();
    let client = Client::register(&app).await;
    page(&client, &[("client_id", Some("nobody"))]).await;
    page(&client, &[("client_id", Some("nobody")), ("redirect_uri", None)]).await;
    page(&client, &[("client_id", None)]).await;
}

#[tokio::test]
async fn authz_2_a_redirect_uri_is_the_registered_one_to_the_letter() {
    let app = App::start();
    let client = Client::register(&app).await;
    for uri in [
        "https://client.example/cb/",
        "https://client.example/cb/../x",
        "https://client.example/cb%2e",
        "https://client.example/cb?x=1",
        "https://client.example/cb#f",
        "https://client.example/CB",
        "http://client.example/cb",
        "https://CLIENT.example/cb",
        "https://client.example:443/cb",
        "https://client.example.evil/cb",
        "https://client.example@evil/cb",
        "https://evil/?https://client.example/cb",
        "//client.example/cb",
        "https://client.example\\@evil",
        "https://client.example/cb%00",
        "https://client.example／cb",
        "https://other.example/cb",
    ] {
        page(&client, &[("redirect_uri", Some(uri))]).await;
    }
}

#[tokio::test]
async fn authz_3_authz_4_on_loopback_the_port_varies_and_nothing_else() {
    let app = App::start();
    let client = Client::register_as(&app, json!({"redirect_uris": [LOOPBACK]})).await;
    for port in [":1", ":80", ":5000", ":65535", ""] {
        let uri = format!("http://127.0.0.1{port}/cb");
        let login = Browser::new().open(&client.authorize_url(&[("redirect_uri", Some(&uri))])).await;
        assert!(login.status == 200 && login.body.contains("type=\"password\""), "{uri}: {login:?}");
    }
    for uri in [
        "http://127.0.0.1:0/cb",
        "http://127.0.0.1:99999/cb",
        "http://127.0.0.1:x/cb",
        "http://localhost:5/cb",
        "http://127.0.0.2:5/cb",
        "http://127.0.0.1.evil:5/cb",
        "http://127.0.0.1@evil/cb",
        "http://[::ffff:127.0.0.1]:5/cb",
        "https://127.0.0.1:5/cb",
        "http://127.1:5/cb",
        "http://127.0.0.1:5/other",
        "http://127.0.0.1:5/cb?x",
    ] {
        page(&client, &[("redirect_uri", Some(uri))]).await;
    }
}

#[tokio::test]
async fn authz_5_repeated_identities_are_a_page() {
    let app = App::start();
    let client = Client::register(&app).await;
    for again in ["redirect_uri=https%3A%2F%2Fevil.example%2Fcb", "client_id=other"] {
        for url in [
            format!("{}&{again}", client.authorize_url(&[])),
            client.authorize_url(&[]).replacen('?', &format!("?{again}&"), 1),
        ] {
            let page = Browser::new().open(&url).await;
            assert_eq!((page.status, page.goes_nowhere()), (400, true), "{url}");
        }
    }
}

#[tokio::test]
async fn authz_6_a_left_out_redirect_uri_is_the_only_one_registered() {
    let app = App::start();
    let one = Client::register(&app).await;
    assert_eq!(Browser::new().open(&one.authorize_url(&[("redirect_uri", None)])).await.status, 200);
    let two = Client::register_as(&app, json!({"redirect_uris": [REDIRECT_URI, "https://other.example/cb"]})).await;
    page(&two, &[("redirect_uri", None)]).await;
}

#[tokio::test]
async fn authz_7_without_a_good_s256_challenge_there_is_no_code() {
    let app = App::start();
    let client = Client::register(&app).await;
    let (short, long) = ("a".repeat(42), "a".repeat(129));
    for challenge in [
        None,
        Some(""),
        Some(short.as_str()),
        Some(long.as_str()),
        Some("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw+c="),
        Some("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw/cM"),
    ] {
        redirected(&app, &client, &[("code_challenge", challenge)], "invalid_request").await;
    }
    for method in [None, Some(""), Some("plain"), Some("s256"), Some("S512")] {
        redirected(&app, &client, &[("code_challenge_method", method)], "invalid_request").await;
    }
    let twice = format!("{}&code_challenge_method=S256", client.authorize_url(&[]));
    assert_eq!(Browser::new().open(&twice).await.answer("error").as_deref(), Some("invalid_request"));
}

#[tokio::test]
async fn authz_8_only_the_code_response_exists() {
    let app = App::start();
    let client = Client::register(&app).await;
    redirected(&app, &client, &[("response_type", None)], "invalid_request").await;
    for kind in ["token", "id_token", "code token", "none"] {
        redirected(&app, &client, &[("response_type", Some(kind))], "unsupported_response_type").await;
    }
    redirected(&app, &client, &[("response_mode", Some("fragment"))], "invalid_request").await;
}

#[tokio::test]
async fn authz_10_request_objects_are_neither_read_nor_fetched() {
    let app = App::start();
    let client = Client::register(&app).await;
    let canary = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/request.jwt", canary.local_addr().unwrap());
    redirected(&app, &client, &[("request", Some("eyJhbGciOiJub25lIn0.e30."))], "request_not_supported").await;
    redirected(&app, &client, &[("request_uri", Some(&url))], "request_uri_not_supported").await;
    let knocked = std::future::poll_fn(|context| std::task::Poll::Ready(canary.poll_accept(context).is_ready())).await;
    assert!(!knocked);
}

#[tokio::test]
async fn authz_11_the_resource_is_ours_or_the_request_is_refused() {
    let app = App::start();
    let client = Client::register(&app).await;
    let ours = app.resource();
    for resource in [
        "https://other.example/mcp",
        &format!("{ours}#frag"),
        "/mcp",
        &format!("{ours}-evil"),
        &format!("{ours}//"),
        &app.url,
        "urn:mcp",
    ] {
        redirected(&app, &client, &[("resource", Some(resource))], "invalid_target").await;
    }
    let twice = format!("{}&resource=https%3A%2F%2Fother.example", client.authorize_url(&[]));
    assert_eq!(Browser::new().open(&twice).await.answer("error").as_deref(), Some("invalid_target"));
    for resource in [ours.clone(), format!("{ours}/"), ours.replace("http://", "HTTP://")] {
        let page = Browser::new().open(&client.authorize_url(&[("resource", Some(&resource))])).await;
        assert_eq!(page.status, 200, "{resource}");
    }
    assert_eq!(
        Browser::new().open(&client.authorize_url(&[("resource", None)])).await.status,
        200,
        "the only resource there is"
    );
}

#[tokio::test]
async fn authz_13_scopes_that_do_not_exist_are_dropped_or_refused() {
    let app = App::start();
    let client = Client::register(&app).await;
    for scope in ["unknown", "a\"b", "a\\b", "a\u{7}b"] {
        redirected(&app, &client, &[("scope", Some(scope))], "invalid_scope").await;
    }
    let page =
        client.authorize(&mut Browser::new(), "alice", &[("scope", Some("mcp:read offline_access unknown"))]).await;
    let tokens = client.redeem(&page.answer("code").unwrap()).await;
    assert_eq!(tokens.text("scope"), "mcp:read");
    for scope in [None, Some("offline_access")] {
        let page = client.authorize(&mut Browser::new(), "rita", &[("scope", scope)]).await;
        let tokens = client.redeem(&page.answer("code").unwrap()).await;
        assert_eq!(tokens.text("scope"), "mcp:read", "what the user may have");
    }
    let page = client.authorize(&mut Browser::new(), "rita", &[("scope", Some("mcp:write"))]).await;
    assert_eq!(page.answer("error").as_deref(), Some("invalid_scope"), "an empty intersection is never all scopes");
}

#[tokio::test]
async fn authz_15_one_issuer_in_every_response() {
    let app = App::start();
    let client = Client::register(&app).await;
    let allowed = client.authorize(&mut Browser::new(), "alice", &[]).await;
    let mut browser = Browser::new();
    let login = browser.open(&client.authorize_url(&[])).await;
    let denied = browser.submit(&login, &[("decision", "cancel")]).await;
    for page in [&allowed, &denied] {
        assert_eq!(page.refresh().matches("iss=").count(), 1);
        assert_eq!(page.answer("iss").as_deref(), Some(app.url.as_str()));
        assert_eq!(page.answer("state").as_deref(), Some("a state & more"));
    }
    for uri in ["https://client.example/cb?iss=https://evil.example", "https://client.example/cb?code=x"] {
        let page = crate::support::client::register(&app, json!({"redirect_uris": [uri]}).to_string()).await;
        assert_eq!(page.status, 400, "{uri}");
    }
}

#[tokio::test]
async fn authz_16_nobody_is_sent_to_an_unvouched_address_before_login() {
    let app = App::start();
    let client = Client::register_as(&app, json!({"redirect_uris": [LOOPBACK]})).await;
    let page = Browser::new()
        .open(&client.authorize_url(&[("redirect_uri", Some(LOOPBACK)), ("scope", Some("unknown"))]))
        .await;
    assert_eq!((page.status, page.goes_nowhere()), (400, true));
    assert!(
        page.body.contains("href=\"http://127.0.0.1:1/cb?error&#61;invalid_scope")
            || page.body.contains("href=\"http://127.0.0.1:1/cb?error=invalid_scope"),
        "{}",
        page.body
    );
}

#[tokio::test]
async fn authz_17_without_a_person_there_is_no_silent_code() {
    let app = App::start();
    let client = Client::register(&app).await;
    redirected(&app, &client, &[("prompt", Some("none"))], "login_required").await;
    assert_eq!(Browser::new().open(&client.authorize_url(&[("prompt", Some("consent"))])).await.status, 200);
}

#[tokio::test]
async fn authz_18_every_page_is_locked_down() {
    let app = App::start();
    let client = Client::register(&app).await;
    let mut browser = Browser::new();
    let login = browser.open(&client.authorize_url(&[])).await;
    let wrong = browser.submit(&login, &[("username", "alice"), ("password", "x")]).await;
    let consent = browser.submit(&wrong, &[("username", "alice"), ("password", "correct horse")]).await;
    let returning = browser.submit(&consent, &[("decision", "allow")]).await;
    let error = browser.open(&client.authorize_url(&[("client_id", Some("nobody"))])).await;
    for page in [&login, &wrong, &consent, &returning, &error] {
        let policy = page.header("content-security-policy");
        for directive in ["default-src 'none'", "form-action 'self'", "frame-ancestors 'none'", "base-uri 'none'"] {
            assert!(policy.contains(directive), "{policy}");
        }
        assert_eq!(page.header("x-frame-options"), "DENY");
        assert_eq!(page.header("x-content-type-options"), "nosniff");
        assert_eq!(page.header("referrer-policy"), "no-referrer");
        assert_eq!(page.header("cache-control"), "no-store");
        assert!(!page.body.contains("<script") && !page.body.contains(" style="));
    }
}

#[tokio::test]
async fn authz_19_no_redirect_repeats_a_form() {
    let app = App::start();
    let client = Client::register(&app).await;
    let mut browser = Browser::new();
    let login = browser.open(&client.authorize_url(&[])).await;
    let answer = browser
        .post(&login.action(), &[("csrf", &login.csrf()), ("username", "alice"), ("password", "correct horse")])
        .await;
    assert_eq!(answer.status, 303);
}

#[tokio::test]
async fn authz_20_looking_ahead_begins_nothing() {
    let app = App::start();
    let client = Client::register(&app).await;
    let http = crate::support::client::http();
    let url = client.authorize_url(&[]);
    for request in [
        http.head(&url),
        http.request(reqwest::Method::OPTIONS, &url),
        http.get(&url).header("sec-purpose", "prefetch"),
    ] {
        let response = request.send().await.unwrap();
        assert!(
            response.headers().get("set-cookie").is_none() && response.headers().get("location").is_none(),
            "{response:?}"
        );
    }
}

#[tokio::test]
async fn authz_21_unreadable_queries_are_refused() {
    let app = App::start();
    for query in ["client_id=%zz".to_owned(), "client_id=%ff".to_owned(), "a=1&".repeat(5000), "a".repeat(40_000)] {
        let page = Browser::new().open(&format!("{}/oauth/authorize?{query}", app.url)).await;
        assert!(matches!(page.status, 400 | 414 | 431), "{}", page.status);
    }
    // What is asked is kept as long as the flow: ten thousand long ones would fill the disk.
    let client = Client::register(&app).await;
    let (long, longest) = ("s".repeat(8 * 1024), "s".repeat(7 * 1024));
    let page = Browser::new().open(&client.authorize_url(&[("state", Some(&long))])).await;
    assert_eq!((page.status, page.header("set-cookie"), page.goes_nowhere()), (414, "", true));
    assert_eq!(Browser::new().open(&client.authorize_url(&[("state", Some(&longest))])).await.status, 200);
}

#[tokio::test]
async fn authz_22_nothing_sent_is_reflected_unescaped() {
    let app = App::start();
    let client = Client::register(&app).await;
    for (name, _) in client.request() {
        let page = Browser::new().open(&client.authorize_url(&[(name, Some("\"><script>alert(1)</script>"))])).await;
        assert!(!page.body.contains("<script>"), "{name}");
    }
}

#[tokio::test]
async fn authz_23_a_code_is_random_and_says_nothing() {
    let app = App::start();
    let client = Client::register(&app).await;
    let mut seen = std::collections::HashSet::new();
    for _ in 0..20 {
        let code = client.code().await;
        assert!(code.len() == 43 && code.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)));
        // 256 bits, of which no two codes share a quarter: nothing in them counts, or names a person or a client.
        for part in 0..4 {
            assert!(seen.insert((part, code[part * 10..part * 10 + 10].to_owned())), "{code}");
        }
    }
}
