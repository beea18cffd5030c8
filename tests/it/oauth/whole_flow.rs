//! The whole way with an OAuth client that nobody here wrote: the `oauth2` crate.

use oauth2::basic::BasicClient;
use oauth2::{
    AuthUrl, AuthorizationCode, ClientId, CsrfToken, HttpRequest, HttpResponse, PkceCodeChallenge, RedirectUrl,
    RefreshToken, RequestTokenError, Scope, TokenResponse as _, TokenUrl,
};

use crate::support::app::PASSWORD;
use crate::support::client::{REDIRECT_URI, http};
use crate::support::mcp::Session;
use crate::support::{App, Browser, Client};

async fn send(request: HttpRequest) -> Result<HttpResponse, reqwest::Error> {
    let (parts, body) = request.into_parts();
    let response = http().request(parts.method, parts.uri.to_string()).headers(parts.headers).body(body).send().await?;
    let mut built = oauth2::http::Response::builder().status(response.status());
    for (name, value) in response.headers() {
        built = built.header(name, value);
    }
    Ok(built.body(response.bytes().await?.to_vec()).unwrap())
}

#[tokio::test]
async fn an_independent_client_logs_in_calls_a_tool_refreshes_and_calls_again() {
    let app = App::start();
    let registered = Client::register(&app).await;
    let client = BasicClient::new(ClientId::new(registered.id.clone()))
        .set_auth_uri(AuthUrl::new(format!("{}/oauth/authorize", app.url)).unwrap())
        .set_token_uri(TokenUrl::new(format!("{}/oauth/token", app.url)).unwrap())
        .set_redirect_uri(RedirectUrl::new(REDIRECT_URI.to_owned()).unwrap());
    let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
    let (url, state) = client
        .authorize_url(CsrfToken::new_random)
        .add_scope(Scope::new("mcp:write".to_owned()))
        .set_pkce_challenge(challenge)
        .add_extra_param("resource", app.resource())
        .url();
    let mut browser = Browser::new();
    let login = browser.open(url.as_str()).await;
    let consent = browser.submit(&login, &[("username", "alice"), ("password", PASSWORD)]).await;
    let back = browser.submit(&consent, &[("decision", "allow")]).await;
    assert_eq!(back.answer("state").as_ref(), Some(state.secret()));
    let code = AuthorizationCode::new(back.answer("code").unwrap());
    let http = |request| Box::pin(send(request));
    let tokens = client.exchange_code(code).set_pkce_verifier(verifier).request_async(&http).await.unwrap();
    let said = Session::initialize(&app, tokens.access_token().secret())
        .await
        .tool("echo", serde_json::json!({"text": "hello"}))
        .await;
    assert_eq!(said["result"]["content"][0]["text"], "hello");
    let refresh = RefreshToken::new(tokens.refresh_token().unwrap().secret().clone());
    let next = client.exchange_refresh_token(&refresh).request_async(&http).await.unwrap();
    let who = Session::initialize(&app, next.access_token().secret()).await.tool("whoami", serde_json::json!({})).await;
    assert!(who["result"]["content"][0]["text"].as_str().unwrap().contains("alice"), "{who}");
    let bad = client.exchange_refresh_token(&RefreshToken::new("nonsense".to_owned())).request_async(&http).await;
    assert!(
        matches!(bad, Err(RequestTokenError::ServerResponse(_))),
        "the error is one that a strict client reads: {bad:?}"
    );
}
