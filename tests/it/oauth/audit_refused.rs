//! The audit trail of refusals: each has a line that names whoever is known, and no stranger's text.

use std::time::Duration;

use josekit::jwk::KeyPair as _;
use josekit::jwk::alg::ec::EcKeyPair;
use josekit::jws::{ES256, JwsHeader};
use serde_json::{Value, json};

use super::audit::{lines, recorded, recorded_with, told};
use crate::support::app::{BASIC, PASSWORD, WRONG};
use crate::support::browser::Page;
use crate::support::client::{REDIRECT_URI, Tokens, http, register};
use crate::support::mcp::Session;
use crate::support::program::command;
use crate::support::{App, Browser, Client};

const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
const EVIL: &str = "https://evil.example/cb";

/// The lines since the first so many.
fn since(app: &App, client: &Client, before: usize) -> Vec<String> {
    told(app.folder.path(), client).split_off(before)
}

async fn with_secret(app: &App, client: &Client, endpoint: &str, secret: &str) -> Tokens {
    let form = [("grant_type", "refresh_token"), ("refresh_token", "x"), ("token", "x")];
    let request = http().post(format!("{}/oauth/{endpoint}", app.url)).basic_auth(&client.id, Some(secret));
    Client::read(request.form(&form)).await
}

/// A refresh with an assertion signed by `key`.
async fn asserted(app: &App, client: &Client, key: &EcKeyPair, [audience, jti]: [&str; 2]) -> Tokens {
    let expires_at = app.clock.now().unix() + 60;
    let claims = json!({"iss": client.id, "sub": client.id, "aud": audience, "exp": expires_at, "jti": jti});
    let signer = ES256.signer_from_jwk(&key.to_jwk_private_key()).unwrap();
    let signed = josekit::jws::serialize_compact(claims.to_string().as_bytes(), &JwsHeader::new(), &signer).unwrap();
    let form = [
        ("grant_type", "refresh_token".to_owned()),
        ("refresh_token", "x".to_owned()),
        ("client_assertion_type", ASSERTION.to_owned()),
        ("client_assertion", signed),
    ];
    client.token(&form).await
}

#[tokio::test]
async fn cimd_19_an_assertion_that_proves_nothing_stands_in_the_trail() {
    let app = recorded();
    let (key, stranger) = (ES256.generate_key_pair().unwrap(), ES256.generate_key_pair().unwrap());
    let method = json!("private_key_jwt");
    let jwks = json!({"keys": [key.to_jwk_public_key()]});
    let body = json!({"redirect_uris": [REDIRECT_URI], "token_endpoint_auth_method": method, "jwks": jwks});
    let client = Client::register_as(&app, body).await;
    let failed = "token refused client_assertion_refused - client";
    for (key, said, expected) in [
        (&stranger, [app.url.as_str(), "1"], ("invalid_client", failed)),
        (&key, ["https://other.example", "2"], ("invalid_client", failed)),
        (&key, [app.url.as_str(), "3"], ("invalid_grant", "token refused invalid_grant - client")),
        (&key, [app.url.as_str(), "3"], ("invalid_client", "token refused client_assertion_replayed - client")),
    ] {
        // Each kind has its line a minute.
        app.clock.advance(Duration::from_secs(60));
        let before = told(app.folder.path(), &client).len();
        let answered = asserted(&app, &client, key, said).await;
        assert_eq!(answered.error(), expected.0, "{answered:?}");
        assert_eq!(since(&app, &client, before), [expected.1]);
    }
    let bare = client.refresh("x").await;
    assert_eq!(bare.error(), "invalid_client");
    assert_eq!(told(app.folder.path(), &client).last().unwrap(), "token refused client_authentication_failed - client");
}

#[tokio::test]
async fn tok_10_guesses_of_a_secret_are_told_and_counted_by_themselves() {
    let app = recorded();
    let secret = json!({"redirect_uris": [REDIRECT_URI], "token_endpoint_auth_method": "client_secret_basic"});
    let (client, other) = (Client::register_as(&app, secret).await, Client::register(&app).await);
    for guess in 0..10 {
        assert_eq!(with_secret(&app, &client, "token", &format!("guess-{guess}")).await.status, 401);
    }
    for endpoint in ["token", "revoke", "introspect"] {
        assert_eq!(with_secret(&app, &client, endpoint, "guess").await.status, 429, "{endpoint}");
    }
    app.clock.advance(Duration::from_secs(60));
    assert_eq!(other.refresh("x").await.error(), "invalid_grant");
    assert_eq!(with_secret(&app, &client, "token", "guess").await.status, 429);
    let expected = [
        "token refused client_authentication_failed - client",
        "token refused too_many_wrong_secrets - client",
        "token refused invalid_grant - -",
        "token refused too_many_wrong_secrets - client",
    ];
    assert_eq!(since(&app, &client, 2), expected);
    let counts: Vec<Value> = lines(app.folder.path())[4..].iter().map(|line| line["count"].clone()).collect();
    assert_eq!(counts, [json!(null), json!(2)], "what one client withheld is no other's");
    assert_eq!(lines(app.folder.path())[4]["oauth_client_id"], other.id.as_str());
    let unproven = http().post(format!("{}/oauth/introspect", app.url)).form(&[("token", "x")]);
    assert_eq!(Client::read(unproven).await.error(), "invalid_client");
    assert_eq!(told(app.folder.path(), &client).last().unwrap(), "token refused invalid_client - -");
}

#[tokio::test]
async fn tok_7_a_credential_of_another_client_names_who_brought_it_and_whose_it_is() {
    let app = recorded();
    let (owner, thief) = (Client::register(&app).await, Client::register(&app).await);
    let (code, tokens) = (owner.code().await, owner.tokens().await);
    let before = lines(app.folder.path()).len();
    assert_eq!(thief.refresh(tokens.refresh()).await.error(), "invalid_grant");
    assert_eq!(thief.redeem(&code).await.error(), "invalid_grant");
    assert_eq!(owner.redeem_with(&code, "code_verifier", Some(&"v".repeat(43))).await.error(), "invalid_grant");
    assert_eq!(owner.refresh_with(tokens.refresh(), &[("scope", "mcp:admin")]).await.error(), "invalid_scope");
    let expected = [
        "token refused refresh_token_of_another_client alice client",
        "token refused code_of_another_client alice client",
        "token refused wrong_code_verifier alice -",
        "token refused invalid_scope alice -",
    ];
    assert_eq!(since(&app, &thief, before), expected);
    let elsewhere = [("resource", "https://other.example/mcp")];
    assert_eq!(thief.refresh_with("x", &elsewhere).await.error(), "invalid_grant");
    let alone = vec![("grant_type", "client_credentials".to_owned()), ("client_id", thief.id.clone())];
    assert_eq!(thief.token(&alone).await.status, 400);
    assert_eq!(since(&app, &thief, before + 4)[0], "token refused invalid_grant - client");
}

fn text<'a>(registration: &'a Value, member: &str) -> &'a str {
    registration[member].as_str().unwrap()
}

#[tokio::test]
async fn reg_22_who_may_not_register_stands_in_the_trail() {
    let token = "an initial access token of 32 or more characters";
    let app = recorded_with(&BASIC.replace(
        "allow_dynamic_registration: true",
        &format!("allow_dynamic_registration: true\n    registration: {{initial_access_token: \"{token}\"}}"),
    ));
    let send = async |token: Option<&str>, uri: &str| {
        let request = http().post(format!("{}/oauth/register", app.url)).json(&json!({"redirect_uris": [uri]}));
        let request = token.into_iter().fold(request, reqwest::RequestBuilder::bearer_auth);
        Page::read(request.send().await.unwrap()).await
    };
    assert_eq!(send(None, REDIRECT_URI).await.status, 401);
    assert_eq!(send(Some("a guess by a stranger"), REDIRECT_URI).await.status, 401);
    assert_eq!(send(Some(token), EVIL).await.status, 400);
    let client = Client::known(&app.url, "none");
    let expected = ["no_initial_access_token", "wrong_initial_access_token", "invalid_redirect_uri"];
    assert_eq!(told(app.folder.path(), &client), expected.map(|reason| format!("client refused {reason} - -")));
    let text = std::fs::read_to_string(app.folder.path().join("audit.jsonl")).unwrap();
    assert!(!text.contains("guess") && !text.contains("evil") && !text.contains(token), "{text}");
}

#[tokio::test]
async fn reg_14_who_does_not_manage_a_registration_stands_in_the_trail() {
    let app = recorded();
    let client = Client::register(&app).await;
    let uri = text(&client.registration, "registration_client_uri").to_owned();
    let body = json!({"client_id": client.id, "redirect_uris": [EVIL]});
    let send = async |method: reqwest::Method, uri: &str, token: Option<&str>| {
        app.clock.advance(Duration::from_secs(60));
        let request = http().request(method, uri).json(&body);
        let request = token.into_iter().fold(request, reqwest::RequestBuilder::bearer_auth);
        request.send().await.unwrap().status().as_u16()
    };
    for method in [reqwest::Method::GET, reqwest::Method::PUT, reqwest::Method::DELETE] {
        assert_eq!(send(method, &uri, Some("guessed")).await, 401);
    }
    assert_eq!(send(reqwest::Method::DELETE, &uri, None).await, 401);
    let nobody = format!("{}/oauth/register/a-stranger-made-this-up", app.url);
    assert_eq!(send(reqwest::Method::GET, &nobody, Some("guessed")).await, 401);
    let own = text(&client.registration, "registration_access_token");
    assert_eq!(send(reqwest::Method::PUT, &uri, Some(own)).await, 400);
    let wrong = "client refused wrong_registration_access_token - client";
    let missing = "client refused no_registration_access_token - client";
    let nobodys = "client refused wrong_registration_access_token - -";
    let uri = "client refused invalid_redirect_uri - client";
    assert_eq!(since(&app, &client, 1), [wrong, wrong, wrong, missing, nobodys, uri]);
    let text = std::fs::read_to_string(app.folder.path().join("audit.jsonl")).unwrap();
    assert!(!text.contains("guessed") && !text.contains("made-this-up") && !text.contains(own), "{text}");
}

#[tokio::test]
async fn authz_what_a_client_is_refused_at_the_authorization_endpoint_stands_in_the_trail() {
    let app = recorded();
    let client = Client::register(&app).await;
    for (changes, reason) in [
        (("scope", Some("invented")), "invalid_scope"),
        (("resource", Some("https://other.example/mcp")), "invalid_target"),
        (("code_challenge", None), "no_pkce"),
        (("code_challenge_method", Some("plain")), "no_pkce"),
        (("redirect_uri", Some(EVIL)), "unregistered_redirect_uri"),
    ] {
        app.clock.advance(Duration::from_secs(60));
        let before = lines(app.folder.path()).len();
        Browser::new().open(&client.authorize_url(&[changes])).await;
        assert_eq!(since(&app, &client, before), [format!("authorize refused {reason} - client")], "{changes:?}");
    }
    let before = lines(app.folder.path()).len();
    Browser::new().open(&client.authorize_url(&[("client_id", Some("a-stranger"))])).await;
    Browser::new().open(&client.authorize_url(&[("prompt", Some("none"))])).await;
    let mut browser = Browser::new();
    let login = browser.open(&client.authorize_url(&[])).await;
    let fields = [("csrf", "forged"), ("username", "alice"), ("password", PASSWORD)];
    assert_eq!(browser.post(&login.action(), &fields).await.status, 403);
    let expected = ["authorize refused unknown_client - -", "authorize refused forged_form - client"];
    assert_eq!(since(&app, &client, before), expected);
    assert!(!std::fs::read_to_string(app.folder.path().join("audit.jsonl")).unwrap().contains("a-stranger"));
}

#[tokio::test]
async fn authz_who_may_grant_nothing_of_it_stands_in_the_trail() {
    let app = recorded();
    let client = Client::register(&app).await;
    let mut browser = Browser::new();
    let login = browser.open(&client.authorize_url(&[("scope", Some("mcp:write"))])).await;
    let refused = browser.submit(&login, &[("username", "rita"), ("password", PASSWORD)]).await;
    assert_eq!(refused.answer("error").as_deref(), Some("invalid_scope"));
    let expected = ["login accepted - rita client", "authorize refused nothing_to_grant rita client"];
    assert_eq!(since(&app, &client, 1), expected);
}

#[tokio::test]
async fn jwt_12_too_little_scope_stands_in_the_trail() {
    let app = recorded();
    let client = Client::register(&app).await;
    let page = client.authorize(&mut Browser::new(), "rita", &[]).await;
    let tokens = client.redeem(&page.answer("code").unwrap()).await;
    let session = Session::initialize(&app, tokens.access()).await;
    let before = lines(app.folder.path()).len();
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "echo", "arguments": {"text": "x"}}});
    for _ in 0..3 {
        assert_eq!(session.post(&call).await.status, 403);
    }
    assert_eq!(since(&app, &client, before), ["access refused insufficient_scope rita client"]);
}

/// A form that another site had the browser send, and one that no page of ours made.
#[tokio::test]
async fn forms_that_no_page_of_ours_sent_stand_in_the_trail() {
    let app = recorded();
    let client = Client::register(&app).await;
    let mut browser = Browser::new();
    client.authorize(&mut browser, "alice", &[]).await;
    for path in ["account/apps", "account/browsers", "account/password", "oauth/logout"] {
        let url = format!("{}/{path}", app.url);
        app.clock.advance(Duration::from_secs(60));
        let before = lines(app.folder.path()).len();
        for _ in 0..3 {
            let page = browser.post(&url, &[("csrf", "guessed"), ("client", &client.id)]).await;
            assert_eq!(page.status, 403, "{path}: {page:?}");
        }
        assert_eq!(since(&app, &client, before), ["form refused forged_form alice -"], "{path}");
        let foreign = http().post(&url).header("sec-fetch-site", "cross-site").header("origin", "null");
        assert_eq!(foreign.form(&[("csrf", "x")]).send().await.unwrap().status(), 403, "{path}");
        assert_eq!(since(&app, &client, before + 1), ["form refused form_of_another_site - -"], "{path}");
    }
    assert!(!std::fs::read_to_string(app.folder.path().join("audit.jsonl")).unwrap().contains("guessed"));
}

#[tokio::test]
async fn login_13_tries_that_nobody_hears_name_a_user_of_the_store_too_and_no_other_name() {
    let app = recorded_with(&BASIC.replace("builtin:\n", "builtin:\n      lockout: {max_failures: 1, window: 1h}\n"));
    let mut added = command(&app.folder, &["user", "add", "bob"]);
    let mut child = added.stdin(std::process::Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), format!("{PASSWORD}\n").as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
    let client = Client::register(&app).await;
    let before = lines(app.folder.path()).len();
    let mut browser = Browser::new();
    let mut page = browser.open(&client.authorize_url(&[])).await;
    for user in ["Bob", "bob", "a-password-here", "a-password-here"] {
        page = browser.submit(&page, &[("username", user), ("password", WRONG)]).await;
    }
    assert_eq!(page.status, 429);
    let expected = [
        "login refused wrong_credentials bob client",
        "login refused throttled bob client",
        "login refused wrong_credentials - client",
        "login refused throttled - client",
    ];
    assert_eq!(since(&app, &client, before), expected);
    assert!(!std::fs::read_to_string(app.folder.path().join("audit.jsonl")).unwrap().contains("a-password-here"));
}

/// Who registers as many as he likes gets no more lines for it, and others get theirs.
#[tokio::test]
async fn clients_of_one_address_share_its_lines() {
    let app =
        recorded_with(&BASIC.replace("listen: 127.0.0.1:0", "listen: 127.0.0.1:0\n  trusted_proxies: [127.0.0.1/32]"));
    let refused = async |address: &str| {
        let client = Client::register(&app).await;
        let form = [("grant_type", "refresh_token"), ("refresh_token", "x"), ("client_id", &client.id)];
        let request = http().post(format!("{}/oauth/token", app.url)).header("x-forwarded-for", address);
        assert_eq!(Client::read(request.form(&form)).await.error(), "invalid_grant");
    };
    for _ in 0..25 {
        refused("192.0.2.1").await;
    }
    refused("192.0.2.2").await;
    let from = |address: &str| {
        let lines = lines(app.folder.path());
        lines.iter().filter(|line| line["event"] == "token" && line["address"] == address).count()
    };
    assert_eq!((from("192.0.2.1"), from("192.0.2.2")), (20, 1));
}

#[tokio::test]
async fn login_13_tries_that_nobody_hears_name_the_configured_user_and_are_bounded() {
    let app = recorded_with(&BASIC.replace("builtin:\n", "builtin:\n      lockout: {max_failures: 1, window: 1h}\n"));
    let client = Client::register(&app).await;
    let mut browser = Browser::new();
    let mut page = browser.open(&client.authorize_url(&[])).await;
    for user in ["alice", "alice", "ALICE", "alice", "a-password-here", "a-password-here"] {
        page = browser.submit(&page, &[("username", user), ("password", WRONG)]).await;
    }
    assert_eq!(page.status, 429);
    let expected = [
        "login refused wrong_credentials alice client",
        "login refused throttled alice client",
        "login refused wrong_credentials - client",
        "login refused throttled - client",
    ];
    assert_eq!(since(&app, &client, 1), expected);
    app.clock.advance(Duration::from_secs(60));
    browser.submit(&page, &[("username", "alice"), ("password", WRONG)]).await;
    let last = lines(app.folder.path()).pop().unwrap();
    assert_eq!((&last["subject"], &last["count"]), (&json!("alice"), &json!(2)));
    assert_eq!(register(&app, json!({"redirect_uris": [EVIL]}).to_string()).await.status, 400);
}
