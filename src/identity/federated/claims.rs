//! What a provider says of a person, from the ID token and userinfo to a profile. [OpenID Connect Core §5.1](https://openid.net/specs/openid-connect-core-1_0.html#StandardClaims)

use serde_json::{Map, Value};

use crate::base::username::is_invisible;
use crate::identity::federated::admission;
use crate::model::account::Profile;

/// The longest name that is kept, in characters.
const NAME: usize = 128;
/// How many groups are kept.
const GROUPS: usize = 1000;
/// The longest name of a group, in bytes.
const GROUP: usize = 256;

/// The claims about one person. The ID token's come first: they are signed.
#[derive(Debug, Default)]
pub struct Claims {
    /// Those of the ID token.
    pub id_token: Map<String, Value>,
    /// Those of the userinfo endpoint.
    pub userinfo: Map<String, Value>,
}

impl Claims {
    /// Whether either says anything of this.
    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Whether either says anything of groups, even if it cannot be read.
    pub fn has_groups(&self, claim: &str) -> bool {
        [&self.id_token, &self.userinfo].into_iter().any(|claims| at(claims, claim).is_some())
    }

    /// The profile that follows.
    pub fn profile(&self, issuer: &str, groups_claim: &str) -> Profile {
        let (email, email_verified) = self.email();
        let name = ["name", "preferred_username"].into_iter().find_map(|claim| self.text(claim));
        let groups = [&self.id_token, &self.userinfo].into_iter().find_map(|claims| at(claims, groups_claim));
        Profile {
            name: name.and_then(displayable),
            email,
            email_verified,
            // Another provider's `hd` would mean something else, or whatever a person typed.
            hosted_domain: admission::is_google(issuer).then(|| self.text("hd").map(str::to_ascii_lowercase)).flatten(),
            groups: groups.map(group_names).unwrap_or_default(),
        }
    }

    /// The address, and whether the provider says that it was verified: both from the same source, unless both sources
    /// have the same address.
    fn email(&self) -> (Option<String>, bool) {
        let address = |claims: &Map<String, Value>| {
            claims.get("email").and_then(Value::as_str).filter(|email| admission::is_address(email)).map(str::to_owned)
        };
        let (signed, asked) = (address(&self.id_token), address(&self.userinfo));
        if !self.id_token.contains_key("email") {
            let verified = asked.is_some() && is_true(self.userinfo.get("email_verified"));
            return (asked, verified);
        }
        let verified = match self.id_token.get("email_verified") {
            None if signed == asked => self.userinfo.get("email_verified"),
            claim => claim,
        };
        let verified = signed.is_some() && is_true(verified);
        (signed, verified)
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
    }

    fn get(&self, name: &str) -> Option<&Value> {
        self.id_token.get(name).or_else(|| self.userinfo.get(name))
    }
}

/// A name to show: bounded, without control characters and others that change how what stands beside it is shown.
pub fn displayable(name: &str) -> Option<String> {
    // Persian, Indic scripts and emoji need the joiners.
    let shown = |c: &char| matches!(c, '\u{200c}' | '\u{200d}') || !is_invisible(*c);
    let name: String = name.chars().filter(shown).take(NAME).collect();
    Some(name.trim().to_owned()).filter(|name| !name.is_empty())
}

/// The texts in a list. What is no text in it names no group, and what is no list names none at all.
pub fn group_names(claim: &Value) -> Vec<String> {
    let names = claim.as_array().into_iter().flatten().filter_map(Value::as_str);
    let usable = names.filter(|name| !name.is_empty() && name.len() <= GROUP);
    usable.take(GROUPS).map(str::to_owned).collect()
}

/// Some providers send the text. Anything else is not true, whatever it looks like.
fn is_true(claim: Option<&Value>) -> bool {
    claim.is_some_and(|value| *value == Value::Bool(true) || value == "true")
}

/// A claim by its whole name (`https://example.com/groups`), or else by a path into objects (`realm_access.roles`).
fn at<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    claims.get(name).or_else(|| {
        let (first, rest) = name.split_once('.')?;
        rest.split('.').try_fold(claims.get(first)?, |value, key| value.get(key))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn map(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    fn claims(id_token: Value, userinfo: Value) -> Claims {
        Claims { id_token: map(id_token), userinfo: map(userinfo) }
    }

    #[test]
    fn fed_11_groups_are_a_list_of_texts_or_none() {
        for (id_token, userinfo, claim, groups) in [
            (json!({"groups": ["a", "b"]}), json!({"groups": ["c"]}), "groups", &["a", "b"][..]),
            (json!({}), json!({"groups": ["c"]}), "groups", &["c"]),
            (json!({"realm_access": {"roles": ["r"]}}), json!({}), "realm_access.roles", &["r"]),
            (json!({"https://e.example/g": ["x"]}), json!({}), "https://e.example/g", &["x"]),
            (json!({}), json!({}), "groups", &[]),
            (json!({"groups": []}), json!({"groups": ["c"]}), "groups", &[]),
            (json!({"groups": null}), json!({"groups": ["c"]}), "groups", &[]),
            (json!({"groups": "admins"}), json!({}), "groups", &[]),
            (json!({"groups": ["a", 1, null, ["admins"]]}), json!({}), "groups", &["a"]),
            (json!({"groups": {"admins": true}}), json!({}), "groups", &[]),
            (json!({"groups": [["admins"]]}), json!({}), "groups", &[]),
            (json!({"a": {"b": "admins"}}), json!({}), "a.b.c", &[]),
        ] {
            let profile = claims(id_token.clone(), userinfo).profile("https://idp.example", claim);
            assert_eq!(profile.groups, groups, "{id_token} {claim}");
        }
        let many = json!({"groups": vec!["g"; 100_000], "n": 1});
        assert_eq!(claims(many, json!({})).profile("https://idp.example", "groups").groups.len(), GROUPS);
    }

    #[test]
    fn fed_10_verified_is_said_in_one_way_and_of_this_address() {
        let email = "a@e.example";
        for (id_token, userinfo, expected) in [
            (json!({"email": email, "email_verified": true}), json!({}), true),
            (json!({"email": email, "email_verified": "true"}), json!({}), true),
            (json!({"email": email}), json!({"email": email, "email_verified": true}), true),
            (json!({}), json!({"email": email, "email_verified": true}), true),
            (json!({"email": email}), json!({}), false),
            (json!({"email": email, "email_verified": false}), json!({"email": email, "email_verified": true}), false),
            (json!({"email": email, "email_verified": 1}), json!({}), false),
            (json!({"email": email, "email_verified": "True"}), json!({}), false),
            (json!({"email": email, "email_verified": ["true"]}), json!({}), false),
            (json!({"email": email}), json!({"email": "b@e.example", "email_verified": true}), false),
            (json!({"email_verified": true}), json!({"email": email}), false),
        ] {
            let profile = claims(id_token.clone(), userinfo.clone()).profile("https://idp.example", "groups");
            assert_eq!(profile.email.as_deref(), Some(email), "{id_token} {userinfo}");
            assert_eq!(profile.email_verified, expected, "{id_token} {userinfo}");
        }
        for odd in [
            json!("no address"),
            json!("a@b@c.example"),
            json!("a b@c.example"),
            json!(5),
            json!("@x"),
            json!("x@"),
            json!("a@e.example\u{200b}"),
            json!("\u{202e}a@e.example"),
            json!("a\u{ad}@e.example"),
            json!("a\u{7f}@e.example"),
        ] {
            let profile = claims(json!({"email": odd, "email_verified": true}), json!({})).profile("", "groups");
            assert_eq!((profile.email, profile.email_verified), (None, false), "{odd}");
        }
    }

    #[test]
    fn only_googles_hd_is_a_domain_and_names_are_shown_without_controls() {
        let said = claims(
            json!({"hd": "Example.com", "name": "A\u{7}d\u{202e}a\u{2066}\n"}),
            json!({"preferred_username": "admin"}),
        );
        assert_eq!(said.profile("https://accounts.google.com", "g").hosted_domain.as_deref(), Some("example.com"));
        let other = said.profile("https://idp.example", "g");
        assert_eq!((other.hosted_domain, other.name.as_deref()), (None, Some("Ada")));
    }
}
