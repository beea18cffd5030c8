//! A server's answer, made one that a client of the stateless era can take.

use bytes::Bytes;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::bridge::upstream::inbound;
use crate::protocol::mcp::completion::{self, Identity, Server};
use crate::protocol::mcp::fault::Fault;
use crate::protocol::mcp::message::{Kind, Message};
use crate::protocol::mcp::method::Method;
use crate::protocol::mcp::object;
use crate::protocol::mcp::reply;
use crate::protocol::mcp::splice::{self, Edit, Span};

/// What is added to an answer, and what may become of it.
#[derive(Debug)]
pub struct Form<'a> {
    /// The client's id, as written.
    pub id: &'a [u8],
    /// What the server is.
    pub identity: &'a Identity,
    /// Whether the bridge made it, and no server of an earlier version.
    pub is_own: bool,
    /// Whether the result is one that says how long it may be kept.
    pub is_cacheable: bool,
    /// The client can be sent to a URL, and the request may be answered by asking for that.
    pub takes_url: bool,
    /// Capabilities that the server wanted to use and the client did not declare.
    pub missing: Option<&'a Value>,
}

/// The answer as the client gets it, and its error code if it is an error.
#[must_use]
pub fn finish(message: &Message, form: &Form<'_>) -> (Bytes, Option<i32>) {
    let Kind::Answer { id, result, parts } = message.kind() else { return (message.rewritten(&mut []), None) };
    let id = id.map(|at| Edit { at, with: form.id });
    let server = if form.is_own { Server::Bridge(form.identity) } else { Server::Earlier(form.identity) };
    match (result, id) {
        (Some(result), Some(id)) => match form.missing.filter(|_| failed(message.json(*result))) {
            Some(missing) => missing_capability(form, missing),
            None => (completion::completed(message, id, (*result, parts), server, form.is_cacheable), None),
        },
        (_, id) => error(message, id, form),
    }
}

/// The same for a server that is of this era, too, and knows itself what may be said in it: what has to be in a result is added, who it is
/// only it can say.
#[must_use]
pub fn passed(message: &Message, client_id: &[u8], is_cacheable: bool) -> (Bytes, Option<i32>) {
    let Kind::Answer { id, result, parts } = message.kind() else { return (message.rewritten(&mut []), None) };
    let id = id.map(|at| Edit { at, with: client_id });
    match (result, id) {
        (Some(result), Some(id)) => {
            (completion::completed(message, id, (*result, parts), Server::Same, is_cacheable), None)
        }
        (_, id) => {
            let code = read_error(message).and_then(|(_, code, _)| i32::try_from(code).ok());
            (message.rewritten(&mut id.into_iter().collect::<Vec<_>>()), code)
        }
    }
}

/// The same for an answer that the bridge made itself.
#[must_use]
pub fn own(body: Bytes, identity: &Identity, method: &Method) -> (Bytes, Option<i32>) {
    let Ok(message) = Message::parse_within(body.clone(), inbound::MAX_DEPTH) else { return (body, None) };
    let id = message.id_or_null().to_vec();
    let is_cacheable = is_cacheable(method);
    finish(&message, &Form { id: &id, identity, is_own: true, is_cacheable, takes_url: false, missing: None })
}

/// MCP 2026-07-28, Cacheable Results.
#[must_use]
pub const fn is_cacheable(method: &Method) -> bool {
    matches!(
        method,
        Method::Discover
            | Method::ToolsList
            | Method::PromptsList
            | Method::ResourcesList
            | Method::ResourceTemplatesList
            | Method::ResourcesRead
    )
}

/// Whether the result of a tool says that the tool failed.
fn failed(result: &str) -> bool {
    let is_error = object::members(result, &["isError"]).ok().and_then(|[is_error]| is_error);
    is_error == Some("true")
}

fn error(message: &Message, id: Option<Edit<'_>>, form: &Form<'_>) -> (Bytes, Option<i32>) {
    // MCP 2026-07-28, Per-request protocol fields: what a server needed and a client does not have is named.
    if let Some(missing) = form.missing {
        return missing_capability(form, missing);
    }
    let mut edits: Vec<Edit<'_>> = id.into_iter().collect();
    let Some((at, code, data)) = read_error(message) else { return (message.rewritten(&mut edits), None) };
    if code == i64::from(reply::URL_ELICITATION_REQUIRED) {
        return url_required(form, data);
    }
    let Some(other) = translated(code) else { return (message.rewritten(&mut edits), i32::try_from(code).ok()) };
    let text = other.to_string();
    edits.push(Edit { at, with: text.as_bytes() });
    (message.rewritten(&mut edits), Some(other))
}

/// MCP 2026-07-28, Error Codes: those that must not be sent, and what is sent for them.
fn translated(code: i64) -> Option<i32> {
    match code {
        -32002 => Some(reply::INVALID_PARAMS),
        // The specification's own. A server of the session era cannot mean them.
        -32099..=-32020 => Some(reply::INTERNAL_ERROR),
        _ => None,
    }
}

/// The place of `error.code`, the code, and `error.data`.
fn read_error(message: &Message) -> Option<(Span, i64, Option<&str>)> {
    let text = message.text();
    let [error] = object::members(text, &["error"]).ok()?;
    let [code, data] = object::members(error?, &["code", "data"]).ok()?;
    let code = code?;
    Some((Span::of(code, text)?, code.parse().ok()?, data))
}

fn missing_capability(form: &Form<'_>, missing: &Value) -> (Bytes, Option<i32>) {
    let fault = Fault::missing_capability(missing);
    (fault.body(form.id), Some(fault.code))
}

/// MCP 2025-11-25, URL Elicitation Required: the request can succeed once the user was at some URLs. Today's way to say
/// so is to ask for that; the client then sends the request again, which needs nothing to be kept here.
fn url_required(form: &Form<'_>, data: Option<&str>) -> (Bytes, Option<i32>) {
    if !form.takes_url {
        return missing_capability(form, &serde_json::json!({"elicitation": {"url": {}}}));
    }
    let elicitations = data.and_then(|data| object::members(data, &["elicitations"]).ok()).and_then(|[all]| all);
    let all: Vec<&RawValue> = elicitations
        .and_then(|all| serde_json::from_str(all).ok())
        .filter(|all: &Vec<_>| !all.is_empty())
        .unwrap_or_default();
    if all.is_empty() {
        let body = reply::error(form.id, reply::INTERNAL_ERROR, "The MCP server asks for a URL that it does not name");
        return (body, Some(reply::INTERNAL_ERROR));
    }
    let asked = |(number, params): (usize, &&RawValue)| {
        format!(r#""url-{}":{{"method":"elicitation/create","params":{}}}"#, number + 1, params.get())
    };
    let asked: Vec<String> = all.iter().enumerate().map(asked).collect();
    (input_required(form.id, form.identity, &asked, None), None)
}

/// An `input_required` result. `asked` are members of `inputRequests`, JSON.
#[must_use]
pub fn input_required(id: &[u8], identity: &Identity, asked: &[String], state: Option<&str>) -> Bytes {
    let state = state.map_or_else(String::new, |state| format!(r#","requestState":{}"#, Value::from(state)));
    let result = format!(
        r#"{{"resultType":"input_required","inputRequests":{{{}}}{state},"_meta":{{{}}}}}"#,
        asked.join(","),
        identity.member()
    );
    // A server may write its questions on several lines; an event, or a line of standard input, is one.
    reply::result(id, &splice::splice(result.as_bytes(), &mut [], true))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answer(text: &str, takes_url: bool, missing: Option<&Value>) -> (Value, Option<i32>) {
        let message = Message::parse(Bytes::copy_from_slice(text.as_bytes())).unwrap();
        let identity = &Identity::new("{}");
        let form = Form { id: b"\"a\"", identity, is_own: false, is_cacheable: false, takes_url, missing };
        let (body, code) = finish(&message, &form);
        (serde_json::from_slice(&body).unwrap(), code)
    }

    #[test]
    fn d_25_codes_of_earlier_versions_are_not_sent() {
        for (code, expected) in
            [(-32002, -32602), (-32020, -32603), (-32050, -32603), (-32601, -32601), (-32000, -32000), (-1, -1)]
        {
            let text =
                format!(r#"{{"jsonrpc":"2.0","id":1,"error":{{"data":{{"code":7}},"code":{code},"message":"m"}}}}"#);
            let (body, got) = answer(&text, true, None);
            assert_eq!((body["error"]["code"].as_i64(), got), (Some(i64::from(expected)), Some(expected)));
            assert_eq!((&body["id"], &body["error"]["data"]["code"]), (&json!("a"), &json!(7)));
        }
    }

    #[test]
    fn d_25_a_url_that_is_required_is_asked_for() {
        let text = r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32042,"message":"m","data":{"elicitations":[{"mode":"url","url":"https://x"}]}}}"#;
        let (body, _) = answer(text, true, None);
        assert_eq!(body["result"]["inputRequests"]["url-1"]["params"]["url"], "https://x");
        assert_eq!(answer(text, false, None).1, Some(reply::MISSING_CAPABILITY));
    }

    #[test]
    fn d_14_a_failure_for_want_of_a_capability_names_it_and_a_success_stays_one() {
        let missing = json!({"sampling": {}});
        for failed in [r#""error":{"code":-1,"message":"m"}"#, r#""result":{"isError":true,"content":[]}"#] {
            let (body, code) = answer(&format!(r#"{{"jsonrpc":"2.0","id":1,{failed}}}"#), false, Some(&missing));
            assert_eq!((&body["error"]["data"]["requiredCapabilities"], code), (&missing, Some(-32021)));
        }
        let (body, code) = answer(r#"{"jsonrpc":"2.0","id":1,"result":{"content":[]}}"#, false, Some(&missing));
        assert_eq!((&body["result"]["resultType"], code), (&json!("complete"), None));
    }
}
