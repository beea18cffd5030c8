//! Guessing and flooding at the token endpoint.

use serde_json::json;

use crate::support::app::BASIC;
use crate::support::client::{REDIRECT_URI, Tokens, http};
use crate::support::{App, Client};

fn behind_a_proxy(limit: &str) -> App {
    App::with(&BASIC.replace("rate_limit: {login: {limit: 0}}", &format!("{limit}\n  trusted_proxies: [127.0.0.1/32]")))
}

async fn with_secret(client: &Client, app: &App, secret: &str, refresh: &str, from: &str) -> Tokens {
    let form = [("grant_type", "refresh_token"), ("refresh_token", refresh)];
    let request = http().post(format!("{}/oauth/token", app.url)).basic_auth(&client.id, Some(secret)).form(&form);
    Client::read(request.header("x-forwarded-for", from)).await
}

#[tokio::test]
async fn tok_10_guessing_a_secret_is_slowed_where_it_comes_from_and_nowhere_else() {
    let app = behind_a_proxy("rate_limit: {login: {limit: 0}}");
    let metadata = json!({"redirect_uris": [REDIRECT_URI], "token_endpoint_auth_method": "client_secret_basic"});
    let client = Client::register_as(&app, metadata).await;
    let secret = client.registration["client_secret"].as_str().unwrap().to_owned();
    let tokens = client.redeem_with(&client.code().await, "client_secret", Some(&secret)).await;
    let mut refresh = tokens.refresh().to_owned();
    for round in 0..1000 {
        let wrong = with_secret(&client, &app, &format!("guess-{round}"), &refresh, "203.0.113.1").await;
        let expected = if round < 10 { (401, "invalid_client") } else { (429, "slow_down") };
        assert_eq!((wrong.status, wrong.error()), expected, "{round}");
        assert_eq!(wrong.headers.contains_key("retry-after"), round >= 10);
    }
    let right = with_secret(&client, &app, &secret, &refresh, "203.0.113.1").await;
    assert_eq!(right.status, 429, "or the guesser would see which guess was right");
    // Its owner is elsewhere, and makes a mistake now and then.
    for _ in 0..30 {
        assert_eq!(with_secret(&client, &app, "mistyped", &refresh, "203.0.113.2").await.status, 401);
        let next = with_secret(&client, &app, &secret, &refresh, "203.0.113.2").await;
        refresh = next.refresh().to_owned();
    }
    // Another client at the same address has done nothing.
    let other = Client::register(&app).await;
    assert_eq!(other.tokens().await.status, 200);
    // Where it is checked makes no difference.
    for endpoint in ["revoke", "introspect"] {
        let request = http().post(format!("{}/oauth/{endpoint}", app.url)).basic_auth(&client.id, Some("x"));
        let form = request.header("x-forwarded-for", "203.0.113.1").form(&[("token", "x")]);
        assert_eq!(form.send().await.unwrap().status().as_u16(), 429, "{endpoint}");
    }
}

#[tokio::test]
async fn rt_13_a_flood_of_invented_refresh_tokens_is_slowed_after_a_burst() {
    let app = behind_a_proxy("rate_limit: {login: {limit: 10, interval: 1h}}");
    let client = Client::register(&app).await;
    let tokens = client.tokens().await;
    let bogus = |number: usize| {
        let form = [
            ("grant_type", "refresh_token".to_owned()),
            ("refresh_token", format!("invented-{number}")),
            ("client_id", client.id.clone()),
        ];
        http().post(format!("{}/oauth/token", app.url)).form(&form).header("x-forwarded-for", "203.0.113.1")
    };
    let mut refused = 0;
    for number in 0..400 {
        let tokens = Client::read(bogus(number)).await;
        match tokens.status {
            400 => assert_eq!((tokens.error(), refused), ("invalid_grant", 0)),
            status => {
                assert_eq!((status, tokens.headers.contains_key("retry-after")), (429, true));
                refused += 1;
            }
        }
    }
    assert!((90..=100).contains(&refused), "{refused}");
    assert_eq!(client.refresh(tokens.refresh()).await.status, 200, "from elsewhere all is as ever");
}
