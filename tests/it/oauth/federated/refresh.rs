//! What a grant is worth when the provider, or the configuration, no longer stands by the person.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::json;

use super::{code, log_in, refused, start, tokens};
use crate::support::client::Tokens;
use crate::support::mcp::Session;
use crate::support::provider::{Fault, JWKS, Script, Signer, TOKEN};
use crate::support::{App, Browser, Client, Provider};

const A_MINUTE: Duration = Duration::from_secs(61);
const INTERVAL: Duration = Duration::from_secs(2 * 3600);

/// A provider that gives refresh tokens, and a bridge that forgets a login after two hours without word of it.
async fn two_hours() -> (Provider, App, Client) {
    let provider = Provider::start();
    provider.script(|s| s.refreshes = true);
    let app = start(&provider, |server| {
        server["federated"]["allowed_domains"] = json!(["example.com"]);
        server["federated"]["reauthentication_interval"] = json!("2h");
        server["federated"]["http_timeout"] = json!("1s");
    });
    let client = Client::register(&app).await;
    (provider, app, client)
}

/// The next refresh ends the grant, and with it what it gave.
async fn ends(app: &App, client: &Client, tokens: &Tokens) {
    let refreshed = client.refresh(tokens.refresh()).await;
    assert_eq!((refreshed.status, refreshed.error()), (400, "invalid_grant"), "{refreshed:?}");
    assert!(!refreshed.body.to_string().contains("provider-text"), "{refreshed:?}");
    let done = Instant::now();
    while Session::new(app, tokens.access()).status().await == 200 {
        assert!(done.elapsed() < Duration::from_secs(5), "the access token lives on");
    }
    assert_eq!(Session::new(app, tokens.access()).status().await, 401);
    assert_eq!(client.refresh(tokens.refresh()).await.error(), "invalid_grant", "and stays ended");
}

#[tokio::test]
async fn fed_16_a_rotated_key_is_fetched_once() {
    let provider = Provider::start();
    let app = start(&provider, |_| ());
    let client = Client::register(&app).await;
    tokens(&client).await;
    app.clock.advance(A_MINUTE);
    provider.script(|s| s.rotation = 1);
    for _ in 0..3 {
        tokens(&client).await;
    }
    assert_eq!(provider.count(JWKS), 2);
}

#[tokio::test]
async fn fed_16_who_is_revoked_at_the_provider_is_out_at_the_next_refresh() {
    let (provider, app, client) = two_hours().await;
    let other = Client::register(&app).await;
    let (one, two) = (tokens(&client).await, tokens(&other).await);
    app.clock.advance(A_MINUTE);
    let one = client.refresh(one.refresh()).await;
    assert_eq!(one.status, 200, "{one:?}");
    provider.script(|s| s.revoked = true);
    app.clock.advance(A_MINUTE);
    ends(&app, &client, &one).await;
    assert_eq!(Session::new(&app, two.access()).status().await, 401, "all grants of the person");
    assert_eq!(other.refresh(two.refresh()).await.error(), "invalid_grant");
    provider.script(|s| s.revoked = false);
    code(&log_in(&mut Browser::new(), &client).await);
}

#[tokio::test]
async fn fed_16_who_leaves_the_domain_is_out_at_the_next_refresh() {
    for change in [json!({"email": "ada@elsewhere.example"}), json!({"email": null}), json!({"email_verified": false})]
    {
        let (provider, app, client) = two_hours().await;
        let tokens = tokens(&client).await;
        provider.script(|s| (s.id_token, s.userinfo) = (change.clone(), change.clone()));
        app.clock.advance(A_MINUTE);
        ends(&app, &client, &tokens).await;
    }
}

#[tokio::test]
async fn fed_16_who_loses_a_group_loses_its_scopes() {
    let provider = Provider::start();
    provider.script(|s| {
        s.refreshes = true;
        s.person["groups"] = json!(["ops"]);
    });
    let app = start(&provider, |server| server["federated"]["group_scopes"] = json!({"ops": ["mcp:write"]}));
    let client = Client::register(&app).await;
    let before = tokens(&client).await;
    assert_eq!(before.text("scope"), "mcp:read mcp:write");
    provider.script(|s| s.person["groups"] = json!([]));
    app.clock.advance(A_MINUTE);
    let after = client.refresh(before.refresh()).await;
    assert_eq!((after.status, after.text("scope")), (200, "mcp:read"), "{after:?}");
}

#[tokio::test]
async fn fed_16_a_refresh_that_speaks_of_somebody_else_confirms_nobody() {
    let (provider, app, client) = two_hours().await;
    let tokens = tokens(&client).await;
    provider.script(|s| s.person["sub"] = json!("somebody-else"));
    app.clock.advance(A_MINUTE);
    let refreshed = client.refresh(tokens.refresh()).await;
    assert_ne!(refreshed.status, 500, "{refreshed:?}");
    // Whatever is thought of it now, the old word counts no longer than its time.
    app.clock.advance(INTERVAL);
    let latest = if refreshed.status == 200 { refreshed } else { tokens };
    assert_ne!(client.refresh(latest.refresh()).await.status, 200);
    assert_ne!(Session::new(&app, latest.access()).status().await, 200);
}

#[tokio::test]
async fn fed_7_fed_16_a_refreshed_id_token_that_cannot_be_believed_confirms_nobody() {
    let lies: [fn(&mut Script); 8] = [
        |script| script.signer = Signer::Nobody,
        |script| script.signer = Signer::Stranger,
        |script| script.signer = Signer::PublicKeyAsSecret,
        |script| script.id_token = json!({"aud": "somebody-else"}),
        |script| script.id_token = json!({"iss": "https://elsewhere.example"}),
        |script| script.id_token = json!({"exp": 1_799_000_000}),
        |script| script.id_token = json!({"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"}),
        |script| script.header = json!({"crit": ["x"], "x": 1}),
    ];
    for (n, lie) in lies.into_iter().enumerate() {
        let (provider, app, client) = two_hours().await;
        let first = tokens(&client).await;
        provider.script(lie);
        app.clock.advance(A_MINUTE);
        let soon = client.refresh(first.refresh()).await;
        assert!(matches!(soon.status, 200 | 400 | 503), "{n}: {soon:?}");
        app.clock.advance(INTERVAL);
        let latest = if soon.status == 200 { &soon } else { &first };
        let late = client.refresh(latest.refresh()).await;
        assert!(matches!(late.status, 400 | 503), "{n}: the word of two hours ago counts no longer: {late:?}");
    }
}

#[tokio::test]
async fn fed_16_the_provider_s_next_token_is_kept_whatever_came_with_it() {
    let (provider, app, client) = two_hours().await;
    let first = tokens(&client).await;
    provider.script(|s| s.id_token = json!({"aud": "somebody-else"}));
    app.clock.advance(A_MINUTE);
    let meanwhile = client.refresh(first.refresh()).await;
    assert!(matches!(meanwhile.status, 200 | 503), "not the person's fault: {meanwhile:?}");
    provider.script(|s| s.id_token = json!({}));
    app.clock.advance(A_MINUTE);
    let asked = provider.count(TOKEN);
    let next = client.refresh(first.refresh()).await;
    assert_eq!((next.status, provider.count(TOKEN)), (200, asked + 1), "{next:?}");
    // That was the provider's word: from here it counts for two hours more.
    provider.script(|s| s.faults = [(TOKEN, Fault::Html(502))].into());
    app.clock.advance(INTERVAL - A_MINUTE);
    assert_eq!(client.refresh(next.refresh()).await.status, 200);
}

#[tokio::test]
async fn fed_16_a_provider_that_is_away_is_forgiven_until_the_interval_ends() {
    for fault in [Fault::Hang, Fault::Html(502), Fault::Json(503, json!({})), Fault::Json(429, json!({}))] {
        let (provider, app, client) = two_hours().await;
        let tokens = tokens(&client).await;
        provider.script(|s| s.faults = [(TOKEN, fault.clone())].into());
        app.clock.advance(A_MINUTE);
        let soon = client.refresh(tokens.refresh()).await;
        assert_eq!(soon.status, 200, "{fault:?}: {soon:?}");
        app.clock.advance(INTERVAL);
        let late = client.refresh(soon.refresh()).await;
        assert_eq!((late.status, late.error()), (503, "temporarily_unavailable"), "{fault:?}: {late:?}");
        assert!(late.headers.contains_key("retry-after"), "{late:?}");
        provider.script(|s| s.faults.clear());
        app.clock.advance(A_MINUTE);
        let well = client.refresh(soon.refresh()).await;
        assert_eq!(well.status, 200, "{fault:?}: nothing was lost: {well:?}");
    }
}

#[tokio::test]
async fn fed_16_a_wrong_secret_of_ours_ends_nobody_s_grant() {
    let (provider, app, client) = two_hours().await;
    let tokens = tokens(&client).await;
    provider.script(|s| s.client_secret = Some("rotated by the operator".to_owned()));
    app.clock.advance(A_MINUTE);
    let refreshed = client.refresh(tokens.refresh()).await;
    assert_eq!(refreshed.status, 200, "invalid_client is about us: {refreshed:?}");
}

#[tokio::test]
async fn fed_16_without_a_refresh_token_the_interval_ends_the_grant() {
    let (provider, app, client) = two_hours().await;
    provider.script(|s| s.refreshes = false);
    let first = tokens(&client).await;
    app.clock.advance(INTERVAL - A_MINUTE);
    let second = client.refresh(first.refresh()).await;
    assert_eq!(second.status, 200, "{second:?}");
    app.clock.advance(A_MINUTE + A_MINUTE);
    ends(&app, &client, &second).await;
    assert_eq!(provider.count(TOKEN), 1, "there was nothing to ask with");
    code(&log_in(&mut Browser::new(), &client).await);
}

#[tokio::test]
async fn fed_16_the_provider_is_asked_once_a_minute_and_by_one_at_a_time() {
    let (provider, app, client) = two_hours().await;
    let tokens = tokens(&client).await;
    let soon = client.refresh(tokens.refresh()).await;
    assert_eq!((soon.status, provider.count(TOKEN)), (200, 1), "confirmed a moment ago");
    app.clock.advance(A_MINUTE);
    // Its refresh tokens are good once: two at a time would lose the person.
    let answers = join_all((0..20).map(|_| client.refresh(soon.refresh()))).await;
    assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
    assert_eq!(provider.count(TOKEN), 2);
    for _ in 0..3 {
        app.clock.advance(A_MINUTE);
        let next = client.refresh(answers[0].refresh()).await;
        assert_eq!(next.status, 200, "the successor was kept: {next:?}");
    }
    assert_eq!(provider.count(TOKEN), 5);
}

#[tokio::test]
async fn fed_16_two_apps_of_one_person_at_once_ask_the_provider_once() {
    let (provider, app, client) = two_hours().await;
    let other = Client::register(&app).await;
    let (one, two) = (tokens(&client).await, tokens(&other).await);
    for round in 1..=3 {
        app.clock.advance(A_MINUTE);
        let asked = provider.count(TOKEN);
        // The rest of the person's apps, while the provider's token is being replaced.
        let (one, two) = tokio::join!(client.refresh(one.refresh()), other.refresh(two.refresh()));
        assert_eq!((one.status, two.status), (200, 200), "{round}: {one:?} {two:?}");
        assert_eq!(provider.count(TOKEN), asked + 1, "{round}");
    }
}

#[tokio::test]
async fn fed_16_a_restart_forgets_neither_the_person_nor_the_provider_s_refresh_token() {
    let (provider, app, mut client) = two_hours().await;
    let tokens = tokens(&client).await;
    let app = app.restart_in_place();
    client.reconnect();
    app.clock.advance(A_MINUTE);
    assert_eq!(Session::new(&app, tokens.access()).status().await, 200);
    let next = client.refresh(tokens.refresh()).await;
    assert_eq!((next.status, provider.count(TOKEN)), (200, 2), "{next:?}");
}

#[tokio::test]
async fn fed_16_a_domain_or_a_provider_taken_from_the_configuration_takes_its_people_along() {
    let other_domain = |text: &str, _: &Provider| text.replace("\"example.com\"", "\"other.example\"");
    let other_provider = |text: &str, provider: &Provider| {
        let issuer = format!("\"upstream_issuer\":\"{}\"", provider.url);
        text.replace(&issuer, "\"upstream_issuer\":\"http://127.0.0.1:9\"")
    };
    let changes: [fn(&str, &Provider) -> String; 2] = [other_domain, other_provider];
    for (n, change) in changes.into_iter().enumerate() {
        let (provider, app, mut client) = two_hours().await;
        let tokens = tokens(&client).await;
        let path = app.folder.path().join("config.yaml");
        let text = std::fs::read_to_string(&path).unwrap();
        let changed = change(&text, &provider);
        assert_ne!(changed, text);
        std::fs::write(&path, changed).unwrap();
        let app = app.restart_in_place();
        client.reconnect();
        app.clock.advance(A_MINUTE);
        let next = client.refresh(tokens.refresh()).await;
        assert_eq!((next.status, next.error()), (400, "invalid_grant"), "{n}: {next:?}");
        assert_eq!(Session::new(&app, tokens.access()).status().await, 401, "{n}");
    }
}

#[tokio::test]
async fn fed_16_who_is_turned_away_at_the_door_keeps_nothing_from_before() {
    let provider = Provider::start();
    let app = start(&provider, |server| server["federated"]["allowed_domains"] = json!(["example.com"]));
    let client = Client::register(&app).await;
    let before = tokens(&client).await;
    provider.script(|s| s.person["email"] = json!("ada@elsewhere.example"));
    refused(&log_in(&mut Browser::new(), &client).await);
    app.clock.advance(A_MINUTE);
    ends(&app, &client, &before).await;
    provider.script(|s| s.person["email"] = json!("ada@example.com"));
    code(&log_in(&mut Browser::new(), &client).await);
}

#[tokio::test]
async fn fed_16_an_empty_refresh_token_replaces_none() {
    let (provider, app, client) = two_hours().await;
    let first = tokens(&client).await;
    provider.script(|s| s.tokens = json!({"refresh_token": ""}));
    app.clock.advance(A_MINUTE);
    let second = client.refresh(first.refresh()).await;
    assert_eq!(second.status, 200, "{second:?}");
    app.clock.advance(A_MINUTE);
    client.refresh(second.refresh()).await;
    let sent: Vec<_> =
        provider.got_at(TOKEN)[1..].iter().map(|got| got.parameter("refresh_token").to_owned()).collect();
    assert!(sent.len() == 2 && !sent[0].is_empty() && sent[0] == sent[1], "{sent:?}");
}

/// Nobody would ever learn that the person left the domain.
#[tokio::test]
async fn fed_16_a_provider_that_says_no_more_who_it_is_is_believed_for_the_interval() {
    let provider = Provider::start();
    provider.script(|s| (s.refreshes, s.metadata) = (true, json!({"userinfo_endpoint": null})));
    let app = start(&provider, |server| {
        server["federated"]["allowed_domains"] = json!(["example.com"]);
        server["federated"]["reauthentication_interval"] = json!("2h");
    });
    let client = Client::register(&app).await;
    let first = tokens(&client).await;
    provider.script(|s| s.tokens = json!({"id_token": null}));
    app.clock.advance(INTERVAL - A_MINUTE);
    let second = client.refresh(first.refresh()).await;
    assert_eq!((second.status, provider.count(TOKEN)), (200, 2), "{second:?}");
    app.clock.advance(A_MINUTE + A_MINUTE);
    ends(&app, &client, &second).await;
    provider.script(|s| s.tokens = json!({}));
    code(&log_in(&mut Browser::new(), &client).await);
}
