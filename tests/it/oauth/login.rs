//! Logging in: bound to one browser, the same for every kind of wrong, slow to guess.

use std::time::Duration;

use crate::support::app::{BASIC, PASSWORD, WRONG};
use crate::support::browser::Page;
use crate::support::client::VERIFIER;
use crate::support::mcp::Session;
use crate::support::{App, Browser, Client};

const RIGHT: [(&str, &str); 2] = [("username", "alice"), ("password", PASSWORD)];

async fn login_page(app: &App) -> (Client, Browser, Page) {
    let client = Client::register(app).await;
    let mut browser = Browser::new();
    let page = browser.open(&client.authorize_url(&[])).await;
    assert_eq!(page.status, 200, "{page:?}");
    (client, browser, page)
}

fn is_consent(page: &Page) -> bool {
    page.status == 200 && page.body.contains("value=\"allow\"")
}

#[tokio::test]
async fn login_1_a_form_counts_only_from_its_own_page_in_its_own_browser() {
    let app = App::start();
    let (client, mut browser, page) = login_page(&app).await;
    let other = Browser::new().open(&client.authorize_url(&[])).await;
    let with = |csrf: &str| {
        vec![("csrf", csrf.to_owned()), ("username", "alice".to_owned()), ("password", PASSWORD.to_owned())]
    };
    for csrf in ["", "x", &other.csrf()] {
        let fields = with(csrf);
        let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        assert_eq!(browser.post(&page.action(), &fields).await.status, 403, "{csrf:?}");
    }
    assert_eq!(browser.post(&page.action(), &RIGHT).await.status, 403, "no token");
    let fields = [("csrf", page.csrf()), ("username", "alice".to_owned()), ("password", PASSWORD.to_owned())];
    let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    assert_eq!(browser.post_from("cross-site", &page.action(), &fields).await.status, 403);
    assert_eq!(browser.post_from("same-site", &page.action(), &fields).await.status, 403);
    let plain = crate::support::client::http()
        .post(page.action())
        .header("content-type", "text/plain")
        .header("origin", "https://evil.example");
    assert_eq!(plain.body("x").send().await.unwrap().status().as_u16(), 403);
    let next = browser.submit(&page, &RIGHT).await;
    assert!(is_consent(&next));
    assert_eq!(browser.post(&page.action(), &fields).await.status, 403, "the token of the login page is spent");
}

#[tokio::test]
async fn login_2_a_planted_cookie_is_worth_nothing() {
    let app = App::start();
    let (client, mut browser, page) = login_page(&app).await;
    let (name, before) = browser.cookies.first_key_value().map(|(name, value)| (name.clone(), value.clone())).unwrap();
    browser.submit(&page, &RIGHT).await;
    assert_ne!(browser.cookies[&name], before, "the cookie changes at login");
    let mut planted = Browser::new();
    planted.cookies.insert(name, before);
    assert_eq!(planted.open(page.action().trim_end_matches("/login")).await.status, 400);
    let mut victim = Browser::new();
    victim.cookies.insert("mcpb_flow_chosen".to_owned(), "A".repeat(43));
    let page = victim.open(&client.authorize_url(&[])).await;
    assert!(!page.action().contains("chosen"));
}

#[tokio::test]
async fn login_3_cookies_on_https_are_of_the_strictest_kind() {
    let app = App::with(
        &BASIC
            .replace("listen: 127.0.0.1:0", "listen: 127.0.0.1:0\n  allowed_hosts: [127.0.0.1]")
            .replace("enabled: true", "enabled: true\n    issuer: https://mcp.example.com"),
    );
    let client = Client::register_at(&app, &app.local_url()).await;
    let url = client.authorize_url(&[]).replace(&app.url, &app.local_url());
    let response = crate::support::client::http().get(url).send().await.unwrap();
    let cookie = response.headers()["set-cookie"].to_str().unwrap().to_owned();
    assert!(cookie.starts_with("__Host-mcpb_flow_"), "{cookie}");
    for attribute in ["HttpOnly", "SameSite=Lax", "Secure", "Path=/"] {
        assert!(cookie.contains(attribute), "{cookie}");
    }
    assert!(!cookie.contains("Domain"));
    assert!(response.headers()["location"].to_str().unwrap().starts_with("/oauth/authorize/"));
    assert!(response.headers()["strict-transport-security"].to_str().unwrap().starts_with("max-age="));
}

#[tokio::test]
async fn login_4_odd_cookies_are_no_cookies() {
    let app = App::start();
    let (_, browser, page) = login_page(&app).await;
    let flow = page.action().trim_end_matches("/login").to_owned();
    let (name, value) = browser.cookies.first_key_value().unwrap();
    let flipped = format!("{}{}", if value.starts_with('A') { "B" } else { "A" }, &value[1..]);
    let many = (0..200).map(|n| format!("c{n}=v")).collect::<Vec<_>>().join("; ");
    for cookie in [
        format!("{name}={flipped}"),
        format!("{name}={}", "x".repeat(8192)),
        format!("{name}=%zz"),
        format!("{name}={value}; {name}={flipped}"),
        many,
        "=; ;;".into(),
    ] {
        let response = crate::support::client::http().get(&flow).header("cookie", cookie.clone()).send().await.unwrap();
        assert!(matches!(response.status().as_u16(), 400 | 431), "{}: {cookie}", response.status());
    }
    let response = crate::support::client::http()
        .get(&flow)
        .header("cookie", reqwest::header::HeaderValue::from_bytes(b"mcpb_flow_x=\xff\xfe").unwrap());
    assert_eq!(response.send().await.unwrap().status().as_u16(), 400);
    let good = crate::support::client::http().get(&flow).header("cookie", format!("{name}={value}"));
    assert_eq!(good.send().await.unwrap().status().as_u16(), 200);
}

#[tokio::test]
async fn login_6_a_cookie_is_no_credential_at_the_endpoint() {
    let app = App::start();
    let (_, mut browser, page) = login_page(&app).await;
    browser.submit(&page, &RIGHT).await;
    let (name, value) = browser.cookies.first_key_value().unwrap();
    let request = crate::support::client::http().post(app.resource()).header("cookie", format!("{name}={value}"));
    assert_eq!(request.send().await.unwrap().status().as_u16(), 401);
}

#[tokio::test]
async fn login_7_every_wrong_looks_the_same() {
    let app = App::with(&BASIC.replace(
        "- {username: rita,",
        "- {username: dora, disabled: true, password_hash: HASH, scopes: [\"mcp:read\"]}\n        - {username: rita,",
    ));
    let (_, mut browser, mut page) = login_page(&app).await;
    let mut seen = Vec::new();
    let passwords =
        ["12345678".to_owned(), "x".repeat(71), "x".repeat(72), "x".repeat(73), "x".repeat(4096), String::new()];
    for (user, password) in passwords.iter().flat_map(|password| ["nobo", "rita", "dora"].map(|user| (user, password)))
    {
        page = browser.submit(&page, &[("username", user), ("password", password)]).await;
        let body = page.body.replace(&page.csrf(), "CSRF").replace(user, "USER");
        seen.push((page.status, body, page.headers.len()));
    }
    assert_eq!(seen[0].0, 401);
    assert!(seen.iter().all(|one| *one == seen[0]), "{seen:?}");
}

#[tokio::test]
async fn login_13_login_15_guessing_at_one_account_is_slowed_for_the_guesser() {
    let app = App::with(
        &BASIC
            .replace("builtin:\n", "builtin:\n      lockout: {max_failures: 3, window: 1h}\n")
            .replace("listen: 127.0.0.1:0", "listen: 127.0.0.1:0\n  trusted_proxies: [127.0.0.1/32]"),
    );
    let client = Client::register(&app).await;
    let mut attacker = Browser::new();
    attacker.address = Some("203.0.113.1");
    let mut page = attacker.open(&client.authorize_url(&[])).await;
    for user in ["alice", "ALICE", " alice"] {
        page = attacker.submit(&page, &[("username", user), ("password", WRONG)]).await;
        assert_eq!(page.status, 401, "{user}");
    }
    page = attacker.submit(&page, &[("username", "ａlice"), ("password", PASSWORD)]).await;
    assert_eq!(page.status, 429, "one bucket for every spelling; the right password does not open it");
    assert!(page.header("retry-after").parse::<u64>().unwrap() >= 1);
    let mut victim = Browser::new();
    victim.address = Some("198.51.100.7");
    let page = victim.open(&client.authorize_url(&[])).await;
    assert!(is_consent(&victim.submit(&page, &RIGHT).await), "the victim is not locked out");
}

#[tokio::test]
async fn login_14_guesses_at_once_are_counted_before_they_are_tried() {
    let app = App::with(&BASIC.replace("builtin:\n", "builtin:\n      lockout: {max_failures: 5, window: 1h}\n"));
    let client = Client::register(&app).await;
    let mut burst = Vec::new();
    for n in 0..40 {
        let mut browser = Browser::new();
        let page = browser.open(&client.authorize_url(&[])).await;
        burst.push(async move {
            let password = if n == 36 { PASSWORD } else { WRONG };
            browser.submit(&page, &[("username", "alice"), ("password", password)]).await
        });
    }
    let pages = futures_util::future::join_all(burst).await;
    let tried = pages.iter().filter(|page| page.status == 401 || is_consent(page)).count();
    assert!(tried <= 5, "{tried} guesses were tried");
}

#[tokio::test]
async fn login_16_spoofed_addresses_share_the_bucket() {
    let app = App::with(&BASIC.replace("limit: 0", "limit: 3, interval: 1h"));
    let (_, mut browser, page) = login_page(&app).await;
    let mut statuses = Vec::new();
    for address in ["203.0.113.1", "203.0.113.2", "203.0.113.3", "203.0.113.4"] {
        browser.address = Some(address);
        statuses.push(browser.submit(&page, &[("username", "alice"), ("password", WRONG)]).await.status);
    }
    assert_eq!(statuses, [401, 401, 401, 429]);
}

#[tokio::test]
async fn login_18_logins_do_not_hold_up_the_endpoint() {
    // Cost 12 takes a large part of a second; the calls between do not wait for it.
    let slow = bcrypt::hash(PASSWORD, 12).unwrap();
    let app = App::with(&BASIC.replace(
        "- {username: rita,",
        &format!(
            "- {{username: slow, password_hash: \"{slow}\", scopes: [\"mcp:read\"]}}\n        - {{username: rita,"
        ),
    ));
    let client = Client::register(&app).await;
    let tokens = client.tokens().await;
    let session = Session::initialize(&app, tokens.access()).await;
    let mut logins = Vec::new();
    for _ in 0..4 {
        let mut browser = Browser::new();
        let page = browser.open(&client.authorize_url(&[])).await;
        logins.push(tokio::spawn(async move {
            browser.submit(&page, &[("username", "slow"), ("password", WRONG)]).await.status
        }));
    }
    let mut calls_before_the_last_login = 0;
    while !logins.iter().all(tokio::task::JoinHandle::is_finished) {
        assert_eq!(session.status().await, 200);
        calls_before_the_last_login += 1;
    }
    assert!(calls_before_the_last_login > 4, "{calls_before_the_last_login}");
    for login in logins {
        assert!(matches!(login.await.unwrap(), 401 | 503));
    }
}

#[tokio::test]
async fn login_19_no_parameter_decides_where_a_login_leads() {
    let app = App::start();
    let (_, mut browser, page) = login_page(&app).await;
    for target in ["//evil.example", "https:evil.example", "\\\\evil", "/\\evil", "javascript:alert(1)"] {
        let fields = [
            ("csrf", page.csrf()),
            ("username", "alice".into()),
            ("password", WRONG.into()),
            ("next", target.into()),
            ("return_to", target.into()),
            ("redirect_uri", target.into()),
        ];
        let fields: Vec<_> = fields.iter().map(|(name, value): &(&str, String)| (*name, value.as_str())).collect();
        let answer = browser.post(&page.action(), &fields).await;
        assert!(answer.location().is_empty() && !answer.body.contains("evil"), "{answer:?}");
    }
}

#[tokio::test]
async fn login_20_foreign_finished_old_and_invented_flows_are_a_friendly_page() {
    let app = App::start();
    let (client, mut browser, page) = login_page(&app).await;
    let flow = page.action().trim_end_matches("/login").to_owned();
    assert_eq!(Browser::new().open(&flow).await.status, 400, "another browser");
    assert_eq!(browser.open(&format!("{}/oauth/authorize/invented", app.url)).await.status, 400);
    let consent = browser.submit(&page, &RIGHT).await;
    let finished = browser.submit(&consent, &[("decision", "allow")]).await;
    assert!(finished.answer("code").is_some());
    assert_eq!(browser.submit(&consent, &[("decision", "allow")]).await.status, 400, "finished");
    let late = browser.open(&client.authorize_url(&[("prompt", Some("consent"))])).await;
    app.clock.advance(Duration::from_secs(31 * 60));
    let answer = browser.submit(&late, &RIGHT).await;
    assert!(answer.status == 400 && answer.body.contains("connect again"), "{answer:?}");
}

#[tokio::test]
async fn login_21_two_tabs_finish_in_any_order() {
    let app = App::start();
    let (one, two) = (Client::register(&app).await, Client::register(&app).await);
    let mut browser = Browser::new();
    let first = browser.open(&one.authorize_url(&[])).await;
    let second = browser.open(&two.authorize_url(&[])).await;
    let second = browser.submit(&second, &RIGHT).await;
    let first = browser.submit(&first, &RIGHT).await;
    let first = browser.submit(&first, &[("decision", "allow")]).await;
    let second = browser.submit(&second, &[("decision", "allow")]).await;
    assert_eq!(one.redeem(&first.answer("code").unwrap()).await.status, 200);
    assert_eq!(two.redeem(&second.answer("code").unwrap()).await.status, 200);
    for _ in 0..20 {
        browser.open(&one.authorize_url(&[])).await;
    }
    let flows = browser.cookies.keys().filter(|name| name.contains("flow")).count();
    assert!(flows <= 8, "{flows}");
}

#[tokio::test]
async fn login_22_a_password_in_an_address_is_not_looked_at() {
    let app = App::start();
    let (_, mut browser, page) = login_page(&app).await;
    let answer = browser.open(&format!("{}?username=alice&password={PASSWORD}", page.action())).await;
    assert_eq!(answer.status, 405);
}

#[tokio::test]
async fn login_23_a_user_removed_from_the_file_is_out_after_the_restart() {
    let app = App::start();
    let client = Client::register(&app).await;
    let tokens = client.tokens().await;
    assert_eq!(Session::new(&app, tokens.access()).status().await, 200);
    let path = app.folder.path().join("config.yaml");
    let text = std::fs::read_to_string(&path).unwrap();
    let kept: Vec<_> = text.lines().filter(|line| !line.contains("username: alice")).collect();
    std::fs::write(&path, kept.join("\n").replace("127.0.0.1:0", app.url.trim_start_matches("http://"))).unwrap();
    let app = app.restart();
    assert_eq!(Session::new(&app, tokens.access()).status().await, 401);
    let refreshed = client.refresh(tokens.refresh()).await;
    assert_eq!((refreshed.status, refreshed.error()), (400, "invalid_grant"));
    assert_eq!(VERIFIER.len(), 43);
}
