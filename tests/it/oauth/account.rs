//! `/account`: what a person sees of apps, browsers and password, and what ends when it is ended there.

use std::sync::Arc;
use std::time::Duration;

use mcp_bridge::base::clock::Timestamp;
use mcp_bridge::base::id::UserId;
use mcp_bridge::base::secret::Secret;
use mcp_bridge::config::section::Storage;
use mcp_bridge::model::user::User;
use mcp_bridge::protocol::oauth::scope::ScopeSet;
use mcp_bridge::store::{Sqlite, Store};
use serde_json::{Value, json};

use crate::oauth::{audit, federated};
use crate::support::app::{BASIC, PASSWORD, WRONG};
use crate::support::browser::Page;
use crate::support::client::REDIRECT_URI;
use crate::support::mcp::Session;
use crate::support::{App, Browser, Client, Provider};

const COOKIE: &str = "mcpb_session";
const NEW: &str = "a battery and a staple";

/// The account's page of somebody who logs in there.
async fn sign_in(app: &App, browser: &mut Browser, user: &str, password: &str) -> Page {
    let login = browser.open(&format!("{}/account", app.url)).await;
    browser.submit(&login, &[("username", user), ("password", password), ("decision", "login")]).await
}

async fn account(app: &App, browser: &mut Browser) -> Page {
    browser.open(&format!("{}/account", app.url)).await
}

fn is_account(page: &Page) -> bool {
    page.status == 200 && page.body.contains("<h1>Your account</h1>")
}

/// Whether the bridge asks who it is.
fn is_login(page: &Page) -> bool {
    page.status == 200 && page.body.contains("name=\"username\"") && page.body.contains("your account")
}

/// The token of the account's forms; that for signing out has another.
fn token(page: &Page) -> String {
    let (_, form) = page.body.split_once("action=\"/account/").unwrap_or_else(|| panic!("no form in {page:?}"));
    let (_, value) = form.split_once("name=\"csrf\" value=\"").unwrap();
    value.split_once('"').unwrap().0.to_owned()
}

async fn post(app: &App, browser: &mut Browser, page: &Page, path: &str, fields: &[(&str, &str)]) -> Page {
    let csrf = token(page);
    let all = [&[("csrf", csrf.as_str())][..], fields].concat();
    let done = browser.post(&format!("{}{path}", app.url), &all).await;
    assert_eq!(done.status, 303, "{done:?}");
    let usual = std::mem::replace(&mut browser.arrives, "same-origin");
    let page = browser.open(&done.location()).await;
    browser.arrives = usual;
    page
}

/// The store, as a command beside the bridge has it.
fn store(app: &App) -> Arc<dyn Store> {
    let path = app.folder.path().join("data/mcp-bridge.db");
    Sqlite::open(&Storage::Sqlite { path }, app.clock.now(), Duration::from_secs(3600)).unwrap()
}

/// Adds a user to the store, as `mcp-bridge user add` does.
async fn add_user(app: &App, name: &str, hash: &str) {
    let store = store(app);
    let user = User {
        id: UserId::new(name),
        password_hash: Secret::new(hash),
        scopes: ScopeSet::parse("mcp:read mcp:write").unwrap(),
        email: None,
        disabled: false,
        created_at: Timestamp::from_unix(0),
    };
    assert!(store.add_user(user).await.unwrap());
}

#[tokio::test]
async fn who_comes_without_a_client_logs_in_and_comes_back() {
    let app = App::start();
    let mut browser = Browser::new();
    let login = account(&app, &mut browser).await;
    assert!(is_login(&login) && !login.body.contains("sent here by an app") && !login.body.contains(">Cancel<"));
    let wrong = browser.submit(&login, &[("username", "alice"), ("password", WRONG), ("decision", "login")]).await;
    assert_eq!((wrong.status, browser.cookies.contains_key(COOKIE)), (401, false));
    let page = browser.submit(&wrong, &[("username", "alice"), ("password", PASSWORD), ("decision", "login")]).await;
    assert!(is_account(&page) && page.body.contains("Signed in as <b>alice</b>"), "{page:?}");
    assert!(page.body.contains("No app has access") && page.body.contains("set in the configuration"), "{page:?}");
    assert!(!browser.cookies.keys().any(|name| name.starts_with("mcpb_flow_")), "{:?}", browser.cookies);
    let again = browser.submit(&login, &[("username", "alice"), ("password", PASSWORD), ("decision", "login")]).await;
    assert_eq!(again.status, 400, "it was finished");
    // The next app needs no second login, only consent.
    let question = browser.open(&Client::register(&app).await.authorize_url(&[])).await;
    assert!(question.body.contains("value=\"allow\""), "{question:?}");
}

#[tokio::test]
async fn cons_9_a_disconnected_app_is_out_at_once_and_asks_again() {
    let app = App::start();
    let client = Client::register_as(&app, json!({"client_name": "An <agent>", "redirect_uris": [REDIRECT_URI]})).await;
    let (tokens, other) = (client.tokens().await, Client::register(&app).await);
    let kept = other.tokens().await;
    let session = Session::initialize(&app, tokens.access()).await;
    let mut browser = Browser::new();
    let page = sign_in(&app, &mut browser, "alice", PASSWORD).await;
    assert!(page.body.contains("<h3>client.example</h3>") && page.body.contains("An &#60;agent&#62;"), "{page:?}");
    assert!(page.body.contains("See the tools") && page.body.contains("just now"), "{page:?}");
    let done = post(&app, &mut browser, &page, "/account/apps", &[("client", &client.id)]).await;
    assert!(is_account(&done) && done.body.contains("The app is disconnected"), "{done:?}");
    assert!(!done.body.contains("An &#60;agent") && done.body.contains("Test client"), "the other stays: {done:?}");
    assert_eq!(session.status().await, 401);
    assert_eq!(client.refresh(tokens.refresh()).await.error(), "invalid_grant");
    assert_eq!(Session::new(&app, kept.access()).status().await, 200);
    let mut fresh = Browser::new();
    let login = fresh.open(&client.authorize_url(&[])).await;
    let question = fresh.submit(&login, &[("username", "alice"), ("password", PASSWORD)]).await;
    assert!(question.body.contains("value=\"allow\""), "nothing is remembered of it: {question:?}");
}

#[tokio::test]
async fn an_app_is_one_entry_with_its_first_and_last_use() {
    let app = App::start();
    let client = Client::register(&app).await;
    let first = client.tokens().await;
    app.clock.advance(Duration::from_secs(3 * 86_400));
    client.authorize(&mut Browser::new(), "alice", &[("scope", Some("mcp:read"))]).await;
    let refreshed = client.refresh(first.refresh()).await;
    assert_eq!(refreshed.status, 200, "{refreshed:?}");
    app.clock.advance(Duration::from_secs(7200));
    let page = sign_in(&app, &mut Browser::new(), "alice", PASSWORD).await;
    assert_eq!(page.body.matches("<h3>client.example</h3>").count(), 1, "{page:?}");
    assert!(page.body.contains(">3 days ago</time>") && page.body.contains(">2 hours ago</time>"), "{page:?}");
    assert!(sign_in(&app, &mut Browser::new(), "rita", PASSWORD).await.body.contains("No app has access"));
    // Its refresh token ends, and its consent is remembered for longer.
    app.clock.advance(Duration::from_secs(15 * 86_400));
    let page = sign_in(&app, &mut Browser::new(), "alice", PASSWORD).await;
    assert!(page.body.contains("Has no access now, but would get it without asking"), "{page:?}");
    app.clock.advance(Duration::from_secs(30 * 86_400));
    assert!(sign_in(&app, &mut Browser::new(), "alice", PASSWORD).await.body.contains("No app has access"));
}

#[tokio::test]
async fn login_1_a_form_of_the_account_counts_only_from_its_own_page() {
    let app = App::start();
    let client = Client::register(&app).await;
    let tokens = client.tokens().await;
    let (mut browser, mut stranger) = (Browser::new(), Browser::new());
    let page = sign_in(&app, &mut browser, "alice", PASSWORD).await;
    let theirs = sign_in(&app, &mut stranger, "alice", PASSWORD).await;
    let url = format!("{}/account/apps", app.url);
    for csrf in ["", "x", &token(&theirs)] {
        let refused = browser.post(&url, &[("csrf", csrf), ("client", &client.id)]).await;
        assert_eq!(refused.status, 403, "{csrf}: {refused:?}");
    }
    let own = token(&page);
    for site in ["cross-site", "same-site"] {
        let fields = [("csrf", own.as_str()), ("client", client.id.as_str())];
        assert_eq!(browser.post_from(site, &url, &fields).await.status, 403, "{site}");
    }
    let fields = [("csrf", own.as_str()), ("client", client.id.as_str())];
    let nobody = Browser::new().post(&url, &fields).await;
    assert_eq!((nobody.status, nobody.location()), (303, format!("{}/account", app.url)), "nobody is signed in there");
    assert_eq!(browser.open(&format!("{url}?csrf={own}&client={}", client.id)).await.status, 405);
    assert_eq!(Session::new(&app, tokens.access()).status().await, 200, "nothing was done");
    for path in ["/account/apps", "/account/browsers", "/account/password"] {
        let refused = browser.post(&format!("{}{path}", app.url), &[("client", &client.id), ("old", PASSWORD)]).await;
        assert_eq!(refused.status, 403, "{path}");
    }
}

#[tokio::test]
async fn nobody_ends_what_is_somebody_else_s() {
    let app = App::start();
    let client = Client::register(&app).await;
    let tokens = client.tokens().await;
    let (mut alice, mut rita) = (Browser::new(), Browser::new());
    sign_in(&app, &mut alice, "alice", PASSWORD).await;
    let mut elsewhere = Browser::new();
    sign_in(&app, &mut elsewhere, "alice", PASSWORD).await;
    let mine = account(&app, &mut alice).await;
    let id = mine.text_between("name=\"browser\" value=\"", "\"");
    sign_in(&app, &mut Browser::new(), "rita", PASSWORD).await;
    let page = sign_in(&app, &mut rita, "rita", PASSWORD).await;
    post(&app, &mut rita, &page, "/account/apps", &[("client", &client.id)]).await;
    post(&app, &mut rita, &page, "/account/browsers", &[("browser", &id)]).await;
    post(&app, &mut rita, &page, "/account/browsers", &[]).await;
    assert_eq!(Session::new(&app, tokens.access()).status().await, 200);
    assert!(is_account(&account(&app, &mut alice).await) && is_account(&account(&app, &mut elsewhere).await));
}

#[tokio::test]
async fn login_5_a_person_signs_out_in_other_browsers() {
    let app = App::start();
    let (mut here, mut phone, mut office) = (Browser::new(), Browser::new(), Browser::new());
    for browser in [&mut here, &mut phone, &mut office] {
        assert!(is_account(&sign_in(&app, browser, "alice", PASSWORD).await));
    }
    let page = account(&app, &mut here).await;
    assert_eq!(page.body.matches("name=\"browser\"").count(), 2, "{page:?}");
    assert_eq!(page.body.matches("this browser").count(), 1, "{page:?}");
    let id = page.text_between("name=\"browser\" value=\"", "\"");
    let page = post(&app, &mut here, &page, "/account/browsers", &[("browser", &id)]).await;
    assert!(page.body.contains("You are signed out there"), "{page:?}");
    assert_eq!(page.body.matches("name=\"browser\"").count(), 1, "{page:?}");
    // Which of the two it was follows from their digests.
    let signed_in = [is_account(&account(&app, &mut phone).await), is_account(&account(&app, &mut office).await)];
    assert_eq!(signed_in.iter().filter(|is_in| **is_in).count(), 1);
    post(&app, &mut here, &page, "/account/browsers", &[]).await;
    for browser in [&mut phone, &mut office] {
        assert!(is_login(&account(&app, browser).await));
    }
    let before = here.copy();
    let page = account(&app, &mut here).await;
    assert!(is_account(&page) && !page.body.contains("everywhere else"), "{page:?}");
    // The form for signing out here carries a token of its own.
    let out = page.text_between("/oauth/logout\">\n<input type=\"hidden\" name=\"csrf\" value=\"", "\"");
    let bye = here.post(&format!("{}/oauth/logout", app.url), &[("csrf", &out)]).await;
    assert!(bye.body.contains("You are signed out"), "{bye:?}");
    assert!(is_login(&account(&app, &mut before.copy()).await), "its old cookie is nobody's");
}

#[tokio::test]
async fn login_19_no_parameter_decides_where_a_login_at_the_account_leads() {
    let app = App::start();
    for query in ["next=//evil.example", "return=https:evil.example", "done=password", "next=%2f%2fevil.example"] {
        let mut browser = Browser::new();
        let login = browser.open(&format!("{}/account?{query}", app.url)).await;
        assert!(is_login(&login) && !login.body.contains("evil"), "{login:?}");
        let fields = [("username", "alice"), ("password", PASSWORD), ("next", "//evil.example"), ("decision", "login")];
        let page = browser.submit(&login, &fields).await;
        assert!(is_account(&page) && !page.body.contains("evil") && page.goes_nowhere(), "{page:?}");
        // Nor does an address of another site make the page say what was not done.
        let page = browser.arrive(&format!("{}/account?done=password", app.url)).await;
        assert!(is_account(&page) && !page.body.contains("Your password is changed"), "{page:?}");
    }
}

#[tokio::test]
async fn authz_18_the_account_s_pages_are_locked_down() {
    let app = App::start();
    add_user(&app, "bob", &bcrypt::hash(PASSWORD, 4).unwrap()).await;
    let mut browser = Browser::new();
    let page = sign_in(&app, &mut browser, "bob", PASSWORD).await;
    let password = browser.open(&format!("{}/account/password", app.url)).await;
    for page in [page, password] {
        assert_eq!(page.status, 200, "{page:?}");
        let policy = page.header("content-security-policy");
        for part in ["default-src 'none'", "frame-ancestors 'none'", "form-action 'self'", "base-uri 'none'"] {
            assert!(policy.contains(part), "{policy}");
        }
        assert_eq!(page.header("x-frame-options"), "DENY");
        assert_eq!(page.header("cache-control"), "no-store");
        assert_eq!(page.header("access-control-allow-origin"), "");
        assert!(!page.body.contains("<script") && !page.body.contains(" style="), "{page:?}");
    }
}

async fn change(app: &App, browser: &mut Browser, old: &str, new: &str, more: &[(&str, &str)]) -> Page {
    let form = browser.open(&format!("{}/account/password", app.url)).await;
    assert!(form.body.contains("name=\"old\""), "{form:?}");
    let fields = [&[("old", old), ("new", new), ("again", new)][..], more].concat();
    browser.submit_only(&form, &fields).await
}

#[tokio::test]
async fn a_changed_password_ends_sessions_elsewhere_and_leaves_the_apps() {
    let app = App::start();
    add_user(&app, "bob", &bcrypt::hash(PASSWORD, 4).unwrap()).await;
    let client = Client::register(&app).await;
    let code = client.authorize(&mut Browser::new(), "bob", &[]).await.answer("code").unwrap();
    let tokens = client.redeem(&code).await;
    let (mut here, mut elsewhere) = (Browser::new(), Browser::new());
    sign_in(&app, &mut here, "bob", PASSWORD).await;
    sign_in(&app, &mut elsewhere, "bob", PASSWORD).await;

    for (old, new, again, status, words) in [
        (WRONG, NEW, NEW, 403, "not your current password"),
        (PASSWORD, "short", "short", 422, "at least 8 characters"),
        (PASSWORD, NEW, "another", 422, "not the same"),
        (PASSWORD, PASSWORD, PASSWORD, 422, "the old one"),
        (PASSWORD, &"p".repeat(73), &"p".repeat(73), 422, "longer than 72 bytes"),
        ("", NEW, NEW, 403, "not your current password"),
    ] {
        let form = here.open(&format!("{}/account/password", app.url)).await;
        let page = here.submit_only(&form, &[("old", old), ("new", new), ("again", again)]).await;
        assert_eq!(page.status, status, "{words}: {page:?}");
        assert!(page.body.contains(words) && page.body.contains("role=\"alert\""), "{words}: {page:?}");
        for value in [old, new].into_iter().filter(|value| !value.is_empty()) {
            assert!(!page.body.contains(&format!("value=\"{value}\"")), "{page:?}");
        }
    }
    assert!(is_account(&account(&app, &mut elsewhere).await), "nothing happened so far");

    let page = change(&app, &mut here, PASSWORD, NEW, &[]).await;
    assert!(is_account(&page) && page.body.contains("Your password is changed"), "{page:?}");
    assert!(is_login(&account(&app, &mut elsewhere).await), "signed out elsewhere");
    assert_eq!(Session::new(&app, tokens.access()).status().await, 200, "apps keep their access");
    assert_eq!(sign_in(&app, &mut Browser::new(), "bob", PASSWORD).await.status, 401);
    assert!(is_account(&sign_in(&app, &mut Browser::new(), "bob", NEW).await));

    let page = change(&app, &mut here, NEW, "yet another one", &[("disconnect", "1")]).await;
    assert!(page.body.contains("every app is disconnected"), "{page:?}");
    assert_eq!(Session::new(&app, tokens.access()).status().await, 401);
    assert_eq!(client.refresh(tokens.refresh()).await.error(), "invalid_grant");
}

#[tokio::test]
async fn login_14_the_password_is_not_guessed_faster_at_an_open_browser() {
    let app =
        App::with(&BASIC.replace("    builtin:\n", "    builtin:\n      lockout: {max_failures: 3, window: 15m}\n"));
    add_user(&app, "bob", &bcrypt::hash(PASSWORD, 4).unwrap()).await;
    let mut browser = Browser::new();
    sign_in(&app, &mut browser, "bob", PASSWORD).await;
    for _ in 0..3 {
        assert_eq!(change(&app, &mut browser, WRONG, NEW, &[]).await.status, 403);
    }
    let page = change(&app, &mut browser, PASSWORD, NEW, &[]).await;
    assert_eq!((page.status, page.header("retry-after").is_empty()), (429, false), "{page:?}");
}

#[tokio::test]
async fn who_has_no_password_in_the_store_is_told_where_it_is() {
    let provider = Provider::start();
    let app = federated::start(&provider, federated::with_users);
    let mut alice = Browser::new();
    sign_in(&app, &mut Browser::new(), "alice", PASSWORD).await;
    let page = sign_in(&app, &mut alice, "alice", PASSWORD).await;
    assert!(page.body.contains("set in the configuration") && !page.body.contains("/account/password"), "{page:?}");
    let form = alice.open(&format!("{}/account/password", app.url)).await;
    assert!(is_account(&form), "{form:?}");
    let url = format!("{}/account/password", app.url);
    let fields =
        [("csrf", token(&page)), ("old", PASSWORD.to_owned()), ("new", NEW.to_owned()), ("again", NEW.to_owned())];
    let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    assert_eq!(alice.post(&url, &fields).await.status, 303, "nor does a form that no page has");
    assert!(is_account(&sign_in(&app, &mut Browser::new(), "alice", PASSWORD).await));
}

#[tokio::test]
async fn a_person_of_a_provider_logs_in_at_the_account_and_comes_back() {
    let provider = Provider::start();
    let app = federated::start(&provider, |_| ());
    let mut browser = Browser::new();
    let login = account(&app, &mut browser).await;
    assert!(login.body.contains("name=\"provider\"") && !login.body.contains("Cancel"), "{login:?}");
    let away = browser.submit(&login, &[("provider", "default"), ("stay", "1")]).await;
    let there = away.refresh();
    assert!(there.starts_with(&provider.url), "{away:?}");
    let back = federated::visit(&mut browser, &there).await;
    let mut stranger = Browser::new();
    assert_eq!(stranger.arrive(&back).await.status, 400, "fed_2: another browser gets nowhere");
    let page = browser.arrive(&back).await;
    assert!(is_account(&page) && page.body.contains("ada@example.com"), "{page:?}");
    assert!(page.body.contains("Your password is kept and changed there"), "{page:?}");
    assert!(browser.cookies.contains_key(COOKIE));
    let again = browser.copy().arrive(&back).await;
    assert_eq!(again.status, 400, "its state is spent");
    // What failed there can be tried again here, and no app waits for an answer.
    provider.script(|s| s.callback = json!({"code": null, "error": "access_denied"}));
    let mut other = Browser::new();
    let login = account(&app, &mut other).await;
    let away = other.submit(&login, &[("provider", "default")]).await;
    let back = federated::visit(&mut other, &away.refresh()).await;
    let failed = other.arrive(&back).await;
    assert!(failed.status == 403 && failed.body.contains("Try again") && !failed.body.contains("Back to the app"));
    assert!(other.open(&failed.link("Try again")).await.body.contains("name=\"provider\""));
}

#[tokio::test]
async fn where_nobody_stays_signed_in_the_account_is_visited_for_a_quarter_of_an_hour() {
    let app = App::with(&BASIC.replace("    builtin:\n", "    builtin:\n      session_lifetime: 0s\n"));
    let mut browser = Browser::new();
    let login = account(&app, &mut browser).await;
    assert!(!login.body.contains("Stay signed in"), "{login:?}");
    let page = sign_in(&app, &mut browser, "alice", PASSWORD).await;
    assert!(is_account(&page), "{page:?}");
    let client = Client::register(&app).await;
    let login = browser.open(&client.authorize_url(&[])).await;
    assert!(login.body.contains("name=\"username\""), "an app's request asks for a login all the same: {login:?}");
    app.clock.advance(Duration::from_secs(899));
    assert!(is_account(&account(&app, &mut browser).await));
    app.clock.advance(Duration::from_secs(2));
    assert!(is_login(&account(&app, &mut browser).await));
}

#[tokio::test]
async fn login_24_who_does_not_ask_to_stay_is_forgotten_with_the_browser() {
    let app = App::with(&BASIC.replace("    builtin:\n", "    builtin:\n      session_lifetime: 30d\n"));
    for (ticked, hours, is_in) in [(false, 11, true), (false, 13, false), (true, 13, true), (true, 30 * 24, false)] {
        let mut browser = Browser::new();
        let login = account(&app, &mut browser).await;
        let fields = [("username", "alice"), ("password", PASSWORD), ("decision", "login"), ("stay", "1")];
        let (csrf, count) = (login.csrf(), if ticked { 4 } else { 3 });
        let all = [&[("csrf", csrf.as_str())][..], &fields[..count]].concat();
        let login = browser.post(&login.action(), &all).await;
        let set: Vec<_> = login.headers.get_all("set-cookie").iter().map(|value| value.to_str().unwrap()).collect();
        let session = set.iter().find(|cookie| cookie.starts_with(&format!("{COOKIE}="))).expect("a session");
        assert_eq!(session.contains("Max-Age=2592000"), ticked, "{session}");
        assert_eq!(session.contains("Max-Age"), ticked, "{session}");
        app.clock.advance(Duration::from_secs(hours * 3600));
        assert_eq!(is_account(&account(&app, &mut browser).await), is_in, "{ticked} {hours}");
    }
}

#[tokio::test]
async fn login_23_who_is_disabled_has_no_account_any_more() {
    let app = App::start();
    add_user(&app, "bob", &bcrypt::hash(PASSWORD, 4).unwrap()).await;
    let mut browser = Browser::new();
    assert!(is_account(&sign_in(&app, &mut browser, "bob", PASSWORD).await));
    federated::disable(&app, "bob").await;
    assert!(is_login(&account(&app, &mut browser).await));
}

#[tokio::test]
async fn login_7_argon2id_hashes_of_either_place_let_people_in() {
    let hash = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";
    let users =
        format!("      users:\n        - {{username: carol, password_hash: \"{hash}\", scopes: [\"mcp:read\"]}}\n");
    let app = App::with(&BASIC.replace("      users:\n", &users));
    add_user(&app, "dave", hash).await;
    for name in ["carol", "dave"] {
        assert!(is_account(&sign_in(&app, &mut Browser::new(), name, "password").await), "{name}");
        assert_eq!(sign_in(&app, &mut Browser::new(), name, "passwort").await.status, 401, "{name}");
    }
    // What replaces it is hashed alike.
    let mut dave = Browser::new();
    sign_in(&app, &mut dave, "dave", "password").await;
    assert!(is_account(&change(&app, &mut dave, "password", &"long ".repeat(30), &[]).await));
    assert!(is_account(&sign_in(&app, &mut Browser::new(), "dave", &"long ".repeat(30)).await));
}

#[tokio::test]
async fn cons_9_what_a_person_ends_or_changes_stands_in_the_trail() {
    let app = audit::recorded();
    add_user(&app, "bob", &bcrypt::hash(PASSWORD, 4).unwrap()).await;
    let client = Client::register(&app).await;
    let page = client.authorize(&mut Browser::new(), "bob", &[]).await;
    client.redeem(&page.answer("code").unwrap()).await;
    let (mut here, mut there) = (Browser::new(), Browser::new());
    sign_in(&app, &mut there, "bob", PASSWORD).await;
    let page = sign_in(&app, &mut here, "bob", PASSWORD).await;
    let before = audit::told(app.folder.path(), &client).len();
    let page = post(&app, &mut here, &page, "/account/apps", &[("client", &client.id)]).await;
    post(&app, &mut here, &page, "/account/browsers", &[]).await;
    assert_eq!(change(&app, &mut here, WRONG, NEW, &[]).await.status, 403);
    assert!(is_account(&change(&app, &mut here, PASSWORD, NEW, &[]).await));
    let expected = [
        "consent withdrawn - bob client",
        "session ended - bob -",
        "login refused wrong_credentials bob -",
        "password changed - bob -",
    ];
    assert_eq!(audit::told(app.folder.path(), &client)[before..], expected);
}

#[tokio::test]
async fn rt_10_what_ends_with_a_password_stands_in_the_trail() {
    let app = audit::recorded();
    add_user(&app, "bob", &bcrypt::hash(PASSWORD, 4).unwrap()).await;
    let client = Client::register(&app).await;
    let mut here = Browser::new();
    let page = client.authorize(&mut Browser::new(), "bob", &[]).await;
    client.redeem(&page.answer("code").unwrap()).await;
    sign_in(&app, &mut here, "bob", PASSWORD).await;
    let before = audit::told(app.folder.path(), &client).len();
    assert!(is_account(&change(&app, &mut here, PASSWORD, NEW, &[("disconnect", "on")]).await));
    assert!(is_account(&change(&app, &mut here, NEW, PASSWORD, &[("disconnect", "on")]).await));
    let expected = [
        "password changed - bob -",
        "session ended - bob -",
        "grants revoked password_changed bob -",
        "password changed - bob -",
    ];
    assert_eq!(audit::told(app.folder.path(), &client)[before..], expected, "there was nothing more to end");
}

#[tokio::test]
async fn rt_10_a_login_under_way_with_the_old_password_comes_to_nothing() {
    let app = App::start();
    // So slow that the password changes while it is checked.
    add_user(&app, "bob", &bcrypt::hash(PASSWORD, 12).unwrap()).await;
    let store = store(&app);
    let mut browser = Browser::new();
    let login = account(&app, &mut browser).await;
    let fields = [("username", "bob"), ("password", PASSWORD), ("decision", "login")];
    let changing = async {
        // By then the other request has read the hash.
        assert!(is_login(&account(&app, &mut Browser::new()).await));
        let hash = Secret::new(bcrypt::hash(NEW, 4).unwrap());
        store.set_password(&UserId::new("bob"), hash, app.clock.now()).await.unwrap()
    };
    let (page, changed) = tokio::join!(browser.submit(&login, &fields), changing);
    assert!(changed && page.status == 401, "{page:?}");
    assert!(!is_account(&account(&app, &mut browser).await));
    assert!(store.list_sessions(&UserId::new("bob"), app.clock.now()).await.unwrap().is_empty());
}

#[tokio::test]
async fn log_1_who_logs_in_at_a_provider_for_the_account_stands_in_the_trail() {
    let provider = Provider::start();
    let mut config: Value = serde_json::from_str(&federated::config(&federated::oauth_server(&provider))).unwrap();
    config["audit"] = json!({"enabled": true, "path": "audit.jsonl"});
    let app = App::with_clock(&config.to_string(), provider.clock.clone());
    let mut browser = Browser::new();
    let login = account(&app, &mut browser).await;
    let away = browser.submit(&login, &[("provider", "default")]).await;
    let back = federated::visit(&mut browser, &away.refresh()).await;
    assert!(is_account(&browser.arrive(&back).await));
    let lines = audit::lines(app.folder.path());
    assert_eq!((lines.len(), &lines[0]["event"], &lines[0]["outcome"]), (1, &json!("login"), &json!("accepted")));
}

#[tokio::test]
async fn the_last_use_of_an_app_is_when_it_last_came() {
    let app = App::start();
    let client = Client::register(&app).await;
    let tokens = client.tokens().await;
    let session = Session::new(&app, tokens.access()).initialized(json!({})).await;
    let mut browser = Browser::new();
    sign_in(&app, &mut browser, "alice", PASSWORD).await;
    let used = |page: &Page| {
        let (_, rest) = page.body.split_once("last used <time datetime=\"").unwrap_or_else(|| panic!("{page:?}"));
        rest.split_once('"').unwrap().0.to_owned()
    };
    let before = used(&account(&app, &mut browser).await);
    app.clock.advance(Duration::from_secs(600));
    assert_eq!(used(&account(&app, &mut browser).await), before, "nothing was done");
    session.tool("whoami", json!({})).await;
    let after = used(&account(&app, &mut browser).await);
    assert_ne!(after, before);
    // It outlives the process.
    app.clock.advance(Duration::from_secs(120));
    session.tool("whoami", json!({})).await;
    let app = app.restart_in_place();
    browser.reconnect();
    assert_ne!(used(&account(&app, &mut browser).await), after);
}
