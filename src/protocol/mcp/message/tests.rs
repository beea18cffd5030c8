//! What is read from a message, and what is refused.

use super::*;

fn parse(text: &str) -> Result<Message, MessageFault> {
    Message::parse(Bytes::copy_from_slice(text.as_bytes()))
}

fn request(message: &Message) -> (&str, &Method, &Params) {
    match message.kind() {
        Kind::Request { id, method, params } => (message.json(*id), method, params),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_parts_of_a_request_are_found_where_they_stand() {
    let text = concat!(
        r#"{"params":{"_meta":{"x":1,"progressToken":"t"}, "name" : "a\"b","arguments":{"name":"inner"}},"#,
        r#""method":"tools/call","jsonrpc":"2.0","id":9007199254740993}"#
    );
    let message = parse(text).unwrap();
    let (id, method, params) = request(&message);
    assert_eq!((id, method), ("9007199254740993", &Method::ToolsCall));
    assert_eq!(message.string(params.get(Param::Name).unwrap()).unwrap(), "a\"b");
    assert_eq!(message.json(params.wanted_progress().unwrap()), "\"t\"");
    assert_eq!(message.json(params.get(Param::Arguments).unwrap()), r#"{"name":"inner"}"#);
    assert_eq!(message.rewritten(&mut []), text);
}

#[test]
fn ids_are_strings_or_integers() {
    for id in ["1", "-1", "\"1\"", "\"\"", "9007199254740993", "123456789012345678901234567890"] {
        let message = parse(&format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"ping"}}"#)).unwrap();
        assert_eq!(request(&message).0, id);
    }
    for id in ["null", "1.0", "1e3", "1e400", "{}", "[1]", "true", "NaN", "\"\\ud800\""] {
        let fault = parse(&format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"ping"}}"#)).unwrap_err();
        assert!(matches!(fault.code, reply::INVALID_REQUEST | reply::PARSE_ERROR), "{id}: {fault}");
    }
}

#[test]
fn mcp_3_what_could_be_read_in_two_ways_is_refused() {
    let bad = [
        "\u{feff}{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}",
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","method":"tools/call"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","Method":"tools/call"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","me\u0074hod":"tools/call"}"#,
        r#"{"jsonrpc":"2.0","ID":1,"id":1,"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","paramſ":{"name":"x"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","name":"b"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","Name":"b"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","_meta":{"p":1,"p":2}}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"_meta":{"progressTOKEN":1}}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"completion/complete","params":{"ref":{"name":"a","name":"b"}}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"ping",}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"ping"/* */}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":[]}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":{"\ud800":1}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"ping","\ud800":1}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"ping","result":{}}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{},"error":{}}"#,
        r#"{"jsonrpc":"2.0","id":null,"result":{}}"#,
        r#"{"jsonrpc":"2.0","id":1}"#,
        r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#,
        r#"{"id":1,"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":7}"#,
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"pi\0ng\"}",
        "[]",
        "",
    ];
    for text in bad {
        assert!(parse(text).is_err(), "{text:?}");
    }
    let utf16: Vec<u8> =
        r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#.encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert!(Message::parse(Bytes::from(utf16)).is_err());
    assert!(Message::parse(Bytes::from_static(b"{\"jsonrpc\":\"2.0\",\"id\":\"\xff\",\"method\":\"ping\"}")).is_err());
}

/// Each of them has to be passed, and none to be looked at again: this has no end if each takes as long as the text before it.
#[test]
fn mcp_7_what_comes_a_million_times_is_refused_as_fast_as_it_is_read() {
    for member in [r#""_meta":1,"#, r#""ref":null,"#] {
        let many = member.repeat(1_000_000);
        for message in [
            format!(r#"{{"jsonrpc":"2.0","id":1,"method":"completion/complete","params":{{{many}"a":1}}}}"#),
            format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{{many}"a":1}}}}"#),
        ] {
            let is_clear = parse(&message).is_ok_and(|message| match message.kind() {
                Kind::Answer { parts, .. } => parts.is_clear,
                _ => true,
            });
            assert!(!is_clear, "{member}");
        }
    }
}

#[test]
fn mcp_7_nesting_is_bounded() {
    let nested = |depth: usize| {
        let (open, close) = ("[".repeat(depth), "]".repeat(depth));
        parse(&format!(r#"{{"jsonrpc":"2.0","id":1,"method":"x","params":{{"a":{open}{close},"b":"[[[\"[["}}}}"#))
    };
    assert!(nested(MAX_DEPTH - 2).is_ok());
    assert!(nested(MAX_DEPTH - 1).is_err());
    assert!(nested(1_000_000).is_err());
}

#[test]
fn of_result_and_error_the_one_that_is_null_does_not_count() {
    let is_result = |text: &str| match parse(text).unwrap().kind() {
        Kind::Answer { result, .. } => result.is_some(),
        other => panic!("{other:?}"),
    };
    assert!(is_result(r#"{"jsonrpc":"2.0","id":1,"result":{},"error":null}"#));
    assert!(is_result(r#"{"jsonrpc":"2.0","id":1,"result":null}"#));
    assert!(!is_result(r#"{"jsonrpc":"2.0","id":1,"result":null,"error":{}}"#));
}

#[test]
fn line_breaks_are_taken_out_only_when_it_is_sent() {
    let text = "{\n \"jsonrpc\":\"2.0\",\r\n\"id\":1, \"method\":\"ping\", \"params\":{\"a\":\"\\n\"}}\n";
    let message = parse(text).unwrap();
    assert_eq!(message.rewritten(&mut []), text.replace(['\n', '\r'], " "));
}

#[test]
fn a_fault_in_the_params_is_answered_to_the_id() {
    let fault = parse(r#"{"jsonrpc":"2.0","id":"a","method":"x","params":{"name":1,"NAME":2}}"#).unwrap_err();
    assert_eq!(fault.id.as_deref(), Some("\"a\""));
    assert!(std::str::from_utf8(&fault.body()).unwrap().starts_with(r#"{"jsonrpc":"2.0","id":"a","error""#));
}

#[test]
fn mcp_6_batches_are_bounded() {
    let split = |text: &str| batch(&Bytes::copy_from_slice(text.as_bytes()), 3);
    assert_eq!(split("[ {\"a\":1} , 2]").unwrap(), ["{\"a\":1}", "2"]);
    assert!(split("[]").is_err() && split("[1,2,3,4]").is_err() && split("[1,]").is_err());
    assert!(is_batch(b" \n[") && !is_batch(b"{\"a\":[]}") && !is_batch(b""));
}

#[test]
fn what_a_result_says_is_found_and_what_could_be_read_in_two_ways_is_told_apart() {
    let parts = |result: &str| {
        let message = parse(&format!(r#"{{"jsonrpc":"2.0","id":1,"result":{result}}}"#)).unwrap();
        let Kind::Answer { result: Some(_), parts, .. } = message.kind() else { panic!() };
        let kind = parts.result_type.map(|at| message.json(at).to_owned());
        (kind, parts.lacks_server_info, parts.is_clear, parts.is_ambiguous)
    };
    let complete = Some(r#""complete""#.to_owned());
    let server = r#""io.modelcontextprotocol/serverInfo":{}"#;
    for (result, expected) in [
        (r#"{"resultType":"complete","content":[]}"#.to_owned(), (complete.clone(), false, true, false)),
        (r#"{"_meta":{"a":1},"result\u0054ype":"complete"}"#.to_owned(), (complete.clone(), true, true, false)),
        (format!(r#"{{"_meta":{{{server}}}}}"#), (None, false, true, false)),
        (r#"{"_meta":{"a":1,"a":2}}"#.to_owned(), (None, false, true, false)),
        (r#"{"_meta":null}"#.to_owned(), (None, false, true, false)),
        (r#"{"TTLMs":1,"resultType":"complete"}"#.to_owned(), (complete.clone(), false, false, false)),
        (r#"{"TTLMs":1,"ResultType":"x","resultType":"complete"}"#.to_owned(), (complete.clone(), false, false, true)),
        (r#"{"ResultType":"x","TTLMs":1}"#.to_owned(), (None, false, false, true)),
        (r#"{"a":1,"a":2,"resultType":"complete"}"#.to_owned(), (complete, false, false, true)),
        (r#"{"resultType":1,"resultType":2}"#.to_owned(), (Some("2".to_owned()), false, false, true)),
        (r#"{"\ud800":1,"_meta":{"\udc00":1}}"#.to_owned(), (None, false, false, false)),
        (r#"{"\ud800":1,"resultType":1,"resultType":2}"#.to_owned(), (Some("2".to_owned()), false, false, true)),
        ("[]".to_owned(), (None, false, false, false)),
    ] {
        assert_eq!(parts(&result), expected, "{result}");
    }
}

#[test]
fn mcp_3_escapes_are_no_way_to_write_what_decides() {
    let plain = |text: &str| parse(text).unwrap().written_plainly();
    for fine in [
        r#"{"jsonrpc":"2.0","id":"\u0031","method":"tools/call","params":{"name":"\u0061","arguments":{"na\u006de":"\n"}}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":{"\u00e9":1},"\u00e9":2}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{"meth\u006fd":"a\/b"}}"#,
    ] {
        assert_eq!(plain(fine).unwrap().text(), fine);
    }
    for escaped in [
        r#"{"jsonrpc":"2.0","id":1,"me\u0074hod":"tools/call"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools\u002fcall"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools\/c\u0061ll"}"#,
        r#"{"jsonrpc":"2.0","i\u0064":1,"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"na\u006de":"x"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","p\u0061rams":{"name":"x"}}"#,
    ] {
        let fault = plain(escaped).unwrap_err();
        assert_eq!((fault.code, fault.id.as_deref()), (reply::INVALID_REQUEST, Some("1")), "{escaped}");
    }
    // As PHP writes it.
    let slash = plain(r#"{"jsonrpc":"2.0","id":1,"method":"tools\/call","params":{"name":"a\/b"}}"#).unwrap();
    assert_eq!(slash.text(), r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a\/b"}}"#);
    assert_eq!(request(&slash).1, &Method::ToolsCall);
}
