//! The pages as they are sent: whole, and with hostile values in every place that takes one.

mod federated;

use askama::Template;

use crate::authorization_server::authorize::{Person, Ways};
use crate::config::section::Branding;
use crate::http::page::{
    Answer, ClientName, ConsentPage, ErrorPage, Link, LoginError, LoginPage, ReturningPage, ScopeLine, Target,
    redirect_target, scope_lines, theme_css,
};
use crate::protocol::oauth::scope::ScopeSet;

/// What is tried in every place: markup, both quotation marks, template syntax, entities.
const HOSTILE: &str = r#""'><script>alert(1)</script><img src=x onerror=alert(1)>{{7*7}}${7*7}&lt;b&gt;%0d%0a"#;

pub(super) fn branding() -> Branding {
    Branding {
        page_title: "Acme MCP".to_owned(),
        heading: "Log in to Acme".to_owned(),
        subtitle: None,
        username_label: "User name".to_owned(),
        password_label: "Password".to_owned(),
        button_text: "Log in".to_owned(),
        footer_text: Some("Questions? Ask the Acme help desk.".to_owned()),
        primary_color: None,
        secondary_color: None,
        logo_url: None,
    }
}

fn login(error: Option<LoginError>, username: &str) -> String {
    let (branding, client) = (branding(), ClientName::new("Claude"));
    let target = redirect_target("https://claude.ai/api/mcp/auth_callback");
    let (action, csrf) = ("/oauth/login/fl_1", "csrf-value");
    LoginPage {
        base: "",
        branding: &branding,
        client: client.as_ref(),
        target: Some(&target),
        action,
        csrf,
        ways: &password(),
        username,
        error,
    }
    .render()
    .unwrap()
}

fn password() -> Ways {
    Ways { password: true, providers: Vec::new(), can_stay: true }
}

fn consent(client: &str, redirect_uri: &str, scopes: &[ScopeLine<'_>]) -> String {
    let (branding, client) = (branding(), ClientName::new(client));
    ConsentPage {
        base: "",
        branding: &branding,
        person: &Person::LoggedIn("alice".to_owned()),
        client: client.as_ref(),
        vouched_by: None,
        target: &redirect_target(redirect_uri),
        resource: "https://mcp.example.com/mcp",
        scopes,
        error: None,
        action: "/oauth/consent/fl_1",
        csrf: "csrf-value",
    }
    .render()
    .unwrap()
}

fn consent_of(client: &str, redirect_uri: &str) -> String {
    let (scopes, words) = (ScopeSet::parse("mcp:read mcp:write").unwrap(), std::collections::BTreeMap::new());
    consent(client, redirect_uri, &scope_lines(&scopes, &words))
}

fn returning(url: &str, answer: Answer) -> String {
    ReturningPage { base: "", branding: &branding(), link: Link::new(url).unwrap(), answer }.render().unwrap()
}

fn error(words: &str, back: Option<&str>) -> String {
    let back = back.and_then(Link::new);
    ErrorPage {
        base: "",
        branding: &branding(),
        title: words,
        explanation: words,
        next_step: words,
        reference: words,
        back,
    }
    .render()
    .unwrap()
}

fn expired() -> String {
    ErrorPage {
        base: "",
        branding: &branding(),
        title: "This login has expired",
        explanation: "It was started too long ago, or in another browser.",
        next_step: "Go back to the app and connect again.",
        reference: "rq_7Hq2mZ0xWc",
        back: Link::new("https://claude.ai/cb?error=access_denied&state=b"),
    }
    .render()
    .unwrap()
}

/// Fails when `page` holds an element or attribute that a value brought along.
fn assert_inert(page: &str) {
    for element in ["<script", "<img src=x", "<b>alert", "49"] {
        assert!(!page.contains(element), "{element} in {page}");
    }
    assert!(page.contains("{{7*7}}") && page.contains("&#60;script&#62;"), "the value is shown as text: {page}");
}

/// What a browser makes of the attribute `name` that first follows `start`.
fn attribute(page: &str, start: &str, name: &str) -> String {
    let rest = page.split_once(start).unwrap().1;
    let value = rest.split_once(&format!("{name}=\"")).unwrap().1.split_once('"').unwrap().0;
    let entities = [("&#60;", "<"), ("&#62;", ">"), ("&#34;", "\""), ("&#39;", "'"), ("&#38;", "&")];
    entities.into_iter().fold(value.to_owned(), |text, (entity, character)| text.replace(entity, character))
}

#[test]
fn reg_8_client_name_is_escaped() {
    for name in [
        r#"<script>alert(1)</script>{{7*7}}"#,
        r#""'><script>{{7*7}}${7*7}%0d%0a"#,
        r#""><img src=x onerror=alert(1)><script>{{7*7}}"#,
    ] {
        assert_inert(&consent_of(name, "https://claude.ai/cb"));
        let (branding, client) = (branding(), ClientName::new(name));
        let target = redirect_target("https://claude.ai/cb");
        let (client, target) = (client.as_ref(), Some(&target));
        let page = LoginPage {
            base: "",
            branding: &branding,
            client,
            target,
            action: "/",
            csrf: "c",
            ways: &password(),
            username: "",
            error: None,
        };
        assert_inert(&page.render().unwrap());
    }
}

#[test]
fn login_username_is_escaped_in_its_field() {
    let page = login(Some(LoginError::WrongCredentials), HOSTILE);
    assert_inert(&page);
    assert_eq!(attribute(&page, "id=\"username\"", "value"), HOSTILE);
}

#[test]
fn cons_11_words_and_addresses_are_escaped() {
    let scopes = [ScopeLine { scope: HOSTILE, description: HOSTILE, is_included: true }];
    assert_inert(&consent("Claude", "https://claude.ai/cb", &scopes));
    let (branding, target) = (branding(), Target::Site { host: HOSTILE.to_owned() });
    let page = ConsentPage {
        base: "",
        branding: &branding,
        person: &Person::LoggedIn(HOSTILE.to_owned()),
        client: None,
        vouched_by: None,
        target: &target,
        resource: HOSTILE,
        scopes: &[],
        error: Some(HOSTILE),
        action: HOSTILE,
        csrf: HOSTILE,
    };
    assert_inert(&page.render().unwrap());
}

#[test]
fn authz_22_error_page_escapes_every_field() {
    assert_inert(&error(HOSTILE, Some("https://claude.ai/cb?error=x&state=%22")));
    assert!(!error("x", Some("javascript:alert(1)")).contains("javascript"));
    let page = error("x", Some(r#"https://claude.ai/cb?state="><script>{{7*7}}"#));
    assert_inert(&page);
}

#[test]
fn branding_is_escaped() {
    let words = || HOSTILE.to_owned();
    let branding = Branding {
        page_title: words(),
        heading: words(),
        subtitle: Some(words()),
        username_label: words(),
        password_label: words(),
        button_text: words(),
        footer_text: Some(words()),
        primary_color: Some(words()),
        secondary_color: Some(words()),
        logo_url: Some(words()),
    };
    let target = redirect_target("https://claude.ai/cb");
    let (target, action, csrf) = (Some(&target), "/", "c");
    let page = LoginPage {
        base: "",
        branding: &branding,
        client: None,
        target,
        action,
        csrf,
        ways: &password(),
        username: "",
        error: None,
    };
    assert_inert(&page.render().unwrap());
}

#[test]
fn the_refresh_url_survives_and_cannot_break_out() {
    for url in [
        r#"https://claude.ai/cb?code=a&state=x;url=https://evil.example/&iss=https%3A%2F%2Fmcp.example.com"#,
        r#"https://claude.ai/cb?state="'><script>alert(1)</script>{{7*7}}&amp;quot;&lt;"#,
        "http://127.0.0.1:33418/?code=a&state='\"",
        "cursor://anysphere.cursor-mcp/oauth/callback?code=a&state=b;c",
    ] {
        let page = returning(url, Answer::Allowed);
        assert_eq!(attribute(&page, "http-equiv=\"refresh\"", "content"), format!("0;url={url}"));
        assert_eq!(attribute(&page, "<a class=\"button primary\"", "href"), url);
        assert!(!page.contains("<script"), "{page}");
    }
}

#[test]
fn login_errors_are_tied_to_the_fields() {
    let page = login(Some(LoginError::WrongCredentials), "alice");
    assert_eq!(page.matches("aria-describedby=\"login-error\" aria-invalid=\"true\"").count(), 2);
    assert_eq!(attribute(&page, "id=\"username\"", "value"), "alice");
    // Being slowed down says nothing about what was typed.
    let page = login(Some(LoginError::TooManyAttempts { retry_after: 45 }), "alice");
    assert!(page.contains("aria-describedby") && !page.contains("aria-invalid") && page.contains("Wait 45 seconds"));
}

#[test]
fn authz_18_no_page_needs_more_than_its_policy_allows() {
    let pages = [
        login(Some(LoginError::Busy { retry_after: 5 }), "alice"),
        consent_of("Claude", "http://127.0.0.1:33418/"),
        returning("https://claude.ai/cb", Answer::Denied),
        error("x", Some("https://claude.ai/cb")),
    ];
    for page in pages {
        for forbidden in ["style=", "<style", "<script", " on", "<base", "http://www"] {
            let tags = page.split('<').filter_map(|tag| tag.split_once('>')).map(|(tag, _)| format!("<{tag}"));
            assert!(!tags.into_iter().any(|tag| tag.contains(forbidden)), "{forbidden} in {page}");
        }
    }
}

#[test]
fn pages_look_as_they_were_agreed() {
    insta::assert_snapshot!("login", login(None, ""));
    insta::assert_snapshot!("login_rejected", login(Some(LoginError::WrongCredentials), "alice"));
    insta::assert_snapshot!("consent_site", consent_of("Claude", "https://claude.ai/api/mcp/auth_callback"));
    insta::assert_snapshot!("consent_loopback", consent_of("", "http://127.0.0.1:33418/"));
    insta::assert_snapshot!("consent_scheme", consent_of("Cursor", "cursor://anysphere.cursor-mcp/oauth/callback"));
    insta::assert_snapshot!("returning", returning("https://claude.ai/cb?code=a&state=b", Answer::Allowed));
    insta::assert_snapshot!("error", expired());
    insta::assert_snapshot!("theme", theme_css(&branding()));
}
