//! Kinds of values: how each is read, what is wrong with one that cannot be, how it is printed, and its JSON schema.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;
use serde_json::{Value, json};

use crate::base::secret::Secret;
use crate::config::document::Node;
use crate::config::fault::Wrong;
use crate::config::quantity;

/// A kind of value. Constants of this type are all there is; a key names its kind and gets everything from it.
pub struct Kind<T> {
    /// Its JSON schema, without description and default.
    pub schema: fn() -> Value,
    /// Reads a value.
    pub parse: fn(&Node) -> Result<T, Wrong>,
    /// Prints it in its canonical form.
    pub print: fn(&T) -> Node,
}

/// `true` or `false`.
pub const BOOLEAN: Kind<bool> = Kind {
    schema: || json!({"$ref": "#/$defs/boolean"}),
    parse: |node| match node {
        Node::Bool(value) => Ok(*value),
        Node::Expanded(text) if text == "true" => Ok(true),
        Node::Expanded(text) if text == "false" => Ok(false),
        _ => Err(expected(node, "true or false", "write true or false, without quotes")),
    },
    print: |value| Node::Bool(*value),
};

/// A whole number from 0.
pub const COUNT: Kind<u32> = Kind {
    schema: || json!({"$ref": "#/$defs/count"}),
    parse: |node| {
        let value = match node {
            Node::Integer(value) => u32::try_from(*value).ok(),
            Node::Expanded(text) => text.parse().ok(),
            _ => None,
        };
        value.ok_or_else(|| expected(node, "a whole number from 0 to 4294967295", "write a number, such as 10"))
    },
    print: |value| Node::Integer(i64::from(*value)),
};

/// A whole number from 1.
pub const POSITIVE_COUNT: Kind<u32> = Kind {
    schema: || json!({"$ref": "#/$defs/positive_count"}),
    parse: |node| match (COUNT.parse)(node)? {
        0 => Err(Wrong::new("must be more than 0", "write a number, such as 10")),
        value => Ok(value),
    },
    print: |value| Node::Integer(i64::from(*value)),
};

/// A duration of any length, zero too.
pub const DURATION: Kind<Duration> = Kind {
    schema: || json!({"$ref": "#/$defs/duration"}),
    parse: |node| {
        let duration = text(node).ok().and_then(|text| quantity::parse_duration(&text));
        duration
            .ok_or_else(|| expected(node, "a duration of at most 36500d", "write one such as 30s, 10m, 1h30m or 14d"))
    },
    print: |duration| Node::String(quantity::print_duration(*duration)),
};

/// A duration longer than zero.
pub const POSITIVE_DURATION: Kind<Duration> = Kind {
    schema: || json!({"$ref": "#/$defs/duration"}),
    parse: |node| {
        let duration = (DURATION.parse)(node)?;
        if duration.is_zero() {
            return Err(Wrong::new("must be longer than zero", "write a duration such as 30s, 10m, 1h30m or 14d"));
        }
        Ok(duration)
    },
    print: |duration| Node::String(quantity::print_duration(*duration)),
};

/// A number of bytes, more than none.
pub const SIZE: Kind<usize> = Kind {
    schema: || json!({"$ref": "#/$defs/size"}),
    parse: |node| {
        let size = text(node).ok().and_then(|text| quantity::parse_size(&text)).filter(|size| *size > 0);
        size.ok_or_else(|| expected(node, "a size", "write one such as 512KiB or 10MiB"))
    },
    print: |size| Node::String(quantity::print_size(*size)),
};

/// Text of any content.
pub const TEXT: Kind<String> = Kind {
    schema: || json!({"type": "string"}),
    parse: |node| text(node).map(Cow::into_owned),
    print: |text| Node::String(text.clone()),
};

/// Text with something in it.
pub const NONEMPTY: Kind<String> = Kind {
    schema: || json!({"type": "string", "minLength": 1}),
    parse: |node| {
        let text = text(node)?;
        if text.trim().is_empty() {
            return Err(Wrong::new("is empty", "write a value, or remove the key"));
        }
        Ok(text.into_owned())
    },
    print: |text| Node::String(text.clone()),
};

/// A secret. Its faults never show the value, and it prints as `<redacted>`.
pub const SECRET: Kind<Secret> = Kind {
    schema: || json!({"type": "string", "minLength": 1}),
    parse: |node| {
        // A number or a word like `yes` would be rewritten on its way through YAML; a secret has to be exact.
        let (Node::String(text) | Node::Expanded(text)) = node else {
            return Err(Wrong::new("is a secret and must be text", "write it in quotes"));
        };
        if text.is_empty() {
            return Err(Wrong::new("is empty", "give it a value; an empty secret protects nothing"));
        }
        Ok(Secret::new(text.as_str()))
    },
    print: |_| Node::from("<redacted>"),
};

/// What is set for a child process: any text, but never shown.
pub const HIDDEN_TEXT: Kind<Secret> = Kind {
    schema: || json!({"type": ["string", "integer", "boolean"]}),
    parse: |node| {
        let text = text(node)?;
        if text.contains('\0') {
            return Err(Wrong::new("holds a NUL character", "remove it"));
        }
        Ok(Secret::new(text))
    },
    print: |_| Node::from("<redacted>"),
};

/// An address and port to listen on.
pub const LISTEN: Kind<SocketAddr> = Kind {
    schema: || json!({"type": "string"}),
    parse: |node| {
        let fix = "write an address and a port, such as 127.0.0.1:8080, or :8080 for every address";
        let text = text(node)?;
        // Names other than localhost would need a resolver at start, and may change between two starts.
        let numeric = match text.split_once(':') {
            Some(("", port)) => format!("[::]:{port}"),
            Some(("localhost", port)) => format!("127.0.0.1:{port}"),
            _ => text.into_owned(),
        };
        numeric.parse().map_err(|_| expected(node, "an address and port", fix))
    },
    print: |address| Node::String(address.to_string()),
};

/// An address range, or a single address.
pub const NETWORK: Kind<IpNet> = Kind {
    schema: || json!({"type": "string"}),
    parse: |node| {
        let text = text(node)?;
        let network = text.parse().or_else(|_| text.parse::<std::net::IpAddr>().map(IpNet::from));
        network.map_err(|_| expected(node, "an address range", "write one such as 10.0.0.0/8 or fd00::/8"))
    },
    print: |network| Node::String(network.to_string()),
};

/// The text of a scalar. Whole numbers and booleans have one writing and may stand for text (`args: [8080]`).
///
/// # Errors
/// Lists, mappings and numbers with a point, whose writing is lost.
pub fn text(node: &Node) -> Result<Cow<'_, str>, Wrong> {
    match node {
        Node::String(text) | Node::Expanded(text) => Ok(Cow::Borrowed(text)),
        Node::Integer(value) => Ok(Cow::Owned(value.to_string())),
        Node::Bool(value) => Ok(Cow::Owned(value.to_string())),
        Node::OtherNumber => Err(Wrong::new("is a number where text belongs", "write it in quotes")),
        Node::Null | Node::Faulty | Node::Sequence(_) | Node::Mapping(_) => {
            Err(expected(node, "text", "write a single value"))
        }
    }
}

/// The schema of text with a pattern, or of a variable that will have it.
pub fn pattern(pattern: &str) -> Value {
    json!({"anyOf": [{"type": "string", "pattern": pattern}, {"$ref": "#/$defs/variable"}]})
}

/// `<what stands there> is not <what belongs there>`.
pub fn expected(node: &Node, what: &str, fix: &str) -> Wrong {
    let found = match node {
        Node::Null | Node::Faulty => "nothing".to_owned(),
        Node::Bool(value) => format!("`{value}`"),
        Node::Integer(value) => format!("`{value}`"),
        Node::OtherNumber => "this number".to_owned(),
        Node::String(text) => format!("`{}`", shortened(text)),
        // The variable may be a secret in the wrong place.
        Node::Expanded(_) => "the value of its environment variable".to_owned(),
        Node::Sequence(_) => "a list".to_owned(),
        Node::Mapping(_) => "a section".to_owned(),
    };
    Wrong::new(format!("{found} is not {what}"), fix)
}

/// At most 80 characters of a value, control characters escaped: a message stays one line.
pub fn shortened(text: &str) -> String {
    let mut shown: String = text.chars().take(80).flat_map(char::escape_debug).collect();
    shown = shown.replace("\\\"", "\"").replace("\\'", "'");
    if text.chars().count() > 80 {
        shown.push('…');
    }
    shown
}

/// What the `$ref`s of the kinds point to. Every scalar may be written as an environment variable.
pub fn definitions() -> Value {
    let variable = json!({"type": "string", "pattern": r"\$|\{\{", "description": "an environment variable: ${NAME}"});
    json!({
        "variable": variable,
        "boolean": {"anyOf": [{"type": "boolean"}, {"$ref": "#/$defs/variable"}]},
        "count": {"anyOf": [{"type": "integer", "minimum": 0}, {"$ref": "#/$defs/variable"}]},
        "positive_count": {"anyOf": [{"type": "integer", "minimum": 1}, {"$ref": "#/$defs/variable"}]},
        "duration": {"anyOf": [
            {"type": "integer", "minimum": 0, "description": "seconds"},
            {"type": "string", "pattern": r"^(\d+(\.\d+)?(ns|us|µs|μs|ms|s|m|h|d))+$|^\d+$"},
            {"$ref": "#/$defs/variable"},
        ]},
        "size": {"anyOf": [
            {"type": "integer", "minimum": 1, "description": "bytes"},
            {"type": "string", "pattern": r"^\d+ *([kKM]|[kKMG]B|[KMG]iB|B)?$"},
            {"$ref": "#/$defs/variable"},
        ]},
    })
}
