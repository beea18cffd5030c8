//! What is put in comes out.

use std::sync::Arc;

use crate::base::id::{ClientId, FlowId, ProviderName, UserId};
use crate::model::account::{Account, Profile};
use crate::model::authorization::Stage;
use crate::model::client::{Authentication, RegisteredClient};
use crate::model::consent::Decided;
use crate::model::grant::{Grant, RefreshToken};
use crate::model::user::User;
use crate::protocol::oauth::client_keys::KeySource;
use crate::protocol::oauth::scope::ScopeSet;
use crate::store::conformance::sample::{BOUNDS, NOW, POLICY, Sample, digest, minutes};
use crate::store::{DocumentChange, KeptDocument, Refreshing, Store};

pub(super) async fn a_client_comes_back_as_it_was_added(store: &Arc<dyn Store>) {
    let confidential = Sample::new("a").client();
    let public = RegisteredClient {
        name: None,
        authentication: Authentication::None,
        may_refresh: false,
        management: None,
        fingerprint: Some(digest("the same")),
        ..Sample::new("b").client()
    };
    let signing = |name: &str, keys| RegisteredClient {
        authentication: Authentication::PrivateKey { keys, is_optional: false },
        ..Sample::new(name).client()
    };
    let inline = signing("c", KeySource::Inline("{\"keys\": []}".to_owned()));
    let kept_elsewhere = signing("d", KeySource::Url("https://client.example/jwks".parse().unwrap()));
    for client in [confidential, public, inline, kept_elsewhere] {
        assert!(store.add_client(client.clone(), BOUNDS, NOW).await.unwrap().is_admitted);
        assert_eq!(store.find_client(&client.id).await.unwrap(), Some(client));
    }
}

pub(super) async fn a_flow_comes_back_until_it_expires(store: &Arc<dyn Store>) {
    let sample = Sample::new("a");
    let permission = Stage::Permission { provider: ProviderName::new("default"), afresh: true };
    for (name, stage) in [
        ("login", Stage::Login { afresh: false }),
        ("login afresh", Stage::Login { afresh: true }),
        ("permission", permission),
        ("away", Sample::away()),
        ("returned", Sample::returned()),
        ("consent", sample.consenting()),
        ("finished", Stage::Finished),
    ] {
        let mut flow = sample.flow();
        flow.id = FlowId::new(name);
        flow.stage = stage;
        flow.request.as_mut().unwrap().state = None;
        store.add_flow(flow.clone(), NOW).await.unwrap();
        let last_second = NOW + minutes(9) + std::time::Duration::from_secs(59);
        assert_eq!(store.find_flow(&flow.id, last_second).await.unwrap(), Some(flow.clone()));
        assert_eq!(store.find_flow(&flow.id, NOW + minutes(10)).await.unwrap(), None);
    }
}

pub(super) async fn a_code_and_its_refresh_token_come_back_with_what_they_are_bound_to(store: &Arc<dyn Store>) {
    let sample = Sample::new("a");
    sample.approve(&**store).await;
    let code = sample.code();
    assert_eq!(store.find_code(&code.digest).await.unwrap(), Some(code.clone()));
    sample.redeem(&**store).await;
    assert_eq!(store.find_code(&code.digest).await.unwrap(), Some(code.clone()), "redeemed, it is still found");
    let grant = Grant {
        id: code.grant,
        user: code.user,
        client_id: code.client_id.clone(),
        resource: code.resource,
        scopes: code.scopes,
        created_at: NOW,
        revoked_at: None,
    };
    let token = RefreshToken { digest: sample.refresh(1), grant, expires_at: NOW + POLICY.idle, is_rotated: false };
    assert_eq!(store.find_refresh(&sample.refresh(1)).await.unwrap(), Some(token.clone()));
    let client = store.find_client(&code.client_id).await.unwrap();
    let asked = async |client: &ClientId| {
        let read = store.find_refreshing(&sample.refresh(1), client).await.unwrap();
        assert_eq!(read.token, Some(token.clone()));
        (read.user, read.client)
    };
    assert_eq!(asked(&code.client_id).await, (None, client), "the person is none of the store");
    let person = User { id: token.grant.user.clone(), ..Sample::new("person").user() };
    assert!(store.add_user(person.clone()).await.unwrap());
    assert_eq!(asked(&ClientId::new("another")).await, (Some(person), None));
    store.rotate_refresh(&token.digest, sample.refresh(2), POLICY, NOW).await.unwrap();
    let [first, second] = [1, 2].map(|number| sample.refresh(number));
    assert!(store.find_refresh(&first).await.unwrap().unwrap().is_rotated);
    assert!(!store.find_refresh(&second).await.unwrap().unwrap().is_rotated);
    let client = store.find_client(&code.client_id).await.unwrap().unwrap();
    assert_eq!(client.last_granted_at, Some(NOW));
}

pub(super) async fn the_last_consent_counts(store: &Arc<dyn Store>) {
    let sample = Sample::new("a");
    sample.approve(&**store).await;
    let mut flow = sample.flow();
    flow.id = FlowId::new("again");
    store.add_flow(flow.clone(), NOW).await.unwrap();
    let mut code = sample.code();
    code.digest = digest("another code");
    let mut wider = sample.consent();
    wider.scopes = ScopeSet::everything();
    wider.granted_at = NOW + minutes(1);
    let counts_since = NOW - minutes(60);
    let decided = Decided { consent: wider.clone(), offered: wider.scopes.clone(), counts_since };
    assert!(store.approve_flow(&flow, code, Some(decided)).await.unwrap());

    let asked = wider.clone();
    let find = async |redirect_uri: &str, resource: &str| {
        store.find_consent(&asked.user, &asked.client_id, redirect_uri, resource).await.unwrap()
    };
    assert_eq!(find(&asked.redirect_uri, &asked.resource).await, Some(wider));
    assert_eq!(find("http://127.0.0.1/other", &asked.resource).await, None);
    assert_eq!(find(&asked.redirect_uri, "https://other.example.com/mcp").await, None);
    let stranger = UserId::new("stranger");
    let found = store.find_consent(&stranger, &asked.client_id, &asked.redirect_uri, &asked.resource).await;
    assert_eq!(found.unwrap(), None);
}

pub(super) async fn users_come_back_by_name(store: &Arc<dyn Store>) {
    let (ann, mut bob) = (Sample::new("ann").user(), Sample::new("bob").user());
    bob.email = None;
    assert!(store.add_user(bob.clone()).await.unwrap());
    assert!(store.add_user(ann.clone()).await.unwrap());
    let mut usurper = ann.clone();
    usurper.password_hash = "$2b$10$other".to_owned().into();
    assert!(!store.add_user(usurper).await.unwrap(), "the name is taken");
    assert_eq!(store.find_user(&ann.id).await.unwrap(), Some(ann.clone()));
    assert_eq!(store.list_users().await.unwrap(), [ann.clone(), bob.clone()]);

    assert!(store.set_password(&ann.id, "$2b$10$new".to_owned().into(), NOW).await.unwrap());
    assert!(store.disable_user(&ann.id, NOW).await.unwrap());
    let found = store.find_user(&ann.id).await.unwrap().unwrap();
    assert!(found.disabled && found.password_hash.expose() == "$2b$10$new");
    assert!(store.enable_user(&ann.id).await.unwrap());
    assert!(!store.find_user(&ann.id).await.unwrap().unwrap().disabled);
    assert!(store.remove_user(&ann.id, NOW).await.unwrap());
    assert_eq!(store.list_users().await.unwrap(), [bob]);
}

pub(super) async fn people_come_back_as_they_were_last_described(store: &Arc<dyn Store>) {
    let (ann, bob) =
        (Sample::at("https://idp.example", "ann").account(), Sample::at("https://b.example", "7").account());
    assert!(store.record_account(ann.clone()).await.unwrap());
    assert!(store.record_account(bob.clone()).await.unwrap());
    assert_eq!(store.find_account(&ann.user).await.unwrap(), Some(ann.clone()));
    assert_eq!(store.list_accounts().await.unwrap(), [bob.clone(), ann.clone()]);

    let profile = Profile { email: None, groups: Vec::new(), ..Profile::default() };
    let later = NOW + minutes(5);
    let silent = Account { profile, refresh_token: None, created_at: later, confirmed_at: later, ..ann.clone() };
    assert!(store.record_account(Account { disabled: true, ..silent.clone() }).await.unwrap());
    let known = Account { created_at: NOW, refresh_token: ann.refresh_token, ..silent.clone() };
    assert_eq!(
        store.find_account(&ann.user).await.unwrap(),
        Some(known.clone()),
        "the token stays, nobody is disabled"
    );
    let rotated = Account { refresh_token: Some("sealed anew".to_owned()), ..known };
    assert!(store.record_account(rotated.clone()).await.unwrap());
    assert_eq!(store.find_account(&ann.user).await.unwrap(), Some(rotated.clone()));

    assert!(!store.set_password(&ann.user, "$2b$10$new".to_owned().into(), NOW).await.unwrap(), "there is none");
    assert!(store.disable_user(&ann.user, NOW).await.unwrap());
    assert!(store.find_account(&ann.user).await.unwrap().unwrap().disabled);
    assert!(store.enable_user(&ann.user).await.unwrap());
    assert_eq!(store.find_account(&ann.user).await.unwrap(), Some(rotated));
    assert!(store.remove_user(&ann.user, NOW).await.unwrap());
    assert_eq!(store.list_accounts().await.unwrap(), [bob]);
    assert!(store.list_users().await.unwrap().is_empty(), "people of providers are not among the users");
}

pub(super) async fn a_browser_session_comes_back_until_it_expires(store: &Arc<dyn Store>) {
    let configured = Sample::new("configured").session();
    store.add_session(configured.clone()).await.unwrap();
    let last_second = NOW + minutes(59) + std::time::Duration::from_secs(59);
    assert_eq!(store.find_session(&configured.digest, last_second).await.unwrap(), Some(configured.clone()));
    assert_eq!(store.find_session(&configured.digest, configured.expires_at).await.unwrap(), None);
    assert!(store.remove_session(&configured.digest).await.unwrap());
    assert_eq!(store.find_session(&configured.digest, NOW).await.unwrap(), None);
    assert!(!store.remove_session(&configured.digest).await.unwrap(), "once");
}

pub(super) async fn what_is_not_there_is_none(store: &Arc<dyn Store>) {
    let (sample, nobody) = (Sample::new("a"), UserId::new("nobody"));
    assert_eq!(store.find_client(&ClientId::new("a")).await.unwrap(), None);
    assert_eq!(store.find_flow(&FlowId::new("a"), NOW).await.unwrap(), None);
    assert_eq!(store.find_code(&digest("x")).await.unwrap(), None);
    assert_eq!(store.find_refresh(&digest("x")).await.unwrap(), None);
    let nothing = store.find_refreshing(&digest("x"), &ClientId::new("a")).await.unwrap();
    assert_eq!(nothing, Refreshing::default());
    assert_eq!(store.find_user(&nobody).await.unwrap(), None);
    assert_eq!(store.find_account(&UserId::federated("https://idp.example", "nobody")).await.unwrap(), None);
    assert_eq!(store.find_session(&digest("x"), NOW).await.unwrap(), None);
    assert!(!store.remove_session(&digest("x")).await.unwrap());
    assert!(!store.remove_client(&ClientId::new("a"), None, NOW).await.unwrap());
    assert!(!store.revoke_grant(&sample.code().grant, NOW).await.unwrap());
    assert!(!store.set_password(&nobody, "x".to_owned().into(), NOW).await.unwrap());
    assert!(!store.disable_user(&nobody, NOW).await.unwrap());
    assert!(!store.enable_user(&nobody).await.unwrap());
    assert!(!store.remove_user(&nobody, NOW).await.unwrap());
    assert!(!store.advance_flow(&sample.flow(), digest("x"), Stage::Finished, NOW).await.unwrap());
    assert!(!store.approve_flow(&sample.flow(), sample.code(), sample.decided()).await.unwrap());
    assert_eq!(store.find_code(&sample.code().digest).await.unwrap(), None, "and no code was made");
}

pub(super) async fn a_document_is_the_last_that_was_kept(store: &Arc<dyn Store>) {
    let client = ClientId::new("https://client.example/x");
    assert_eq!(store.find_document(&client).await.unwrap(), None);
    for document in [&b"{}"[..], b"\xff not even text"] {
        store.record_document(&client, document, DocumentChange::None, NOW).await.unwrap();
        let kept = KeptDocument { body: document.to_vec(), is_refused: false };
        assert_eq!(store.find_document(&client).await.unwrap(), Some(kept.clone()));
        for _ in 0..2 {
            store.refuse_document(&client, NOW).await.unwrap();
            let refused = KeptDocument { is_refused: true, ..kept.clone() };
            assert_eq!(store.find_document(&client).await.unwrap(), Some(refused), "to be compared with the next");
        }
    }
    let other = ClientId::new("https://client.example/X");
    store.refuse_document(&other, NOW).await.unwrap();
    assert_eq!(store.find_document(&other).await.unwrap(), None);
}

pub(super) async fn a_key_set_is_the_last_that_was_found(store: &Arc<dyn Store>) {
    let url = |path: &str| url::Url::parse("https://client.example/").unwrap().join(path).unwrap();
    assert_eq!(store.find_key_set(&url("jwks")).await.unwrap(), None);
    for keys in [&b"{}"[..], b"\xff not even text"] {
        store.record_key_set(&url("jwks"), keys, &ClientId::new("a"), NOW).await.unwrap();
        assert_eq!(store.find_key_set(&url("jwks")).await.unwrap().as_deref(), Some(keys));
    }
    assert_eq!(store.find_key_set(&url("JWKS")).await.unwrap(), None);
}
