//! What the browser takes to the provider, and what it brings back.

use serde_json::json;

use super::*;

/// A provider whose metadata is known, with these further members.
async fn known(settings: impl FnOnce(&str) -> section::Provider, more: Value) -> (Script, Provider) {
    let (script, address) = Script::start().await;
    let mut document = metadata(&address);
    document.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    script.answer("/.well-known/openid-configuration", 200, document);
    let provider = provider(settings(&address));
    (script, provider)
}

async fn parameters(provider: &Provider, afresh: bool) -> Vec<(String, String)> {
    let url = provider.authorization_url(&attempt(), afresh, NOW).await.unwrap();
    Url::parse(&url).unwrap().query_pairs().into_owned().collect()
}

fn value<'a>(parameters: &'a [(String, String)], name: &str) -> Vec<&'a str> {
    parameters.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str()).collect()
}

fn written(parameters: &[(&str, &str)]) -> Vec<(String, String)> {
    parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[tokio::test]
async fn fed_17_the_request_has_pkce_nonce_state_and_the_exact_redirect_uri() {
    let odd = written(&[("access_type", "offline")]);
    let (_script, provider) =
        known(|address| section::Provider { authorize_parameters: odd, ..connect(address) }, json!({})).await;
    let sent = parameters(&provider, false).await;
    for (name, expected) in [
        ("response_type", "code"),
        ("client_id", "bridge"),
        ("redirect_uri", "https://bridge.example/oauth/callback"),
        ("scope", "openid email profile"),
        ("state", "flow.state"),
        ("nonce", "the nonce"),
        ("code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"),
        ("code_challenge_method", "S256"),
        ("access_type", "offline"),
    ] {
        assert_eq!(value(&sent, name), [expected], "{name}");
    }
    assert_eq!(sent.len(), 9);
}

#[tokio::test]
async fn afresh_adds_to_the_configured_prompt() {
    for (configured, usual, afresh) in [
        (None, None, "login"),
        (Some("consent"), Some("consent"), "login consent"),
        (Some("login"), Some("login"), "login"),
        (Some("none"), Some("none"), "login"),
    ] {
        let prompt: Vec<_> = configured.map(|prompt| ("prompt", prompt)).into_iter().collect();
        let settings = |address: &str| section::Provider { authorize_parameters: written(&prompt), ..connect(address) };
        let (_script, provider) = known(settings, json!({})).await;
        assert_eq!(value(&parameters(&provider, false).await, "prompt").first().copied(), usual);
        assert_eq!(value(&parameters(&provider, true).await, "prompt"), [afresh]);
    }
    let provider = provider(github("http://127.0.0.1:1"));
    let sent = parameters(&provider, true).await;
    assert_eq!((value(&sent, "prompt"), value(&sent, "nonce")), (vec!["select_account"], vec![]));
    assert_eq!(value(&sent, "scope"), ["email profile"]);
}

#[tokio::test]
async fn fed_5_another_issuer_is_refused_before_any_token_request() {
    let sends = json!({"authorization_response_iss_parameter_supported": true});
    let (script, provider) = known(connect, sends).await;
    let errors = || Err("access_denied".to_owned());
    for (outcome, issuer) in [
        (Ok(Secret::new("code")), Some("https://evil.example".to_owned())),
        (Ok(Secret::new("code")), Some(String::new())),
        (Ok(Secret::new("code")), Some(format!("{}/", provider.issuer()))),
        (Ok(Secret::new("code")), None),
        (errors(), None),
        (errors(), Some("https://evil.example".to_owned())),
    ] {
        let callback = Callback { outcome, issuer };
        let failure = provider.identify(&callback, &attempt(), NOW).await.unwrap_err();
        assert_eq!(failure.reason, Reason::Untrusted, "{callback:?}");
    }
    assert_eq!(script.asked("/token").len(), 0);
    let issuer = Some(provider.issuer().to_owned());
    for (error, reason) in [
        ("access_denied", Reason::Denied),
        ("server_error", Reason::Unreachable),
        ("temporarily_unavailable", Reason::Unreachable),
        ("invalid_scope", Reason::Misconfigured),
        ("<script>", Reason::Misconfigured),
    ] {
        let callback = Callback { outcome: Err(error.to_owned()), issuer: issuer.clone() };
        assert_eq!(provider.identify(&callback, &attempt(), NOW).await.unwrap_err().reason, reason, "{error}");
    }
}

#[tokio::test]
async fn fed_5_github_may_call_itself_what_stands_above_its_endpoint() {
    let (_script, address) = Script::start().await;
    let provider = provider(github(&address));
    let metadata = provider.metadata(NOW).await.unwrap();
    for (issuer, is_it) in [
        (address.clone(), true),
        (format!("{address}/login/oauth"), true),
        (format!("{address}/login/oau"), false),
        (format!("{address}/other"), false),
        ("http:/".to_owned(), false),
        ("https://github.com".to_owned(), false),
    ] {
        assert_eq!(metadata.is_named(&issuer), is_it, "{issuer}");
    }
}

#[tokio::test]
async fn the_secret_goes_where_the_provider_wants_it_and_errors_say_whose_they_are() {
    for (methods, in_header) in [
        (json!(null), true),
        (json!(["client_secret_basic", "client_secret_post"]), true),
        (json!(["client_secret_post", "private_key_jwt"]), false),
    ] {
        let (script, provider) = known(connect, json!({"token_endpoint_auth_methods_supported": methods})).await;
        for (status, body, reason) in [
            (400, json!({"error": "invalid_grant"}), Reason::Untrusted),
            (401, json!({"error": "invalid_client"}), Reason::Misconfigured),
            (500, json!({"error": "invalid_grant"}), Reason::Unreachable),
            (302, json!({"error": "invalid_grant"}), Reason::Unreachable),
            (200, json!({"error": "invalid_grant"}), Reason::Untrusted),
            (200, json!("page"), Reason::Unreachable),
            (200, json!({"access_token": "t", "token_type": "mac"}), Reason::Misconfigured),
            (200, json!({"access_token": "t", "token_type": "Bearer"}), Reason::Untrusted),
        ] {
            script.answer("/token", status, &body);
            let failure = provider.identify(&callback("the code"), &attempt(), NOW).await.unwrap_err();
            assert_eq!(failure.reason, reason, "{status} {body}: {failure}");
        }
        let asked = script.asked("/token").remove(0);
        // RFC 6749 §2.3.1: encoded before they are joined.
        assert_eq!(asked.contains("authorization: Basic YnJpZGdlOnNlJTNBY3JldCslMjU="), in_header, "{asked}");
        assert_eq!(asked.contains("client_secret=se%3Acret+%25"), !in_header, "{asked}");
        for part in ["grant_type=authorization_code", "code=the+code", "code_verifier=dBjftJeZ", "redirect_uri=https"] {
            assert!(asked.contains(part), "{part}: {asked}");
        }
    }
}
