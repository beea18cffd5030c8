//! The token endpoint: one code, one winner, everything bound.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mcp_bridge::base::clock::{Clock, Timestamp};
use serde_json::{Value, json};

use crate::support::app::BASIC;
use crate::support::client::{REDIRECT_URI, VERIFIER, http};
use crate::support::mcp::Session;
use crate::support::{App, Client};

#[tokio::test]
async fn tok_1_a_code_redeemed_twice_revokes_what_it_gave() {
    let app = App::start();
    let client = Client::register(&app).await;
    let code = client.code().await;
    let tokens = client.redeem(&code).await;
    assert_eq!(Session::new(&app, tokens.access()).status().await, 200);
    let replay = client.redeem(&code).await;
    assert_eq!((replay.status, replay.error()), (400, "invalid_grant"));
    assert_eq!(client.refresh(tokens.refresh()).await.error(), "invalid_grant");
    assert_eq!(Session::new(&app, tokens.access()).status().await, 401);
}

#[tokio::test]
async fn tok_2_a_replay_without_the_verifier_revokes_nothing() {
    let app = App::start();
    let (client, thief) = (Client::register(&app).await, Client::register(&app).await);
    let code = client.code().await;
    let tokens = client.redeem(&code).await;
    let wrong = "x".repeat(43);
    assert_eq!(client.redeem_with(&code, "code_verifier", Some(&wrong)).await.error(), "invalid_grant");
    assert_eq!(thief.redeem(&code).await.error(), "invalid_grant");
    assert_eq!(Session::new(&app, tokens.access()).status().await, 200);
    assert_eq!(client.refresh(tokens.refresh()).await.status, 200);
}

#[tokio::test]
async fn tok_3_of_fifty_redemptions_one_wins() {
    let app = App::start();
    let client = Client::register(&app).await;
    let code = client.code().await;
    let answers = futures_util::future::join_all((0..50).map(|_| client.redeem(&code))).await;
    assert_eq!(answers.iter().filter(|tokens| tokens.status == 200).count(), 1);
    assert!(answers.iter().filter(|tokens| tokens.status != 200).all(|tokens| tokens.error() == "invalid_grant"));
}

#[tokio::test]
async fn tok_4_a_code_is_bound_to_its_client_and_its_minute() {
    let app = App::start();
    let (client, other) = (Client::register(&app).await, Client::register(&app).await);
    let code = client.code().await;
    assert_eq!(other.redeem(&code).await.error(), "invalid_grant");
    for bent in [&code[..code.len() - 1], &format!("{code}x"), "invented", &format!("{code} ")] {
        assert_eq!(client.redeem(bent).await.error(), "invalid_grant", "{bent}");
    }
    assert_eq!(client.redeem(&code).await.status, 200, "nothing of that used the code up");
    let code = client.code().await;
    app.clock.advance(Duration::from_secs(61));
    assert_eq!(client.redeem(&code).await.error(), "invalid_grant");
}

#[tokio::test]
async fn tok_5_the_verifier_is_needed_and_is_the_right_one() {
    let app = App::start();
    let client = Client::register(&app).await;
    let code = client.code().await;
    let challenge = client.request().into_iter().find(|(name, _)| *name == "code_challenge").unwrap().1;
    for (verifier, error) in [
        (None, "invalid_request"),
        (Some(""), "invalid_request"),
        (Some("x".repeat(43).as_str()), "invalid_grant"),
        (Some(&VERIFIER[..42]), "invalid_grant"),
        (Some("y".repeat(129).as_str()), "invalid_grant"),
        (Some(&format!("{VERIFIER}\n")), "invalid_grant"),
        (Some(&VERIFIER.replace('d', "+")), "invalid_grant"),
        (Some(&challenge), "invalid_grant"),
    ] {
        let tokens = client.redeem_with(&code, "code_verifier", verifier).await;
        assert_eq!((tokens.status, tokens.error()), (400, error), "{verifier:?}");
    }
    assert_eq!(client.redeem(&code).await.status, 200);
}

#[tokio::test]
async fn tok_7_a_sent_redirect_uri_is_the_one_of_the_request() {
    let app = App::start();
    let client = Client::register(&app).await;
    let code = client.code().await;
    assert_eq!(
        client.redeem_with(&code, "redirect_uri", Some("https://other.example/cb")).await.error(),
        "invalid_grant"
    );
    assert_eq!(client.redeem_with(&code, "redirect_uri", None).await.status, 200);
}

#[tokio::test]
async fn tok_8_another_resource_is_refused_and_the_code_stays_good() {
    let app = App::start();
    let client = Client::register(&app).await;
    let code = client.code().await;
    assert_eq!(
        client.redeem_with(&code, "resource", Some("https://other.example/mcp")).await.error(),
        "invalid_target"
    );
    assert_eq!(client.redeem_with(&code, "resource", None).await.status, 200);
}

#[tokio::test]
async fn tok_11_only_a_form_in_the_body_is_read() {
    let app = App::start();
    let client = Client::register(&app).await;
    let url = format!("{}/oauth/token", app.url);
    let form = |code: &str| {
        url::form_urlencoded::Serializer::new(String::new()).extend_pairs(client.redemption(code)).finish()
    };
    let code = client.code().await;
    for method in ["GET", "PUT"] {
        let response = http().request(method.parse().unwrap(), format!("{url}?{}", form(&code))).send().await.unwrap();
        assert_eq!(response.status().as_u16(), 405, "{method}");
    }
    for kind in [
        "application/json",
        "multipart/form-data; boundary=x",
        "text/plain",
        "application/x-www-form-urlencoded; charset=utf-16",
    ] {
        let tokens = Client::read(http().post(&url).header("content-type", kind).body(form(&code))).await;
        assert_eq!((tokens.status, tokens.error()), (400, "invalid_request"), "{kind}");
    }
    let urlencoded = || http().post(&url).header("content-type", "application/x-www-form-urlencoded");
    for body in [format!("{}&code=again", form(&code)), "grant_type=%zz".into(), "grant_type".into()] {
        assert_eq!(Client::read(urlencoded().body(body)).await.error(), "invalid_request");
    }
    assert_eq!(urlencoded().body("a=".repeat(600_000)).send().await.unwrap().status().as_u16(), 413);
    let in_query =
        http().post(format!("{url}?{}", form(&code))).header("content-type", "application/x-www-form-urlencoded");
    assert_eq!(Client::read(in_query.body("")).await.error(), "invalid_request", "the query is not looked at");
    assert_eq!(
        Client::read(urlencoded().body(format!("{}&unknown=1", form(&code)))).await.status,
        200,
        "unknown parameters are ignored"
    );
}

#[tokio::test]
async fn tok_12_grants_that_do_not_exist_are_named_so() {
    let app = App::start();
    let client = Client::register(&app).await;
    for (grant, error) in [
        (None, "invalid_request"),
        (Some("password"), "unsupported_grant_type"),
        (Some("client_credentials"), "unsupported_grant_type"),
    ] {
        let tokens = client.redeem_with("x", "grant_type", grant).await;
        assert_eq!((tokens.status, tokens.error()), (400, error));
    }
}

#[tokio::test]
async fn tok_13_the_answer_and_the_token_say_what_they_should() {
    let app = App::start();
    let client = Client::register(&app).await;
    let tokens = client.tokens().await;
    assert_eq!(tokens.headers["cache-control"], "no-store");
    assert_eq!(tokens.headers["content-type"], "application/json");
    assert_eq!((tokens.text("token_type"), tokens.text("scope")), ("Bearer", "mcp:read mcp:write"));
    let parts: Vec<Value> = tokens
        .access()
        .split('.')
        .take(2)
        .map(|part| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap())
        .collect();
    assert_eq!((parts[0]["typ"].as_str(), parts[0]["alg"].as_str()), (Some("at+jwt"), Some("ES256")));
    let claims = &parts[1];
    let now = app.clock.now().unix();
    assert_eq!(claims["iss"], app.url.as_str());
    assert_eq!(claims["aud"], app.resource());
    assert_eq!((claims["sub"].as_str(), claims["client_id"].as_str()), (Some("alice"), Some(client.id.as_str())));
    assert_eq!(
        (claims["iat"].as_i64(), claims["exp"].as_i64()),
        (Some(now), Some(now + tokens.body["expires_in"].as_i64().unwrap()))
    );
    assert!(claims["jti"].as_str().is_some_and(|jti| jti.len() >= 22));
}

#[tokio::test]
async fn tok_14_clients_prove_themselves_in_the_way_they_registered() {
    let app = App::start();
    let client = Client::register_as(
        &app,
        json!({"redirect_uris": [REDIRECT_URI], "token_endpoint_auth_method": "client_secret_basic"}),
    )
    .await;
    let secret = client.registration["client_secret"].as_str().unwrap().to_owned();
    let url = format!("{}/oauth/token", app.url);
    let code = client.code().await;
    let without = client.redeem(&code).await;
    assert_eq!((without.status, without.error()), (401, "invalid_client"));
    let wrong =
        Client::read(http().post(&url).basic_auth(&client.id, Some("wrong")).form(&client.redemption(&code))).await;
    assert_eq!((wrong.status, wrong.error()), (401, "invalid_client"));
    assert!(wrong.headers["www-authenticate"].to_str().unwrap().starts_with("Basic"));
    let both = Client::read(
        http()
            .post(&url)
            .basic_auth(&client.id, Some(&secret))
            .form(&[("grant_type", "authorization_code"), ("client_secret", &secret)]),
    )
    .await;
    assert_eq!(both.error(), "invalid_request");
    assert_eq!(
        Client::read(http().post(&url).basic_auth(&client.id, Some(&secret)).form(&client.redemption(&code)))
            .await
            .status,
        200
    );
    let code = client.code().await;
    assert_eq!(client.redeem_with(&code, "client_secret", Some(&secret)).await.status, 200, "in the body just as well");
    let unknown = client.redeem_with(&code, "client_id", Some("nobody")).await;
    assert_eq!((unknown.status, unknown.error()), (401, "invalid_client"), "the word that makes clients register anew");
}

#[tokio::test]
async fn tok_16_tokens_are_not_taken_for_one_another() {
    let app = App::start();
    let client = Client::register(&app).await;
    let code = client.code().await;
    let tokens = client.redeem(&code).await;
    assert_eq!(client.refresh(tokens.access()).await.error(), "invalid_grant");
    assert_eq!(client.refresh(&code).await.error(), "invalid_grant");
    assert_eq!(client.redeem(tokens.refresh()).await.error(), "invalid_grant");
    assert_eq!(Session::new(&app, tokens.refresh()).status().await, 401);
    assert_eq!(Session::new(&app, &code).status().await, 401);
}

#[tokio::test]
async fn tok_17_a_bent_token_is_no_token() {
    let app = App::start();
    let client = Client::register(&app).await;
    let tokens = client.tokens().await;
    for token in [tokens.access(), tokens.refresh()] {
        let bent = [
            &token[..token.len() - 1],
            &format!("{token}A"),
            &format!("{token}="),
            &format!("%{:02x}{}", token.as_bytes()[0], &token[1..]),
            &format!("{token}\u{a0}"),
        ];
        for bent in bent {
            assert_eq!(client.refresh(bent).await.error(), "invalid_grant", "{bent}");
            if bent.is_ascii() {
                assert_eq!(Session::new(&app, bent).status().await, 401, "{bent}");
            }
        }
    }
}

#[tokio::test]
async fn tok_14_what_is_wrong_is_said_in_ascii_without_quotes_and_without_what_was_sent() {
    let app = App::start();
    let client = Client::register(&app).await;
    let odd = "a\"b\\c\u{e9}\u{1f600}\r\nSELECT * FROM users";
    for name in
        ["grant_type", "code", "client_id", "code_verifier", "redirect_uri", "resource", "client_assertion_type"]
    {
        let tokens = client.redeem_with("invented", name, Some(odd)).await;
        let description = tokens.text("error_description");
        let is_legal = |c: char| matches!(c, ' '..='!' | '#'..='[' | ']'..='~');
        assert!(!tokens.error().is_empty() && description.chars().all(is_legal), "{name}: {description:?}");
        assert!(!description.contains("SELECT") && !description.contains(".rs"), "{name}: {description:?}");
    }
}

#[tokio::test]
async fn tok_15_two_hundred_errors_at_once_are_each_told_their_own() {
    let app = App::start();
    let client = Client::register(&app).await;
    let asked = |number: usize| {
        let client = &client;
        async move {
            let (parameters, expected) = match number % 4 {
                0 => (vec![("grant_type", format!("type-{number}"))], "unsupported_grant_type"),
                1 => (vec![("client_id", client.id.clone())], "invalid_request"),
                2 => (client.redemption(&format!("code-{number}")), "invalid_grant"),
                _ => (
                    vec![("grant_type", "refresh_token".to_owned()), ("client_id", format!("{number}"))],
                    "invalid_client",
                ),
            };
            let tokens = client.token(&parameters).await;
            assert_eq!(tokens.error(), expected, "{tokens:?}");
            tokens.text("error_description").to_owned()
        }
    };
    let alone: Vec<_> = futures_util::future::join_all((0..4).map(asked)).await;
    let together = futures_util::future::join_all((0..200).map(asked)).await;
    assert!(together.iter().enumerate().all(|(number, text)| *text == alone[number % 4]), "{together:?}");
}

#[tokio::test]
async fn tok_19_proof_of_possession_is_neither_offered_nor_pretended() {
    let app = App::start();
    let document = crate::support::client::metadata(&app).await;
    assert!(document.get("dpop_signing_alg_values_supported").is_none());
    let tokens = Client::register(&app).await.tokens().await;
    assert_eq!(tokens.text("token_type"), "Bearer");
    let request = http().post(app.resource()).header("authorization", format!("DPoP {}", tokens.access()));
    assert_eq!(request.send().await.unwrap().status().as_u16(), 401);
}

#[tokio::test]
async fn rt_12_a_client_that_did_not_register_for_it_has_no_refresh_token() {
    let app = App::start();
    let metadata = json!({"redirect_uris": [REDIRECT_URI], "grant_types": ["authorization_code"]});
    let client = Client::register_as(&app, metadata).await;
    let tokens = client.tokens().await;
    assert!(tokens.body.get("refresh_token").is_none(), "{tokens:?}");
    // Without asking for offline_access, which is not listed, everybody else has one.
    let other = Client::register(&app).await;
    assert!(other.tokens().await.body.get("refresh_token").is_some());
}

#[tokio::test]
async fn jwt_17_the_year_2040_is_a_year_like_any_other() {
    let app = App::with_clock(BASIC, Clock::fixed(Timestamp::from_unix(2_240_000_000)));
    let client = Client::register(&app).await;
    let tokens = client.tokens().await;
    let session = Session::new(&app, tokens.access());
    assert_eq!(session.status().await, 200);
    app.clock.advance(Duration::from_secs(3599));
    assert_eq!(session.status().await, 200);
    app.clock.advance(Duration::from_secs(1));
    assert_eq!(session.status().await, 401, "to the second");
    assert_eq!(client.refresh(tokens.refresh()).await.status, 200);
}

#[tokio::test]
async fn tok_18_the_database_holds_no_token() {
    let app = App::start();
    let client = Client::register(&app).await;
    let code = client.code().await;
    let tokens = client.redeem(&code).await;
    let next = client.refresh(tokens.refresh()).await;
    let secrets = [code.as_str(), tokens.refresh(), tokens.access(), next.refresh(), VERIFIER, "correct horse"];
    for entry in std::fs::read_dir(app.folder.path().join("data")).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        for secret in secrets {
            assert!(!bytes.windows(secret.len()).any(|window| window == secret.as_bytes()));
        }
    }
}

#[tokio::test]
async fn tok_11_no_parameter_comes_twice() {
    let app = App::start();
    let client = Client::register(&app).await;
    let code = client.code().await;
    // RFC 6749 §3.2: whether the grant reads it or not, whether it is known or not.
    for name in ["grant_type", "code", "client_id", "scope", "refresh_token", "x", "audience"] {
        let mut form = client.redemption(&code);
        form.extend([(name, "1".to_owned()), (name, "1".to_owned())]);
        let refused = client.token(&form).await;
        assert_eq!((refused.status, refused.error()), (400, "invalid_request"), "{name}");
    }
    let mut form = client.redemption(&code);
    form.push(("resource", app.resource()));
    let refused = client.token(&form).await;
    assert_eq!((refused.status, refused.error()), (400, "invalid_target"), "RFC 8707 §2 has a word of its own");
    assert_eq!(client.redeem(&code).await.status, 200, "none of them used the code up");
}
