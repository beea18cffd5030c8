//! What providers differ in: how the client shows itself, how the issuer is written, and GitHub.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use josekit::jwk::Jwk;
use josekit::jws::{ES256, JwsVerifier as _};
use serde_json::{Value, json};

use super::{code, log_in, refused, section, start, tokens, who};
use crate::support::client::http;
use crate::support::provider::{AUTHORIZE, CLIENT_ID, CLIENT_SECRET, DISCOVERY, Fault, SUBJECT, TOKEN};
use crate::support::{App, Browser, Client, Provider};

/// Logs in once with this method, after a change to the provider.
async fn shown(method: &str, change: impl FnOnce(&mut crate::support::provider::Script)) -> (App, Provider) {
    let provider = Provider::start();
    provider.script(change);
    let app = start(&provider, |server| server["federated"]["auth_method"] = json!(method));
    let client = Client::register(&app).await;
    tokens(&client).await;
    (app, provider)
}

#[tokio::test]
async fn the_secret_is_shown_in_the_header_or_the_body_and_never_in_both() {
    for (method, listed, in_header) in [
        ("basic", json!(["client_secret_post"]), true),
        ("post", json!(["client_secret_basic"]), false),
        ("auto", json!(["client_secret_basic", "client_secret_post"]), true),
        ("auto", json!(["client_secret_post"]), false),
        ("auto", json!(null), true),
    ] {
        let metadata = json!({"token_endpoint_auth_methods_supported": listed});
        let (_app, provider) = shown(method, |s| s.metadata = metadata).await;
        let got = provider.got_at(TOKEN).remove(0);
        assert_eq!(got.header("authorization").starts_with("Basic "), in_header, "{method} {listed}: {got:?}");
        assert_eq!(got.parameter("client_secret"), if in_header { "" } else { CLIENT_SECRET });
    }
}

#[tokio::test]
async fn a_public_client_shows_nothing_but_its_name() {
    let provider = Provider::start();
    provider.script(|s| s.client_secret = None);
    let app = start(&provider, |server| {
        server["federated"].as_object_mut().unwrap().remove("client_secret");
    });
    tokens(&Client::register(&app).await).await;
    let got = provider.got_at(TOKEN).remove(0);
    assert_eq!((got.parameter("client_id"), got.header("authorization")), (CLIENT_ID, ""));
}

#[tokio::test]
async fn private_key_jwt_signs_with_the_key_that_everybody_can_read() {
    let provider = Provider::start();
    provider.script(|s| s.client_secret = None);
    let app = start(&provider, |server| {
        server["federated"].as_object_mut().unwrap().remove("client_secret");
        server["federated"]["auth_method"] = json!("private_key_jwt");
    });
    let client = Client::register(&app).await;
    tokens(&client).await;
    tokens(&client).await;
    let keys: Value = http().get(format!("{}/oauth/jwks", app.url)).send().await.unwrap().json().await.unwrap();
    let key = Jwk::from_map(keys["keys"][0].as_object().unwrap().clone()).unwrap();
    let mut identifiers = Vec::new();
    for got in provider.got_at(TOKEN) {
        assert_eq!((got.parameter("client_secret"), got.header("authorization")), ("", ""));
        let assertion = got.parameter("client_assertion");
        let (message, signature) = assertion.rsplit_once('.').unwrap();
        let decode = |part: &str| BASE64_URL_SAFE_NO_PAD.decode(part).unwrap();
        ES256.verifier_from_jwk(&key).unwrap().verify(message.as_bytes(), &decode(signature)).unwrap();
        let (header, claims) = message.split_once('.').unwrap();
        let header: Value = serde_json::from_slice(&decode(header)).unwrap();
        assert_eq!((&header["kid"], &header["alg"]), (&keys["keys"][0]["kid"], &json!("ES256")));
        let claims: Value = serde_json::from_slice(&decode(claims)).unwrap();
        let lasts = claims["exp"].as_i64().unwrap() - app.clock.now().unix();
        assert!((1..=600).contains(&lasts), "{claims}");
        identifiers.push(claims["jti"].clone());
    }
    assert_ne!(identifiers[0], identifiers[1], "each is for one request");
    // An assertion is no access token of ours, although the key is the same.
    let assertion = provider.got_at(TOKEN)[0].parameter("client_assertion").to_owned();
    assert_eq!(crate::support::mcp::Session::new(&app, &assertion).status().await, 401);
}

#[tokio::test]
async fn a_slash_at_the_end_of_the_issuer_is_no_difference() {
    for (configured, its_own) in [("", "/"), ("/", ""), ("/", "/"), ("/realm", "/realm/"), ("/realm/", "/realm")] {
        let provider = Provider::start();
        provider.script(|s| s.issuer = format!("{}{its_own}", provider.url));
        let app = start(&provider, |server| {
            server["federated"]["upstream_issuer"] = json!(format!("{}{configured}", provider.url));
        });
        let client = Client::register(&app).await;
        let tokens = tokens(&client).await;
        let user = who(&app, &tokens).await["user"].as_str().unwrap().to_owned();
        assert!(user.starts_with(&provider.url) && user.ends_with(&format!("#{SUBJECT}")), "{user}");
        let path = format!("{}{DISCOVERY}", configured.trim_end_matches('/'));
        assert_eq!(provider.count(&path), 1, "OpenID Connect Discovery §4: {:?}", provider.got());
    }
}

#[tokio::test]
async fn a_discovery_url_of_its_own_is_asked_in_place_of_the_usual() {
    let provider = Provider::start();
    let app = start(&provider, |server| {
        server["federated"]["upstream_discovery_url"] =
            json!(format!("{}/else/openid-configuration?v=2", provider.url));
    });
    tokens(&Client::register(&app).await).await;
    assert_eq!((provider.count("/else/openid-configuration"), provider.count(DISCOVERY)), (1, 0));
    assert_eq!(provider.got_at("/else/openid-configuration")[0].parameter("v"), "2");
}

/// A bridge whose people come from what speaks like GitHub.
fn github(provider: &Provider, change: impl FnOnce(&mut Value)) -> App {
    provider.script(|s| {
        s.github_emails = json!([
            {"email": "1815+ada@users.noreply.github.com", "primary": false, "verified": true},
            {"email": "ada@example.com", "primary": true, "verified": true, "visibility": "private"},
            {"email": "old@elsewhere.example", "primary": false, "verified": true},
        ]);
        s.github_orgs = json!([{"login": "analytical-engines", "id": 1}, {"login": "other", "id": 2}]);
        s.callback = json!({"iss": null});
        s.tokens = json!({"scope": "read:org,read:user,user:email", "id_token": null});
    });
    start(provider, |server| {
        let mut federated = section(provider);
        federated["upstream_type"] = json!("oauth2");
        federated["authorize_url"] = json!(format!("{}{AUTHORIZE}", provider.url));
        federated["token_url"] = json!(format!("{}{TOKEN}", provider.url));
        federated["userinfo_url"] = json!(format!("{}/user", provider.url));
        federated["scopes"] = json!(["read:user", "user:email", "read:org"]);
        federated["allowed_domains"] = json!(["example.com"]);
        server["federated"] = federated;
        change(&mut server["federated"]);
    })
}

#[tokio::test]
async fn github_s_private_primary_address_and_organisations_count() {
    let provider = Provider::start();
    let app = github(&provider, |federated| {
        federated["group_scopes"] = json!({"analytical-engines": ["mcp:write"]});
    });
    let client = Client::register(&app).await;
    let tokens = tokens(&client).await;
    assert_eq!(tokens.text("scope"), "mcp:read mcp:write");
    assert_eq!(who(&app, &tokens).await["user"], format!("{}#1815", provider.url), "the number, not the name");
    let asked = provider.got_at(AUTHORIZE).remove(0);
    assert_eq!((asked.parameter("scope"), asked.parameter("nonce")), ("read:user user:email read:org", ""));
    assert_eq!(asked.parameter("code_challenge_method"), "S256");
    assert_eq!(provider.count(DISCOVERY), 0);
    for path in ["/user", "/user/emails", "/user/orgs"] {
        let got = provider.got_at(path).remove(0);
        assert!(got.header("authorization").starts_with("Bearer "), "{got:?}");
        assert!(!got.header("user-agent").is_empty(), "GitHub refuses who has no name");
    }
}

#[tokio::test]
async fn fed_11_github_without_a_verified_primary_address_lets_nobody_in() {
    let provider = Provider::start();
    let app = github(&provider, |_| ());
    let client = Client::register(&app).await;
    for emails in [
        json!([]),
        json!({}),
        json!(null),
        json!([{"email": "ada@example.com", "primary": true, "verified": false}]),
        json!([{"email": "ada@example.com", "primary": true}]),
        json!([{"email": "ada@example.com", "primary": true, "verified": "yes"}]),
        json!([{"email": "ada@elsewhere.example", "primary": true, "verified": true}]),
        json!(["ada@example.com"]),
    ] {
        provider.script(|s| {
            s.github_emails = emails.clone();
            // The address of the public profile is whatever the person wrote there.
            s.userinfo = json!({"email": "ada@example.com", "email_verified": true});
        });
        let page = log_in(&mut Browser::new(), &client).await;
        assert!(page.goes_nowhere(), "{emails}: {page:?}");
        refused(&page);
    }
}

#[tokio::test]
async fn fed_11_github_without_the_organisation_or_the_person_grants_nothing() {
    let provider = Provider::start();
    let app = github(&provider, |federated| {
        federated["default_scopes"] = json!([]);
        federated["group_scopes"] = json!({"analytical-engines": ["mcp:write"]});
    });
    let client = Client::register(&app).await;
    for orgs in [json!([]), json!({}), json!([{"login": "Other"}]), json!([{"name": "analytical-engines"}])] {
        provider.script(|s| s.github_orgs = orgs.clone());
        refused(&log_in(&mut Browser::new(), &client).await);
    }
    provider.script(|s| s.github_orgs = json!([{"login": "analytical-engines"}]));
    for id in [json!(null), json!(""), json!([]), json!({"x": 1})] {
        provider.script(|s| s.userinfo = json!({"id": id}));
        refused(&log_in(&mut Browser::new(), &client).await);
    }
    provider.script(|s| s.userinfo = json!({}));
    for path in ["/user", "/user/emails", "/user/orgs"] {
        for fault in
            [Fault::Json(403, json!({"message": "Bad credentials"})), Fault::Html(200), Fault::Json(500, json!({}))]
        {
            provider.script(|s| s.faults = [(path, fault.clone())].into());
            refused(&log_in(&mut Browser::new(), &client).await);
        }
    }
    provider.script(|s| s.faults.clear());
    code(&log_in(&mut Browser::new(), &client).await);
}

#[tokio::test]
async fn fed_16_github_s_limit_of_requests_ends_nobody_s_grant() {
    let provider = Provider::start();
    provider.script(|s| s.refreshes = true);
    let app = github(&provider, |federated| {
        federated["default_scopes"] = json!([]);
        federated["group_scopes"] = json!({"analytical-engines": ["mcp:write"]});
    });
    let client = Client::register(&app).await;
    let mut latest = tokens(&client).await;
    for path in ["/user", "/user/emails", "/user/orgs"] {
        provider.script(|s| s.faults = [(path, Fault::Limited)].into());
        refused(&log_in(&mut Browser::new(), &client).await);
        app.clock.advance(Duration::from_secs(61));
        latest = client.refresh(latest.refresh()).await;
        assert_eq!((latest.status, latest.text("scope")), (200, "mcp:read mcp:write"), "{path}: {latest:?}");
    }
}

#[tokio::test]
async fn github_s_errors_with_status_200_are_errors() {
    let provider = Provider::start();
    let app = github(&provider, |_| ());
    let client = Client::register(&app).await;
    let error =
        json!({"error": "bad_verification_code", "error_description": "The code passed is incorrect or expired."});
    provider.script(|s| s.faults = [(TOKEN, Fault::Json(200, error))].into());
    let page = log_in(&mut Browser::new(), &client).await;
    refused(&page);
    assert!(!page.body.contains("incorrect or expired"), "{page:?}");
}

/// Microsoft's version 1 writes times as texts; what is not read need not be right.
#[tokio::test]
async fn what_the_token_endpoint_says_beside_the_tokens_is_not_looked_at() {
    let provider = Provider::start();
    let app = start(&provider, |_| ());
    let client = Client::register(&app).await;
    for beside in [
        json!({"expires_in": "3599", "expires_on": "1800003599"}),
        json!({"expires_in": -1}),
        json!({"expires_in": 3599.5}),
        json!({"scope": ["openid", "email"]}),
        json!({"scope": 5, "refresh_token_expires_in": "never"}),
    ] {
        provider.script(|s| s.tokens = beside.clone());
        let page = log_in(&mut Browser::new(), &client).await;
        assert!(page.answer("code").is_some(), "{beside}: {page:?}");
    }
}
