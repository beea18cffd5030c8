//! Revocation by the client, and what it takes with it.

use serde_json::json;

use crate::support::app::BASIC;
use crate::support::client::{REDIRECT_URI, http, metadata};
use crate::support::mcp::Session;
use crate::support::{App, Client};

#[tokio::test]
async fn rev_1_a_refresh_token_takes_its_family_along() {
    let app = App::start();
    let client = Client::register(&app).await;
    let tokens = client.tokens().await;
    let session = Session::initialize(&app, tokens.access()).await;
    assert_eq!(client.revoke(tokens.refresh()).await, 200);
    assert_eq!(session.status().await, 401);
    assert_eq!(client.refresh(tokens.refresh()).await.error(), "invalid_grant");
}

#[tokio::test]
async fn rev_2_an_access_token_goes_alone() {
    let app = App::start();
    let client = Client::register(&app).await;
    let tokens = client.tokens().await;
    assert_eq!(Session::new(&app, tokens.access()).status().await, 200);
    assert_eq!(client.revoke(tokens.access()).await, 200);
    assert_eq!(Session::new(&app, tokens.access()).status().await, 401);
    let next = client.refresh(tokens.refresh()).await;
    assert_eq!(Session::new(&app, next.access()).status().await, 200);
}

#[tokio::test]
async fn rev_3_rev_5_strangers_learn_and_end_nothing() {
    let app = App::start();
    let (client, other) = (Client::register(&app).await, Client::register(&app).await);
    let tokens = client.tokens().await;
    assert_eq!(client.revoke("garbage").await, 200);
    for token in [tokens.access(), tokens.refresh()] {
        assert_eq!(other.revoke(token).await, 200);
    }
    assert_eq!(Session::new(&app, tokens.access()).status().await, 200);
    assert_eq!(client.refresh(tokens.refresh()).await.status, 200);
    let confidential = Client::register_as(
        &app,
        json!({"redirect_uris": [REDIRECT_URI], "token_endpoint_auth_method": "client_secret_basic"}),
    )
    .await;
    assert_eq!(confidential.revoke("x").await, 401);
    assert_eq!(http().get(format!("{}/oauth/revoke", app.url)).send().await.unwrap().status().as_u16(), 405);
}

#[tokio::test]
async fn rev_5_a_confidential_client_proves_itself_before_its_token_ends() {
    let app = App::start();
    let url = format!("{}/oauth/revoke", app.url);
    let metadata = json!({"redirect_uris": [REDIRECT_URI], "token_endpoint_auth_method": "client_secret_basic"});
    let client = Client::register_as(&app, metadata).await;
    let secret = client.registration["client_secret"].as_str().unwrap().to_owned();
    let tokens = client.redeem_with(&client.code().await, "client_secret", Some(&secret)).await;
    let session = Session::new(&app, tokens.access());
    let form = [("token", tokens.access()), ("token_type_hint", "refresh_token")];
    for wrong in [None, Some("wrong"), Some(tokens.refresh())] {
        let answer = http().post(&url).basic_auth(&client.id, wrong).form(&form).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), 401, "{wrong:?}");
        assert!(answer.headers()["www-authenticate"].to_str().unwrap().starts_with("Basic"));
    }
    assert_eq!(session.status().await, 200, "none of these ended it");
    // RFC 7009 §2.1: a wrong hint makes the server search among all.
    let answer = http().post(&url).basic_auth(&client.id, Some(&secret)).form(&form).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.headers()["cache-control"].to_str().unwrap()), (200, "no-store"));
    assert_eq!(session.status().await, 401);
    assert_eq!(client.refresh_with(tokens.refresh(), &[("client_secret", &secret)]).await.status, 200);
    for form in [vec![("token_type_hint", "x")], vec![("token", "a"), ("token", "b")]] {
        let answer = http().post(&url).basic_auth(&client.id, Some(&secret)).form(&form).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), 400, "{form:?}");
    }
}

#[tokio::test]
async fn an_endpoint_that_is_off_is_not_there_and_not_spoken_of() {
    let off = "mode: builtin\n    introspection: {enabled: false}\n    revocation: {enabled: false}";
    let app = App::with(&BASIC.replace("mode: builtin", off));
    let document = metadata(&app).await;
    for endpoint in ["introspect", "revoke"] {
        let answer = http().post(format!("{}/oauth/{endpoint}", app.url)).form(&[("token", "x")]).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), 404, "{endpoint}");
        assert!(!document.to_string().contains(endpoint.trim_end_matches('e')), "{document}");
    }
    assert!(document.get("token_endpoint").is_some());
}

#[tokio::test]
async fn rev_9_an_open_stream_ends_with_its_token() {
    let app = App::start();
    let client = Client::register(&app).await;
    let tokens = client.tokens().await;
    let session = Session::initialize(&app, tokens.access()).await;
    let stream = session.request(reqwest::Method::GET).header("accept", "text/event-stream").send().await.unwrap();
    assert_eq!(stream.status().as_u16(), 200);
    client.revoke(tokens.refresh()).await;
    let ended = tokio::time::timeout(std::time::Duration::from_secs(5), stream.bytes()).await;
    assert!(ended.is_ok(), "the stream ended within the documented bound");
}
