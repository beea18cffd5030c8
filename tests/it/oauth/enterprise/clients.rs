//! Who may present an assertion.

use josekit::jwk::KeyPair as _;
use josekit::jws::{ES256, JwsHeader};
use serde_json::json;

use super::{Enterprise, GRANT, SECRET, refused};
use crate::support::client::{REDIRECT_URI, metadata};
use crate::support::host::Host;
use crate::support::mcp::Session;
use crate::support::provider::SUBJECT;
use crate::support::{App, Client};

const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
const PATH: &str = "/client.json";

#[tokio::test]
async fn ema_1_an_assertion_becomes_a_token_of_its_person() {
    let enterprise = Enterprise::start();
    let tokens = enterprise.present(&enterprise.assertion(&enterprise.claims("1"))).await;
    assert_eq!((tokens.status, tokens.text("scope"), tokens.text("token_type")), (200, "mcp:read", "Bearer"));
    assert_eq!(tokens.headers["cache-control"], "no-store");
    // EMA §5, ID-JAG §4.4: nothing to refresh with, so that the issuer is asked again.
    assert!(tokens.body.get("refresh_token").is_none(), "{tokens:?}");
    let said = Session::initialize(&enterprise.app, tokens.access()).await.tool("whoami", json!({})).await;
    let said = &said["result"]["structuredContent"];
    assert_eq!(said["user"], json!(format!("{}#{SUBJECT}", enterprise.provider.url)), "{said}");
    assert_eq!(said["client"], "agent", "{said}");
}

#[tokio::test]
async fn ema_10_the_metadata_say_so_where_an_issuer_is_configured() {
    let with = metadata(&Enterprise::start().app).await;
    assert_eq!(with["grant_types_supported"], json!(["authorization_code", "refresh_token", GRANT]));
    let profiles = json!(["urn:ietf:params:oauth:grant-profile:id-jag"]);
    assert_eq!(with["authorization_grant_profiles_supported"], profiles);
    let app = App::start();
    let without = metadata(&app).await;
    assert_eq!(without["grant_types_supported"], json!(["authorization_code", "refresh_token"]));
    assert!(without.get("authorization_grant_profiles_supported").is_none());
    let form = [("grant_type", GRANT), ("assertion", "x"), ("client_id", "x")];
    let request = crate::support::client::http().post(format!("{}/oauth/token", app.url)).form(&form);
    assert_eq!(Client::read(request).await.error(), "unsupported_grant_type");
}

#[tokio::test]
async fn ema_2_only_a_client_that_proves_itself_and_was_given_the_grant_may() {
    let enterprise = Enterprise::start();
    let of = |id: &str| {
        let mut claims = enterprise.claims(id);
        claims["client_id"] = json!(id);
        enterprise.assertion(&claims)
    };
    let web = enterprise.present_as("web", &of("web"), &[]).await;
    assert_eq!((web.status, web.error()), (400, "unauthorized_client"));
    // Whoever registers itself is nobody that an enterprise knows, with a secret or without.
    for method in ["none", "client_secret_post"] {
        let metadata = json!({"redirect_uris": [REDIRECT_URI], "token_endpoint_auth_method": method, "grant_types": ["authorization_code", GRANT]});
        let client = Client::register_as(&enterprise.app, metadata).await;
        let assertion = of(&client.id);
        let mut form = vec![("grant_type", GRANT), ("assertion", &assertion), ("client_id", &client.id)];
        form.extend(client.registration["client_secret"].as_str().map(|secret| ("client_secret", secret)));
        let tokens = enterprise.send(&form, None).await;
        assert_eq!((tokens.status, tokens.error()), (400, "unauthorized_client"), "{method}");
    }
    // Without the secret, or with another, the client is nobody.
    let good = of("agent");
    for more in [&[][..], &[("client_secret", "another secret")]] {
        let form: Vec<_> = [("grant_type", GRANT), ("assertion", &good), ("client_id", "agent")]
            .into_iter()
            .chain(more.to_vec())
            .collect();
        let tokens = enterprise.send(&form, None).await;
        assert_eq!((tokens.status, tokens.error()), (401, "invalid_client"));
    }
    let posted = [("grant_type", GRANT), ("assertion", &good), ("client_id", "agent"), ("client_secret", SECRET)];
    assert_eq!(enterprise.send(&posted, None).await.status, 200);
}

#[tokio::test]
async fn ema_5_an_assertion_is_of_its_client_alone() {
    let enterprise = Enterprise::start();
    let good = enterprise.assertion(&enterprise.claims("1"));
    refused(&enterprise.present_as("other", &good, &[]).await, "another client's");
    assert_eq!(enterprise.present(&good).await.status, 200);
}

#[tokio::test]
async fn ema_2_an_issuer_can_be_for_some_clients_alone() {
    let enterprise =
        Enterprise::with(|server| server["enterprise"]["issuers"][0]["allowed_clients"] = json!(["other"]));
    enterprise.refuses(&enterprise.claims("1")).await;
    let mut claims = enterprise.claims("2");
    claims["client_id"] = json!("other");
    assert_eq!(enterprise.present_as("other", &enterprise.assertion(&claims), &[]).await.status, 200);
}

#[tokio::test]
async fn ema_2_a_client_with_a_document_proves_itself_by_its_key_or_is_refused() {
    let (host, key) = (Host::start().await, ES256.generate_key_pair().unwrap());
    let id = host.url(PATH);
    let document = json!({
        "client_id": id, "client_name": "Agent", "redirect_uris": [REDIRECT_URI],
        "token_endpoint_auth_method": "private_key_jwt", "jwks": {"keys": [key.to_jwk_public_key()]},
        // As ChatGPT's: it may also come without.
        "token_endpoint_auth_methods_supported": ["none", "private_key_jwt"],
    });
    host.json(PATH, "", &document.to_string());
    let address = host.address.clone();
    let enterprise = Enterprise::with(|server| {
        server["client_id_metadata_documents"] = json!({"danger_allow_addresses": [address]});
    });
    let mut claims = enterprise.claims("1");
    claims["client_id"] = json!(id);
    let good = enterprise.assertion(&claims);
    let bare = [("grant_type", GRANT), ("assertion", good.as_str()), ("client_id", &id)];
    let tokens = enterprise.send(&bare, None).await;
    assert_eq!((tokens.status, tokens.error()), (400, "unauthorized_client"), "anybody can say that");
    let own = json!({"iss": id, "sub": id, "aud": enterprise.app.url, "exp": enterprise.now() + 60, "jti": "1"});
    let signer = ES256.signer_from_jwk(&key.to_jwk_private_key()).unwrap();
    let own = josekit::jws::serialize_compact(own.to_string().as_bytes(), &JwsHeader::new(), &signer).unwrap();
    let proven = [&bare[..], &[("client_assertion_type", ASSERTION), ("client_assertion", &own)]].concat();
    let tokens = enterprise.send(&proven, None).await;
    assert_eq!(tokens.status, 200, "{tokens:?}");
    // Its own assertion is none about a person.
    refused(&enterprise.present(&own).await, "a client's own");
}
