//! Who may come in, and with which scopes.

use crate::base::username::is_invisible;
use crate::config::section::Admission;
use crate::identity::federated::{Failure, Reason, discovery};
use crate::model::account::Profile;
use crate::protocol::oauth::scope::ScopeSet;

/// The longest e-mail address (RFC 5321 §4.5.3.1).
const MAX_ADDRESS: usize = 320;
/// Domains in which Google gives out addresses itself.
const CONSUMER_DOMAINS: [&str; 2] = ["gmail.com", "googlemail.com"];

/// What a person may grant to clients.
///
/// `issuer` is the provider's own spelling.
pub fn admit(rules: &Admission, issuer: &str, subject: &str, profile: &Profile) -> Result<ScopeSet, Failure> {
    check_email(rules, profile)?;
    check_domain(rules, issuer, profile)?;
    let none = ScopeSet::default();
    let admin = if is_admin(rules, subject, profile) { &rules.admin_scopes } else { &none };
    let groups = profile.groups.iter().filter_map(|group| rules.group_scopes.get(group));
    let scopes: ScopeSet = groups.chain([&rules.default_scopes, admin]).flat_map(ScopeSet::iter).collect();
    if scopes.is_empty() {
        return Err(Failure::new(
            Reason::NothingToGrant,
            "neither default_scopes nor a group nor admin_users gives a scope",
        ));
    }
    Ok(scopes)
}

/// Whether this is Google, whose addresses need a further look.
pub fn is_google(issuer: &str) -> bool {
    discovery::same_issuer(issuer, "https://accounts.google.com")
}

/// Whether this can be an e-mail address at all: one `@`, with something sensible around it. Two of them would leave open
/// which one the domain follows, and characters that nobody sees whose address it is.
pub fn is_address(text: &str) -> bool {
    let part = |part: &str| !part.is_empty() && !part.contains(['@', '"', '<', '>', ',']);
    let visible = !text.chars().any(|c| c.is_whitespace() || is_invisible(c));
    text.len() <= MAX_ADDRESS
        && visible
        && text.split_once('@').is_some_and(|(local, domain)| part(local) && part(domain))
}

fn check_email(rules: &Admission, profile: &Profile) -> Result<(), Failure> {
    // Whoever asks for verified addresses does not want people with another kind, even where no rule looks at it.
    if rules.require_email_verified && profile.email.is_some() && !profile.email_verified {
        return Err(Failure::new(
            Reason::NoVerifiedEmail,
            "the provider does not say that the e-mail address is verified",
        ));
    }
    Ok(())
}

fn check_domain(rules: &Admission, issuer: &str, profile: &Profile) -> Result<(), Failure> {
    if rules.allowed_domains.is_empty() {
        return Ok(());
    }
    let Some(email) = profile.email.as_deref().filter(|email| is_address(email)) else {
        return Err(Failure::new(
            Reason::NoVerifiedEmail,
            "allowed_domains is set, and the provider gives no e-mail address",
        ));
    };
    let domain = email_domain(email);
    let domain = match (is_google(issuer), &profile.hosted_domain) {
        (true, Some(hosted)) => hosted.to_ascii_lowercase(),
        // Anybody can have a Google account for any address: it is verified once, and stays when the person has left.
        (true, None) if !CONSUMER_DOMAINS.contains(&domain.as_str()) => {
            let cause =
                format!("a Google account for {domain} that does not belong to that organisation (no hd claim)");
            return Err(Failure::new(Reason::WrongDomain, cause));
        }
        _ => domain,
    };
    if rules.allowed_domains.iter().any(|allowed| allowed.eq_ignore_ascii_case(&domain)) {
        return Ok(());
    }
    Err(Failure::new(Reason::WrongDomain, format!("{domain} is not in allowed_domains")))
}

/// The domain of an address, in small letters; empty when there is none.
pub fn email_domain(email: &str) -> String {
    email.rsplit_once('@').map(|(_, domain)| domain.to_ascii_lowercase()).unwrap_or_default()
}

/// An entry with `@` is an address and needs one that is verified; it is never compared with a subject, since there are
/// providers whose subject is whatever address a person typed.
fn is_admin(rules: &Admission, subject: &str, profile: &Profile) -> bool {
    let email = profile.email.as_deref().filter(|_| profile.email_verified);
    rules.admin_users.iter().any(|entry| {
        if entry.contains('@') {
            email.is_some_and(|email| email.eq_ignore_ascii_case(entry))
        } else {
            entry == subject
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDP: &str = "https://idp.example";
    const GOOGLE: &str = "https://accounts.google.com";

    fn scopes(text: &str) -> ScopeSet {
        ScopeSet::parse(text).unwrap()
    }

    fn rules(domains: &[&str]) -> Admission {
        Admission {
            allowed_domains: domains.iter().map(|domain| (*domain).to_owned()).collect(),
            require_email_verified: true,
            default_scopes: scopes("mcp:read"),
            admin_users: vec!["Admin@Example.com".to_owned(), "subject-1".to_owned()],
            admin_scopes: scopes("mcp:admin"),
            groups_claim: "groups".to_owned(),
            group_scopes: [("writers".to_owned(), scopes("mcp:write"))].into(),
        }
    }

    fn profile(email: &str, verified: bool) -> Profile {
        Profile { email: Some(email.to_owned()), email_verified: verified, ..Profile::default() }
    }

    fn outcome(rules: &Admission, issuer: &str, profile: &Profile) -> Result<String, Reason> {
        admit(rules, issuer, "somebody", profile).map(|scopes| scopes.to_string()).map_err(|failure| failure.reason)
    }

    #[test]
    fn fed_10_an_address_counts_when_the_provider_verified_it() {
        let (any, one) = (rules(&[]), rules(&["example.com"]));
        let nobody = Profile::default();
        for (rules, profile, expected) in [
            (&one, profile("a@example.com", true), Ok("mcp:read")),
            (&one, profile("a@EXAMPLE.com", true), Ok("mcp:read")),
            (&one, profile("a@example.com", false), Err(Reason::NoVerifiedEmail)),
            (&any, profile("a@example.com", false), Err(Reason::NoVerifiedEmail)),
            (&one, nobody.clone(), Err(Reason::NoVerifiedEmail)),
            (&any, nobody.clone(), Ok("mcp:read")),
            (&one, profile("a@example.com@evil.example", true), Err(Reason::NoVerifiedEmail)),
            (&one, profile("a@evil.example@example.com", true), Err(Reason::NoVerifiedEmail)),
            (&one, profile("a@sub.example.com", true), Err(Reason::WrongDomain)),
            (&one, profile("a@notexample.com", true), Err(Reason::WrongDomain)),
            (&one, profile("a@example.com.evil.example", true), Err(Reason::WrongDomain)),
            (&one, profile("a@example.com.", true), Err(Reason::WrongDomain)),
        ] {
            assert_eq!(outcome(rules, IDP, &profile), expected.map(str::to_owned), "{profile:?}");
        }
        let lax = Admission { require_email_verified: false, ..rules(&["example.com"]) };
        assert_eq!(outcome(&lax, IDP, &profile("a@example.com", false)), Ok("mcp:read".to_owned()));
    }

    #[test]
    fn fed_10_no_name_and_no_unverified_address_makes_an_admin() {
        let lax = Admission { require_email_verified: false, ..rules(&[]) };
        let named = Profile { name: Some("admin@example.com".to_owned()), ..Profile::default() };
        for (subject, profile, admin) in [
            ("x", profile("admin@example.com", true), true),
            ("x", profile("ADMIN@example.COM", true), true),
            ("subject-1", Profile::default(), true),
            ("x", profile("admin@example.com", false), false),
            ("SUBJECT-1", Profile::default(), false),
            ("admin@example.com", Profile::default(), false),
            ("x", profile("subject-1", true), false),
            ("x", named, false),
        ] {
            let scopes = admit(&lax, IDP, subject, &profile).unwrap();
            assert_eq!(scopes.contains("mcp:admin"), admin, "{subject} {profile:?}");
        }
    }

    #[test]
    fn fed_11_scopes_come_from_groups_that_are_there() {
        let strict = Admission { default_scopes: ScopeSet::default(), ..rules(&[]) };
        let group = |name: &str| Profile { groups: vec![name.to_owned()], ..Profile::default() };
        assert_eq!(outcome(&strict, IDP, &group("writers")), Ok("mcp:write".to_owned()));
        for none in [Profile::default(), group("Writers"), group("writers ")] {
            assert_eq!(outcome(&strict, IDP, &none), Err(Reason::NothingToGrant), "{none:?}");
        }
        assert_eq!(outcome(&rules(&[]), IDP, &group("writers")), Ok("mcp:read mcp:write".to_owned()));
    }

    #[test]
    fn a_google_account_belongs_to_the_domain_that_google_says() {
        let one = rules(&["example.com", "gmail.com"]);
        let hosted =
            |email: &str, domain: &str| Profile { hosted_domain: Some(domain.to_owned()), ..profile(email, true) };
        for (issuer, profile, admitted) in [
            (GOOGLE, hosted("a@example.com", "example.com"), true),
            (GOOGLE, hosted("a@alias.example", "example.com"), true),
            (GOOGLE, hosted("a@example.com", "other.example"), false),
            (GOOGLE, profile("a@example.com", true), false),
            (GOOGLE, profile("a@gmail.com", true), true),
            (IDP, hosted("a@other.example", "example.com"), false),
            (IDP, profile("a@example.com", true), true),
        ] {
            assert_eq!(outcome(&one, issuer, &profile).is_ok(), admitted, "{issuer} {profile:?}");
        }
    }
}
