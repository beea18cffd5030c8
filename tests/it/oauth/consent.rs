//! Consent: asked once for the same, again for anything else, and never given by anybody but the person asked.

use serde_json::json;

use crate::support::app::{BASIC, PASSWORD};
use crate::support::browser::Page;
use crate::support::client::REDIRECT_URI;
use crate::support::{App, Browser, Client};

async fn logged_in(
    client: &Client,
    browser: &mut Browser,
    user: &str,
    changes: &[(&'static str, Option<&str>)],
) -> Page {
    let login = browser.open(&client.authorize_url(changes)).await;
    browser.submit(&login, &[("username", user), ("password", PASSWORD)]).await
}

fn asks(page: &Page) -> bool {
    page.body.contains("value=\"allow\"")
}

#[tokio::test]
async fn cons_1_what_was_asked_stands_in_the_store_not_in_the_form() {
    let app = App::start();
    let client = Client::register(&app).await;
    let mut browser = Browser::new();
    let page = logged_in(&client, &mut browser, "alice", &[("scope", Some("mcp:read"))]).await;
    let answer = browser
        .submit(
            &page,
            &[
                ("decision", "allow"),
                ("scope", "mcp:read mcp:write mcp:admin"),
                ("client_id", "other"),
                ("redirect_uri", "https://evil.example/cb"),
                ("resource", "https://evil.example"),
            ],
        )
        .await;
    assert!(answer.refresh().starts_with(REDIRECT_URI));
    assert_eq!(client.redeem(&answer.answer("code").unwrap()).await.text("scope"), "mcp:read");
}

#[tokio::test]
async fn cons_2_the_same_or_less_is_silent_anything_else_is_asked() {
    let app = App::start();
    let client = Client::register_as(&app, json!({"redirect_uris": [REDIRECT_URI, "https://other.example/cb"]})).await;
    client.authorize(&mut Browser::new(), "alice", &[("scope", Some("mcp:read"))]).await;
    let again = |changes: &'static [(&'static str, Option<&'static str>)]| {
        let client = &client;
        async move { asks(&logged_in(client, &mut Browser::new(), "alice", changes).await) }
    };
    assert!(!again(&[("scope", Some("mcp:read"))]).await, "the same");
    assert!(again(&[("scope", Some("mcp:read mcp:write"))]).await, "more scope");
    assert!(
        again(&[("scope", Some("mcp:read")), ("redirect_uri", Some("https://other.example/cb"))]).await,
        "another address"
    );
    let other = Client::register(&app).await;
    assert!(
        asks(&logged_in(&other, &mut Browser::new(), "alice", &[("scope", Some("mcp:read"))]).await),
        "another client"
    );
    assert!(
        asks(&logged_in(&client, &mut Browser::new(), "rita", &[("scope", Some("mcp:read"))]).await),
        "another person"
    );
    client.authorize(&mut Browser::new(), "alice", &[]).await;
    assert!(!again(&[("scope", Some("mcp:read"))]).await, "less than was allowed last");
}

#[tokio::test]
async fn cons_2_a_loopback_client_is_remembered_whatever_its_port() {
    let app = App::start();
    let client = Client::register_as(&app, json!({"redirect_uris": ["http://127.0.0.1:5000/cb"]})).await;
    client.authorize(&mut Browser::new(), "alice", &[("redirect_uri", Some("http://127.0.0.1:5000/cb"))]).await;
    assert!(!asks(
        &logged_in(&client, &mut Browser::new(), "alice", &[("redirect_uri", Some("http://127.0.0.1:6000/cb"))]).await
    ));
}

/// What the client is granted when these are ticked.
async fn granted(client: &Client, page: &Page, browser: &mut Browser, ticked: &[&str]) -> String {
    let mut fields = vec![("decision", "allow")];
    fields.extend(ticked.iter().map(|scope| ("scope", *scope)));
    let answer = browser.submit_only(page, &fields).await;
    client.redeem(&answer.answer("code").unwrap()).await.text("scope").to_owned()
}

#[tokio::test]
async fn cons_1_what_is_ticked_is_granted_and_nothing_else() {
    let app = App::start();
    let client = Client::register(&app).await;
    for (ticked, scope) in [
        (&["mcp:read"][..], "mcp:read"),
        // Whoever may do the more may do the less.
        (&["mcp:write"], "mcp:read mcp:write"),
        (&["mcp:read", "mcp:write"], "mcp:read mcp:write"),
        (&["mcp:read", "mcp:admin"], "mcp:read"),
        (&["mcp:read", "mcp:read"], "mcp:read"),
    ] {
        let mut browser = Browser::new();
        let page = logged_in(&client, &mut browser, "alice", &[("prompt", Some("consent"))]).await;
        assert_eq!(page.ticked(), ["mcp:read", "mcp:write"], "all that was asked for is ticked at first");
        assert_eq!(granted(&client, &page, &mut browser, ticked).await, scope, "{ticked:?}");
    }
    let mut browser = Browser::new();
    let page = logged_in(&client, &mut browser, "rita", &[("prompt", Some("consent"))]).await;
    assert_eq!(page.ticked(), ["mcp:read"], "what she may not grant is not offered");
    assert_eq!(granted(&client, &page, &mut browser, &["mcp:read", "mcp:write"]).await, "mcp:read");
}

#[tokio::test]
async fn who_ticks_nothing_allows_nothing() {
    let app = App::start();
    let client = Client::register(&app).await;
    let mut browser = Browser::new();
    let page = logged_in(&client, &mut browser, "alice", &[]).await;
    for fields in [&[("decision", "allow")][..], &[("decision", "allow"), ("scope", "mcp:admin")]] {
        let again = browser.submit_only(&page, fields).await;
        assert_eq!((again.status, again.goes_nowhere()), (400, true), "{again:?}");
        assert!(asks(&again) && again.body.contains("role=\"alert\"") && again.ticked().is_empty(), "{again:?}");
    }
    assert_eq!(granted(&client, &page, &mut browser, &["mcp:read"]).await, "mcp:read", "there is another try");
}

#[tokio::test]
async fn cons_2_less_than_was_asked_is_remembered_as_decided() {
    let app = App::start();
    let client = Client::register(&app).await;
    let mut browser = Browser::new();
    let page = logged_in(&client, &mut browser, "alice", &[]).await;
    assert_eq!(granted(&client, &page, &mut browser, &["mcp:read"]).await, "mcp:read");
    let again = logged_in(&client, &mut Browser::new(), "alice", &[]).await;
    assert!(asks(&again), "more is wanted than was allowed: {again:?}");
    let silent = logged_in(&client, &mut Browser::new(), "alice", &[("scope", Some("mcp:read"))]).await;
    assert_eq!(client.redeem(&silent.answer("code").unwrap()).await.text("scope"), "mcp:read");
}

#[tokio::test]
async fn cons_2_a_mode_that_asks_nobody_is_for_clients_of_the_configuration_alone() {
    let clients = "    clients:\n      - {client_id: known, redirect_uris: [\"https://client.example/cb\"], skip_consent: SKIP}\n";
    let yaml = |mode: &str, skip: &str| {
        let consent = format!("    consent: {{mode: {mode}}}\n    allowed_redirect_uris:");
        let strangers = "allow_dynamic_registration: false\n    client_id_metadata_documents: {enabled: false}";
        BASIC
            .replace("    allowed_redirect_uris:", &format!("{}{consent}", clients.replace("SKIP", skip)))
            .replace("allow_dynamic_registration: true", strangers)
    };
    for (mode, skip, asked) in [
        ("never", "false", false),
        ("always_for_dynamic", "false", true),
        ("always_for_dynamic", "true", false),
        ("always", "false", true),
    ] {
        let app = App::with(&yaml(mode, skip));
        let client = Client::known(&app.url, "known");
        let page = logged_in(&client, &mut Browser::new(), "alice", &[]).await;
        assert_eq!(asks(&page), asked, "{mode} {skip}: {page:?}");
        assert_eq!(page.body.contains("http-equiv=\"refresh\""), !asked, "{mode} {skip}: {page:?}");
    }
    for (yaml, word) in [
        (
            BASIC.replace("    allowed_redirect_uris:", "    consent: {mode: never}\n    allowed_redirect_uris:"),
            "nobody here knows",
        ),
        (yaml("always", "true"), "has no effect"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.yaml");
        std::fs::write(&path, yaml.replace("HASH", &format!("\"{}\"", bcrypt::hash(PASSWORD, 4).unwrap()))).unwrap();
        let faults = mcp_bridge::config::Config::load(&path).expect_err("a contradiction").to_string();
        assert!(faults.contains(word) && faults.contains("consent"), "{faults}");
    }
}

#[tokio::test]
async fn cons_2_a_silent_answer_changes_nothing_of_what_is_remembered() {
    let app = App::start();
    let client = Client::register(&app).await;
    client.authorize(&mut Browser::new(), "alice", &[]).await;
    for (scope, asked) in [("mcp:read", false), ("mcp:read mcp:write", false), ("mcp:read", false)] {
        let page = logged_in(&client, &mut Browser::new(), "alice", &[("scope", Some(scope))]).await;
        assert_eq!(asks(&page), asked, "{scope}: {page:?}");
    }
    // An answer about less is none about the rest,
    let less = [("scope", Some("mcp:read")), ("prompt", Some("consent"))];
    client.authorize(&mut Browser::new(), "alice", &less).await;
    assert!(!asks(&logged_in(&client, &mut Browser::new(), "alice", &[]).await), "nobody said no to writing");
    // and one about all of it is.
    let mut browser = Browser::new();
    let page = logged_in(&client, &mut browser, "alice", &[("prompt", Some("consent"))]).await;
    assert_eq!(granted(&client, &page, &mut browser, &["mcp:read"]).await, "mcp:read");
    assert!(asks(&logged_in(&client, &mut Browser::new(), "alice", &[]).await), "writing was not ticked");
}

#[tokio::test]
async fn cons_2_a_wider_yes_of_before_gives_nothing_that_was_refused_since() {
    let scopes = "    scopes_supported: [\"mcp:read\", \"mcp:write\", \"mcp:admin\"]\n    allowed_redirect_uris:";
    let admin = BASIC.replacen("[\"mcp:read\", \"mcp:write\"]", "[\"mcp:admin\"]", 1);
    let app = App::with(&admin.replace("    allowed_redirect_uris:", scopes));
    let client = Client::register(&app).await;
    let wanting = |scope: &'static str| [("scope", Some(scope)), ("prompt", Some("consent"))];
    client.authorize(&mut Browser::new(), "alice", &wanting("mcp:admin")).await;
    let mut browser = Browser::new();
    let page = logged_in(&client, &mut browser, "alice", &wanting("mcp:read mcp:write")).await;
    assert_eq!(granted(&client, &page, &mut browser, &["mcp:read"]).await, "mcp:read");
    let page = logged_in(&client, &mut Browser::new(), "alice", &[("scope", Some("mcp:write"))]).await;
    assert!(asks(&page), "{page:?}");
}

#[tokio::test]
async fn cons_2_a_yes_counts_as_long_as_it_says_however_often_it_is_used() {
    let app = App::with(
        &BASIC.replace("    allowed_redirect_uris:", "    consent: {remember: 2d}\n    allowed_redirect_uris:"),
    );
    let client = Client::register(&app).await;
    client.tokens().await;
    for (hours, asked) in [(24, false), (23, false), (2, true)] {
        app.clock.advance(std::time::Duration::from_secs(hours * 3600));
        let page = logged_in(&client, &mut Browser::new(), "alice", &[]).await;
        assert_eq!(asks(&page), asked, "{hours} hours on: {page:?}");
    }
}

#[tokio::test]
async fn cons_2_who_is_signed_in_is_asked_the_first_time_and_when_more_is_wanted() {
    let app = App::start();
    let uris = [
        "https://other.example/cb",
        REDIRECT_URI,
        "http://127.0.0.1/cb",
        "cursor://anysphere.cursor-mcp/oauth/callback",
    ];
    let client = Client::register_as(&app, json!({"redirect_uris": uris})).await;
    let mut browser = Browser::new();
    client.authorize(&mut browser, "alice", &[("scope", Some("mcp:read"))]).await;
    let read = ("scope", Some("mcp:read"));
    let again = browser.open(&client.authorize_url(&[read])).await;
    let code = again.answer("code").unwrap_or_else(|| panic!("the same is silent: {again:?}"));
    assert_eq!(again.answer("state").as_deref(), Some("a state & more"));
    assert_eq!(client.redeem(&code).await.text("scope"), "mcp:read");
    for (changes, why) in [
        (&[][..], "more scope"),
        (&[read, ("redirect_uri", Some("https://other.example/cb"))], "another address"),
        (&[read, ("prompt", Some("consent"))], "a client that wants it so"),
    ] {
        let page = browser.open(&client.authorize_url(changes)).await;
        assert!(asks(&page) && page.body.contains("alice"), "{why}: {page:?}");
    }
    let login = browser.open(&client.authorize_url(&[read, ("prompt", Some("login"))])).await;
    assert!(login.body.contains("name=\"password\"") && login.goes_nowhere(), "{login:?}");
    // RFC 8252 §8.6: what listens there is not known.
    for uri in ["http://127.0.0.1:5000/cb", "cursor://anysphere.cursor-mcp/oauth/callback"] {
        let changes = [read, ("redirect_uri", Some(uri))];
        for _ in 0..2 {
            let page = browser.open(&client.authorize_url(&changes)).await;
            assert!(asks(&page), "{uri}: {page:?}");
            assert!(browser.submit(&page, &[("decision", "allow")]).await.answer("code").is_some());
        }
    }
}

#[tokio::test]
async fn cons_5_who_is_signed_in_and_sent_by_another_site_is_asked_again() {
    let app = App::start();
    let client = Client::register(&app).await;
    let mut browser = Browser::new();
    client.authorize(&mut browser, "alice", &[]).await;
    for (site, asked) in [("cross-site", true), ("same-site", true), ("", true), ("none", false)] {
        browser.arrives = site;
        let page = browser.open(&client.authorize_url(&[])).await;
        assert_eq!((asks(&page), page.goes_nowhere()), (asked, asked), "{site}: {page:?}");
    }
}

#[tokio::test]
async fn authz_20_no_code_comes_of_a_look_ahead_by_who_is_signed_in() {
    let app = App::start();
    let client = Client::register(&app).await;
    let mut browser = Browser::new();
    client.authorize(&mut browser, "alice", &[]).await;
    let cookies = browser.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ");
    let url = client.authorize_url(&[]);
    for (method, purpose) in [("HEAD", ""), ("OPTIONS", ""), ("GET", "prefetch"), ("GET", "prefetch;prerender")] {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = crate::support::client::http().request(method.clone(), &url).header("cookie", &cookies);
        request = request.header("sec-fetch-site", "none");
        if !purpose.is_empty() {
            request = request.header("sec-purpose", purpose);
        }
        let page = Page::read(request.send().await.unwrap()).await;
        assert!(page.goes_nowhere() && !page.body.contains("code="), "{method} {purpose}: {page:?}");
    }
    assert!(browser.open(&url).await.answer("code").is_some(), "a visit does");
}

#[tokio::test]
async fn cons_3_an_approval_counts_only_from_its_own_page() {
    let app = App::start();
    let client = Client::register(&app).await;
    let mut browser = Browser::new();
    let page = logged_in(&client, &mut browser, "alice", &[]).await;
    let mut other = Browser::new();
    let theirs = logged_in(&client, &mut other, "rita", &[]).await;
    assert_eq!(browser.post(&page.action(), &[("decision", "allow"), ("scope", "mcp:read")]).await.status, 403);
    assert_eq!(
        browser
            .post(&page.action(), &[("csrf", &theirs.csrf()), ("decision", "allow"), ("scope", "mcp:read")])
            .await
            .status,
        403
    );
    assert_eq!(
        browser
            .post_from(
                "cross-site",
                &page.action(),
                &[("csrf", &page.csrf()), ("decision", "allow"), ("scope", "mcp:read")]
            )
            .await
            .status,
        403
    );
    assert_eq!(
        other
            .post(&page.action(), &[("csrf", &page.csrf()), ("decision", "allow"), ("scope", "mcp:read")])
            .await
            .status,
        400,
        "another browser"
    );
    assert!(browser.submit(&page, &[("decision", "allow")]).await.answer("code").is_some());
}

#[tokio::test]
async fn cons_4_no_step_can_be_skipped() {
    let app = App::start();
    let client = Client::register(&app).await;
    let mut browser = Browser::new();
    let login = browser.open(&client.authorize_url(&[])).await;
    let consent = login.action().replace("/login", "/consent");
    let skipped =
        browser.post(&consent, &[("csrf", &login.csrf()), ("decision", "allow"), ("scope", "mcp:read")]).await;
    assert_eq!((skipped.status, skipped.goes_nowhere()), (400, true), "no login yet");
    let page = browser.submit(&login, &[("username", "alice"), ("password", PASSWORD)]).await;
    let got = browser.open(&format!("{}?csrf={}&decision=allow", page.action(), page.csrf())).await;
    assert_eq!((got.status, got.goes_nowhere()), (405, true), "by GET");
    let fields = [("csrf", page.csrf()), ("decision", "allow".to_owned()), ("scope", "mcp:read".to_owned())];
    let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    assert!(browser.post(&page.action(), &fields).await.answer("code").is_some());
    let replayed = browser.post(&page.action(), &fields).await;
    assert!(replayed.status >= 400 && replayed.goes_nowhere(), "replayed");
}

#[tokio::test]
async fn cons_5_who_is_sent_by_another_site_is_asked_again() {
    let app = App::start();
    let client = Client::register(&app).await;
    client.authorize(&mut Browser::new(), "alice", &[]).await;
    for (site, asked) in [("cross-site", true), ("same-site", true), ("none", false)] {
        let mut browser = Browser::new();
        browser.arrives = site;
        assert_eq!(asks(&logged_in(&client, &mut browser, "alice", &[]).await), asked, "{site}");
    }
    let wanted = logged_in(&client, &mut Browser::new(), "alice", &[("prompt", Some("consent"))]).await;
    assert!(asks(&wanted), "a client that wants it so");
    let mut browser = Browser::new();
    browser.arrives = "";
    assert!(asks(&logged_in(&client, &mut browser, "alice", &[]).await), "a browser that does not say");
}

#[tokio::test]
async fn cons_7_a_refusal_is_told_to_the_client() {
    let app = App::start();
    let client = Client::register(&app).await;
    let mut browser = Browser::new();
    let page = logged_in(&client, &mut browser, "alice", &[]).await;
    let denied = browser.submit(&page, &[("decision", "deny")]).await;
    assert_eq!(denied.answer("error").as_deref(), Some("access_denied"));
    assert!(asks(&browser.open(&client.authorize_url(&[])).await), "a refusal is not remembered");
    assert!(asks(&logged_in(&client, &mut Browser::new(), "alice", &[]).await), "in another browser neither");
}

#[tokio::test]
async fn cons_8_the_person_who_logs_in_is_the_one_who_is_asked() {
    let app = App::start();
    let client = Client::register(&app).await;
    let mut browser = Browser::new();
    client.authorize(&mut browser, "alice", &[]).await;
    // Alice is still logged in in this browser.
    let page = browser.open(&client.authorize_url(&[("prompt", Some("consent"))])).await;
    assert!(asks(&page) && page.body.contains("alice"));
    let login = browser.submit(&page, &[("decision", "switch")]).await;
    let page = browser.submit(&login, &[("username", "rita"), ("password", PASSWORD)]).await;
    assert!(asks(&page) && page.body.contains("rita") && !page.body.contains("alice"));
}

#[tokio::test]
async fn cons_10_twenty_approvals_make_one_code() {
    let app = App::start();
    let client = Client::register(&app).await;
    let mut browser = Browser::new();
    let page = logged_in(&client, &mut browser, "alice", &[]).await;
    let approvals = (0..20).map(|_| {
        let mut same = browser.copy();
        let page = &page;
        async move {
            same.post(&page.action(), &[("csrf", &page.csrf()), ("decision", "allow"), ("scope", "mcp:read")]).await
        }
    });
    let pages = futures_util::future::join_all(approvals).await;
    assert_eq!(pages.iter().filter(|page| page.status == 200 && page.answer("code").is_some()).count(), 1);
    assert!(pages.iter().all(|page| page.status == 200 || page.status == 400));
}
