//! Many at once.

use std::sync::Arc;

use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::base::id::{ClientId, GrantId};
use crate::model::account::Account;
use crate::model::authorization::Flow;
use crate::model::grant::{AssertionOutcome, Redemption, Rotation};
use crate::store::conformance::sample::{BOUNDS, NOW, POLICY, Sample, digest, minutes};
use crate::store::{ClientBounds, NewRefreshToken, Store, StoreError};

const CROWD: usize = 20;

/// What twenty get who do the same at the same moment, each with its number.
async fn crowd<T, F>(act: impl Fn(usize) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let start = Arc::new(Barrier::new(CROWD));
    let mut tasks = JoinSet::new();
    for number in 0..CROWD {
        let (start, act) = (Arc::clone(&start), act(number));
        tasks.spawn(async move {
            start.wait().await;
            act.await
        });
    }
    tasks.join_all().await
}

pub(super) async fn tok_3_of_twenty_redemptions_of_one_code_exactly_one_wins(store: &Arc<dyn Store>) {
    for round in 0..10 {
        let sample = Sample::new(&format!("round {round}"));
        sample.approve(&**store).await;
        let outcomes = crowd(|number| {
            let (store, code) = (Arc::clone(store), sample.code());
            let refresh =
                NewRefreshToken { digest: digest(&format!("{round} {number}")), expires_at: NOW + POLICY.idle };
            async move { store.redeem_code(&code.digest, Some(refresh), NOW).await.unwrap() }
        })
        .await;
        let granted = outcomes.iter().filter(|outcome| matches!(outcome, Redemption::Granted(_))).count();
        let replayed = outcomes.iter().filter(|outcome| **outcome == Redemption::Replayed(sample.code().grant)).count();
        assert_eq!((granted, replayed), (1, CROWD - 1));
        assert!(store.revoked().has_grant(&sample.code().grant));
    }
}

pub(super) async fn rt_6_of_twenty_refreshes_of_one_token_all_get_the_same_successor(store: &Arc<dyn Store>) {
    let sample = Sample::new("a");
    let grant = sample.grant(&**store).await;
    for number in 1..=10 {
        let outcomes = crowd(|_| {
            let (store, sample) = (Arc::clone(store), sample.clone());
            async move { sample.rotate(&*store, number, NOW).await }
        })
        .await;
        let rotated = outcomes.iter().filter(|outcome| **outcome == Rotation::Rotated(grant.clone())).count();
        let repeated = Rotation::Repeated { grant: grant.clone(), successor: sample.refresh(number + 1) };
        let repeats = outcomes.iter().filter(|outcome| **outcome == repeated).count();
        assert_eq!((rotated, repeats), (1, CROWD - 1));
    }
    assert!(!store.revoked().has_grant(&grant.id));
}

/// As of replicas that derive successors with different keys.
pub(super) async fn rt_6_of_twenty_different_successors_one_is_stored(store: &Arc<dyn Store>) {
    let sample = Sample::new("a");
    sample.grant(&**store).await;
    let candidate = |number: usize| digest(&format!("candidate {number}"));
    let outcomes = crowd(|number| {
        let (store, token) = (Arc::clone(store), sample.refresh(1));
        async move {
            (number, store.rotate_refresh(&token, digest(&format!("candidate {number}")), POLICY, NOW).await.unwrap())
        }
    })
    .await;
    let winners: Vec<usize> = outcomes
        .iter()
        .filter(|(_, outcome)| matches!(outcome, Rotation::Rotated(_)))
        .map(|(number, _)| *number)
        .collect();
    let [winner] = winners[..] else { panic!("{} winners", winners.len()) };
    for (number, outcome) in outcomes {
        if let Rotation::Repeated { successor, .. } = outcome {
            assert_eq!(successor, candidate(winner));
        }
        let is_live = store.find_refresh(&candidate(number)).await.unwrap().is_some();
        assert_eq!(is_live, number == winner, "one live end");
    }
}

pub(super) async fn cons_10_of_twenty_approvals_one_wins(store: &Arc<dyn Store>) {
    let sample = Sample::new("a");
    let mut flow = sample.flow();
    flow.stage = sample.consenting();
    store.add_flow(flow.clone(), NOW).await.unwrap();
    let outcomes = crowd(|number| {
        let (store, flow, mut code, consent) = (Arc::clone(store), flow.clone(), sample.code(), sample.decided());
        code.digest = digest(&format!("code {number}"));
        async move { store.approve_flow(&flow, code, consent).await.unwrap() }
    })
    .await;
    assert_eq!(outcomes.iter().filter(|approved| **approved).count(), 1);
    let mut codes = 0;
    for number in 0..CROWD {
        codes += usize::from(store.find_code(&digest(&format!("code {number}"))).await.unwrap().is_some());
    }
    assert_eq!(codes, 1);
}

/// The same answer of a provider, sent twenty times: its code is taken there once.
pub(super) async fn cimd_19_of_twenty_presentations_of_one_assertion_one_counts(store: &Arc<dyn Store>) {
    let (client, other, jti) = (ClientId::new("client"), ClientId::new("other"), digest("jti"));
    let spent = crowd(|_| {
        let (store, client) = (Arc::clone(store), client.clone());
        async move { store.spend_assertion(&client, &jti, NOW + minutes(5), NOW).await.unwrap() }
    })
    .await;
    assert_eq!(spent.iter().filter(|spent| **spent).count(), 1);
    assert!(store.spend_assertion(&other, &jti, NOW + minutes(5), NOW).await.unwrap(), "another client's is another");
}

pub(super) async fn ema_6_of_twenty_presentations_of_one_assertion_one_is_granted(store: &Arc<dyn Store>) {
    let sample = Sample::at("https://idp.example", "a");
    let outcomes = crowd(|number| {
        let (store, mut assertion) = (Arc::clone(store), sample.assertion("one"));
        assertion.grant.id = GrantId::new(format!("{number}"));
        async move { store.redeem_assertion(assertion, NOW).await.unwrap() }
    })
    .await;
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == AssertionOutcome::Granted).count(), 1);
    let mut grants = 0;
    for number in 0..CROWD {
        grants += usize::from(store.revoke_grant(&GrantId::new(format!("{number}")), NOW).await.unwrap());
    }
    assert_eq!(grants, 1);
}

pub(super) async fn fed_1_a_state_is_spent_once(store: &Arc<dyn Store>) {
    for round in 0..10 {
        let sample = Sample::new(&format!("round {round}"));
        let away = Flow { stage: Sample::away(), ..sample.flow() };
        store.add_flow(away.clone(), NOW).await.unwrap();
        let outcomes = crowd(|_| {
            let (store, away) = (Arc::clone(store), away.clone());
            async move { store.advance_flow(&away, away.browser, Sample::returned(), NOW).await.unwrap() }
        })
        .await;
        assert_eq!(outcomes.iter().filter(|spent| **spent).count(), 1);
        let found = store.find_flow(&away.id, NOW).await.unwrap().unwrap();
        assert_eq!((found.browser, found.stage), (away.browser, Sample::returned()));
    }
}

pub(super) async fn of_twenty_first_logins_of_one_person_one_account_is_made(store: &Arc<dyn Store>) {
    let account = Sample::at("https://idp.example", "a").account();
    let recorded = crowd(|number| {
        let refresh_token = number.is_multiple_of(2).then(|| "sealed".to_owned());
        let (store, account) = (Arc::clone(store), Account { refresh_token, ..account.clone() });
        async move { store.record_account(account).await.unwrap() }
    })
    .await;
    assert_eq!(recorded, [true; CROWD]);
    assert_eq!(store.list_accounts().await.unwrap(), [account], "and the refresh token that some gave is kept");
}

pub(super) async fn a_person_disabled_among_twenty_logins_stays_disabled(store: &Arc<dyn Store>) {
    for round in 0..10 {
        let sample = Sample::at("https://idp.example", &format!("round {round}"));
        assert!(store.record_account(sample.account()).await.unwrap());
        crowd(|number| {
            let (store, account) = (Arc::clone(store), sample.account());
            let mut session = sample.session();
            session.digest = digest(&format!("{round} {number}"));
            async move {
                if number == CROWD / 2 {
                    assert!(store.disable_user(&account.user, NOW).await.unwrap());
                } else if store.record_account(account).await.unwrap() {
                    store.add_session(session).await.unwrap();
                }
            }
        })
        .await;
        assert!(store.find_account(&sample.user_id()).await.unwrap().unwrap().disabled);
        for number in 0..CROWD {
            assert_eq!(store.find_session(&digest(&format!("{round} {number}")), NOW).await.unwrap(), None);
        }
    }
}

pub(super) async fn of_twenty_registrations_for_the_last_place_nobody_used_is_lost(store: &Arc<dyn Store>) {
    Sample::new("used").grant(&**store).await;
    let bounds = ClientBounds { max_clients: 2, ..BOUNDS };
    let added = crowd(|number| {
        let (store, client) = (Arc::clone(store), Sample::new(&number.to_string()).client());
        async move { store.add_client(client, bounds, NOW).await.unwrap().is_admitted }
    })
    .await;
    assert_eq!(added, [true; CROWD]);
    let mut left = 0;
    for number in 0..CROWD {
        let client = Sample::new(&number.to_string()).client();
        left += usize::from(store.find_client(&client.id).await.unwrap().is_some());
    }
    assert_eq!(left, 1);
    assert!(store.find_client(&Sample::new("used").client().id).await.unwrap().is_some());
}

/// Half of them break a constraint; they share transactions with the other half.
pub(super) async fn a_failed_write_takes_no_other_along(store: &Arc<dyn Store>) {
    let bounds = ClientBounds { max_clients: 1000, ..BOUNDS };
    let taken = Sample::new("taken").client();
    assert!(store.add_client(taken.clone(), bounds, NOW).await.unwrap().is_admitted);
    let name = |number: usize| if number.is_multiple_of(2) { "taken".to_owned() } else { number.to_string() };
    let outcomes = crowd(|number| {
        let (store, client) = (Arc::clone(store), Sample::new(&name(number)).client());
        async move { (client.id.clone(), store.add_client(client, bounds, NOW).await) }
    })
    .await;
    for (id, outcome) in outcomes {
        if id == taken.id {
            assert!(matches!(outcome, Err(StoreError::Broken(_))), "{outcome:?}");
        } else {
            assert!(outcome.is_ok_and(|admission| admission.is_admitted), "{id}");
        }
        assert!(store.find_client(&id).await.unwrap().is_some());
    }
}
