//! Tests of logging in.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;

use super::*;
use crate::base::clock::Timestamp;
use crate::config::section::PasswordSource;
use crate::model::account::Account;
use crate::model::user::User;
use crate::store::{Accounts, Ended, PasswordChange, Present, Review};

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const ELSEWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1));
const WIDE: Lockout = Lockout { max_failures: 1000, window: Duration::from_secs(900) };
const NARROW: Lockout = Lockout { max_failures: 10, window: Duration::from_secs(900) };

/// Users in memory. Only reading and adding is asked of it here.
#[derive(Default)]
struct Stored {
    users: Mutex<HashMap<UserId, User>>,
    enrolled: Mutex<Vec<Enrolled>>,
    broken: bool,
}

fn not_here<T>() -> Result<T, StoreError> {
    Err(StoreError::Broken("not part of these tests".to_owned()))
}

#[async_trait]
impl Users for Stored {
    async fn find_user(&self, id: &UserId) -> Result<Option<User>, StoreError> {
        if self.broken { not_here() } else { Ok(self.users.lock().unwrap().get(id).cloned()) }
    }
    async fn list_users(&self) -> Result<Vec<User>, StoreError> {
        Ok(self.users.lock().unwrap().values().cloned().collect())
    }
    async fn add_user(&self, user: User) -> Result<bool, StoreError> {
        Ok(self.users.lock().unwrap().insert(user.id.clone(), user).is_none())
    }
    async fn set_password(&self, _: &UserId, _: Secret, _: Timestamp) -> Result<bool, StoreError> {
        not_here()
    }
    async fn change_password(&self, _: PasswordChange, _: Timestamp) -> Result<Option<Ended>, StoreError> {
        not_here()
    }
    async fn disable_user(&self, _: &UserId, _: Timestamp) -> Result<bool, StoreError> {
        not_here()
    }
    async fn enable_user(&self, _: &UserId) -> Result<bool, StoreError> {
        not_here()
    }
    async fn remove_user(&self, _: &UserId, _: Timestamp) -> Result<bool, StoreError> {
        not_here()
    }
    async fn revoke_grants_of(&self, _: &UserId, _: Timestamp) -> Result<(), StoreError> {
        unreachable!()
    }
    async fn review_present(&self, present: Present, _: Option<Present>, _: Timestamp) -> Result<Review, StoreError> {
        *self.enrolled.lock().unwrap() = present.configured;
        Ok(Review::default())
    }
    async fn find_configured(&self, id: &UserId) -> Result<Option<Enrolled>, StoreError> {
        Ok(self.enrolled.lock().unwrap().iter().find(|person| person.id == *id).cloned())
    }
}

#[async_trait]
impl Accounts for Stored {
    async fn find_account(&self, _: &UserId) -> Result<Option<Account>, StoreError> {
        Ok(None)
    }
    async fn list_accounts(&self) -> Result<Vec<Account>, StoreError> {
        not_here()
    }
    async fn record_account(&self, _: Account) -> Result<bool, StoreError> {
        not_here()
    }
}

/// People who log in with a password and in no other way.
fn builtin(users: &[BuiltinUser], lockout: Lockout, store: Stored, least_cost: u32) -> Result<Identity, IdentityError> {
    let store = Arc::new(store);
    let digest_key = &Secret::new("digests");
    let passwords = PasswordLogin { accepted: true, users, lockout, least_cost, digest_key };
    Identity::new(passwords, store.clone(), Federation::new(Vec::new(), store))
}

fn hash(password: &str, cost: u32) -> Secret {
    Secret::from(bcrypt::hash(password, cost).unwrap())
}

fn configured(username: &str, password: PasswordSource) -> BuiltinUser {
    let scopes = ScopeSet::parse("mcp:read").unwrap();
    BuiltinUser { username: username.to_owned(), password, scopes, email: None, disabled: false }
}

fn stored(name: &str, password_hash: Secret) -> User {
    User {
        id: UserId::new(name),
        password_hash,
        scopes: ScopeSet::parse("mcp:write").unwrap(),
        email: Some(format!("{name}@example.com")),
        disabled: false,
        created_at: Timestamp::from_unix(0),
    }
}

async fn identity(lockout: Lockout, users: &[BuiltinUser], others: Vec<User>) -> Identity {
    let store = Stored::default();
    for user in others {
        assert!(store.add_user(user).await.unwrap());
    }
    builtin(users, lockout, store, 4).unwrap()
}

fn alice() -> BuiltinUser {
    configured("Alice", PasswordSource::Hash(hash("right", 4)))
}

async fn try_password(identity: &Identity, name: &str, password: &str, address: IpAddr) -> Result<UserId, LoginError> {
    identity.log_in(name, &Secret::new(password), address).await.map(|proven| proven.user)
}

#[tokio::test]
async fn users_of_the_configuration_and_the_store_log_in() {
    let plain = configured("plain", PasswordSource::Plain(Secret::new("from the environment")));
    let others = vec![stored("bob", hash("bob's", 4)), stored("alice", hash("hidden", 4))];
    let identity = identity(WIDE, &[alice(), plain], others).await;
    for (name, password, user) in
        [("alice", "right", "alice"), (" BOB", "bob's", "bob"), ("plain", "from the environment", "plain")]
    {
        assert_eq!(try_password(&identity, name, password, HERE).await.unwrap(), UserId::new(user));
    }
    // The configuration hides the store's user of the same name.
    assert!(matches!(try_password(&identity, "alice", "hidden", HERE).await, Err(LoginError::Wrong { .. })));
    let active = identity.find_active(&UserId::new("alice")).await.unwrap().unwrap();
    assert_eq!(active.scopes, ScopeSet::parse("mcp:read").unwrap());
    let active = identity.find_active(&UserId::new("bob")).await.unwrap().unwrap();
    assert_eq!(active.email.as_deref(), Some("bob@example.com"));
    assert_eq!(identity.find_active(&UserId::new("nobody")).await.unwrap(), None);
    let names: Vec<UserId> = identity.present().configured.into_iter().map(|person| person.id).collect();
    assert_eq!(names, [UserId::new("alice"), UserId::new("plain")]);
}

#[tokio::test]
async fn disabled_users_are_out() {
    let users = [BuiltinUser { disabled: true, ..alice() }];
    let identity = identity(
        WIDE,
        &users,
        vec![User { disabled: true, ..stored("bob", hash("right", 4)) }, stored("alice", hash("right", 4))],
    )
    .await;
    for name in ["alice", "bob"] {
        assert!(matches!(try_password(&identity, name, "right", HERE).await, Err(LoginError::Wrong { .. })));
        assert_eq!(identity.find_active(&UserId::new(name)).await.unwrap(), None);
    }
    assert_eq!(identity.present().configured, []);
}

#[tokio::test]
async fn where_passwords_are_not_accepted_none_is_right_and_each_costs_the_same() {
    let store = Arc::new(Stored::default());
    assert!(store.add_user(stored("bob", hash("right", 4))).await.unwrap());
    let users = [alice()];
    let digest_key = Secret::new("digests");
    let passwords =
        PasswordLogin { accepted: false, users: &users, lockout: WIDE, least_cost: 4, digest_key: &digest_key };
    let identity = Identity::new(passwords, store.clone(), Federation::new(Vec::new(), store)).unwrap();
    for name in ["alice", "bob", "nobody"] {
        let before = identity.rounds.load(Ordering::Relaxed);
        assert!(matches!(try_password(&identity, name, "right", HERE).await, Err(LoginError::Wrong { .. })), "{name}");
        assert_eq!(identity.rounds.load(Ordering::Relaxed) - before, 1 << 4, "{name}");
        let user = UserId::new(name);
        assert_eq!(identity.find_active(&user).await.unwrap(), None);
        assert!(matches!(identity.confirm(&user, Timestamp::from_unix(0)).await, Ok(Standing::Ended(_))));
    }
    assert!(!identity.has_passwords());
    assert_eq!(identity.present(), Present::default());
}

#[tokio::test]
async fn login_7_every_attempt_costs_the_same_work() {
    let users = [
        alice(),
        configured("y", PasswordSource::Hash(Secret::new(hash("right", 6).expose().replace("$2b$", "$2y$")))),
        BuiltinUser { disabled: true, ..configured("disabled", PasswordSource::Hash(hash("right", 5))) },
    ];
    let identity = identity(WIDE, &users, vec![stored("bob", hash("right", 5))]).await;
    for name in ["alice", "y", "disabled", "bob", "nobody", "", "no\0name", &"n".repeat(4096)] {
        for password in ["right", "wrong 8b", "", &"p".repeat(71), &"p".repeat(72), &"p".repeat(73), &"p".repeat(4096)]
        {
            let before = identity.rounds.load(Ordering::Relaxed);
            let result = try_password(&identity, name, password, HERE).await;
            assert_eq!(identity.rounds.load(Ordering::Relaxed) - before, 1 << 6, "{name} {password}");
            let right = password == "right" && ["alice", "y", "bob"].contains(&name);
            assert_eq!(result.is_ok(), right, "{name} {password}");
        }
    }
}

#[tokio::test]
async fn login_7_a_dearer_hash_in_the_store_makes_every_attempt_as_dear() {
    let identity = identity(WIDE, &[alice()], vec![stored("bob", hash("right", 7))]).await;
    assert!(try_password(&identity, "bob", "right", HERE).await.is_ok());
    for name in ["alice", "bob", "nobody"] {
        let before = identity.rounds.load(Ordering::Relaxed);
        assert!(try_password(&identity, name, "wrong", HERE).await.is_err());
        assert_eq!(identity.rounds.load(Ordering::Relaxed) - before, 1 << 7, "{name}");
    }
    let usual = builtin(&[alice()], WIDE, Stored::default(), password::COST).unwrap();
    assert_eq!(usual.ceiling.get().cost, 12);
}

/// argon2id of `right`, quick to check.
fn argon2id(memory: u32, passes: u32) -> Secret {
    let cost = crate::base::argon2id::Argon2idCost { memory, passes, lanes: 1 };
    let (salt, mut output) = (b"some salt of ours".to_vec(), vec![0; 32]);
    let parameters = argon2::Params::new(memory, passes, 1, Some(32)).unwrap();
    let hasher = argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, parameters);
    hasher.hash_password_into(b"right", &salt, &mut output).unwrap();
    Secret::from(crate::base::argon2id::Argon2idHash { cost, salt, output }.to_string())
}

#[tokio::test]
async fn login_7_argon2id_and_bcrypt_users_and_strangers_cost_the_same_work() {
    let users = [alice(), configured("carol", PasswordSource::Hash(argon2id(64, 1)))];
    let identity = identity(WIDE, &users, vec![stored("bob", hash("right", 5)), stored("dave", argon2id(96, 2))]).await;
    identity.meet_stored().await.unwrap();
    for name in ["alice", "bob", "carol", "dave", "nobody", ""] {
        for password in ["right", "wrong", "", &"p".repeat(72), &"p".repeat(73), &"p".repeat(4096)] {
            let [rounds, blocks] = [&identity.rounds, &identity.blocks].map(|count| count.load(Ordering::Relaxed));
            let result = try_password(&identity, name, password, HERE).await;
            assert_eq!(identity.rounds.load(Ordering::Relaxed) - rounds, 1 << 5, "{name} {password}");
            assert_eq!(identity.blocks.load(Ordering::Relaxed) - blocks, 192, "{name} {password}");
            let right = password == "right" && ["alice", "bob", "carol", "dave"].contains(&name);
            assert_eq!(result.is_ok(), right, "{name} {password}");
        }
    }
}

#[tokio::test]
async fn login_8_the_tail_of_a_long_password_counts() {
    let secret = "s".repeat(80);
    let identity = identity(WIDE, &[configured("alice", PasswordSource::Hash(hash(&secret, 4)))], Vec::new()).await;
    let other = format!("{}{}", &secret[..72], "t".repeat(8));
    for password in [&other, &secret] {
        assert!(matches!(try_password(&identity, "alice", password, HERE).await, Err(LoginError::Wrong { .. })));
    }
}

#[tokio::test]
async fn login_10_an_odd_hash_never_panics() {
    let good = hash("right", 4);
    let odd = [
        "",
        "plaintext",
        &good.expose()[..59],
        &good.expose().replace("$04", "$32"),
        &format!("{}é", &good.expose()[..58]),
    ];
    for hash in odd {
        let user = configured("alice", PasswordSource::Hash(Secret::new(hash)));
        let error = builtin(&[user], WIDE, Stored::default(), password::COST).err().unwrap().to_string();
        assert!(error.contains("alice") && (hash.is_empty() || !error.contains(hash)), "{error}");
        let identity = identity(WIDE, &[], vec![stored("bob", Secret::new(hash))]).await;
        assert!(matches!(try_password(&identity, "bob", hash, HERE).await, Err(LoginError::Wrong { .. })));
        assert_eq!(identity.rounds.load(Ordering::Relaxed), 1 << 4);
    }
}

#[test]
fn users_who_could_never_log_in_are_refused() {
    let open =
        |users: &[BuiltinUser]| builtin(users, WIDE, Stored::default(), password::COST).err().unwrap().to_string();
    let long = configured("bob", PasswordSource::Plain(Secret::new("p".repeat(73))));
    assert!(open(&[long]).starts_with("the password of user bob cannot be used"));
    assert!(open(&[alice(), BuiltinUser { username: "ALICE ".to_owned(), ..alice() }]).contains("twice"));
    assert!(open(&[BuiltinUser { username: "\u{200b}".to_owned(), ..alice() }]).contains("no user name"));
}

#[tokio::test]
async fn login_13_every_spelling_of_a_name_fills_one_bucket() {
    let identity = identity(NARROW, &[alice()], Vec::new()).await;
    let spellings =
        ["alice", "Alice", "ALICE", "alice ", " alice", "ａｌｉｃｅ", "Ａｌｉｃｅ", "\talice", "aLiCe", "alicE"];
    for spelling in spellings {
        assert!(
            matches!(try_password(&identity, spelling, "wrong", HERE).await, Err(LoginError::Wrong { .. })),
            "{spelling}"
        );
    }
    for spelling in spellings {
        let refused = try_password(&identity, spelling, "right", HERE).await;
        assert!(matches!(refused, Err(LoginError::Throttled { .. })), "{spelling}");
    }
}

#[tokio::test]
async fn login_14_parallel_guesses_are_counted_before_they_are_hashed() {
    let identity = identity(NARROW, &[alice()], Vec::new()).await;
    let guesses = (0..100).map(|number| {
        let guess = Secret::new(if number == 90 { "right".to_owned() } else { format!("guess {number}") });
        let identity = &identity;
        async move { identity.log_in("alice", &guess, HERE).await }
    });
    let answers = join_all(guesses).await;
    assert_eq!(identity.rounds.load(Ordering::Relaxed), 10 << 4);
    assert_eq!(answers.iter().filter(|answer| matches!(answer, Err(LoginError::Wrong { .. }))).count(), 10);
    assert_eq!(answers.iter().filter(|answer| matches!(answer, Err(LoginError::Throttled { .. }))).count(), 90);
}

#[tokio::test]
async fn login_15_the_victim_of_a_lockout_gets_in_from_elsewhere() {
    let identity = identity(NARROW, &[alice()], Vec::new()).await;
    for _ in 0..200 {
        assert!(try_password(&identity, "alice", "wrong", HERE).await.is_err());
    }
    assert!(matches!(try_password(&identity, "alice", "right", HERE).await, Err(LoginError::Throttled { .. })));
    assert_eq!(try_password(&identity, "alice", "right", ELSEWHERE).await.unwrap(), UserId::new("alice"));
}

#[tokio::test]
async fn login_16_an_attacker_does_not_change_bucket_by_spelling_the_address_otherwise() {
    let identity = identity(Lockout { max_failures: 2, ..NARROW }, &[alice()], Vec::new()).await;
    for [first, second, third] in
        [["192.0.2.1", "::ffff:192.0.2.1", "::FFFF:C000:0201"], ["2001:db8::1", "2001:DB8::2", "2001:db8:0:0:f::"]]
    {
        for address in [first, second] {
            assert!(matches!(
                try_password(&identity, "alice", "wrong", address.parse().unwrap()).await,
                Err(LoginError::Wrong { .. })
            ));
        }
        let refused = try_password(&identity, "alice", "right", third.parse().unwrap()).await;
        assert!(matches!(refused, Err(LoginError::Throttled { .. })), "{third}");
    }
}

#[tokio::test]
async fn a_store_that_fails_is_nobodys_wrong_password() {
    let store = Stored { broken: true, ..Stored::default() };
    let identity = builtin(&[alice()], NARROW, store, 4).unwrap();
    for _ in 0..50 {
        assert!(matches!(try_password(&identity, "bob", "x", HERE).await, Err(LoginError::Store(_))));
    }
    assert!(try_password(&identity, "alice", "right", HERE).await.is_ok());
}

#[test]
fn any_runtime_will_do() {
    let identity = builtin(&[alice()], NARROW, Stored::default(), 4).unwrap();
    for _ in 0..2 {
        // As a worker of the web server has it: a runtime of its own, on one thread.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        assert!(runtime.block_on(try_password(&identity, "alice", "right", HERE)).is_ok());
    }
}

#[tokio::test]
async fn an_unknown_name_cannot_be_recognised_in_the_log() {
    let (one, other) = (identity(WIDE, &[], Vec::new()).await, identity(WIDE, &[], Vec::new()).await);
    let shown = |identity: &Identity, name| format!("{:?}", identity.unrecognisable(name));
    assert_eq!(shown(&one, "my-passw0rd"), shown(&one, "my-passw0rd"));
    assert_ne!(shown(&one, "my-passw0rd"), shown(&one, "my-passw1rd"));
    assert_ne!(shown(&one, "my-passw0rd"), shown(&other, "my-passw0rd"));
    assert_eq!(shown(&one, "my-passw0rd").len(), 8);
}

/// A whole store will do where users are asked for.
#[expect(dead_code, reason = "it only has to compile")]
fn takes_a_store(store: &Arc<dyn crate::store::Store>) -> Result<Identity, IdentityError> {
    let digest_key = Secret::new("digests");
    let passwords = PasswordLogin {
        accepted: true,
        users: &[],
        lockout: NARROW,
        least_cost: password::COST,
        digest_key: &digest_key,
    };
    Identity::new(passwords, store.clone(), Federation::new(Vec::new(), store.clone()))
}

#[tokio::test]
async fn rt_10_a_password_that_was_changed_while_it_was_checked_counts_no_more() {
    let identity = identity(WIDE, &[alice()], vec![stored("bob", hash("right", 4))]).await;
    identity.store.review_present(identity.present(), None, Timestamp::from_unix(0)).await.unwrap();
    for (name, counts) in [("alice", true), ("bob", false)] {
        let proven = identity.log_in(name, &Secret::new("right"), HERE).await.unwrap();
        assert!(identity.still_counts(&proven).await.unwrap());
        identity.store.add_user(stored("bob", hash("another", 4))).await.unwrap();
        assert_eq!(identity.still_counts(&proven).await.unwrap(), counts, "{name}");
        identity.store.add_user(stored("bob", hash("right", 4))).await.unwrap();
    }
    let proven = identity.log_in("bob", &Secret::new("right"), HERE).await.unwrap();
    let disabled = User { disabled: true, ..identity.store.find_user(&proven.user).await.unwrap().unwrap() };
    identity.store.add_user(disabled).await.unwrap();
    assert!(!identity.still_counts(&proven).await.unwrap());
}
