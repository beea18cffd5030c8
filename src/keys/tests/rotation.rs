//! Rotation: seamless, the same for everybody who sees the folder, and whole wherever a process is killed.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use super::{NOW, open, openssl, signing};
use crate::base::clock::{Clock, Timestamp};
use crate::config::section::{AdditionalKey, Signing, SigningAlgorithm};
use crate::keys::{Begin, KeyChange, KeyError, KeyRole, Keys, Rotated, TokenFault, generate};
use crate::protocol::oauth::claims::AccessTokenClaims;

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
/// What tokens live here, with the store's margin.
const LONGEST: Duration = Duration::from_secs(3660);

fn token(keys: &Keys, now: Timestamp) -> String {
    let claims = AccessTokenClaims { issued_at: now, expires_at: now + HOUR, ..super::tokens::claims() };
    keys.sign(&claims).unwrap().expose().to_owned()
}

fn key_of(keys: &Keys, token: &str) -> String {
    keys.verify_with_key(token).unwrap().1
}

fn published(keys: &Keys) -> Vec<String> {
    let set: Value = serde_json::from_slice(&keys.jwks()).unwrap();
    set["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

fn files(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder.join("keys"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.retain(|name| name.contains("signing"));
    names.sort();
    names
}

#[test]
fn jwt_15_the_next_key_is_published_an_hour_before_and_the_last_one_kept_until_its_tokens_have_ended() {
    let folder = tempfile::tempdir().unwrap();
    let (keys, replica) = (open(&signing(folder.path())).unwrap(), open(&signing(folder.path())).unwrap());
    let first = key_of(&keys, &token(&keys, NOW));
    assert_eq!(keys.tend(NOW + 30 * DAY - HOUR - Duration::from_secs(1), LONGEST).unwrap(), []);
    let announced = NOW + 30 * DAY - HOUR;
    let changes = keys.tend(announced, LONGEST).unwrap();
    let [KeyChange::Added { key_id: second, signs_from }] = changes.as_slice() else { panic!("{changes:?}") };
    assert_eq!(*signs_from, NOW + 30 * DAY);
    replica.tend(announced, LONGEST).unwrap();
    for keys in [&keys, &replica] {
        assert_eq!(published(keys), [first.clone(), second.clone()]);
    }
    let last = token(&keys, NOW + 30 * DAY - Duration::from_secs(1));
    assert_eq!(key_of(&replica, &last), first);
    assert_eq!(key_of(&replica, &token(&keys, NOW + 30 * DAY)), *second);
    let kept = NOW + 30 * DAY + LONGEST + Duration::from_secs(59);
    assert_eq!(keys.tend(kept, LONGEST).unwrap(), []);
    assert!(keys.verify(&last).is_ok());
    let gone = keys.tend(kept + Duration::from_secs(1), LONGEST).unwrap();
    assert_eq!(gone, [KeyChange::Removed { key_id: first }]);
    assert_eq!(keys.verify(&last), Err(TokenFault::Key));
    assert_eq!((published(&keys), files(folder.path()).len()), (vec![second.clone()], 1));
}

#[test]
fn jwt_15_whoever_rotates_and_however_many_there_is_one_next_key() {
    let folder = tempfile::tempdir().unwrap();
    let settings = signing(folder.path());
    let due = NOW + 30 * DAY;
    let replicas: Vec<Keys> = (0..4).map(|_| open(&settings).unwrap()).collect();
    std::thread::scope(|scope| {
        for keys in &replicas {
            scope.spawn(|| keys.tend(due, LONGEST).unwrap());
            scope.spawn(|| Keys::rotate(&settings, Begin::Published, &Clock::fixed(due)).unwrap());
        }
    });
    assert_eq!(files(folder.path()).len(), 2, "{:?}", files(folder.path()));
    for keys in &replicas {
        keys.tend(due, LONGEST).unwrap();
        assert_eq!(published(keys), published(&replicas[0]));
    }
    assert!(matches!(Keys::rotate(&settings, Begin::Published, &Clock::fixed(due)), Ok(Rotated::Waiting(_))));
}

#[test]
fn jwt_15_a_key_that_others_did_not_see_published_waits_until_all_who_share_the_folder_did() {
    let folder = tempfile::tempdir().unwrap();
    let settings = signing(folder.path());
    let keys = open(&settings).unwrap();
    let Rotated::Added(next) = Keys::rotate(&settings, Begin::AtOnce, &Clock::fixed(NOW)).unwrap() else { panic!() };
    assert_eq!(next.role, KeyRole::Next(NOW + Duration::from_secs(3)));
    keys.tend(NOW, LONGEST).unwrap();
    assert_ne!(key_of(&keys, &token(&keys, NOW)), next.key_id);
    assert_eq!(key_of(&keys, &token(&keys, NOW + Duration::from_secs(3))), next.key_id);
    let listed = Keys::list(&settings, NOW + Duration::from_secs(3)).unwrap();
    let roles: Vec<KeyRole> = listed.iter().map(|key| key.role).collect();
    assert_eq!(roles, [KeyRole::Before(NOW), KeyRole::Signs(NOW + Duration::from_secs(3))]);
}

#[test]
fn jwt_16_a_key_that_is_taken_away_is_gone_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let keys = open(&signing(folder.path())).unwrap();
    let old = token(&keys, NOW);
    let lost = key_of(&keys, &old);
    fs::remove_file(folder.path().join("keys").join(&files(folder.path())[0])).unwrap();
    let changes = keys.tend(NOW, LONGEST).unwrap();
    assert!(matches!(changes.as_slice(), [KeyChange::Removed { key_id }, KeyChange::Added { .. }] if *key_id == lost));
    assert_eq!(keys.verify(&old), Err(TokenFault::Key));
    assert!(keys.verify(&token(&keys, NOW)).is_ok());
    // What cannot be read is no order to forget: a disk that is away for a while.
    let good = token(&keys, NOW);
    let (here, away) = (folder.path().join("keys"), folder.path().join("away"));
    fs::rename(&here, &away).unwrap();
    assert!(keys.tend(NOW, LONGEST).is_err());
    assert!(keys.verify(&good).is_ok());
    fs::rename(&away, &here).unwrap();
    assert_eq!(keys.tend(NOW, LONGEST).unwrap(), []);
}

#[test]
fn another_algorithm_is_a_rotation_like_any_other() {
    let folder = tempfile::tempdir().unwrap();
    let before = token(&open(&signing(folder.path())).unwrap(), NOW);
    let keys = open(&Signing { algorithm: Some(SigningAlgorithm::EdDsa), ..signing(folder.path()) }).unwrap();
    assert!(keys.verify(&before).is_ok());
    keys.tend(NOW, LONGEST).unwrap();
    assert_eq!(keys.tend(NOW, LONGEST).unwrap(), [], "one is enough");
    let names = files(folder.path());
    assert_eq!(
        names,
        [format!("signing-eddsa-{}.pem", (NOW + HOUR).unix()), format!("signing-es256-{}.pem", NOW.unix())]
    );
    assert_eq!(key_of(&keys, &token(&keys, NOW + HOUR)), published(&keys)[1]);
}

#[test]
fn what_a_killed_process_leaves_is_cleaned_away_and_disturbs_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let keys = open(&signing(folder.path())).unwrap();
    let draft = folder.path().join("keys/.signing-es256-1802592000.pem.abc");
    fs::write(&draft, "-----BEGIN PRIV").unwrap();
    assert!(open(&signing(folder.path())).is_ok());
    keys.tend(NOW + 30 * DAY, LONGEST).unwrap();
    assert!(!draft.exists());
    assert_eq!(files(folder.path()).len(), 2);
}

#[test]
fn a_generated_key_that_its_group_may_read_is_a_fault_that_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let keys = open(&signing(folder.path())).unwrap();
    let good = token(&keys, NOW);
    let path = folder.path().join("keys").join(&files(folder.path())[0]);
    for mode in [0o640, 0o604, 0o644, 0o660] {
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        for result in [open(&signing(folder.path())).map(drop), Keys::check(&signing(folder.path())).map(drop)] {
            let error = result.unwrap_err();
            assert!(matches!(error, KeyError::Mode { .. }), "{mode:o}");
            assert!(error.to_string().contains(&format!("chmod 600 {}", path.display())), "{error}");
        }
        // A running process goes on with what it has.
        assert!(keys.tend(NOW, LONGEST).is_err());
        assert!(keys.verify(&good).is_ok());
    }
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    assert!(Keys::check(&signing(folder.path())).is_ok() && keys.tend(NOW, LONGEST).is_ok());
}

/// Whoever restored a copy of the folder may have done so as another user.
#[test]
fn jwt_15_an_unfit_file_of_a_key_that_does_not_sign_is_told_of_and_stops_no_rotation() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("keys");
    openssl(folder.path(), "ecparam -genkey -name prime256v1 -noout -out other");
    let other = AdditionalKey { key_file: folder.path().join("other"), key_id: None };
    let with_other = Signing { additional_keys: vec![other], ..signing(folder.path()) };
    let ephemeral = Signing { ephemeral: true, ..with_other.clone() };
    let (keys, in_memory) = (open(&with_other).unwrap(), open(&ephemeral).unwrap());
    let path = |time: Timestamp| place.join(format!("signing-es256-{}.pem", time.unix()));
    let (third, due) = (NOW + 60 * DAY, NOW + 60 * DAY - HOUR);
    keys.tend(NOW + 30 * DAY - HOUR, LONGEST).unwrap();
    let last = token(&keys, NOW + 30 * DAY - Duration::from_secs(1));
    // Unreadable, from before, and no key at all: the retired one, an older one, and one that only verifies.
    fs::set_permissions(path(NOW), Permissions::from_mode(0o644)).unwrap();
    fs::write(path(NOW - DAY), "no key").unwrap();
    fs::set_permissions(path(NOW - DAY), Permissions::from_mode(0o600)).unwrap();
    fs::write(folder.path().join("other"), "no key").unwrap();
    let told = keys.tend(NOW + 30 * DAY, LONGEST).unwrap_err();
    assert!(told.changes.is_empty() && keys.verify(&last).is_ok(), "{told}: its tokens are good on");
    let told = keys.tend(due, LONGEST).unwrap_err();
    assert!(matches!(told.changes.as_slice(), [KeyChange::Removed { .. }, KeyChange::Added { .. }]), "{told:?}");
    assert_eq!(files(folder.path()), [NOW + 30 * DAY, third].map(|time| format!("signing-es256-{}.pem", time.unix())));
    let told = in_memory.tend(due, LONGEST).unwrap_err();
    assert!(matches!(told.changes.as_slice(), [KeyChange::Added { .. }]), "{told:?}");
    // Of what stands in the place of the one that signs nobody knows how long it has to stay.
    fs::set_permissions(path(third), Permissions::from_mode(0o644)).unwrap();
    let told = keys.tend(third + 30 * DAY, LONGEST).unwrap_err();
    assert!(told.changes.is_empty() && matches!(told.source, KeyError::Mode { .. }), "{told:?}");
}

#[test]
fn ephemeral_keys_rotate_and_leave_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Signing { ephemeral: true, ..signing(folder.path()) };
    let keys = open(&settings).unwrap();
    let first = token(&keys, NOW);
    assert!(matches!(keys.tend(NOW + 30 * DAY - HOUR, LONGEST).unwrap().as_slice(), [KeyChange::Added { .. }]));
    let second = token(&keys, NOW + 30 * DAY);
    assert_ne!(key_of(&keys, &first), key_of(&keys, &second));
    keys.tend(NOW + 30 * DAY + 2 * HOUR, LONGEST).unwrap();
    assert_eq!((keys.verify(&first), keys.verify(&second).is_ok()), (Err(TokenFault::Key), true));
    assert_eq!(files(folder.path()), Vec::<String>::new());
    assert!(open(&settings).unwrap().verify(&second).is_err());
}

#[test]
fn a_key_file_is_replaced_by_its_owner_with_the_one_before_as_additional_key() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for file in ["one.pem", "two.pem"] {
        openssl(folder, &format!("ecparam -genkey -name prime256v1 -noout -out {file}"));
    }
    let of = |file: &str, key_id: &str, additional: &[(&str, &str)]| {
        let additional = additional
            .iter()
            .map(|(file, key_id)| AdditionalKey { key_file: folder.join(file), key_id: Some((*key_id).to_owned()) });
        let key_file = Some(folder.join(file));
        Signing { key_file, key_id: Some(key_id.to_owned()), additional_keys: additional.collect(), ..signing(folder) }
    };
    let before = open(&of("one.pem", "one", &[("two.pem", "two")])).unwrap();
    let after = open(&of("two.pem", "two", &[("one.pem", "one"), ("two.pem", "two")])).unwrap();
    for (signed, verified) in [(&before, &after), (&after, &before)] {
        assert!(verified.verify(&token(signed, NOW)).is_ok());
    }
    assert_eq!(
        (published(&before), published(&after)),
        (vec!["one".into(), "two".into()], vec!["two".into(), "one".into()])
    );
    assert_eq!(after.tend(NOW + 90 * DAY, LONGEST).unwrap(), [], "nobody rotates it");
    // In place, as an orchestrator does.
    let lost = token(&after, NOW);
    fs::rename(folder.join("one.pem"), folder.join("two.pem")).unwrap();
    assert!(after.tend(NOW, LONGEST).is_err(), "the additional key is not there any more");
    assert!(after.verify(&lost).is_ok());
}

#[test]
fn additional_keys_may_be_public_and_never_sign() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let cases = [
        ("genrsa -out key 2048", "rsa -in key -pubout -out public"),
        ("genrsa -out key 2048", "rsa -in key -RSAPublicKey_out -out public"),
        ("ecparam -genkey -name prime256v1 -noout -out key", "ec -in key -pubout -out public"),
        ("genpkey -algorithm ed25519 -out key", "pkey -in key -pubout -out public"),
    ];
    for (make, publish) in cases {
        openssl(path, make);
        openssl(path, publish);
        let other =
            Keys::open(&Signing { key_file: Some(path.join("key")), ..Signing::generated(path.join("other")) }, NOW);
        let theirs = token(&other.unwrap(), NOW);
        for file in ["public", "key"] {
            let additional_keys = vec![AdditionalKey { key_file: path.join(file), key_id: None }];
            let keys = open(&Signing { additional_keys, ..signing(path) }).unwrap();
            assert!(keys.verify(&theirs).is_ok(), "{publish} {file}");
            assert_ne!(key_of(&keys, &token(&keys, NOW)), key_of(&keys, &theirs));
            assert!(!String::from_utf8(keys.jwks().to_vec()).unwrap().contains("\"d\""));
        }
    }
    let additional = |file: &str| Signing {
        additional_keys: vec![AdditionalKey { key_file: path.join(file), key_id: None }],
        ..signing(path)
    };
    fs::set_permissions(path.join("key"), Permissions::from_mode(0o644)).unwrap();
    assert!(matches!(open(&additional("key")), Err(KeyError::Mode { .. })));
    openssl(path, "ecparam -genkey -name secp384r1 -noout -out p384");
    openssl(path, "ec -in p384 -pubout -out p384.pub");
    openssl(path, "genrsa -out small 1024");
    openssl(path, "rsa -in small -pubout -out small.pub");
    fs::write(path.join("garbage"), generate(SigningAlgorithm::Es256).unwrap().expose().repeat(2)).unwrap();
    fs::set_permissions(path.join("garbage"), Permissions::from_mode(0o600)).unwrap();
    for file in ["p384.pub", "small.pub", "garbage"] {
        assert!(matches!(open(&additional(file)), Err(KeyError::UnusableAdditional { .. })), "{file}");
        assert!(Keys::check(&additional(file)).is_err());
    }
}
