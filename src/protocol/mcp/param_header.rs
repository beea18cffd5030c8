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
        let argument = argument(arguments, &header.path).ok()??;
        let value = match argument.as_bytes().first()? {
            b'"' => mirror::encoded(&serde_json::from_str::<String>(argument).ok()?).into_owned(),
            // As it is written: no digit of a number is lost.
            b'{' | b'[' => return None,
            _ => argument.to_owned(),
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
    match argument.as_bytes().first() {
        Some(b'"') => serde_json::from_str::<String>(argument).is_ok_and(|text| text == said),
        // MCP 2026-07-28, Server Validation: numbers are compared as numbers.
        Some(b'-' | b'0'..=b'9') => {
            said == argument || decimal(said).is_some_and(|said| decimal(argument) == Some(said))
        }
        // `true` and `false`.
        Some(b't' | b'f') => said == argument,
        _ => false,
    }
}

/// A decimal number as sign, digits without zeros around them, and the power of ten of the last digit: equal where the numbers are, however
/// long.
fn decimal(text: &str) -> Option<(bool, String, i64)> {
    let (is_negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (number, exponent) = match text.split_once(['e', 'E']) {
        Some((number, exponent)) => (number, exponent.parse::<i64>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = format!("{whole}{fraction}");
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let short = digits.trim_end_matches('0');
    let dropped = i64::try_from(digits.len() - short.len()).ok()?;
    let digits = short.trim_start_matches('0').to_owned();
    if digits.is_empty() {
        return Some((false, digits, 0));
    }
    let power = exponent.checked_sub(i64::try_from(fraction.len()).ok()?)?.checked_add(dropped)?;
    Some((is_negative, digits, power))
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

    #[test]
    fn d_16_numbers_are_compared_as_numbers_however_long_they_are() {
        for (said, argument) in [
            ("42", "42.0"),
            ("4.2e1", "42"),
            ("420e-1", "42"),
            ("-0", "0"),
            ("0.0", "0"),
            ("9007199254740993", "9007199254740993.0"),
            ("100000000000000000000000000000", "1e29"),
            ("1e400", "10e399"),
        ] {
            assert!(agrees(said, argument) && agrees(argument, said), "{said} {argument}");
        }
        for (said, argument) in [
            ("9007199254740992", "9007199254740993"),
            ("-42", "42"),
            ("420", "42"),
            ("0x2a", "42"),
            ("", "0"),
            (".", "0"),
            ("inf", "1e400"),
            ("1e999999999999999999999", "1"),
        ] {
            assert!(!agrees(said, argument), "{said} {argument}");
        }
        let headers = [ParamHeader { name: "n".to_owned(), path: vec!["n".to_owned()] }];
        let long = "1234567890123456789012";
        assert_eq!(fields(&headers, &format!(r#"{{"n":{long}}}"#)), [("n".to_owned(), long.to_owned())]);
    }
}
