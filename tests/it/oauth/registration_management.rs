//! What a client does with its registration later (RFC 7592), registering again and again, and who may register at all.

use serde_json::{Value, json};

use crate::oauth::audit;
use crate::support::app::{BASIC, PASSWORD};
use crate::support::browser::Page;
use crate::support::client::{REDIRECT_URI, http, metadata, register};
use crate::support::mcp::Session;
use crate::support::{App, Browser, Client};

const OTHER_URI: &str = "https://other.example/cb";
const ON: &str = "allow_dynamic_registration: true";

/// With these members of `registration`.
fn app_with(registration: &str) -> App {
    App::with(&BASIC.replace(ON, &format!("{ON}\n    registration: {{{registration}}}")))
}

fn text<'a>(registration: &'a Value, member: &str) -> &'a str {
    registration[member].as_str().unwrap_or_else(|| panic!("no {member} in {registration}"))
}

/// A request to a client's own address with its token, and JSON if there is any.
async fn manage(registration: &Value, method: reqwest::Method, body: Option<&Value>) -> Page {
    let request = http().request(method, text(registration, "registration_client_uri"));
    let request = request.bearer_auth(text(registration, "registration_access_token"));
    let request = match body {
        Some(body) => request.json(body),
        None => request,
    };
    Page::read(request.send().await.unwrap()).await
}

fn json_of(page: &Page) -> Value {
    serde_json::from_str(&page.body).unwrap_or_else(|error| panic!("{error}: {page:?}"))
}

/// Whether this takes the browser back to the client.
fn is_answer(page: &Page) -> bool {
    page.body.contains("http-equiv=\"refresh\"")
}

fn is_unauthorized(page: &Page) -> bool {
    page.status == 401
        && json_of(page)["error"] == "invalid_token"
        && page.header("www-authenticate").starts_with("Bearer")
        && page.header("cache-control") == "no-store"
}

#[tokio::test]
async fn a_client_reads_what_it_registered() {
    let app = App::start();
    let cursor = json!([
        "cursor://anysphere.cursor-mcp/oauth/callback",
        "https://www.cursor.com/agents/mcp/oauth/callback",
        "http://localhost:8787/callback"
    ]);
    let client = Client::register_as(&app, json!({"redirect_uris": cursor, "client_name": "Cursor"})).await;
    let page = manage(&client.registration, reqwest::Method::GET, None).await;
    assert_eq!((page.status, page.header("cache-control")), (200, "no-store"));
    assert_eq!(json_of(&page), client.registration, "RFC 7592 §3: all of it, the token too, which stays the same");
    assert_eq!(client.registration["redirect_uris"], cursor);
    assert!(!page.body.contains("null"));
    let post = manage(&client.registration, reqwest::Method::POST, Some(&json!({}))).await;
    assert_eq!((post.status, post.header("allow")), (405, "GET, PUT, DELETE"));
}

#[tokio::test]
async fn reg_14_reg_21_only_its_own_token_opens_a_registration() {
    let app = App::start();
    let (client, other) = (Client::register(&app).await, Client::register(&app).await);
    let uri = text(&client.registration, "registration_client_uri").to_owned();
    let own = text(&client.registration, "registration_access_token").to_owned();
    assert!(own.len() >= 43, "256 bits");
    let foreign = text(&other.registration, "registration_access_token").to_owned();
    let elsewhere = uri.replace(&client.id, "nobody");
    for (uri, authorization) in [
        (&uri, format!("Bearer {foreign}")),
        (&uri, format!("Bearer {own}x")),
        (&uri, "Bearer".to_owned()),
        (&uri, "Bearer ".to_owned()),
        (&uri, format!("Basic {own}")),
        (&uri, "x".repeat(20_000)),
        (&elsewhere, format!("Bearer {own}")),
    ] {
        for method in [reqwest::Method::GET, reqwest::Method::DELETE, reqwest::Method::PUT] {
            let body = json!({"client_id": client.id, "redirect_uris": [OTHER_URI]});
            let request = http().request(method, uri).header("authorization", &authorization).json(&body);
            let page = Page::read(request.send().await.unwrap()).await;
            assert!(is_unauthorized(&page) || page.status == 431, "{authorization:.40}: {page:?}");
        }
    }
    assert!(is_unauthorized(&Page::read(http().get(&uri).send().await.unwrap()).await));
    let page = manage(&client.registration, reqwest::Method::GET, None).await;
    assert_eq!(json_of(&page), client.registration, "nothing has changed");
    for entry in std::fs::read_dir(app.folder.path().join("data")).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        assert!(!bytes.windows(own.len()).any(|window| window == own.as_bytes()), "kept as a digest");
    }
}

#[tokio::test]
async fn reg_24_an_update_needs_new_consent_and_leaves_tokens_alone() {
    let app = App::start();
    let client = Client::register(&app).await;
    let tokens = client.tokens().await;
    let log_in = async |uri: &str| {
        let mut browser = Browser::new();
        let login = browser.open(&client.authorize_url(&[("redirect_uri", Some(uri))])).await;
        browser.submit(&login, &[("username", "alice"), ("password", PASSWORD)]).await
    };
    let silent = log_in(REDIRECT_URI).await;
    assert!(is_answer(&silent), "the consent is remembered: {}", silent.body);
    let update = json!({"client_id": client.id, "redirect_uris": [REDIRECT_URI, OTHER_URI], "client_name": "Another"});
    let updated = manage(&client.registration, reqwest::Method::PUT, Some(&update)).await;
    assert_eq!((updated.status, updated.header("cache-control")), (200, "no-store"), "{}", updated.body);
    let updated = json_of(&updated);
    assert_eq!((&updated["client_id"], &updated["client_name"]), (&json!(client.id), &json!("Another")));
    assert_eq!(updated["redirect_uris"], update["redirect_uris"]);
    assert_eq!(updated["registration_access_token"], client.registration["registration_access_token"]);
    assert!(updated.get("software_version").is_none(), "RFC 7592 §2.2: what is left out is gone");
    for uri in [REDIRECT_URI, OTHER_URI] {
        let asked = log_in(uri).await;
        assert!(!is_answer(&asked) && asked.body.contains("Another"), "{uri}: {}", asked.body);
    }
    assert_eq!(client.refresh(tokens.refresh()).await.status, 200);
}

#[tokio::test]
async fn an_update_keeps_to_the_rules_of_registering() {
    let app = App::start();
    let asked = json!({"redirect_uris": [REDIRECT_URI], "token_endpoint_auth_method": "client_secret_post"});
    let client = Client::register_as(&app, asked.clone()).await;
    let secret = text(&client.registration, "client_secret").to_owned();
    let read = json_of(&manage(&client.registration, reqwest::Method::GET, None).await);
    assert!(read.get("client_secret").is_none() && read.get("client_secret_expires_at").is_none(), "{read}");
    let with = |members: Value| {
        let mut body = asked.clone();
        body.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        body
    };
    for (body, error) in [
        (with(json!({})), "invalid_client_metadata"),
        (with(json!({"client_id": "another"})), "invalid_client_metadata"),
        (with(json!({"client_id": client.id, "client_secret": "one of my own choice"})), "invalid_client_metadata"),
        (with(json!({"client_id": client.id, "redirect_uris": ["javascript:alert(1)"]})), "invalid_redirect_uri"),
        (
            with(json!({"client_id": client.id, "redirect_uris": ["https://elsewhere.example/"]})),
            "invalid_redirect_uri",
        ),
        (json!({"client_id": client.id}), "invalid_redirect_uri"),
        (json!([]), "invalid_client_metadata"),
    ] {
        let page = manage(&client.registration, reqwest::Method::PUT, Some(&body)).await;
        assert_eq!((page.status, json_of(&page)["error"].as_str()), (400, Some(error)), "{body}");
    }
    // Many send back all that they were sent; the secret stays the one that it was.
    let page = manage(&client.registration, reqwest::Method::PUT, Some(&client.registration)).await;
    assert_eq!((page.status, json_of(&page)), (200, client.registration.clone()));
    let code = client.code().await;
    let mut form = client.redemption(&code);
    form.push(("client_secret", secret));
    let tokens = client.token(&form).await;
    assert_eq!(tokens.status, 200, "{tokens:?}");
    // Who says nothing of how it proves itself goes on as before: it is not made a public client without a word.
    let silent = json!({"client_id": client.id, "redirect_uris": [REDIRECT_URI], "client_name": "Silent"});
    for method in [Value::Null, json!("")] {
        let mut silent = silent.clone();
        silent["token_endpoint_auth_method"] = method;
        let page = manage(&client.registration, reqwest::Method::PUT, Some(&silent)).await;
        let answered = json_of(&page);
        assert_eq!((page.status, text(&answered, "token_endpoint_auth_method")), (200, "client_secret_post"));
    }
    let bare = client.refresh(tokens.refresh()).await;
    assert_eq!((bare.status, bare.error()), (401, "invalid_client"), "its secret is asked for as before");
    // Who needs no secret any more is another: what the secret protected ends.
    let public = json!({"client_id": client.id, "redirect_uris": [REDIRECT_URI], "token_endpoint_auth_method": "none"});
    let page = manage(&client.registration, reqwest::Method::PUT, Some(&public)).await;
    assert_eq!((page.status, json_of(&page)["token_endpoint_auth_method"].as_str()), (200, Some("none")));
    let refreshed = client.refresh(tokens.refresh()).await;
    assert_eq!((refreshed.status, refreshed.error()), (400, "invalid_grant"));
    assert_eq!(Session::new(&app, tokens.access()).status().await, 401);
    // And back: it is given another.
    let page = manage(&client.registration, reqwest::Method::PUT, Some(&with(json!({"client_id": client.id})))).await;
    assert!(text(&json_of(&page), "client_secret").len() >= 43);
}

#[tokio::test]
async fn reg_25_a_client_that_removes_itself_takes_its_tokens_along() {
    let app = App::start();
    let (client, other) = (Client::register(&app).await, Client::register(&app).await);
    let (tokens, others) = (client.tokens().await, other.tokens().await);
    assert_eq!(Session::new(&app, tokens.access()).status().await, 200);
    let pending = client.code().await;
    let gone = manage(&client.registration, reqwest::Method::DELETE, None).await;
    assert_eq!((gone.status, gone.body.as_str(), gone.header("cache-control")), (204, "", "no-store"));
    assert_eq!(Session::new(&app, tokens.access()).status().await, 401, "at once");
    for answer in [client.refresh(tokens.refresh()).await, client.redeem(&pending).await] {
        assert_eq!((answer.status, answer.error()), (401, "invalid_client"), "the word that makes it register anew");
    }
    for method in [reqwest::Method::GET, reqwest::Method::DELETE] {
        assert!(is_unauthorized(&manage(&client.registration, method, None).await), "RFC 7592 §2: 401, not 404");
    }
    let page = Browser::new().open(&client.authorize_url(&[])).await;
    assert!(page.status == 400 && page.goes_nowhere());
    assert_eq!(Session::new(&app, others.access()).status().await, 200, "nobody else's");
}

#[tokio::test]
async fn reg_26_registering_the_same_again_and_again_fills_nothing() {
    let app = App::start();
    let body = json!({"redirect_uris": [REDIRECT_URI], "client_name": "Again"});
    let first = Client::register_as(&app, body.clone()).await;
    let second = Client::register_as(&app, body.clone()).await;
    assert_ne!(second.id, first.id, "whoever came first may be somebody else");
    for _ in 0..100 {
        let again = Client::register_as(&app, body.clone()).await;
        assert_eq!(again.id, second.id);
        for one in [&again, &second] {
            assert!(one.registration.get("registration_access_token").is_none(), "nobody manages what is everybody's");
            assert!(one.registration.get("registration_client_uri").is_none());
        }
    }
    // The first keeps its own.
    assert_eq!(json_of(&manage(&first.registration, reqwest::Method::GET, None).await), first.registration);
    let others = [
        json!({"redirect_uris": [REDIRECT_URI], "client_name": "Another"}),
        json!({"redirect_uris": [OTHER_URI], "client_name": "Again"}),
        json!({"redirect_uris": [REDIRECT_URI], "client_name": "Again", "grant_types": ["authorization_code"]}),
    ];
    for other in others {
        assert!(![&first.id, &second.id].contains(&&Client::register_as(&app, other).await.id));
    }
    // Everybody who has it can go on with it; once it is used, it is nobody else's.
    second.tokens().await;
    let next = Client::register_as(&app, body.clone()).await;
    assert!(![&first.id, &second.id].contains(&&next.id));
    // It is kept as long as somebody has just registered it.
    app.clock.advance(std::time::Duration::from_secs(23 * 60 * 60));
    let same = Client::register_as(&app, body).await;
    app.clock.advance(std::time::Duration::from_secs(2 * 60 * 60));
    assert_eq!(same.id, next.id);
    assert_eq!(Browser::new().open(&same.authorize_url(&[])).await.status, 200);
}

#[tokio::test]
async fn reg_26_a_client_with_a_credential_and_one_from_elsewhere_are_always_new() {
    let yaml = BASIC.replace("listen: 127.0.0.1:0", "listen: 127.0.0.1:0\n  trusted_proxies: [127.0.0.1/32]");
    let app = App::with(&yaml);
    let body = |method: &str| json!({"redirect_uris": [REDIRECT_URI], "token_endpoint_auth_method": method});
    let secret = body("client_secret_basic");
    let (one, two) = (Client::register_as(&app, secret.clone()).await, Client::register_as(&app, secret).await);
    assert!(one.id != two.id && one.registration["client_secret"] != two.registration["client_secret"]);
    let from = async |address: &str| {
        let request = http().post(format!("{}/oauth/register", app.url)).header("x-forwarded-for", address);
        let page = Page::read(request.json(&body("none")).send().await.unwrap()).await;
        text(&json_of(&page), "client_id").to_owned()
    };
    let here = from("203.0.113.1").await;
    let again = from("203.0.113.1").await;
    assert_eq!(from("203.0.113.1").await, again);
    for _ in 0..2 {
        assert!(![&here, &again].contains(&&from("203.0.113.2").await));
    }
    from("2001:db8:1:2::1").await;
    let customer = from("2001:db8:1:2::1").await;
    assert_eq!(from("2001:db8:1:2:ffff::9").await, customer, "the /64 that one customer has");
}

#[tokio::test]
async fn reg_22_where_the_operator_gives_tokens_out_only_who_has_one_registers() {
    let token = "an initial access token of 32 or more characters";
    let digest = mcp_bridge::base::digest::Digest::of_bytes(token.as_bytes());
    let digest: String = digest.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    for written in
        [format!("initial_access_token: \"{token}\""), format!("initial_access_token_hash: \"sha256:{digest}\"")]
    {
        let app = app_with(&written);
        let send = async |authorization: Option<&str>| {
            let mut request = http().post(format!("{}/oauth/register", app.url));
            if let Some(value) = authorization {
                request = request.header("authorization", value);
            }
            let request = request.json(&json!({"redirect_uris": [REDIRECT_URI]}));
            Page::read(request.send().await.unwrap()).await
        };
        for wrong in [None, Some("Bearer"), Some("Bearer "), Some("bearer\t"), Some("Basic"), Some("Bearer wrong")] {
            let page = send(wrong).await;
            assert!(is_unauthorized(&page), "{wrong:?}: {page:?}");
        }
        assert!(is_unauthorized(&send(Some(&format!("Basic {token}"))).await));
        assert!(is_unauthorized(&send(Some(&format!("Bearer sha256:{digest}"))).await));
        let page = send(Some(&format!("Bearer {token}"))).await;
        assert_eq!(page.status, 201, "{}", page.body);
        // What manages a client is its own token, not the one for registering.
        let registration = json_of(&page);
        let uri = text(&registration, "registration_client_uri");
        let other = http().get(uri).bearer_auth(token).send().await.unwrap();
        assert!(is_unauthorized(&Page::read(other).await));
        assert_eq!(manage(&registration, reqwest::Method::GET, None).await.status, 200);
        assert!(metadata(&app).await["registration_endpoint"].is_string());
    }
}

#[tokio::test]
async fn reg_29_where_registration_is_off_there_is_no_endpoint() {
    let app = App::with(&BASIC.replace(ON, "allow_dynamic_registration: false"));
    assert!(metadata(&app).await.get("registration_endpoint").is_none());
    let page = register(&app, json!({"redirect_uris": [REDIRECT_URI]}).to_string()).await;
    assert_eq!(page.status, 404);
    for method in [reqwest::Method::GET, reqwest::Method::DELETE] {
        let request = http().request(method, format!("{}/oauth/register/x", app.url)).bearer_auth("x");
        assert_eq!(request.send().await.unwrap().status(), 404);
    }
}

#[tokio::test]
async fn reg_16_the_rate_of_registrations_has_a_key_of_its_own() {
    let app = app_with("rate: 3/1h");
    let send = async |name: usize| {
        register(&app, json!({"redirect_uris": [REDIRECT_URI], "client_name": name.to_string()}).to_string()).await
    };
    for name in 0..3 {
        assert_eq!(send(name).await.status, 201);
    }
    let page = send(3).await;
    assert_eq!(page.status, 429);
    assert!(page.header("retry-after").parse::<u64>().unwrap() > 1000);
}

#[tokio::test]
async fn reg_18_an_expired_client_is_unknown_before_anybody_cleans_up() {
    let app = App::start();
    let client = Client::register(&app).await;
    app.clock.advance(std::time::Duration::from_secs(24 * 60 * 60 - 1));
    assert_eq!(Browser::new().open(&client.authorize_url(&[])).await.status, 200);
    app.clock.advance(std::time::Duration::from_secs(1));
    let page = Browser::new().open(&client.authorize_url(&[])).await;
    assert!(page.status == 400 && page.goes_nowhere() && page.body.contains("add it again"), "{}", page.body);
    assert!(is_unauthorized(&manage(&client.registration, reqwest::Method::GET, None).await));
}

#[tokio::test]
async fn what_a_client_does_with_its_registration_stands_in_the_trail() {
    let app = audit::recorded();
    let client = Client::register(&app).await;
    let update = json!({"client_id": client.id, "redirect_uris": [REDIRECT_URI], "client_name": "Another"});
    assert_eq!(manage(&client.registration, reqwest::Method::PUT, Some(&update)).await.status, 200);
    assert_eq!(manage(&client.registration, reqwest::Method::DELETE, None).await.status, 204);
    let expected = ["client added - - client", "client changed - - client", "client removed - - client"];
    assert_eq!(audit::told(app.folder.path(), &client), expected);
}
