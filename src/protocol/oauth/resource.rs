//! Resource indicators: which URL a token is for. [RFC 8707](https://www.rfc-editor.org/rfc/rfc8707)

/// The canonical form of a resource URL: scheme and host in lower case, no default port, no trailing slash.
///
/// `None` when the value is not an absolute URL, or has a fragment, user information or white space. The path is
/// compared as it is written: resolving `..` or percent-encoding would make different strings equal.
#[must_use]
pub fn canonical(value: &str) -> Option<String> {
    // RFC 8707 §2: an absolute URI without a fragment component.
    if value.contains(|c: char| c == '#' || c == '\\' || c.is_whitespace() || c.is_control()) {
        return None;
    }
    let (scheme, rest) = value.split_once("://")?;
    let scheme = scheme.to_ascii_lowercase();
    let default_port = match scheme.as_str() {
        "https" => ":443",
        "http" => ":80",
        _ => return None,
    };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(end)?;
    if authority.is_empty() || authority.contains('@') {
        return None;
    }
    let authority = authority.to_ascii_lowercase();
    let authority = authority.strip_suffix(default_port).unwrap_or(&authority);
    // MCP authorization, "Canonical Server URI": the form without trailing slash.
    let path = path.strip_suffix('/').unwrap_or(path);
    Some(format!("{scheme}://{authority}{path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_default_port_and_one_trailing_slash_do_not_matter() {
        for value in
            ["https://a.example/mcp", "HTTPS://A.Example/mcp", "https://a.example:443/mcp", "https://a.example/mcp/"]
        {
            assert_eq!(canonical(value).as_deref(), Some("https://a.example/mcp"), "{value}");
        }
    }

    #[test]
    fn everything_else_does() {
        for value in [
            "https://a.example/mcp//",
            "https://a.example/MCP",
            "https://a.example/mcp-evil",
            "https://a.example/x/../mcp",
            "https://a.example/mcp?x",
            "http://a.example/mcp",
            "https://a.example:80/mcp",
        ] {
            assert_ne!(canonical(value).as_deref(), Some("https://a.example/mcp"), "{value}");
        }
        for value in [
            "/mcp",
            "https:///mcp",
            "https://a.example/mcp#f",
            "https://u@a.example/mcp",
            "urn:x:y",
            "https://a.example/m cp",
        ] {
            assert_eq!(canonical(value), None, "{value}");
        }
    }
}
