//! Arguments of a tool that header fields repeat: `x-mcp-header` in its schema, `Mcp-Param-…` in the request.
//! [MCP 2026-07-28, Custom Headers from Tool Parameters](https://modelcontextprotocol.io/specification/2026-07-28/basic/transports/streamable-http#custom-headers-from-tool-parameters)

use std::borrow::Cow;

use serde_json::Value;

use crate::protocol::mcp::fault::Fault;
use crate::protocol::mcp::mirror::{self, Field, Mirror};
use crate::protocol::mcp::object;

const ANNOTATION: &str = "x-mcp-header";

/// An argument that is repeated in a header field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParamHeader {
    /// What follows `Mcp-Param-` in the field's name, in small letters.
    pub name: String,
    /// Where the argument stands: the names that lead to it from `arguments`.
    pub path: Vec<String>,
}

/// The annotated properties of a tool's `inputSchema`. Annotations that break the rules are none.
#[must_use]
pub fn of_schema(schema: &str) -> Vec<ParamHeader> {
    // Few tools have any, and then nothing is taken apart.
    if !schema.contains(ANNOTATION) {
        return Vec::new();
    }
    let Ok(schema) = serde_json::from_str::<Value>(schema) else { return Vec::new() };
    let mut found = Vec::new();
    collect(&schema, &mut Vec::new(), &mut found);
    found
}

/// MCP 2026-07-28, Schema Extension: reachable by a chain of `properties` alone, of a primitive type, unique.
fn collect(schema: &Value, path: &mut Vec<String>, found: &mut Vec<ParamHeader>) {
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return };
    for (key, property) in properties {
        path.push(key.clone());
        if let Some(name) = property.get(ANNOTATION).and_then(Value::as_str)
            && is_token(name)
            && matches!(property.get("type").and_then(Value::as_str), Some("string" | "integer" | "boolean"))
        {
            let name = name.to_ascii_lowercase();
            if !found.iter().any(|other| other.name == name) {
                found.push(ParamHeader { name, path: path.clone() });
            }
        }
        collect(property, path, found);
        path.pop();
    }
}

/// Whether all annotations of a tool's `inputSchema` keep the rules.
#[must_use]
pub fn is_sound(schema: &str) -> bool {
    if !schema.contains(ANNOTATION) {
        return true;
    }
    // One that broke a rule, wherever it stands, is not among those that were found.
    serde_json::from_str::<Value>(schema).is_ok_and(|all| annotations(&all) == of_schema(schema).len())
}

/// How many annotations there are anywhere in a schema.
fn annotations(schema: &Value) -> usize {
    match schema {
        Value::Array(all) => all.iter().map(annotations).sum(),
        Value::Object(members) => {
            let below = members.iter().map(|(key, value)| match (key.as_str(), value) {
                // Names of properties are no keywords, and data is no schema.
                (
                    "properties" | "patternProperties" | "$defs" | "definitions" | "dependentSchemas",
                    Value::Object(named),
                ) => named.values().map(annotations).sum(),
                ("const" | "enum" | "default" | "examples", _) => 0,
                _ => annotations(value),
            });
            below.sum::<usize>() + usize::from(members.contains_key(ANNOTATION))
        }
        _ => 0,
    }
}

/// RFC 9110 §5.6.2: `1*tchar`.
fn is_token(name: &str) -> bool {
    let is_tchar = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.bytes().all(is_tchar)
}

/// Checks the fields that a tool's schema names against the arguments of a call. Other fields are nobody's business.
///
/// # Errors
/// `HeaderMismatch`; or the arguments can be read in two ways.
pub fn check(headers: &[ParamHeader], mirror: &Mirror<'_>, arguments: Option<&str>) -> Result<(), Fault> {
    for header in headers {
        let mut fields = mirror.params.iter().filter(|(name, _)| *name == header.name).map(|(_, field)| field);
        let said = match (fields.next(), fields.next()) {
            (None, _) => None,
            (Some(field), None) => field.decoded()?,
            (Some(_), Some(_)) => Field::Unreadable.decoded()?,
        };
        let argument = arguments.map(|arguments| argument(arguments, &header.path)).transpose()?.flatten();
        let fault = |what: &str| Err(Fault::mismatch(format!("Header mismatch: Mcp-Param-{} {what}", header.name)));
        match (said, argument) {
            (None, None) => {}
            (None, Some(_)) => return fault("is missing"),
            (Some(_), None) => return fault("says something that the body does not"),
            (Some(said), Some(argument)) if agrees(&said, argument) => {}
            (Some(_), Some(_)) => return fault("does not say what the body says"),
        }
    }
    Ok(())
}

/// The fields that a tool's schema wants with these arguments: what follows `Mcp-Param-` in the name, and the value.
#[must_use]
pub fn fields(headers: &[ParamHeader], arguments: &str) -> Vec<(String, String)> {
    let field = |header: &ParamHeader| {
        // Arguments that read in two ways are left for the server to refuse, and so is what has another type than declared.
        let value = match serde_json::from_str(argument(arguments, &header.path).ok()??).ok()? {
            Value::String(text) => mirror::encoded(&text).into_owned(),
            Value::Bool(truth) => truth.to_string(),
            Value::Number(number) => number.to_string(),
            Value::Null | Value::Array(_) | Value::Object(_) => return None,
        };
        Some((header.name.clone(), value))
    };
    headers.iter().filter_map(field).collect()
}

/// The argument at a path; `None` when it is null or not there.
fn argument<'a>(arguments: &'a str, path: &[String]) -> Result<Option<&'a str>, Fault> {
    let mut json = arguments;
    for step in path {
        if !json.starts_with('{') {
            return Ok(None);
        }
        // A name that comes twice would be one thing to us and another to who is behind us.
        let entries = object::entries(json).map_err(|fault| Fault::invalid(fault.to_string()))?;
        let found: Option<(Cow<'a, str>, &'a str)> = entries.into_iter().find(|(name, _)| name == step);
        match found {
            Some((_, value)) => json = value,
            None => return Ok(None),
        }
    }
    Ok(Some(json).filter(|json| *json != "null"))
}

fn agrees(said: &str, argument: &str) -> bool {
    match serde_json::from_str::<Value>(argument) {
        Ok(Value::String(text)) => said == text,
        Ok(Value::Bool(truth)) => said == if truth { "true" } else { "false" },
        // MCP 2026-07-28, Server Validation: numbers are compared as numbers. Within ±2⁵³, where both are exact.
        Ok(Value::Number(number)) => {
            let written = said.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E'));
            said == argument || written && said.parse::<f64>().ok().zip(number.as_f64()).is_some_and(|(a, b)| a == b)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEMA: &str = r#"{"type":"object","properties":{
        "region":{"type":"string","x-mcp-header":"Region"},
        "deep":{"type":"object","properties":{"n":{"type":"integer","x-mcp-header":"N"}}},
        "twice":{"type":"string","x-mcp-header":"REGION"}, "number":{"type":"number","x-mcp-header":"F"},
        "bad":{"type":"string","x-mcp-header":"a b"}, "list":{"type":"array","items":{"properties":{"x":{"type":"string","x-mcp-header":"X"}}}}}}"#;

    fn checked(fields: &[(&str, &str)], arguments: &str) -> Result<(), i32> {
        let params = fields.iter().map(|(name, value)| (*name, Field::of(Some(value)))).collect();
        let mirror = Mirror { params, ..Mirror::default() };
        check(&of_schema(SCHEMA), &mirror, Some(arguments)).map_err(|fault| fault.code)
    }

    #[test]
    fn only_sound_annotations_count() {
        let mut found = of_schema(SCHEMA);
        found.sort_by(|a, b| a.name.cmp(&b.name));
        let names: Vec<_> = found.iter().map(|header| (header.name.as_str(), header.path.join("/"))).collect();
        assert_eq!(names, [("n", "deep/n".to_owned()), ("region", "region".to_owned())]);
        assert!(of_schema(r#"{"properties":{"a":{"type":"string"}}}"#).is_empty());
    }

    #[test]
    fn sh_an_annotation_that_breaks_a_rule_spoils_the_tool() {
        let with = |property: &str| format!(r#"{{"properties":{{"a":{property}}}}}"#);
        for sound in [
            with(r#"{"type":"string","x-mcp-header":"A"}"#),
            with(r#"{"type":"string","default":{"x-mcp-header":1}}"#),
            r#"{"properties":{"x-mcp-header":{"type":"string"}}}"#.to_owned(),
            r#"{"properties":{"x-mcp-header":{"type":"string","x-mcp-header":"A"}}}"#.to_owned(),
            r#"{"$comment":"no x-mcp-header here"}"#.to_owned(),
        ] {
            assert!(is_sound(&sound), "{sound}");
        }
        for spoilt in [
            with(r#"{"type":"number","x-mcp-header":"A"}"#),
            with(r#"{"type":"string","x-mcp-header":""}"#),
            with(r#"{"type":"string","x-mcp-header":"a b"}"#),
            with(r#"{"type":"string","x-mcp-header":7}"#),
            with(r#"{"type":"array","items":{"type":"string","x-mcp-header":"A"}}"#),
            with(r#"{"anyOf":[{"type":"string","x-mcp-header":"A"}]}"#),
            r#"{"$defs":{"a":{"type":"string","x-mcp-header":"A"}}}"#.to_owned(),
            SCHEMA.to_owned(),
        ] {
            assert!(!is_sound(&spoilt), "{spoilt}");
        }
    }

    #[test]
    fn d_16_fields_agree_with_the_arguments_or_the_call_is_refused() {
        for (fields, arguments) in [
            (&[("region", "eu")][..], r#"{"region":"eu"}"#),
            (&[("region", "=?base64?ZXU=?=")], r#"{"region":"eu"}"#),
            (&[("region", "=?base64?ZXU=")], r#"{"region":"=?base64?ZXU="}"#),
            (&[("n", "42.0")], r#"{"deep":{"n":42}}"#),
            (&[("other", "x")], r#"{"region":null}"#),
            (&[], "{}"),
        ] {
            assert_eq!(checked(fields, arguments), Ok(()), "{fields:?} {arguments}");
        }
        for (fields, arguments, code) in [
            (&[("region", "us")][..], r#"{"region":"eu"}"#, -32020),
            (&[], r#"{"region":"eu"}"#, -32020),
            (&[("region", "eu")], r#"{"region":null}"#, -32020),
            (&[("region", "eu"), ("region", "eu")], r#"{"region":"eu"}"#, -32020),
            (&[("region", "=?base64?ZXU?=")], r#"{"region":"eu"}"#, -32020),
            (&[("n", "43")], r#"{"deep":{"n":42}}"#, -32020),
            (&[("n", "inf")], r#"{"deep":{"n":42}}"#, -32020),
            (&[("region", "eu")], r#"{"region":"eu","region":"us"}"#, -32602),
        ] {
            assert_eq!(checked(fields, arguments), Err(code), "{fields:?} {arguments}");
        }
    }

    #[test]
    fn what_is_sent_is_what_is_checked() {
        let headers = of_schema(SCHEMA);
        for (arguments, expected) in [
            (r#"{"region":"eu","deep":{"n":42},"other":"x"}"#, &[("n", "42"), ("region", "eu")][..]),
            (r#"{"region":"\u00fc","deep":{"n":-7}}"#, &[("n", "-7"), ("region", "=?base64?w7w=?=")]),
            (r#"{"region":null,"deep":7}"#, &[]),
            (r#"{"region":{"a":1}}"#, &[]),
        ] {
            let mut fields = fields(&headers, arguments);
            fields.sort();
            let sent: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            assert_eq!(sent, expected, "{arguments}");
            if !expected.is_empty() {
                assert_eq!(checked(&sent, arguments), Ok(()), "{arguments}");
            }
        }
    }
}
