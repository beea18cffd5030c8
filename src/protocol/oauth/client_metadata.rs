//! Client metadata, as a client sends it to register. [RFC 7591 §2](https://www.rfc-editor.org/rfc/rfc7591#section-2)

use serde::Deserialize;
use serde_json::{Map, Value, json};
use url::Url;

use crate::base::limit::Limit;
use crate::protocol::oauth::client_keys::{KeySource, LONGEST_KEYS, public_keys};
use crate::protocol::oauth::error::{ErrorCode, OauthError};
use crate::protocol::oauth::scope::ScopeSet;

/// How many redirect URIs one client may have.
pub(super) const MOST_REDIRECT_URIS: usize = 32;
/// How many members of any other list, and how many texts in other languages.
const MOST_LISTED: usize = 32;
/// How much of a name is shown, in characters.
const LONGEST_NAME: usize = 200;
/// How long any text may be, in bytes.
const LONGEST_TEXT: usize = 2048;
/// Shown by `config show --limits`.
pub const LIMITS: [Limit; 5] = [
    Limit::count("redirect URIs of one client", MOST_REDIRECT_URIS, "400"),
    Limit::count("members of any other list of a client, and texts in other languages", MOST_LISTED, "400"),
    Limit::count("characters of a client's name", LONGEST_NAME, "it is cut"),
    Limit::bytes("any text of a client", LONGEST_TEXT, "400"),
    Limit::bytes("keys that a client registers", LONGEST_KEYS, "400"),
];

/// Members that may come in several languages, as `client_name#fr` (RFC 7591 §2.2).
const IN_LANGUAGES: [&str; 5] = ["client_name", "client_uri", "logo_uri", "tos_uri", "policy_uri"];

/// A registration request. Members that mean nothing here are ignored (RFC 7591 §2), `null` counts as absent.
#[derive(Clone, Debug, Default, Deserialize)]
#[expect(missing_docs, reason = "the specification's own words")]
pub struct ClientMetadata {
    pub redirect_uris: Option<Vec<String>>,
    pub token_endpoint_auth_method: Option<String>,
    pub grant_types: Option<Vec<String>>,
    pub response_types: Option<Vec<String>>,
    pub client_name: Option<String>,
    pub client_uri: Option<String>,
    pub logo_uri: Option<String>,
    pub tos_uri: Option<String>,
    pub policy_uri: Option<String>,
    pub jwks_uri: Option<String>,
    pub jwks: Option<Value>,
    pub sector_identifier_uri: Option<String>,
    pub initiate_login_uri: Option<String>,
    pub request_uris: Option<Vec<String>>,
    pub post_logout_redirect_uris: Option<Vec<String>>,
    pub scope: Option<String>,
    pub contacts: Option<Vec<String>>,
    pub application_type: Option<String>,
    pub software_id: Option<String>,
    #[serde(default, deserialize_with = "text_or_number")]
    pub software_version: Option<String>,
    #[serde(flatten)]
    others: Map<String, Value>,
}

/// What of a registration request is taken.
#[derive(Clone, Debug, PartialEq)]
pub struct AcceptedMetadata {
    /// `client_name`, cleaned.
    pub name: Option<String>,
    /// `redirect_uris`, of good form; the operator's policy is still to be asked.
    pub redirect_uris: Vec<String>,
    /// `token_endpoint_auth_method`, and what it takes.
    pub proof: AcceptedProof,
    /// Whether `grant_types` has `refresh_token`.
    pub may_refresh: bool,
    /// What is echoed (RFC 7591 §3.2.1): no `null`, no empty strings, which strict clients reject.
    pub echo: Map<String, Value>,
}

/// How a client that registers wants to prove itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AcceptedProof {
    /// `none`.
    None,
    /// `client_secret_basic` or `client_secret_post`: by a secret that it is given.
    Secret,
    /// `private_key_jwt`.
    Keys(KeySource),
}

impl ClientMetadata {
    /// Reads the body of a registration request.
    ///
    /// # Errors
    /// `invalid_client_metadata` when it is not a JSON object, a member has the wrong type or comes twice.
    pub fn parse(body: &[u8]) -> Result<Self, OauthError> {
        // serde_json stops at a depth of 128, and the derived reader refuses a member that comes twice.
        let mut metadata: Self = serde_json::from_slice(body)
            .map_err(|error| refused(&format!("the body is not client metadata: {error}")))?;
        // Who lists nothing says nothing, and gets the defaults.
        metadata.grant_types.take_if(|types| types.is_empty());
        metadata.response_types.take_if(|types| types.is_empty());
        metadata.token_endpoint_auth_method.take_if(|method| method.is_empty());
        Ok(metadata)
    }

    /// Takes what a client here can use, having checked it.
    ///
    /// # Errors
    /// `invalid_client_metadata` or `invalid_redirect_uri`, saying which member and what to send instead.
    pub fn accept(self, scopes_supported: &ScopeSet) -> Result<AcceptedMetadata, OauthError> {
        self.check_urls()?;
        let (method, proof) = self.auth_method()?;
        let grant_types = self.accepted_grant_types()?;
        let redirect_uris = self.redirect_uris.clone().unwrap_or_default();
        if redirect_uris.is_empty() || redirect_uris.len() > MOST_REDIRECT_URIS {
            return Err(OauthError::new(ErrorCode::InvalidRedirectUri, "redirect_uris must list 1 to 32 URIs"));
        }
        let name = self.client_name.as_deref().map(clean_name).transpose()?.flatten();
        let mut echo = Map::new();
        echo.insert("redirect_uris".to_owned(), json!(redirect_uris));
        echo.insert("grant_types".to_owned(), json!(grant_types));
        echo.insert("response_types".to_owned(), json!(["code"]));
        echo.insert("token_endpoint_auth_method".to_owned(), json!(method));
        let jwks = self.jwks.as_ref().map(public_keys).transpose().map_err(refused)?;
        echo.extend(jwks.map(|jwks| ("jwks".to_owned(), jwks)));
        let may_refresh = grant_types.contains(&"refresh_token");
        self.echo_texts(name.as_deref(), scopes_supported, &mut echo)?;
        self.echo_lists(&mut echo)?;
        self.echo_languages(&mut echo)?;
        Ok(AcceptedMetadata { name, redirect_uris, proof, may_refresh, echo })
    }

    /// A secret is given only to who asks for one: RFC 7591 §2 would have `client_secret_basic` as the default, but
    /// the clients that say nothing are public ones, and fail when they are handed a secret.
    fn auth_method(&self) -> Result<(&'static str, AcceptedProof), OauthError> {
        let keys = KeySource::read(self.jwks.as_ref(), self.jwks_uri.as_deref()).map_err(refused)?;
        match self.token_endpoint_auth_method.as_deref() {
            None | Some("none") => Ok(("none", AcceptedProof::None)),
            Some("client_secret_basic") => Ok(("client_secret_basic", AcceptedProof::Secret)),
            Some("client_secret_post") => Ok(("client_secret_post", AcceptedProof::Secret)),
            Some("private_key_jwt") => {
                let keys = keys.ok_or_else(|| refused("private_key_jwt takes jwks or jwks_uri"))?;
                Ok(("private_key_jwt", AcceptedProof::Keys(keys)))
            }
            Some(_) => Err(refused(
                "token_endpoint_auth_method must be none, client_secret_basic, client_secret_post or private_key_jwt",
            )),
        }
    }

    /// RFC 7591 §2: the server may take less than was asked; grants that do not exist here are left out of the echo.
    fn accepted_grant_types(&self) -> Result<Vec<&'static str>, OauthError> {
        let known = ["authorization_code", "refresh_token"];
        let code = |types: &Vec<String>| types.iter().any(|kind| kind == "code");
        if self.response_types.as_ref().is_some_and(|types| !code(types)) {
            return Err(refused("response_types must include code"));
        }
        let Some(asked) = &self.grant_types else { return Ok(known.to_vec()) };
        let accepted: Vec<_> = known.into_iter().filter(|grant| asked.iter().any(|asked| asked == grant)).collect();
        if accepted.contains(&"authorization_code") {
            Ok(accepted)
        } else {
            Err(refused("grant_types must include authorization_code"))
        }
    }

    /// None of these is ever fetched; a scheme that could run something when shown or followed is refused all the same.
    pub(super) fn check_urls(&self) -> Result<(), OauthError> {
        let single = [
            &self.client_uri,
            &self.logo_uri,
            &self.tos_uri,
            &self.policy_uri,
            &self.jwks_uri,
            &self.sector_identifier_uri,
            &self.initiate_login_uri,
        ];
        let lists = [&self.request_uris, &self.post_logout_redirect_uris];
        let all = single.into_iter().flatten().chain(lists.into_iter().flatten().flatten());
        all.filter(|url| !url.is_empty()).try_for_each(|url| check_url(url))
    }

    fn echo_texts(
        &self,
        name: Option<&str>,
        supported: &ScopeSet,
        echo: &mut Map<String, Value>,
    ) -> Result<(), OauthError> {
        let scope = self.scope.as_deref().map(ScopeSet::parse).transpose();
        let scope = scope.map_err(|error| refused(&format!("scope: {error}")))?;
        // RFC 7591 §2: what a client may ask for later; a client cannot give itself a scope that does not exist here.
        let scope = scope.map(|scope| scope.limited_to(supported).to_string());
        let texts = [
            ("client_name", name),
            ("scope", scope.as_deref()),
            ("client_uri", self.client_uri.as_deref()),
            ("logo_uri", self.logo_uri.as_deref()),
            ("tos_uri", self.tos_uri.as_deref()),
            ("policy_uri", self.policy_uri.as_deref()),
            ("jwks_uri", self.jwks_uri.as_deref()),
            ("sector_identifier_uri", self.sector_identifier_uri.as_deref()),
            ("initiate_login_uri", self.initiate_login_uri.as_deref()),
            ("application_type", self.application_type.as_deref()),
            ("software_id", self.software_id.as_deref()),
            ("software_version", self.software_version.as_deref()),
        ];
        for (member, text) in texts {
            let Some(text) = text.filter(|text| !text.is_empty()) else { continue };
            check_length(member, text)?;
            echo.insert(member.to_owned(), text.into());
        }
        Ok(())
    }

    fn echo_lists(&self, echo: &mut Map<String, Value>) -> Result<(), OauthError> {
        let lists = [
            ("contacts", &self.contacts),
            ("request_uris", &self.request_uris),
            ("post_logout_redirect_uris", &self.post_logout_redirect_uris),
        ];
        for (member, list) in lists {
            let list: Vec<&String> = list.iter().flatten().filter(|text| !text.is_empty()).collect();
            if list.len() > MOST_LISTED {
                return Err(refused(&format!("{member} has more than 32 members")));
            }
            list.iter().try_for_each(|text| check_length(member, text))?;
            if !list.is_empty() {
                echo.insert(member.to_owned(), json!(list));
            }
        }
        Ok(())
    }

    /// RFC 7591 §2.2: human-readable members in other languages. Pages here show the one without a language.
    fn echo_languages(&self, echo: &mut Map<String, Value>) -> Result<(), OauthError> {
        let texts = self.others.iter().filter_map(|(name, value)| {
            let (member, language) = name.split_once('#')?;
            let is_tag =
                language.len() <= 64 && language.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
            let is_meant = is_tag && !language.is_empty() && IN_LANGUAGES.contains(&member);
            let text = value.as_str().filter(|text| is_meant && !text.is_empty())?;
            Some((name, member, text))
        });
        for (number, (name, member, text)) in texts.enumerate() {
            if number >= MOST_LISTED {
                return Err(refused("there are texts in more than 32 languages"));
            }
            let text = if member == "client_name" {
                clean_name(text)?
            } else {
                check_url(text)?;
                Some(text.to_owned())
            };
            echo.extend(text.map(|text| (name.clone(), text.into())));
        }
        Ok(())
    }
}

/// A name without the characters that hide or turn text around, as much of it as is shown; `None` when nothing is left.
pub(super) fn clean_name(name: &str) -> Result<Option<String>, OauthError> {
    check_length("client_name", name)?;
    let cleaned: String = name.chars().filter(|character| !is_hidden(*character)).collect();
    let cut: String = cleaned.trim().chars().take(LONGEST_NAME).collect();
    let cut = cut.trim_end();
    Ok((!cut.is_empty()).then(|| cut.to_owned()))
}

fn check_length(member: &str, text: &str) -> Result<(), OauthError> {
    if text.len() > LONGEST_TEXT {
        return Err(refused(&format!("{member} is longer than 2048 bytes")));
    }
    Ok(())
}

fn check_url(url: &str) -> Result<(), OauthError> {
    let is_web = Url::parse(url).is_ok_and(|parsed| matches!(parsed.scheme(), "https" | "http") && parsed.has_host());
    if !is_web || url.len() > LONGEST_TEXT {
        return Err(refused("URLs in client metadata must be http or https and at most 2048 bytes"));
    }
    Ok(())
}

/// Some write their version as a number.
fn text_or_number<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    match Option::<Value>::deserialize(deserializer)? {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(Value::Number(number)) => Ok(Some(number.to_string())),
        Some(_) => Err(serde::de::Error::custom("software_version is neither a text nor a number")),
    }
}

/// Control characters, zero-width ones, and those that set the direction of text.
fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

fn refused(description: &str) -> OauthError {
    OauthError::new(ErrorCode::InvalidClientMetadata, description)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accept(body: &Value) -> Result<AcceptedMetadata, OauthError> {
        ClientMetadata::parse(body.to_string().as_bytes())?.accept(&ScopeSet::parse("mcp:read mcp:write").unwrap())
    }

    #[test]
    fn who_says_nothing_is_a_public_client_that_may_refresh() {
        let accepted = accept(
            &json!({"redirect_uris": ["http://localhost/cb"], "client_name": "A\u{202e}B\u{200b}", "tos_uri": ""}),
        )
        .unwrap();
        assert!(accepted.proof == AcceptedProof::None && accepted.may_refresh);
        assert_eq!(accepted.name.as_deref(), Some("AB"));
        assert_eq!(
            Value::Object(accepted.echo),
            json!({"redirect_uris": ["http://localhost/cb"], "client_name": "AB",
            "grant_types": ["authorization_code", "refresh_token"], "response_types": ["code"], "token_endpoint_auth_method": "none"})
        );
    }

    #[test]
    fn grants_and_scopes_that_do_not_exist_here_are_not_echoed() {
        let accepted = accept(&json!({"redirect_uris": ["http://localhost/cb"], "scope": "admin * mcp:read",
            "grant_types": ["implicit", "authorization_code", "client_credentials"]}))
        .unwrap();
        assert!(!accepted.may_refresh);
        assert_eq!(accepted.echo["grant_types"], json!(["authorization_code"]));
        assert_eq!(accepted.echo["scope"], json!("mcp:read"));
    }

    #[test]
    fn reg_27_keys_are_public_and_in_one_place() {
        let asked = |members: Value| {
            let mut body =
                json!({"redirect_uris": ["http://localhost/cb"], "token_endpoint_auth_method": "private_key_jwt"});
            body.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
            accept(&body)
        };
        let (jwks, uri) =
            (json!({"keys": [{"kty": "EC", "crv": "P-256", "x": "x", "y": "y"}]}), "https://c.example/jwks");
        let inline = asked(json!({"jwks": jwks})).unwrap();
        assert_eq!(
            (&inline.echo["jwks"], inline.proof),
            (&jwks, AcceptedProof::Keys(KeySource::Inline(jwks.to_string())))
        );
        let kept = asked(json!({"jwks_uri": uri})).unwrap();
        assert_eq!((&kept.echo["jwks_uri"], kept.echo.contains_key("jwks")), (&json!(uri), false));
        for members in [
            json!({}),
            json!({"jwks": jwks, "jwks_uri": uri}),
            json!({"jwks": {}}),
            json!({"jwks": {"keys": [{"kty": "EC", "d": "x"}]}}),
            json!({"jwks": {"keys": [{"kty": "oct", "k": "x"}]}}),
            json!({"jwks": jwks, "jwks_uri": uri, "token_endpoint_auth_method": "none"}),
        ] {
            assert!(asked(members.clone()).is_err(), "{members}");
        }
    }

    #[test]
    fn what_could_do_harm_or_makes_no_sense_is_refused() {
        for body in [
            json!({}),
            json!({"redirect_uris": []}),
            json!({"redirect_uris": vec!["http://localhost/"; 33]}),
            json!(null),
            json!([]),
            json!({"redirect_uris": ["http://localhost/"], "logo_uri": "javascript:alert(1)"}),
            json!({"redirect_uris": "http://localhost/"}),
            json!({"redirect_uris": ["http://localhost/"], "grant_types": ["password"]}),
            json!({"redirect_uris": ["http://localhost/"], "response_types": ["token"]}),
            json!({"redirect_uris": ["http://localhost/"], "client_name": "x".repeat(10_000)}),
            json!({"redirect_uris": ["http://localhost/"], "token_endpoint_auth_method": "private_key_jwt"}),
        ] {
            assert!(accept(&body).is_err(), "{body}");
        }
        assert!(ClientMetadata::parse(br#"{"redirect_uris":[],"redirect_uris":[]}"#).is_err());
    }
}
