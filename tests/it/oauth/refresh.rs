//! Refresh tokens: one chain with one live end, forgiving to honest clients, deadly to thieves.

use std::time::Duration;

use crate::support::app::BASIC;
use crate::support::mcp::Session;
use crate::support::{App, Client};

const AFTER_GRACE: Duration = Duration::from_secs(61);

#[tokio::test]
async fn rt_1_old_reuse_revokes_the_family() {
    let app = App::start();
    let client = Client::register(&app).await;
    let first = client.tokens().await;
    let second = client.refresh(first.refresh()).await;
    let third = client.refresh(second.refresh()).await;
    app.clock.advance(AFTER_GRACE);
    let reuse = client.refresh(first.refresh()).await;
    assert_eq!((reuse.status, reuse.error()), (400, "invalid_grant"));
    assert_eq!(client.refresh(third.refresh()).await.error(), "invalid_grant");
    assert_eq!(Session::new(&app, third.access()).status().await, 401);
}

#[tokio::test]
async fn rt_2_a_refresh_token_belongs_to_its_client() {
    let app = App::start();
    let (client, other) = (Client::register(&app).await, Client::register(&app).await);
    let tokens = client.tokens().await;
    assert_eq!(other.refresh(tokens.refresh()).await.error(), "invalid_grant");
    assert_eq!(client.refresh(tokens.refresh()).await.status, 200);
}

#[tokio::test]
async fn rt_3_scope_narrows_and_never_widens() {
    let app = App::start();
    let client = Client::register(&app).await;
    let page = client.authorize(&mut crate::support::Browser::new(), "alice", &[("scope", Some("mcp:read"))]).await;
    let read = client.redeem(&page.answer("code").unwrap()).await;
    assert_eq!(client.refresh_with(read.refresh(), &[("scope", "mcp:read mcp:write")]).await.error(), "invalid_scope");
    let unknown = client.refresh_with(read.refresh(), &[("scope", "unknown")]).await;
    assert_eq!(unknown.error(), "invalid_scope", "nothing of what was asked is not everything that was granted");
    assert_eq!(
        client.refresh_with(read.refresh(), &[("resource", "https://other.example/mcp")]).await.error(),
        "invalid_target"
    );
    let same = client.refresh_with(read.refresh(), &[("scope", "mcp:read offline_access")]).await;
    assert_eq!((same.status, same.text("scope")), (200, "mcp:read"), "neither refusal used the token up");
    let wide = client.tokens().await;
    let narrow = client.refresh_with(wide.refresh(), &[("scope", "mcp:read"), ("resource", &app.resource())]).await;
    assert_eq!(narrow.text("scope"), "mcp:read");
    assert_eq!(
        client.refresh(narrow.refresh()).await.text("scope"),
        "mcp:read mcp:write",
        "the chain keeps the whole scope"
    );
}

#[tokio::test]
async fn rt_4_a_lost_answer_is_given_again() {
    let app = App::start();
    let client = Client::register(&app).await;
    let first = client.tokens().await;
    let lost = client.refresh(first.refresh()).await;
    let again = client.refresh(first.refresh()).await;
    assert_eq!(lost.refresh(), again.refresh(), "the same branch");
    app.clock.advance(Duration::from_secs(3600));
    let late = client.refresh(first.refresh()).await;
    assert_eq!(late.refresh(), lost.refresh(), "as long as nobody used the successor");
    assert_eq!(client.refresh(late.refresh()).await.status, 200);
}

#[tokio::test]
async fn rt_5_within_the_grace_period_a_used_successor_is_given_again_and_the_branch_stays_one() {
    let app = App::start();
    let client = Client::register(&app).await;
    let first = client.tokens().await;
    let second = client.refresh(first.refresh()).await;
    let third = client.refresh(second.refresh()).await;
    let racing = client.refresh(first.refresh()).await;
    assert_eq!(racing.refresh(), second.refresh());
    assert_eq!(client.refresh(racing.refresh()).await.refresh(), third.refresh(), "both end at the same leaf");
}

#[tokio::test]
async fn rt_6_fifty_refreshes_at_once_end_in_one_branch() {
    let app = App::start();
    let client = Client::register(&app).await;
    let tokens = client.tokens().await;
    let answers = futures_util::future::join_all((0..50).map(|_| client.refresh(tokens.refresh()))).await;
    assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
    assert!(answers.iter().all(|answer| answer.refresh() == answers[0].refresh()));
    assert_eq!(client.refresh(answers[0].refresh()).await.status, 200);
}

#[tokio::test]
async fn rt_7_the_grace_period_and_the_lifetimes_end_when_they_say() {
    let app = App::with(&BASIC.replace(
        "mode: builtin",
        "mode: builtin\n    refresh_token_lifetime: 1h\n    refresh_token_max_lifetime: 90m",
    ));
    let client = Client::register(&app).await;
    let first = client.tokens().await;
    let second = client.refresh(first.refresh()).await;
    client.refresh(second.refresh()).await;
    app.clock.advance(Duration::from_secs(59));
    assert_eq!(client.refresh(first.refresh()).await.status, 200, "in the grace period");
    app.clock.advance(Duration::from_secs(2));
    assert_eq!(client.refresh(first.refresh()).await.error(), "invalid_grant", "after it");

    let idle = client.tokens().await;
    app.clock.advance(Duration::from_secs(3601));
    assert_eq!(client.refresh(idle.refresh()).await.error(), "invalid_grant", "unused for too long");

    let mut long = client.tokens().await;
    for _ in 0..2 {
        app.clock.advance(Duration::from_secs(45 * 60 - 1));
        long = client.refresh(long.refresh()).await;
        assert_eq!(long.status, 200);
    }
    app.clock.advance(Duration::from_secs(3));
    assert_eq!(client.refresh(long.refresh()).await.error(), "invalid_grant", "the grant's own end");
}

#[tokio::test]
async fn rt_9_a_restart_forgets_nothing() {
    let app = App::start();
    let client = Client::register(&app).await;
    let first = client.tokens().await;
    let second = client.refresh(first.refresh()).await;
    let third = client.refresh(second.refresh()).await;
    let other = client.tokens().await;
    client.revoke(other.refresh()).await;
    let port = app.url.trim_start_matches("http://").to_owned();
    let path = app.folder.path().join("config.yaml");
    std::fs::write(&path, std::fs::read_to_string(&path).unwrap().replace("127.0.0.1:0", &port)).unwrap();
    let app = app.restart();
    assert_eq!(Session::new(&app, third.access()).status().await, 200);
    assert_eq!(Session::new(&app, other.access()).status().await, 401, "a revoked grant stays revoked");
    assert_eq!(client.refresh(other.refresh()).await.error(), "invalid_grant");
    let fourth = client.refresh(third.refresh()).await;
    assert_eq!(fourth.status, 200);
    app.clock.advance(AFTER_GRACE);
    assert_eq!(client.refresh(first.refresh()).await.error(), "invalid_grant", "reuse is still known for what it is");
    assert_eq!(client.refresh(fourth.refresh()).await.error(), "invalid_grant");
}

#[tokio::test]
async fn rt_10_who_is_gone_cannot_refresh() {
    let app = App::start();
    let client = Client::register(&app).await;
    let tokens = client.tokens().await;
    assert_eq!(client.revoke(tokens.refresh()).await, 200);
    assert_eq!(client.refresh(tokens.refresh()).await.error(), "invalid_grant");
}
