//! People who were remembered, and what a later word of the provider makes of them.

use async_trait::async_trait;
use futures_util::future::join_all;
use serde_json::json;

use super::*;
use crate::identity::{FederatedError, Standing};
use crate::store::{Accounts, StoreError};

/// Accounts in memory, by the rules of [`Accounts`].
#[derive(Default)]
struct Remembered(Mutex<HashMap<UserId, Account>>);

#[async_trait]
impl Accounts for Remembered {
    async fn find_account(&self, user: &UserId) -> Result<Option<Account>, StoreError> {
        Ok(self.0.lock().unwrap().get(user).cloned())
    }
    async fn list_accounts(&self) -> Result<Vec<Account>, StoreError> {
        Err(StoreError::Broken("not part of these tests".to_owned()))
    }
    async fn record_account(&self, account: Account) -> Result<bool, StoreError> {
        let mut accounts = self.0.lock().unwrap();
        let before = accounts.get(&account.user).cloned();
        if before.as_ref().is_some_and(|before| before.disabled) {
            return Ok(false);
        }
        let refresh_token = account.refresh_token.clone().or(before.and_then(|before| before.refresh_token));
        accounts.insert(account.user.clone(), Account { refresh_token, ..account });
        Ok(true)
    }
}

/// Somebody who has logged in at what answers like GitHub.
struct World {
    script: Script,
    accounts: Arc<Remembered>,
    federation: Arc<Federation>,
    user: UserId,
}

impl World {
    async fn new(refresh_token: Option<&str>) -> Self {
        let (script, address) = Script::start().await;
        let mut settings = github(&address);
        settings.admission.allowed_domains = vec!["example.com".to_owned()];
        let accounts = Arc::new(Remembered::default());
        let federation = Arc::new(Federation::new(vec![provider(settings)], accounts.clone()));
        let world = Self { script, accounts, federation, user: UserId::federated(&address, "107") };
        world.gives(refresh_token);
        world.script.answer("/user", 200, json!({"id": 107, "login": "octo"}));
        world.has_email("octo@example.com");
        world.log_in().await.unwrap();
        world
    }

    fn gives(&self, refresh_token: Option<&str>) {
        let answer = json!({"access_token": "gho_1", "token_type": "bearer", "refresh_token": refresh_token});
        self.script.answer("/token", 200, answer);
    }

    fn has_email(&self, email: &str) {
        self.script.answer("/user/emails", 200, json!([{"email": email, "verified": true, "primary": true}]));
    }

    async fn log_in(&self) -> Result<crate::identity::ActiveUser, FederatedError> {
        let provider = &self.federation.providers()[0];
        self.federation.log_in_at(provider, &callback("c"), &attempt(), NOW).await
    }

    async fn after(&self, seconds: u64) -> Standing {
        self.federation.confirm(&self.user, NOW + Duration::from_secs(seconds)).await.unwrap()
    }

    fn account(&self) -> Account {
        self.accounts.0.lock().unwrap()[&self.user].clone()
    }

    /// With which refresh tokens it was asked, in order.
    fn redeemed(&self) -> Vec<String> {
        let asked = self.script.asked("/token");
        let tokens = asked.iter().filter_map(|request| request.split_once("refresh_token=")?.1.split('&').next());
        tokens.map(str::to_owned).collect()
    }
}

fn is_active(standing: &Standing) -> bool {
    matches!(standing, Standing::Active(_))
}

#[tokio::test]
async fn who_logged_in_is_remembered_until_disabled_or_no_longer_admitted() {
    let world = World::new(None).await;
    let found = world.federation.find_active(&world.user).await.unwrap().unwrap();
    assert_eq!((&found.id, found.email.as_deref()), (&world.user, Some("octo@example.com")));
    assert_eq!(found.scopes.to_string(), "mcp:read");
    let stranger = UserId::federated("https://elsewhere.example", "107");
    assert_eq!(world.federation.find_active(&stranger).await.unwrap(), None);
    world.has_email("octo@elsewhere.example");
    assert!(
        matches!(world.log_in().await, Err(FederatedError::Failure(failure)) if failure.reason == Reason::WrongDomain)
    );
    assert_eq!(world.federation.find_active(&world.user).await.unwrap(), None, "the last word counts");
    world.has_email("octo@example.com");
    world.log_in().await.unwrap();
    world.accounts.0.lock().unwrap().get_mut(&world.user).unwrap().disabled = true;
    assert!(
        matches!(world.log_in().await, Err(FederatedError::Failure(failure)) if failure.reason == Reason::Disabled)
    );
    assert_eq!(world.federation.find_active(&world.user).await.unwrap(), None);
    assert!(matches!(world.after(0).await, Standing::Ended(_)));
}

#[tokio::test]
async fn a_stranger_who_is_refused_leaves_no_trace() {
    let world = World::new(None).await;
    world.script.answer("/user", 200, json!({"id": 108, "login": "eve"}));
    world.has_email("eve@elsewhere.example");
    assert!(world.log_in().await.is_err());
    assert_eq!(world.accounts.0.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn without_a_refresh_token_a_login_counts_for_the_interval() {
    let world = World::new(None).await;
    assert!(is_active(&world.after(3600).await));
    assert!(matches!(world.after(3601).await, Standing::Ended(_)));
    assert_eq!(world.script.asked("/token").len(), 1);
}

#[tokio::test]
async fn fed_16_the_provider_is_asked_once_a_minute_with_the_latest_token() {
    let world = World::new(Some("rt-1")).await;
    assert!(!world.account().refresh_token.unwrap().contains("rt-1"));
    world.gives(Some("rt-2"));
    assert!(is_active(&world.after(59).await));
    assert_eq!(world.redeemed(), [""; 0]);
    assert!(join_all((0..20).map(|_| world.after(60))).await.iter().all(is_active));
    world.gives(None);
    assert!(is_active(&world.after(120).await));
    assert!(is_active(&world.after(180).await));
    assert_eq!(world.redeemed(), ["rt-1", "rt-2", "rt-2"]);
    assert_eq!(world.account().confirmed_at, NOW + Duration::from_secs(180));
}

#[tokio::test]
async fn fed_16_who_is_revoked_there_is_out_and_can_come_again() {
    let world = World::new(Some("rt-1")).await;
    world.script.answer("/token", 200, json!({"error": "bad_refresh_token"}));
    assert!(matches!(world.after(60).await, Standing::Ended(_)));
    // Nothing of before counts any more, for no other grant either.
    assert!(matches!(world.after(61).await, Standing::Ended(_)));
    assert_eq!(world.redeemed().len(), 1);
    world.gives(None);
    world.log_in().await.unwrap();
    assert!(is_active(&world.after(3600).await));
    assert_eq!(world.redeemed().len(), 1);
}

#[tokio::test]
async fn fed_16_who_leaves_the_domain_is_out() {
    let world = World::new(Some("rt-1")).await;
    world.has_email("octo@elsewhere.example");
    assert!(matches!(world.after(60).await, Standing::Ended(_)));
    assert_eq!(world.federation.find_active(&world.user).await.unwrap(), None);
}

#[tokio::test]
async fn fed_16_a_provider_that_cannot_be_asked_is_borne_with_for_the_interval() {
    let world = World::new(Some("rt-1")).await;
    for (status, body) in [(500, json!({})), (401, json!({"error": "invalid_client"}))] {
        world.script.answer("/token", status, body);
        assert!(is_active(&world.after(3600).await));
        assert!(matches!(world.after(3601).await, Standing::Unknown(_)));
    }
    // The token endpoint answers and the rest does not: the new refresh token is kept all the same.
    world.gives(Some("rt-2"));
    world.script.answer("/user", 500, "{}");
    assert!(is_active(&world.after(3600).await));
    world.script.answer("/user", 200, json!({"id": 108}));
    assert!(matches!(world.after(3600).await, Standing::Unknown(_)), "somebody else");
    world.script.answer("/user", 200, json!({"id": 107}));
    assert!(is_active(&world.after(7200).await));
    assert_eq!(world.redeemed()[4..], ["rt-1", "rt-2", "rt-2"]);
}
