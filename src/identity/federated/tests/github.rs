//! What answers like GitHub.

use serde_json::json;

use super::*;

/// A provider that has just given an access token, and says this of its owner.
async fn standing(change: impl FnOnce(&mut section::Provider)) -> (Script, Provider) {
    let (script, address) = Script::start().await;
    let mut settings = github(&address);
    settings.admission.allowed_domains = vec!["example.com".to_owned()];
    settings.admission.group_scopes = [("acme".to_owned(), ScopeSet::parse("mcp:write").unwrap())].into();
    change(&mut settings);
    script.answer("/token", 200, json!({"access_token": "gho_1", "token_type": "bearer", "scope": "user:email"}));
    script.answer("/user", 200, json!({"id": 107, "login": "octo", "name": "Octo Cat", "email": "x@evil.example"}));
    let address =
        |email: &str, verified: bool, primary: bool| json!({"email": email, "verified": verified, "primary": primary});
    let emails = [
        address("a@example.com", false, false),
        address("octo@private.example", true, true),
        address("octo@example.com", true, false),
    ];
    script.answer("/user/emails", 200, json!(emails));
    script.answer("/user/orgs", 200, json!([{"login": "acme"}, {"login": "other"}]));
    (script, provider(settings))
}

async fn identify(provider: &Provider) -> Result<Identified, Failure> {
    provider.identify(&callback("c"), &attempt(), NOW).await
}

#[tokio::test]
async fn the_number_the_allowed_address_and_the_organisations_count() {
    let (script, provider) = standing(|_| {}).await;
    let person = identify(&provider).await.unwrap();
    assert_eq!((person.subject.as_str(), person.issuer.as_str()), ("107", provider.issuer()));
    assert_eq!(person.profile.email.as_deref(), Some("octo@example.com"));
    assert!(person.profile.email_verified);
    assert_eq!(person.profile.groups, ["acme", "other"]);
    assert_eq!(person.profile.name.as_deref(), Some("Octo Cat"));
    let scopes = provider.admit(&person.issuer, &person.subject, &person.profile).unwrap();
    assert_eq!(scopes.to_string(), "mcp:read mcp:write");
    let asked = script.asked("/user").remove(0);
    for header in ["authorization: Bearer gho_1", "accept: application/vnd.github+json", "user-agent: mcp-bridge/"] {
        assert!(asked.contains(header), "{header}: {asked}");
    }
}

#[tokio::test]
async fn without_a_rule_the_primary_address_is_taken_and_no_organisation_asked_for() {
    let (script, provider) = standing(|settings| settings.admission = admission()).await;
    let person = identify(&provider).await.unwrap();
    assert_eq!(person.profile.email.as_deref(), Some("octo@private.example"));
    assert!(person.profile.groups.is_empty() && script.asked("/user/orgs").is_empty());
}

#[tokio::test]
async fn fed_11_what_cannot_be_read_is_not_there() {
    for (status, body) in [(403, json!({})), (404, json!({})), (200, json!({})), (200, json!([{"verified": true}, 5]))]
    {
        let (script, provider) = standing(|_| {}).await;
        script.answer("/user/emails", status, &body);
        script.answer("/user/orgs", status, &body);
        let person = identify(&provider).await.unwrap();
        assert_eq!((&person.profile.email, person.profile.groups.len()), (&None, 0), "{status} {body}");
        let refused = provider.admit(&person.issuer, &person.subject, &person.profile).unwrap_err();
        assert_eq!(refused.reason, Reason::NoVerifiedEmail);
    }
    let (script, provider) = standing(|_| {}).await;
    for (path, status, reason) in [
        ("/user/orgs", 500, Reason::Unreachable),
        ("/user/emails", 401, Reason::Misconfigured),
        ("/user", 403, Reason::Unreachable),
    ] {
        script.answer(path, status, "{}");
        assert_eq!(identify(&provider).await.unwrap_err().reason, reason, "{path} {status}");
    }
}

#[tokio::test]
async fn a_person_has_a_number_or_a_subject() {
    let (script, provider) = standing(|_| {}).await;
    for (user, subject) in [
        (json!({"id": "u-1"}), Some("u-1")),
        (json!({"id": 1, "sub": "s-1"}), Some("s-1")),
        (json!({"id": 18_446_744_073_709_551_615_u64}), Some("18446744073709551615")),
        (json!({"login": "octo"}), None),
        (json!({"id": 1.5}), None),
        (json!({"id": ""}), None),
        (json!({"id": true}), None),
        (json!({"id": "a b"}), None),
    ] {
        script.answer("/user", 200, &user);
        let person = identify(&provider).await;
        assert_eq!(person.as_ref().map(|person| person.subject.as_str()).ok(), subject, "{user}");
    }
}

#[tokio::test]
async fn errors_with_status_200_are_errors() {
    let (script, provider) = standing(|_| {}).await;
    for (error, reason) in [
        ("bad_verification_code", Reason::Untrusted),
        ("incorrect_client_credentials", Reason::Misconfigured),
        ("redirect_uri_mismatch", Reason::Misconfigured),
    ] {
        script.answer("/token", 200, json!({"error": error, "error_description": "…", "error_uri": "https://x"}));
        assert_eq!(identify(&provider).await.unwrap_err().reason, reason, "{error}");
    }
    assert!(script.asked("/user").is_empty());
}
