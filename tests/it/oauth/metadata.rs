//! Discovery documents: the same bytes for everybody, and true.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use crate::support::app::{BASIC, PASSWORD};
use crate::support::browser::Page;
use crate::support::client::http;
use crate::support::mcp::initialize;
use crate::support::{App, Browser, Client};

const SERVER: &str = "/.well-known/oauth-authorization-server";
const RESOURCE: &str = "/.well-known/oauth-protected-resource";

async fn get(app: &App, path: &str, headers: &[(&str, &str)]) -> Page {
    let mut request = http().get(format!("{}{path}", app.url));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    Page::read(request.send().await.unwrap()).await
}

async fn json(app: &App, path: &str) -> Value {
    let page = get(app, path, &[]).await;
    assert_eq!((page.status, page.header("content-type")), (200, "application/json"), "{path}");
    serde_json::from_str(&page.body).unwrap()
}

#[tokio::test]
async fn meta_1_a_foreign_host_is_refused_and_not_repeated() {
    let app = App::start();
    for path in [SERVER, RESOURCE, "/mcp", "/oauth/jwks", "/oauth/authorize", "/nothing"] {
        let page = get(&app, path, &[("host", "evil.example")]).await;
        assert_eq!(page.status, 421, "{path}");
        assert!(!page.body.contains("evil.example") && !format!("{:?}", page.headers).contains("evil.example"));
    }
}

#[tokio::test]
async fn meta_2_forwarded_headers_of_strangers_change_nothing() {
    let app = App::start();
    let forged = [
        ("x-forwarded-host", "evil.example"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-port", "1"),
        ("x-forwarded-prefix", "/x"),
        ("x-forwarded-server", "evil.example"),
        ("forwarded", "host=evil.example;proto=https"),
        ("x-original-url", "/x"),
        ("x-rewrite-url", "/x"),
    ];
    for path in [SERVER, RESOURCE, "/oauth/jwks", "/mcp"] {
        let (honest, bent) = (get(&app, path, &[]).await, get(&app, path, &forged).await);
        assert_eq!(
            (honest.status, &honest.body, honest.header("www-authenticate")),
            (bent.status, &bent.body, bent.header("www-authenticate"))
        );
    }
}

/// A bridge whose issuer has a path, and who asks it as the proxy before it does.
fn behind_a_proxy() -> App {
    App::with(
        &BASIC
            .replace("listen: 127.0.0.1:0", "listen: 127.0.0.1:0\n  allowed_hosts: [127.0.0.1]")
            .replace("enabled: true", "enabled: true\n    issuer: https://mcp.example.com/t1/"),
    )
}

async fn local(app: &App, path: &str) -> Page {
    Page::read(http().get(format!("{}{path}", app.local_url())).send().await.unwrap()).await
}

#[tokio::test]
async fn meta_6_an_issuer_with_a_path_is_found_at_every_form() {
    let app = behind_a_proxy();
    let issuer = "https://mcp.example.com/t1";
    for path in [SERVER.to_owned(), format!("{SERVER}/t1"), format!("/t1{SERVER}")] {
        let metadata: Value = serde_json::from_str(&local(&app, &path).await.body).unwrap();
        assert_eq!(metadata["issuer"], issuer, "{path}");
        for name in ["authorize", "token", "revoke", "register"] {
            assert!(metadata.to_string().contains(&format!("\"{issuer}/oauth/{name}\"")), "{name} of {metadata}");
        }
        assert_eq!(metadata["jwks_uri"], format!("{issuer}/oauth/jwks"));
    }
    for path in [RESOURCE.to_owned(), format!("{RESOURCE}/mcp")] {
        let metadata: Value = serde_json::from_str(&local(&app, &path).await.body).unwrap();
        assert_eq!(metadata["resource"], "https://mcp.example.com/mcp");
        assert_eq!(metadata["authorization_servers"], serde_json::json!([issuer]));
    }
    assert_eq!(local(&app, "/t1/oauth/jwks").await.status, 200);
    for path in ["/.well-known/openid-configuration/t1", "/t1/.well-known/openid-configuration", "/oauth/token", "/t2"]
    {
        assert_eq!(local(&app, path).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn meta_6_a_login_works_below_the_path_of_the_issuer() {
    let app = behind_a_proxy();
    let client = Client::register_at(&app, &format!("{}/t1", app.local_url())).await;
    let mut browser = Browser::new();
    let login = browser.open(&client.authorize_url(&[])).await;
    assert!(login.action().starts_with(&format!("{}/t1/oauth/authorize/", app.local_url())), "{}", login.body);
    // What a page names is there, below the path as well: another program may have the rest of the host.
    let named = login.body.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next());
    let named: Vec<_> = named.filter(|name| name.contains("/static/")).collect();
    assert_eq!(named.len(), 3);
    for name in named {
        assert!(name.starts_with("/t1/static/"), "{name}");
        assert_eq!(local(&app, name).await.status, 200, "{name}");
    }
    let page = client.authorize(&mut Browser::new(), "alice", &[]).await;
    assert_eq!(page.answer("iss").as_deref(), Some("https://mcp.example.com/t1"));
    let tokens = client.redeem(&page.answer("code").unwrap()).await;
    let claims = tokens.access().split('.').nth(1).unwrap();
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
    assert_eq!(
        (claims["iss"].as_str(), claims["aud"].as_str()),
        (Some("https://mcp.example.com/t1"), Some("https://mcp.example.com/mcp"))
    );
    let call = http().post(format!("{}/mcp", app.local_url())).bearer_auth(tokens.access());
    assert_eq!(call.json(&initialize("2025-11-25")).send().await.unwrap().status().as_u16(), 200);
}

#[tokio::test]
async fn a_browser_stays_under_the_name_by_which_it_came() {
    // Old clients guess the endpoints from what was typed, and people type localhost for 127.0.0.1.
    let app = App::start();
    let client = Client::register(&app).await;
    let url =
        client.authorize_url(&[]).replace(&format!("{}/oauth", app.url), &app.url.replace("127.0.0.1", "localhost"));
    let mut browser = Browser::new();
    let login = browser.open(&url).await;
    assert_eq!(login.status, 200, "{login:?}");
    let consent = browser.submit(&login, &[("username", "alice"), ("password", PASSWORD)]).await;
    let back = browser.submit(&consent, &[("decision", "allow")]).await;
    assert_eq!(back.answer("iss").as_deref(), Some(app.url.as_str()));
    assert_eq!(client.redeem(&back.answer("code").unwrap()).await.status, 200);
}

#[tokio::test]
async fn meta_7_the_metadata_lists_what_works_and_nothing_else() {
    let app = App::start();
    let metadata = json(&app, SERVER).await;
    assert_eq!(metadata["issuer"], app.url.as_str());
    assert_eq!(metadata["code_challenge_methods_supported"], serde_json::json!(["S256"]));
    assert_eq!(metadata["response_types_supported"], serde_json::json!(["code"]));
    assert_eq!(metadata["grant_types_supported"], serde_json::json!(["authorization_code", "refresh_token"]));
    assert_eq!(
        metadata["token_endpoint_auth_methods_supported"],
        serde_json::json!(["none", "client_secret_basic", "client_secret_post", "private_key_jwt"])
    );
    assert_eq!(metadata["client_id_metadata_document_supported"], true);
    assert_eq!(metadata["authorization_response_iss_parameter_supported"], true);
    assert_eq!(metadata["scopes_supported"], serde_json::json!(["mcp:read", "mcp:write"]));
    assert_eq!(metadata["introspection_endpoint"], format!("{}/oauth/introspect", app.url));
    assert_eq!(metadata["registration_endpoint"], format!("{}/oauth/register", app.url));
    let closed = App::with(&BASIC.replace("allow_dynamic_registration: true", "allow_dynamic_registration: false"));
    assert!(json(&closed, SERVER).await.get("registration_endpoint").is_none());
    assert_eq!(crate::support::client::register(&closed, "{}").await.status, 404, "REG-29");
}

#[tokio::test]
async fn meta_8_every_endpoint_named_is_there_and_no_other() {
    let app = App::start();
    let metadata = json(&app, SERVER).await;
    for name in [
        "authorization_endpoint",
        "token_endpoint",
        "registration_endpoint",
        "revocation_endpoint",
        "introspection_endpoint",
        "jwks_uri",
    ] {
        let url = metadata[name].as_str().unwrap();
        let status = http().get(url).send().await.unwrap().status().as_u16();
        assert!(!matches!(status, 404 | 500 | 501), "{name}: {status}");
    }
    for path in ["/oauth/par", "/oauth/device", "/oauth/userinfo", "/.well-known/openid-configuration", "/admin"] {
        assert_eq!(get(&app, path, &[]).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn meta_9_the_resource_metadata_names_the_url_people_type() {
    let app = App::start();
    for path in [RESOURCE, "/.well-known/oauth-protected-resource/mcp"] {
        let metadata = json(&app, path).await;
        assert_eq!(metadata["resource"], app.resource());
        assert_eq!(metadata["authorization_servers"], serde_json::json!([app.url]));
        assert_eq!(metadata["bearer_methods_supported"], serde_json::json!(["header"]));
        assert_eq!(metadata["scopes_supported"], serde_json::json!(["mcp:read", "mcp:write"]));
    }
}

#[tokio::test]
async fn meta_10_unknown_paths_are_404_json_without_reflection() {
    let app = App::start();
    for path in [
        "/.well-known/oauth-protected-resource/other",
        "/.well-known/oauth-protected-resource/..%2fx",
        "/a%0d%0aX:%20y",
        &format!("/{}", "a".repeat(8000)),
    ] {
        let page = get(&app, path, &[]).await;
        assert!(matches!(page.status, 404 | 400), "{path}: {}", page.status);
        assert!(page.headers.get("x").is_none() && page.body.len() < 200, "{}", page.body);
        assert_eq!(page.header("content-type"), "application/json");
    }
}

#[tokio::test]
async fn meta_11_the_key_set_holds_public_keys_only() {
    let app = App::start();
    let page = get(&app, "/oauth/jwks", &[]).await;
    assert_eq!(page.header("cache-control"), "public, max-age=300");
    let keys: Value = serde_json::from_str(&page.body).unwrap();
    let keys = keys["keys"].as_array().unwrap();
    assert_eq!(keys.len(), 1);
    for key in keys {
        for private in ["d", "p", "q", "dp", "dq", "qi", "oth", "k"] {
            assert!(key.get(private).is_none(), "{private}");
        }
        assert_eq!((key["use"].as_str(), key["alg"].as_str()), (Some("sig"), Some("ES256")));
        assert!(key["kid"].as_str().is_some_and(|kid| kid.len() == 43));
    }
    assert_eq!(get(&app, "/.well-known/jwks.json", &[]).await.body, page.body);
}

#[tokio::test]
async fn meta_12_pages_answer_no_other_origin_and_documents_only_allowed_ones() {
    let app = App::with(
        &BASIC
            .replace("listen: 127.0.0.1:0", "listen: 127.0.0.1:0\n  allowed_origins: [\"https://inspector.example\"]"),
    );
    let allowed = [("origin", "https://inspector.example")];
    for path in [SERVER, RESOURCE, "/oauth/jwks", "/mcp"] {
        let page = get(&app, path, &allowed).await;
        assert_eq!(page.header("access-control-allow-origin"), "https://inspector.example", "{path}");
        assert_eq!(page.header("access-control-allow-credentials"), "");
    }
    assert_eq!(get(&app, "/oauth/authorize", &allowed).await.header("access-control-allow-origin"), "");
    let preflight =
        http().request(reqwest::Method::OPTIONS, app.resource()).header("origin", "https://inspector.example");
    let preflight = Page::read(preflight.header("access-control-request-method", "POST").send().await.unwrap()).await;
    assert_eq!(preflight.status, 204);
    assert!(preflight.header("access-control-allow-headers").contains("Authorization"));
    assert_eq!(get(&app, SERVER, &[("origin", "https://evil.example")]).await.status, 403);
}

#[tokio::test]
async fn meta_13_documents_are_read_only() {
    let app = App::start();
    for method in ["POST", "PUT", "DELETE", "TRACE"] {
        let request =
            http().request(method.parse().unwrap(), format!("{}{SERVER}", app.url)).header("x-secret", "echo?");
        let page = Page::read(request.send().await.unwrap()).await;
        assert_eq!((page.status, page.header("allow")), (405, "GET, HEAD"), "{method}");
        assert!(!page.body.contains("echo?"));
    }
    for path in [SERVER, RESOURCE, "/oauth/jwks", "/healthz", "/static/pages.css"] {
        let (got, asked) =
            (get(&app, path, &[]).await, http().head(format!("{}{path}", app.url)).send().await.unwrap());
        assert_eq!(asked.status().as_u16(), 200);
        for name in ["content-type", "content-length", "cache-control"] {
            assert_eq!(asked.headers().get(name), got.headers.get(name), "{name} of {path}");
        }
        assert!(asked.bytes().await.unwrap().is_empty());
    }
}
