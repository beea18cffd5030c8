//! `isolation: per_user`: one process a person, whatever client and era.

use serde_json::json;

use crate::isolation::{give, pid, session, stateless_pid, token, with, with_email_of_rita};
use crate::support::mcp::Session;
use crate::support::{Stateless, browser::Page};

const PER_USER: &str = r#"fake: {FAKE], isolation: per_user, env: {WHO: "{{ user.sub }}", MAIL: "<{{user.email}}>"}}"#;

#[tokio::test]
async fn child_17_two_people_see_only_their_own_state_and_environment() {
    let app = with(PER_USER);
    let (alice, rita) = (session(&app, "alice").await, session(&app, "rita").await);
    assert_ne!(pid(&alice).await, pid(&rita).await);
    for (session, person) in [(&alice, "alice"), (&rita, "rita")] {
        let remembered = give(session, "remember", json!({"text": person})).await;
        assert_eq!(remembered["texts"], json!([person]));
        let environment = give(session, "environment", json!({})).await["env"].clone();
        assert_eq!(
            (&environment["WHO"], &environment["MAIL"]),
            (&json!(person), &json!(format!("<{person}@example.com>")))
        );
    }
}

#[tokio::test]
async fn everything_that_one_person_does_shares_one_process() {
    let app = with(PER_USER);
    let (one, other) = (session(&app, "alice").await, session(&app, "alice").await);
    let token = token(&app, "alice").await;
    let (bare, stateless) = (Session::new(&app, &token), Stateless::new(&app, &token));
    let expected = pid(&one).await;
    assert_eq!([pid(&other).await, pid(&bare).await, stateless_pid(&stateless).await], [expected; 3]);
    give(&one, "remember", json!({"text": "kept"})).await;
    assert_eq!(give(&other, "remember", json!({"text": "too"})).await["texts"], json!(["kept", "too"]));
}

#[tokio::test]
async fn the_first_request_of_all_starts_it_and_is_answered() {
    let app = with(PER_USER);
    let token = token(&app, "rita").await;
    // Many at once start one, not many.
    let clients: Vec<_> = (0..8).map(|_| Stateless::new(&app, &token)).collect();
    let pids = futures_util::future::join_all(clients.iter().map(stateless_pid)).await;
    assert!(pids.iter().all(|pid| *pid == pids[0]), "{pids:?}");
    let listed = Session::new(&app, &token).call("tools/list", json!({})).await;
    assert!(listed["result"]["tools"].as_array().unwrap().len() > 10, "{listed}");
}

#[tokio::test]
async fn child_2_what_is_not_known_of_a_person_or_not_safe_starts_nothing() {
    for (email, reason) in [
        (None, "nothing is known"),
        (Some("a\\nLD_PRELOAD=x"), "holds what is not allowed"),
        (Some("../alice"), "not allowed"),
    ] {
        let app = {
            let email = email.map_or_else(String::new, |email| format!(", email: \"{email}\""));
            let upstreams = format!("me: {{builtin: whoami}}\n  {PER_USER}");
            with_email_of_rita(&upstreams, &email)
        };
        let rita = session(&app, "rita").await;
        let call = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "fake__echo", "arguments": {}}});
        // Without it a write would be asked for: what the tool says of itself is not known.
        assert_eq!(rita.post(&call).await.status, 403);
        let prompt = json!({"jsonrpc": "2.0", "id": 1, "method": "prompts/get", "params": {"name": "fake__plain"}});
        let page: Page = rita.post(&prompt).await;
        assert_eq!(page.status, 503, "{}", page.body);
        assert!(page.body.contains(reason) && page.body.contains("user.email"), "{}", page.body);
        // Her other servers serve her, and others have theirs.
        assert_eq!(rita.tool("me__whoami", json!({})).await["result"]["structuredContent"]["user"], "rita");
        let alice = session(&app, "alice").await;
        assert_eq!(give(&alice, "fake__environment", json!({})).await["env"]["MAIL"], "<alice@example.com>");
    }
}
