//! The pages of a login elsewhere, and of logging out.

use askama::Template;

use super::{HOSTILE, assert_inert, branding};
use crate::authorization_server::authorize::{Person, Ways};
use crate::base::id::ProviderName;
use crate::http::page::{
    AwayPage, ConsentPage, FailedLoginPage, Link, LogOutPage, LoggedOutPage, LoginPage, ScopeLine, failed_login,
    redirect_target,
};
use crate::identity::federated::Reason;

const REASONS: [Reason; 9] = [
    Reason::Unreachable,
    Reason::Misconfigured,
    Reason::Denied,
    Reason::Untrusted,
    Reason::NoVerifiedEmail,
    Reason::WrongDomain,
    Reason::NothingToGrant,
    Reason::Disabled,
    Reason::Ended,
];

fn login(password: bool, providers: &[(&str, &str)]) -> String {
    let providers = providers.iter().map(|(name, label)| (ProviderName::new(*name), (*label).to_owned())).collect();
    LoginPage {
        base: "",
        branding: &branding(),
        client: None,
        target: Some(&redirect_target("https://claude.ai/cb")),
        action: "/login",
        csrf: "csrf-value",
        ways: &Ways { password, providers, can_stay: true },
        username: "",
        error: None,
    }
    .render()
    .unwrap()
}

fn consent(label: &str) -> String {
    ConsentPage {
        base: "",
        branding: &branding(),
        person: &Person::At { label: label.to_owned(), has_choice: true, can_stay: true },
        client: None,
        vouched_by: None,
        target: &redirect_target("https://claude.ai/cb"),
        resource: "https://mcp.example.com/mcp",
        scopes: &[ScopeLine { scope: "mcp:read", description: "See the tools", is_included: false }],
        error: None,
        action: "/consent",
        csrf: "csrf-value",
    }
    .render()
    .unwrap()
}

fn away(label: &str, url: &str) -> String {
    AwayPage { base: "", branding: &branding(), label, link: Link::new(url).unwrap() }.render().unwrap()
}

fn failed(reason: Reason, label: &str) -> String {
    let words = failed_login(reason, label);
    FailedLoginPage {
        base: "",
        branding: &branding(),
        explanation: &words.explanation,
        next_step: words.next_step,
        reference: "k3Jd9aQx",
        again: "/oauth/authorize/fl_1",
        action: "/oauth/authorize/fl_1/login",
        csrf: "csrf-value",
        has_app: true,
    }
    .render()
    .unwrap()
}

#[test]
fn fed_14_labels_and_addresses_are_escaped() {
    assert_inert(&login(true, &[(HOSTILE, HOSTILE)]));
    assert_inert(&consent(HOSTILE));
    assert_inert(&away(HOSTILE, "https://accounts.example/authorize?state=a.b"));
    assert_inert(&away("x", r#"https://a.example/?state="><script>{{7*7}}"#));
    assert_inert(&failed(Reason::Unreachable, HOSTILE));
    let (base, branding) = ("", branding());
    let page = LogOutPage { base, branding: &branding, person: HOSTILE, action: "/oauth/logout", csrf: "c" };
    assert_inert(&page.render().unwrap());
    let link = Link::new("https://accounts.example/logout").unwrap();
    let page = LoggedOutPage { base, branding: &branding, elsewhere: Some((HOSTILE, link)) };
    assert_inert(&page.render().unwrap());
}

#[test]
fn every_failure_says_what_to_do_next() {
    for reason in REASONS {
        let words = failed_login(reason, "Example");
        assert!(words.status.is_client_error() || words.status.is_server_error());
        assert!(words.explanation.ends_with('.') && words.next_step.ends_with('.'), "{reason:?}");
        assert!(failed(reason, "Example").contains("k3Jd9aQx"));
    }
}

#[test]
fn without_passwords_there_are_no_fields() {
    let page = login(false, &[("google", "Google"), ("okta", "Okta")]);
    assert!(!page.contains("<input type=\"password\"") && !page.contains("Your password"));
    assert!(page.contains(r#"name="provider" value="okta" formnovalidate>Continue with Okta<"#));
    assert!(!login(true, &[]).contains("name=\"provider\""));
}

#[test]
fn pages_look_as_they_were_agreed() {
    let snapshot = |name: &str, page: String| insta::assert_snapshot!(name, page);
    snapshot("login_ways", login(true, &[("google", "Google"), ("github", "GitHub")]));
    snapshot("consent_before_provider", consent("Google"));
    snapshot("away", away("Google", "https://accounts.google.com/authorize?state=f.s&nonce=n"));
    snapshot("failed_login", failed(Reason::WrongDomain, "Google"));
    let (base, branding) = ("", branding());
    let page = LogOutPage { base, branding: &branding, person: "ada@example.com", action: "/oauth/logout", csrf: "c" };
    snapshot("log_out", page.render().unwrap());
    let link = Link::new("https://accounts.example/logout").unwrap();
    let page = LoggedOutPage { base, branding: &branding, elsewhere: Some(("Example", link)) };
    snapshot("logged_out", page.render().unwrap());
}
