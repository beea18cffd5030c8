//! Who is in the configuration, by one process and by another.

use std::sync::Arc;

use crate::base::id::{ClientId, UserId};
use crate::model::enrolled::Enrolled;
use crate::store::conformance::sample::{NOW, Sample, digest, enrolled};
use crate::store::conformance::transitions::ending::grant_of;
use crate::store::{Present, Review, Store};

const ISSUER: &str = "https://idp.example";

fn of(configured: &[Enrolled]) -> Present {
    Present { configured: configured.to_vec(), ..Present::default() }
}

pub(in crate::store::conformance) async fn rt_10_a_client_is_granted_nothing_by_what_is_in_force_no_more(
    store: &Arc<dyn Store>,
) {
    let client = ClientId::new("robot");
    let (old, new) = (enrolled(&UserId::of_client(&client), "old"), enrolled(&UserId::of_client(&client), "new"));
    assert!(!store.add_grant(grant_of(&client, "0"), old.clone()).await.unwrap(), "it is in no configuration");
    for (present, counts) in [(vec![&old], [true, false]), (vec![&new], [false, true]), (vec![], [false, false])] {
        let present: Vec<Enrolled> = present.into_iter().cloned().collect();
        store.review_present(of(&present), None, NOW).await.unwrap();
        for (by, counts) in [&old, &new].into_iter().zip(counts) {
            let grant = grant_of(&client, &format!("{} {:?}", present.len(), by.credential));
            assert_eq!(store.add_grant(grant.clone(), by.clone()).await.unwrap(), counts);
            assert_eq!(store.revoke_grant(&grant.id, NOW).await.unwrap(), counts, "and there is none");
        }
    }
}

/// One process has reloaded, another was started with something newer before it.
pub(in crate::store::conformance) async fn rt_10_an_older_process_ends_only_what_it_saw_leave(store: &Arc<dyn Store>) {
    let names = ["left", "changed", "changed by another", "left, of another", "kept", "of another"];
    let [left, changed, changed_by_another, left_of_another, kept, of_another] = names.map(Sample::new);
    let people = [&left, &changed, &changed_by_another, &left_of_another, &kept, &of_another];
    let is = |sample: &Sample, credential| enrolled(&sample.user_id(), credential);
    let before = [&left, &changed, &changed_by_another, &left_of_another, &kept].map(|sample| is(sample, "1"));
    store.review_present(of(&before), None, NOW).await.unwrap();
    let newer =
        [is(&left, "1"), is(&changed, "1"), is(&changed_by_another, "2"), is(&left_of_another, "2"), is(&kept, "1")];
    let newer = Present { issuers: vec![ISSUER.to_owned()], ..of(&[&newer[..], &[is(&of_another, "2")]].concat()) };
    store.review_present(newer, None, NOW).await.unwrap();
    let person = Sample::at(ISSUER, "person");
    assert!(store.record_account(person.account()).await.unwrap());
    for sample in people.into_iter().chain([&person]) {
        sample.grant(&**store).await;
    }

    // One of an older version does not note the key, and says the same.
    let by_key = |person: Enrolled| Enrolled { key: Some(digest("key")), ..person };
    let alike = Present { configured: vec![by_key(is(&changed_by_another, "2"))], ..Present::default() };
    let review = store.review_present(alike, Some(of(&[is(&changed_by_another, "1")])), NOW).await.unwrap();
    assert_eq!(review, Review::default());

    let now = [is(&changed, "3"), is(&changed_by_another, "3"), is(&kept, "1")];
    let review = store.review_present(of(&now), Some(of(&before)), NOW).await.unwrap();
    let ended = [&changed, &left].map(Sample::user_id).to_vec();
    let of_others = [&changed_by_another, &left_of_another].map(Sample::user_id).to_vec();
    assert_eq!(review, Review { ended, of_others });
    for sample in people.into_iter().chain([&person]) {
        let is_out = store.revoked().has_grant(&sample.code().grant);
        assert_eq!(is_out, [&left.name, &changed.name].contains(&&sample.name), "{}", sample.name);
    }
    assert_eq!(store.find_configured(&changed.user_id()).await.unwrap(), Some(is(&changed, "3")));
    let in_force = store.find_configured(&changed_by_another.user_id()).await.unwrap();
    assert_eq!(in_force, Some(by_key(is(&changed_by_another, "2"))));

    // Whom it saw at a provider that it leaves it ends; whom a provider of another lets in it does not.
    let both = Present { issuers: vec![ISSUER.to_owned()], ..of(&now) };
    store.review_present(of(&now), Some(both), NOW).await.unwrap();
    assert!(store.revoked().has_grant(&person.code().grant));
}

pub(in crate::store::conformance) async fn what_another_key_went_into_cannot_be_compared(store: &Arc<dyn Store>) {
    let sample = Sample::new("plain");
    let by = |credential, key: &str| Enrolled { key: Some(digest(key)), ..enrolled(&sample.user_id(), credential) };
    store.review_present(of(&[by("1", "key")]), None, NOW).await.unwrap();
    sample.grant(&**store).await;
    let ended = async |person| store.review_present(of(&[person]), None, NOW).await.unwrap().ended.len();
    assert_eq!(ended(by("2", "another key")).await, 0);
    assert_eq!(ended(by("2", "another key")).await, 0);
    assert_eq!(ended(by("3", "another key")).await, 1, "now it can");
    assert!(store.revoked().has_grant(&sample.code().grant));
    assert_eq!(ended(Enrolled { key: None, ..by("4", "") }).await, 1, "a hash where there was a password");
}
