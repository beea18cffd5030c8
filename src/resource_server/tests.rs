//! Tests of the protected resource.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::*;
use crate::base::id::GrantId;
use crate::base::id::{ClientId, UserId};
use crate::config::section::{Signing, SigningAlgorithm};
use crate::keys;
use crate::protocol::oauth::scope::ScopeSet;

const NOW: Timestamp = Timestamp::from_unix(1_800_000_000);

struct Setting {
    keys: Arc<Keys>,
    clock: Clock,
    revoked: Revoked,
    server: ResourceServer,
    folder: tempfile::TempDir,
}

fn settings() -> Settings {
    Settings {
        issuer: "https://gw.example".to_owned(),
        resource: "https://gw.example/mcp".to_owned(),
        scopes_supported: ["mcp:read", "mcp:write", "offline_access"].map(str::to_owned).to_vec(),
        challenge_scopes: ["mcp:read", "mcp:write"].map(str::to_owned).to_vec(),
        metadata_url: "https://gw.example/.well-known/oauth-protected-resource/mcp".to_owned(),
        resource_name: Some("Tools".to_owned()),
    }
}

fn setting() -> Setting {
    let folder = tempfile::tempdir().unwrap();
    let keys = Arc::new(Keys::open(&Signing::generated(folder.path().to_owned()), NOW).unwrap());
    let (clock, revoked) = (Clock::fixed(NOW), Revoked::default());
    let server = ResourceServer::new(Arc::clone(&keys), settings(), (revoked.clone(), Calls::default()), clock.clone());
    Setting { keys, clock, revoked, server, folder }
}

fn claims() -> AccessTokenClaims {
    AccessTokenClaims {
        issuer: "https://gw.example".to_owned(),
        subject: UserId::new("alice"),
        audience: "https://gw.example/mcp".to_owned(),
        client_id: ClientId::new("client"),
        scope: ScopeSet::parse("mcp:read").unwrap(),
        jti: "token-1".to_owned(),
        issued_at: NOW,
        expires_at: NOW + Duration::from_secs(3600),
        grant: GrantId::new("grant-1"),
    }
}

impl Setting {
    fn present(&self, claims: &AccessTokenClaims) -> Result<Arc<Principal>, Reason> {
        let token = self.keys.sign(claims).unwrap();
        self.server.authenticate(token.expose()).map_err(|refused| refused.reason)
    }
}

#[test]
fn a_good_token_says_who_is_calling() {
    let principal = setting().present(&claims()).unwrap();
    assert!(principal.key_id.is_some());
    let expected = Principal {
        key_id: principal.key_id.clone(),
        token_id: Some(claims().jti),
        user: Some(UserId::new("alice")),
        client_id: Some(ClientId::new("client")),
        grant: Some(GrantId::new("grant-1")),
        scopes: ScopeSet::parse("mcp:read").unwrap(),
        expires_at: Some(NOW + Duration::from_secs(3600)),
    };
    assert_eq!(*principal, expected);
}

#[test]
fn a_repeated_token_is_recognised_without_looking_at_its_signature() {
    let setting = setting();
    let token = setting.keys.sign(&claims()).unwrap();
    let first = setting.server.authenticate(token.expose()).unwrap();
    for _ in 0..100 {
        assert!(Arc::ptr_eq(&first, &setting.server.authenticate(token.expose()).unwrap()));
    }
    assert_eq!(setting.server.verifications(), 1);
    for number in 0..2 * VERDICTS {
        assert!(setting.server.authenticate(&format!("garbage-{number}")).is_err());
    }
    let examined = setting.server.verifications();
    assert!(setting.server.authenticate(token.expose()).is_ok());
    assert_eq!(setting.server.verifications(), examined, "garbage drove out a good verdict");
}

#[test]
fn the_verdicts_of_ten_thousand_clients_are_all_remembered() {
    let server = setting().server;
    let tokens = || (0..10_000).map(|number| Digest::of_bytes(format!("token-{number}").as_bytes()));
    for digest in tokens() {
        server.verdicts.insert(digest, Arc::new(Verdict::of(claims(), "key".to_owned())));
    }
    assert_eq!(tokens().filter(|digest| server.verdicts.get(digest).is_none()).count(), 0);
}

#[test]
fn jwt_8_expiry_holds_to_the_second_for_new_and_known_tokens() {
    let setting = setting();
    let token = setting.keys.sign(&claims()).unwrap();
    setting.server.authenticate(token.expose()).unwrap();
    setting.clock.advance(Duration::from_secs(3599));
    assert!(setting.server.authenticate(token.expose()).is_ok());
    setting.clock.advance(Duration::from_secs(1));
    for _ in 0..2 {
        let refused = setting.server.authenticate(token.expose()).unwrap_err();
        assert_eq!((refused.reason, refused.error_description), (Reason::Expired, "The access token has expired"));
    }
    let now = setting.clock.now();
    let issued = |seconds| AccessTokenClaims {
        issued_at: now + Duration::from_secs(seconds),
        expires_at: now + Duration::from_secs(9999),
        ..claims()
    };
    assert!(setting.present(&issued(60)).is_ok());
    assert_eq!(setting.present(&issued(61)), Err(Reason::NotYet));
}

#[test]
fn revocation_is_seen_by_the_next_request() {
    let setting = setting();
    assert!(setting.present(&claims()).is_ok());
    setting.revoked.replace(HashSet::from([GrantId::new("grant-1")]), HashSet::new());
    assert_eq!(setting.present(&claims()), Err(Reason::Revoked));
    setting.revoked.replace(HashSet::new(), HashSet::from(["token-1".to_owned()]));
    assert_eq!(setting.present(&claims()), Err(Reason::Revoked));
    assert!(setting.present(&AccessTokenClaims { jti: "token-2".to_owned(), ..claims() }).is_ok());
}

#[test]
fn jwt_1_no_token_is_no_error() {
    assert_eq!(
        setting().server.challenge(Challenge::NoToken),
        r#"Bearer resource_metadata="https://gw.example/.well-known/oauth-protected-resource/mcp", scope="mcp:read mcp:write""#
    );
    let bare = Challenges::new(&Settings { challenge_scopes: Vec::new(), ..settings() });
    assert_eq!(
        bare.value(Challenge::NoToken),
        r#"Bearer resource_metadata="https://gw.example/.well-known/oauth-protected-resource/mcp""#
    );
}

#[test]
fn jwt_10_the_audience_is_this_resource_and_nothing_near_it() {
    let setting = setting();
    let others = [
        "",
        "https://gw.example",
        "https://gw.example/",
        "https://gw.example/mcp/",
        "https://gw.example/mcp-evil",
        "https://gw.example/mc",
        "https://gw.example/mcp/b",
        "https://gw.example/MCP",
        "https://GW.example/mcp",
        "https://gw.example:443/mcp",
        "http://gw.example/mcp",
        "client",
    ];
    for audience in others {
        let refused = setting.present(&AccessTokenClaims { audience: audience.to_owned(), ..claims() });
        assert_eq!(refused, Err(Reason::Audience), "{audience}");
    }
    for issuer in ["", "https://gw.example/", "https://other.example", "https://gw.example/mcp"] {
        let refused = setting.present(&AccessTokenClaims { issuer: issuer.to_owned(), ..claims() });
        assert_eq!(refused, Err(Reason::Issuer), "{issuer}");
    }
}

#[test]
fn jwt_11_a_token_of_another_key_is_refused() {
    let (ours, theirs) = (setting(), setting());
    let token = theirs.keys.sign(&claims()).unwrap();
    assert!(theirs.server.authenticate(token.expose()).is_ok());
    let refused = ours.server.authenticate(token.expose()).unwrap_err();
    assert_eq!(refused.reason, Reason::NotOurs(TokenFault::Key));
    assert_eq!(
        ours.server.challenge(Challenge::InvalidToken(&refused)),
        r#"Bearer error="invalid_token", error_description="The access token is not valid", resource_metadata="https://gw.example/.well-known/oauth-protected-resource/mcp", scope="mcp:read mcp:write""#
    );
}

#[test]
fn jwt_11_not_even_under_our_key_id() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let open = |folder: &tempfile::TempDir| {
        let path = folder.path().join("key.pem");
        std::fs::write(&path, keys::generate(SigningAlgorithm::Es256).unwrap().expose()).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let signing = Signing::generated(folder.path().to_owned());
        Keys::open(&Signing { key_id: Some("same".to_owned()), key_file: Some(path), ..signing }, NOW).unwrap()
    };
    let (ours, theirs) = (Arc::new(open(&one)), open(&other));
    let server = ResourceServer::new(ours, settings(), (Revoked::default(), Calls::default()), Clock::fixed(NOW));
    let refused = server.authenticate(theirs.sign(&claims()).unwrap().expose()).unwrap_err();
    assert_eq!(refused.reason, Reason::NotOurs(TokenFault::Signature));
}

#[tokio::test]
async fn jwt_16_a_token_and_its_streams_end_with_its_key() {
    let setting = setting();
    let token = setting.keys.sign(&claims()).unwrap();
    let principal = setting.server.authenticate(token.expose()).unwrap();
    let ended = tokio::spawn(setting.server.until_ended(Arc::clone(&principal)));
    let path = setting.folder.path().join(format!("signing-es256-{}.pem", NOW.unix()));
    std::fs::remove_file(path).unwrap();
    setting.keys.tend(NOW, Duration::from_secs(3600)).unwrap();
    let refused = setting.server.authenticate(token.expose()).unwrap_err();
    assert_eq!(refused.reason, Reason::NotOurs(TokenFault::Key), "although it was recognised before");
    tokio::time::timeout(Duration::from_secs(5), ended).await.unwrap().unwrap();
    assert!(setting.present(&claims()).is_ok(), "a new key was made at once");
}

#[test]
fn jwt_12_a_small_scope_is_told_all_it_needs_in_one_challenge() {
    let needed = ScopeSet::parse("mcp:write mcp:admin").unwrap();
    assert_eq!(
        setting().server.challenge(Challenge::InsufficientScope(&needed)),
        r#"Bearer error="insufficient_scope", scope="mcp:admin mcp:write", resource_metadata="https://gw.example/.well-known/oauth-protected-resource/mcp""#
    );
}

#[test]
fn a_challenge_cannot_be_broken_out_of() {
    assert_eq!(
        setting().server.challenge(Challenge::InvalidRequest("two \"tokens\"\r\nX: \\é")),
        r#"Bearer error="invalid_request", error_description="two ?tokens???X: ??", resource_metadata="https://gw.example/.well-known/oauth-protected-resource/mcp""#
    );
}

#[test]
fn meta_9_the_metadata_is_the_document_of_rfc_9728() {
    let document: Value = serde_json::from_slice(&setting().server.metadata()).unwrap();
    let expected = json!({
        "resource": "https://gw.example/mcp",
        "authorization_servers": ["https://gw.example"],
        "scopes_supported": ["mcp:read", "mcp:write"],
        "bearer_methods_supported": ["header"],
        "resource_name": "Tools",
    });
    assert_eq!(document, expected);
    let unnamed = metadata::document(&Settings { resource_name: None, ..settings() });
    assert!(serde_json::from_slice::<Value>(&unnamed).unwrap().get("resource_name").is_none());
}
