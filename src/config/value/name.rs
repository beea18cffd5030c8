//! Names: of users, upstreams, identity providers, environment variables, colours, paths, hosts, domains.

use serde_json::json;

use crate::base::username::canonical_username;
use crate::config::document::Node;
use crate::config::fault::Wrong;
use crate::config::reader::kind::{Kind, pattern, shortened, text};

/// A user name: something visible on one line.
pub const USERNAME: Kind<String> = Kind {
    schema: || json!({"type": "string", "minLength": 1, "maxLength": 128}),
    parse: |node| {
        let text = text(node)?;
        if text.trim().is_empty() {
            return Err(Wrong::new("is empty", "write a name, such as admin"));
        }
        if canonical_username(&text).is_none() {
            let fix = "write at most 128 characters, all of them visible";
            return Err(Wrong::new(format!("`{}` is no user name", shortened(&text)), fix));
        }
        Ok(text.into_owned())
    },
    print: |name| Node::String(name.clone()),
};

/// What stands before the names of an upstream's tools; may be empty.
pub const PREFIX: Kind<String> = Kind {
    schema: || pattern("^[A-Za-z0-9_.-]*$"),
    parse: |node| {
        let text = text(node)?;
        let legal = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte));
        let fix = "write letters, digits, `_`, `-` and `.` only: clients refuse other tool names";
        let wrong = || Wrong::new(format!("`{}` cannot be part of a tool's name", shortened(&text)), fix);
        if legal && text.len() <= 64 { Ok(text.to_string()) } else { Err(wrong()) }
    },
    print: |prefix| Node::String(prefix.clone()),
};

/// # Errors
/// A text that cannot be the name of an upstream.
pub fn check_upstream(name: &str) -> Result<(), Wrong> {
    check_word(name, "an upstream")
}

/// # Errors
/// A text that cannot be the name of an identity provider, which is part of a path of ours, or the one that is `taken`.
pub fn check_provider(name: &str, taken: &str) -> Result<(), Wrong> {
    if name == taken {
        let problem = format!("`{taken}` is the name of the provider that stands in federated itself");
        return Err(Wrong::new(problem, "give it another name"));
    }
    check_word(name, "an identity provider")
}

fn check_word(name: &str, what: &str) -> Result<(), Wrong> {
    let legal = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
    if legal && !name.is_empty() && name.len() <= 64 {
        return Ok(());
    }
    let problem = format!("`{}` cannot be the name of {what}", shortened(name));
    Err(Wrong::new(problem, "use letters, digits, `_` and `-`, at most 64"))
}

/// # Errors
/// A text that cannot be the name of an environment variable.
pub fn check_variable(name: &str) -> Result<(), Wrong> {
    if !name.is_empty() && !name.contains(['=', '\0']) {
        return Ok(());
    }
    let problem = format!("`{}` cannot be the name of an environment variable", shortened(name));
    Err(Wrong::new(problem, "write a name without `=`"))
}

/// `#rgb` or `#rrggbb`.
pub const COLOR: Kind<String> = Kind {
    schema: || pattern("^#([0-9A-Fa-f]{3}|[0-9A-Fa-f]{6})$"),
    parse: |node| {
        let text = text(node)?;
        let digits = text.strip_prefix('#').unwrap_or_default();
        // The value goes into a style sheet: nothing else may get there.
        if matches!(digits.len(), 3 | 6) && digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Ok(text.into_owned());
        }
        Err(Wrong::new(format!("`{}` is no colour", shortened(&text)), "write \"#rgb\" or \"#rrggbb\", in quotes"))
    },
    print: |color| Node::String(color.clone()),
};

/// A path of ours, beginning with a slash.
pub const PATH: Kind<String> = Kind {
    schema: || pattern("^/"),
    parse: |node| {
        let text = text(node)?;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte);
        let dots = text.split('/').any(|segment| segment == "." || segment == "..");
        let empty = text.len() > 1 && text[1..].split('/').any(str::is_empty);
        if text.starts_with('/') && text.len() > 1 && text.bytes().all(plain) && !dots && !empty {
            return Ok(text.into_owned());
        }
        let problem = format!("`{}` is no path that can be served", shortened(&text));
        Err(Wrong::new(problem, "write one such as /mcp: letters, digits and -._~ between slashes, none at the end"))
    },
    print: |path| Node::String(path.clone()),
};

/// A host name or address without a port.
pub const HOST: Kind<String> = Kind {
    schema: || json!({"type": "string"}),
    parse: |node| {
        let text = text(node)?.to_ascii_lowercase();
        match url::Host::parse(&text) {
            Ok(host) if !text.contains('*') => Ok(host.to_string()),
            _ => {
                let problem = format!("`{}` is no host name", shortened(&text));
                Err(Wrong::new(problem, "write the name alone, such as mcp.example.com, without scheme and port"))
            }
        }
    },
    print: |host| Node::String(host.clone()),
};

/// The domain of e-mail addresses, in lower case and, as on the wire, in ASCII.
pub const DOMAIN: Kind<String> = Kind {
    schema: || json!({"type": "string"}),
    parse: |node| {
        let text = text(node)?.to_lowercase();
        let problem = format!("`{}` is no domain", shortened(&text));
        if let Some((_, domain)) = text.rsplit_once('@') {
            return Err(Wrong::new(problem, format!("write what stands behind the `@`: {}", shortened(domain))));
        }
        if text.contains('*') || text.starts_with('.') {
            return Err(Wrong::new(problem, "write each domain in full; those below one are not meant by it"));
        }
        match url::Host::parse(&text) {
            Ok(url::Host::Domain(domain)) if !domain.split('.').any(str::is_empty) => Ok(domain),
            _ => Err(Wrong::new(problem, "write the name alone, such as example.com, without scheme and port")),
        }
    },
    print: |domain| Node::String(domain.clone()),
};
