//! Who somebody is, at GitHub and what answers like it: plain OAuth 2, where the API says it.
//! [The user](https://docs.github.com/en/rest/users/users#get-the-authenticated-user)

use serde_json::{Map, Value};
use url::Url;

use crate::base::secret::Secret;
use crate::fetch::Answer;
use crate::identity::federated::discovery::Metadata;
use crate::identity::federated::exchange::Tokens;
use crate::identity::federated::{Failure, Identified, Provider, Reason, admission, claims, http, id_token};
use crate::model::account::Profile;

/// What GitHub wants to be asked for; others take it as JSON.
const MEDIA_TYPE: &str = "application/vnd.github+json";

impl Provider {
    /// Who an access token belongs to.
    ///
    /// # Errors
    /// [`Reason::Ended`]: the access token is not taken.
    pub(super) async fn read_user(&self, metadata: &Metadata, tokens: &Tokens) -> Result<Identified, Failure> {
        let missing = || Failure::new(Reason::Misconfigured, "there is no userinfo_url");
        let url = metadata.userinfo_endpoint.as_ref().ok_or_else(missing)?;
        let answer = self.ask(url, &tokens.access_token).await?;
        if answer.status != 200 {
            return Err(http::unexpected(url, answer.status));
        }
        let user = http::object(url, &answer.body)?;
        let email = self.verified_email(&list(self.below(url, "emails", &tokens.access_token).await?));
        let name = ["name", "login"].into_iter().find_map(|key| user.get(key)?.as_str().and_then(claims::displayable));
        let profile = Profile {
            name,
            email_verified: email.is_some(),
            email,
            hosted_domain: None,
            groups: self.organisations(url, &tokens.access_token).await?,
        };
        Ok(Identified {
            issuer: metadata.issuer.clone(),
            subject: subject(&user)?,
            profile,
            refresh_token: tokens.refresh_token.clone(),
        })
    }

    async fn ask(&self, url: &Url, access_token: &Secret) -> Result<Answer, Failure> {
        let answer = self.http.resource(url, access_token, MEDIA_TYPE).await?;
        if answer.status == 401 {
            return Err(Failure::new(Reason::Ended, format!("{} does not take the access token", url.path())));
        }
        Ok(answer)
    }

    /// What is found below the user. `None`: it is not there or not for us, which the scopes of the access token decide.
    async fn below(&self, user: &Url, name: &str, access_token: &Secret) -> Result<Option<Value>, Failure> {
        let mut url = user.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push(name);
        }
        // One page of the greatest size; the usual one has 30 entries.
        url.set_query(Some("per_page=100"));
        let answer = self.ask(&url, access_token).await?;
        match answer.status {
            200 => Ok(serde_json::from_slice(&answer.body).ok()),
            // Too much traffic says nothing about the person, who would lose every grant for it.
            403 | 404 if !answer.is_limited => Ok(None),
            status => Err(http::unexpected(&url, status)),
        }
    }

    /// The verified address that lets the person in, or else the primary one.
    fn verified_email(&self, emails: &[Value]) -> Option<String> {
        let is_true = |entry: &Value, key: &str| entry.get(key) == Some(&Value::Bool(true));
        let verified = emails.iter().filter(|entry| is_true(entry, "verified")).filter_map(|entry| {
            let email = entry.get("email").and_then(Value::as_str).filter(|email| admission::is_address(email))?;
            let is_allowed = self.settings.admission.allowed_domains.contains(&admission::email_domain(email));
            Some((is_allowed, is_true(entry, "primary"), email))
        });
        verified
            .max_by_key(|(is_allowed, is_primary, _)| (*is_allowed, *is_primary))
            .map(|(_, _, email)| email.to_owned())
    }

    /// The organisations, when a rule looks at them.
    async fn organisations(&self, user: &Url, access_token: &Secret) -> Result<Vec<String>, Failure> {
        if self.settings.admission.group_scopes.is_empty() {
            return Ok(Vec::new());
        }
        let organisations = list(self.below(user, "orgs", access_token).await?);
        let names = organisations.iter().filter_map(|organisation| organisation.get("login").cloned());
        Ok(claims::group_names(&names.collect()))
    }
}

fn list(value: Option<Value>) -> Vec<Value> {
    match value {
        Some(Value::Array(list)) => list,
        _ => Vec::new(),
    }
}

/// `sub`, or GitHub's `id`. Never `login`, which can be renamed and then be somebody else's.
fn subject(user: &Map<String, Value>) -> Result<String, Failure> {
    let subject = match user.get("sub").or_else(|| user.get("id")) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) if !number.is_f64() => number.to_string(),
        _ => return Err(Failure::new(Reason::Untrusted, "userinfo has neither sub nor id")),
    };
    if id_token::is_subject(&subject) {
        return Ok(subject);
    }
    Err(Failure::new(Reason::Untrusted, "userinfo: sub or id is not 1 to 255 visible ASCII characters"))
}
