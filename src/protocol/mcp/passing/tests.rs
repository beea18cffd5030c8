//! What passes is what the same answer would be if it were held whole.

use serde_json::{Value, json};

use super::*;

fn terms(kinds: Kinds, is_completed: bool) -> Terms {
    let completed = is_completed.then(|| (Some(Identity::new(r#"{"name":"s"}"#)), true));
    Terms { expected: "17".to_owned(), id: Bytes::from_static(br#""a""#), kinds, completed, max_depth: 20 }
}

fn pass(text: &[u8], length: usize, terms: Terms) -> Result<String, PassFault> {
    let (mut passing, mut out) = (Passing::new(terms), Vec::new());
    for piece in text.chunks(length) {
        passing.push(piece, &mut out)?;
    }
    passing.finish(&mut out)?;
    Ok(String::from_utf8(out).unwrap())
}

/// Passes it in pieces of every length; all must come to the same.
fn in_all_pieces(text: &str, terms: &Terms) -> Result<String, PassFault> {
    let whole = pass(text.as_bytes(), text.len(), terms.clone());
    for length in 1..text.len() {
        assert_eq!(
            pass(text.as_bytes(), length, terms.clone()).ok(),
            whole.clone().ok(),
            "{text} in pieces of {length}"
        );
    }
    whole
}

#[test]
fn the_id_is_replaced_wherever_it_stands_and_every_other_byte_stays() {
    let result = r#"{ "n" : 1.50E+2,"é":"\u00e9 \" }","id":17,"x":[{"id":17},null ],"_meta":{"y":0.10} }"#;
    for envelope in [
        r#"{"jsonrpc":"2.0","id":ID,"result":RESULT}"#,
        r#"{"result":RESULT,"jsonrpc":"2.0","id":ID}"#,
        r#" { "id" : ID , "result" : RESULT, "own" : { "id" : 3 }, "json\u0072pc":"2.0" , "error":null } "#,
    ] {
        let of = |id: &str| envelope.replace("RESULT", result).replace("ID", id);
        let passed = in_all_pieces(&of("17"), &terms(Kinds::Any, false)).unwrap();
        assert_eq!(passed.trim_end(), of(r#""a""#).trim_end());
    }
    let lines = "{\"jsonrpc\":\"2.0\",\r\n\"id\":17,\n\"result\":{}}\n";
    assert_eq!(
        in_all_pieces(lines, &terms(Kinds::Any, false)).unwrap(),
        r#"{"jsonrpc":"2.0",  "id":"a", "result":{}}"#
    );
}

#[test]
fn mcp_3_what_is_no_answer_to_this_request_never_comes_to_its_end() {
    for text in [
        r#"{"jsonrpc":"2.0","id":18,"result":{}}"#,
        r#"{"jsonrpc":"2.0","id":"17","result":{}}"#,
        r#"{"jsonrpc":"2.0","id":{"a":17},"result":{}}"#,
        r#"{"jsonrpc":"2.0","result":{}}"#,
        r#"{"id":17,"result":{}}"#,
        r#"{"jsonrpc":"1.0","id":17,"result":{}}"#,
        r#"{"jsonrpc":"2.0","id":17,"result":{},"id":17}"#,
        r#"{"jsonrpc":"2.0","id":17,"result":{},"i\u0064":17}"#,
        r#"{"jsonrpc":"2.0","id":17,"result":{},"result":{}}"#,
        r#"{"jsonrpc":"2.0","id":17,"result":{},"Result":{}}"#,
        r#"{"jsonrpc":"2.0","id":17,"result":{},"x":1,"x":2}"#,
        r#"{"jsonrpc":"2.0","id":17,"result":{},"error":{}}"#,
        r#"{"jsonrpc":"2.0","id":17,"result":{},"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":17,"result":{},"params":null}"#,
        r#"{"jsonrpc":"2.0","id":17,"result":[]}"#,
        r#"{"jsonrpc":"2.0","id":17,"error":{"code":1,"message":""}}"#,
        r#"{"jsonrpc":"2.0","id":17,"result":{}"#,
        r#"{"jsonrpc":"2.0","id":17,"result":{}}{}"#,
        r#"{"jsonrpc":"2.0","id":17,"result":{"a":}}"#,
        r#"[{"jsonrpc":"2.0","id":17,"result":{}}]"#,
        "\u{feff}{\"jsonrpc\":\"2.0\",\"id\":17,\"result\":{}}",
    ] {
        assert!(in_all_pieces(text, &terms(Kinds::Any, false)).is_err(), "{text}");
    }
    let name = "x".repeat(2 * MAX_NAME);
    let of = |text: &str| pass(text.replace('X', &name).as_bytes(), 100, terms(Kinds::Complete, false));
    assert!(of(r#"{"jsonrpc":"2.0","id":17,"X":1,"result":{}}"#).is_err());
    assert!(of(r#"{"jsonrpc":"2.0","id":17,"result":{"resultType":"X"}}"#).is_err());
    assert!(of(r#"{"jsonrpc":"2.0","id":17,"result":{"X":1}}"#).is_ok());
    let broken = [&br#"{"jsonrpc":"2.0","id":17,"result":{"a":""#[..], b"\xC3", br#""}}"#].concat();
    assert!((1..broken.len()).all(|length| pass(&broken, length, terms(Kinds::Any, false)).is_err()), "no UTF-8");
}

#[test]
fn d_18_what_is_missing_is_added_as_it_passes() {
    for result in [
        "{}",
        "{ }",
        r#"{"n":1.50 }"#,
        r#"{"_meta":{},"a":1}"#,
        r#"{"_meta":{ "x":1e2} ,"ttlMs":5}"#,
        r#"{"resultType":"x","_meta":null}"#,
        r#"{"a":{"_meta":{}},"cacheScope":"public"}"#,
        r#"{"_meta":{"io.modelcontextprotocol/serverInfo":{}},"resultType":"complete"}"#,
        r#"{"a":1,"ttlMs":1,"ttlMs":2}"#,
        r#"{"resultType":"input_required","requestState":"x","inputRequests":{}}"#,
        r#"{"a":"b","resultType" : [{"resultType":null}] ,"ttlMs":-5.0 ,"cacheScope":{"a":{"b":1}} }"#,
        r#"{"resultType":null,"_meta":5,"ResultType":1}"#,
    ] {
        let text = format!(r#"{{"jsonrpc":"2.0","id":17,"result":{result}}}"#);
        let passed: Value = serde_json::from_str(&in_all_pieces(&text, &terms(Kinds::Any, true)).unwrap()).unwrap();
        let message = crate::protocol::mcp::message::Message::parse(Bytes::from(text.clone())).unwrap();
        let crate::protocol::mcp::message::Kind::Answer { id: Some(id), result: Some(at), parts } = message.kind()
        else {
            panic!()
        };
        let id = crate::protocol::mcp::splice::Edit { at: *id, with: br#""a""# };
        let held = crate::protocol::mcp::completion::completed(
            &message,
            id,
            (*at, parts),
            crate::protocol::mcp::completion::Server::Earlier(&Identity::new(r#"{"name":"s"}"#)),
            true,
        );
        assert_eq!(passed, serde_json::from_slice::<Value>(&held).unwrap(), "{result}");
        assert_eq!(passed["id"], json!("a"));
    }
}

#[test]
fn mr_a_question_is_no_result_that_passes() {
    let fate = |kinds, result: &str| {
        let text = format!(r#"{{"jsonrpc":"2.0","id":17,"result":{result}}}"#);
        let mut passing = Passing::new(terms(kinds, false));
        let end = text.rfind("END").map_or(text.len(), |end| end - 1);
        let begun = passing.push(&text.as_bytes()[..end], &mut Vec::new()).is_ok();
        (begun && passing.is_decided(), in_all_pieces(&text, &terms(kinds, false)).is_ok())
    };
    let question = r#"{"resultType":"input_required","inputRequests":{},"END":1}"#;
    assert_eq!(fate(Kinds::Any, question), (true, true), "a server of before means nothing by it");
    assert_eq!(fate(Kinds::NoQuestion, question), (false, false));
    assert_eq!(fate(Kinds::Complete, question), (false, false));
    assert!(!fate(Kinds::Complete, r#"{"_meta":{},"requestState":"","END":1}"#).0, "it may yet be one");
    assert_eq!(fate(Kinds::Complete, r#"{"content":[],"END":1,"resultType":"input_required"}"#), (true, false));
    assert_eq!(fate(Kinds::NoQuestion, r#"{"content":[],"END":1,"result\u0054ype":"input_required"}"#), (true, false));
    assert_eq!(fate(Kinds::Complete, r#"{"content":[],"END":1,"resultType":5}"#), (true, false));
    assert_eq!(fate(Kinds::NoQuestion, r#"{"resultType":"other","END":1}"#), (true, true), "its client judges itself");
    assert_eq!(fate(Kinds::Complete, r#"{"resultType":"complete","END":1}"#), (true, true));
}
