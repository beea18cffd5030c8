//! A client that is named by the address of its own metadata.
//! [Client ID Metadata Documents](https://datatracker.ietf.org/doc/html/draft-ietf-oauth-client-id-metadata-document-00), [MCP 2026-07-28, Client Registration](https://modelcontextprotocol.io/specification/2026-07-28/basic/authorization/client-registration)

use serde::Deserialize;
use serde_json::Value;
use url::Url;

use crate::protocol::oauth::client_keys::KeySource;
use crate::protocol::oauth::client_metadata::{ClientMetadata, MOST_REDIRECT_URIS, clean_name};
use crate::protocol::oauth::redirect_uri;

/// The longest client identifier, in bytes.
const LONGEST_ID: usize = 1024;

/// The address of a client's metadata, in the one form that it has.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DocumentUrl(Url);

/// A document that a client can come in with.
#[derive(Clone, Debug, PartialEq)]
pub struct ClientDocument {
    /// `client_name`, cleaned.
    pub name: String,
    /// `redirect_uris`, of good form. The operator's policy is asked about the one that is used.
    pub redirect_uris: Vec<String>,
    /// How the client proves itself.
    pub authentication: DocumentAuthentication,
    /// Whether it may refresh.
    pub may_refresh: bool,
}

/// How a client with a document proves itself: never by a secret, which such a client cannot have.
#[derive(Clone, Debug, PartialEq)]
pub enum DocumentAuthentication {
    /// `none`.
    None,
    /// `private_key_jwt`.
    PrivateKey {
        /// Where its keys are.
        keys: KeySource,
        /// It says that it may also come without (`token_endpoint_auth_methods_supported` has `none`), as ChatGPT's does.
        is_optional: bool,
    },
}

/// Why a document lets nobody in. Nothing of the document is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct DocumentFault(pub &'static str);

/// What else than registration metadata stands in a document.
#[derive(Deserialize)]
struct Beside {
    client_id: Option<String>,
    client_secret: Option<Value>,
    client_secret_expires_at: Option<Value>,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
}

impl DocumentUrl {
    /// Whether a client identifier is an address at all, good or bad, so that it can be no other client's.
    #[must_use]
    pub fn is_address(client_id: &str) -> bool {
        client_id.contains("://") || client_id.starts_with("https:") || client_id.starts_with("http:")
    }

    /// Reads a client identifier. Http is let through here: where it may be fetched from is the fetcher's to say.
    ///
    /// # Errors
    /// Not the address of a document.
    pub fn parse(client_id: &str) -> Result<Self, DocumentFault> {
        if client_id.len() > LONGEST_ID {
            return Err(DocumentFault("the client_id is longer than 1024 bytes"));
        }
        let Ok(url) = Url::parse(client_id) else { return Err(DocumentFault("the client_id is no URL")) };
        // CIMD §3: compared as a string, so it must be written in the one way that a parser would write it; dot segments,
        // white space and another writing of the host are gone with that.
        if url.as_str() != client_id || !matches!(url.scheme(), "https" | "http") {
            return Err(DocumentFault("the client_id is no https URL in its normal form"));
        }
        // CIMD §3: MUST contain a path component, MUST NOT contain a fragment, a user name or a password.
        if url.path() == "/" {
            return Err(DocumentFault("the client_id has no path"));
        }
        if url.fragment().is_some() || !url.username().is_empty() || url.password().is_some() {
            return Err(DocumentFault("the client_id has a fragment or a user name"));
        }
        // An encoded dot segment is one to whoever decodes it.
        let path = url.path().to_ascii_lowercase().replace("%2e", ".");
        if path.split('/').any(|segment| segment == "." || segment == "..") {
            return Err(DocumentFault("the client_id has a dot segment"));
        }
        Ok(Self(url))
    }

    /// The address.
    #[must_use]
    pub const fn url(&self) -> &Url {
        &self.0
    }

    /// Its host, with the port if it is not that of the scheme.
    #[must_use]
    pub fn host(&self) -> String {
        let host = self.0.host_str().unwrap_or_default();
        self.0.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }
}

impl ClientDocument {
    /// Reads the document that was found at `url`.
    ///
    /// # Errors
    /// [`DocumentFault`].
    pub fn parse(url: &DocumentUrl, body: &[u8]) -> Result<Self, DocumentFault> {
        let metadata = ClientMetadata::parse(body).map_err(|_| DocumentFault("it is no client metadata"))?;
        let beside: Beside = serde_json::from_slice(body).map_err(|_| DocumentFault("it is no client metadata"))?;
        // CIMD §4.1, MCP: client_id MUST match the URL of the document exactly.
        if beside.client_id.as_deref() != Some(url.0.as_str()) {
            return Err(DocumentFault("its client_id is not its address"));
        }
        // CIMD §4.1: no shared secret, in any form.
        if beside.client_secret.is_some() || beside.client_secret_expires_at.is_some() {
            return Err(DocumentFault("it has a client_secret, which everybody can read there"));
        }
        metadata.check_urls().map_err(|_| DocumentFault("one of its URLs is none that can be shown"))?;
        if [&metadata.logo_uri, &metadata.client_uri].into_iter().flatten().any(|uri| uri.starts_with("http:")) {
            return Err(DocumentFault("its logo_uri or client_uri is not https"));
        }
        let name = metadata.client_name.as_deref().map(clean_name).transpose();
        let name = name.map_err(|_| DocumentFault("its client_name is too long"))?.flatten();
        let grants =
            |grant: &str| metadata.grant_types.as_ref().is_none_or(|types| types.iter().any(|one| one == grant));
        if !grants("authorization_code") {
            return Err(DocumentFault("its grant_types do not include authorization_code"));
        }
        Ok(Self {
            // MCP 2026-07-28: the document MUST have client_id, client_name and redirect_uris.
            name: name.ok_or(DocumentFault("it has no client_name"))?,
            may_refresh: grants("refresh_token"),
            authentication: authentication(&metadata, &beside)?,
            redirect_uris: redirect_uris(metadata.redirect_uris)?,
        })
    }
}

fn redirect_uris(uris: Option<Vec<String>>) -> Result<Vec<String>, DocumentFault> {
    let uris = uris.unwrap_or_default();
    if uris.is_empty() || uris.len() > MOST_REDIRECT_URIS {
        return Err(DocumentFault("its redirect_uris are not 1 to 32"));
    }
    match uris.iter().all(|uri| redirect_uri::check(uri).is_ok()) {
        true => Ok(uris),
        false => Err(DocumentFault("one of its redirect_uris can be none")),
    }
}

fn authentication(metadata: &ClientMetadata, beside: &Beside) -> Result<DocumentAuthentication, DocumentFault> {
    let also = beside.token_endpoint_auth_methods_supported.iter().flatten();
    let is_optional = also.clone().any(|method| method == "none");
    match metadata.token_endpoint_auth_method.as_deref() {
        None | Some("none") => Ok(DocumentAuthentication::None),
        Some("private_key_jwt") => Ok(DocumentAuthentication::PrivateKey { keys: keys(metadata)?, is_optional }),
        // CIMD §4.1: MUST NOT use client_secret_post, client_secret_basic, client_secret_jwt.
        Some(_) => Err(DocumentFault("its token_endpoint_auth_method is neither none nor private_key_jwt")),
    }
}

fn keys(metadata: &ClientMetadata) -> Result<KeySource, DocumentFault> {
    let found = KeySource::read(metadata.jwks.as_ref(), metadata.jwks_uri.as_deref()).map_err(DocumentFault)?;
    found.ok_or(DocumentFault("it has neither jwks nor jwks_uri"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ID: &str = "https://client.example/oauth/metadata.json";

    fn document(changes: &[(&str, Value)]) -> Result<ClientDocument, DocumentFault> {
        let mut document =
            json!({"client_id": ID, "client_name": "App", "redirect_uris": ["https://client.example/cb"]});
        for (name, value) in changes {
            document[*name] = value.clone();
        }
        ClientDocument::parse(&DocumentUrl::parse(ID).unwrap(), document.to_string().as_bytes())
    }

    #[test]
    fn cimd_1_an_identifier_has_one_form() {
        for id in [
            "https://client.example/x",
            "https://client.example:8443/x/y?z=1",
            "https://claude.ai/oauth/mcp-oauth-client-metadata",
        ] {
            assert!(DocumentUrl::is_address(id));
            assert_eq!(DocumentUrl::parse(id).unwrap().url().as_str(), id);
        }
        for id in [
            "https://client.example",
            "https://client.example/",
            "https://client.example/a/../b",
            "https://client.example/./b",
            "https://client.example/%2e%2e/b",
            "https://client.example/%2E/b",
            "https://client.example/x#f",
            "https://user@client.example/x",
            "https://:pw@client.example/x",
            "https://client.example/a\tb",
            "https://client.example/a b",
            "https:/x",
            "HTTPS://client.example/x",
            "https://CLIENT.example/x",
            "https://client.example:443/x",
            "https:\\\\client.example\\x",
            "ftp://client.example/x",
            "https://",
            "https://0x7f.1/x",
        ] {
            assert!(DocumentUrl::is_address(id) && DocumentUrl::parse(id).is_err(), "{id}");
        }
        assert!(!DocumentUrl::is_address("xYz-_09"));
    }

    #[test]
    fn cimd_14_a_document_must_be_of_its_address_and_hold_no_secret() {
        let plain = document(&[]).unwrap();
        assert_eq!((plain.authentication, plain.may_refresh), (DocumentAuthentication::None, true));
        for (name, value) in [
            ("client_id", json!("https://client.example/oauth/metadata.json/")),
            ("client_id", Value::Null),
            ("client_name", Value::Null),
            ("client_name", json!("\u{200b}")),
            ("redirect_uris", Value::Null),
            ("redirect_uris", json!([])),
            ("redirect_uris", json!(["javascript:alert(1)"])),
            ("client_secret", json!("x")),
            ("client_secret_expires_at", json!(0)),
            ("token_endpoint_auth_method", json!("client_secret_basic")),
            ("token_endpoint_auth_method", json!("client_secret_jwt")),
            ("token_endpoint_auth_method", json!("private_key_jwt")),
            ("logo_uri", json!("http://client.example/logo.png")),
            ("tos_uri", json!("javascript:x")),
            ("grant_types", json!(["client_credentials"])),
        ] {
            assert!(document(&[(name, value.clone())]).is_err(), "{name}: {value}");
        }
    }

    #[test]
    fn documents_of_real_clients_come_in() {
        let keys = json!({"keys": [{"kty": "EC"}]});
        let method = ("token_endpoint_auth_method", json!("private_key_jwt"));
        let inline = document(&[method.clone(), ("jwks", keys.clone())]).unwrap().authentication;
        assert!(matches!(
            inline,
            DocumentAuthentication::PrivateKey { keys: KeySource::Inline(_), is_optional: false }
        ));
        // ChatGPT.
        let also = ("token_endpoint_auth_methods_supported", json!(["none", "private_key_jwt"]));
        let uri = ("jwks_uri", json!("https://client.example/jwks.json"));
        let chatgpt = document(&[method.clone(), also, uri.clone()]).unwrap().authentication;
        assert!(matches!(chatgpt, DocumentAuthentication::PrivateKey { keys: KeySource::Url(_), is_optional: true }));
        assert!(document(&[method.clone(), uri, ("jwks", keys)]).is_err());
        assert!(document(&[method, ("jwks", json!({"keys": [{"kty": "EC", "d": "x"}]}))]).is_err());
        // Claude lists a grant that is not used here; VS Code another.
        let grants = json!(["authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:jwt-bearer"]);
        assert!(document(&[("grant_types", grants), ("response_types", json!(["code"]))]).unwrap().may_refresh);
    }
}
