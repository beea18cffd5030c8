//! The tools of the small server: one that answers at once, one with a large result, one that reports progress, and as many more as wanted.

use std::fmt::Write as _;

/// `echo`, `large` and `progress`, as the list gives them.
const OWN: &str = concat!(
    r#"{"name":"echo","description":"Gives a message back","inputSchema":{"type":"object","properties":{"message":{"type":"string"}},"required":["message"]},"annotations":{"readOnlyHint":true}},"#,
    r#"{"name":"large","description":"A text of so many bytes","inputSchema":{"type":"object","properties":{"bytes":{"type":"integer"}},"required":["bytes"]},"annotations":{"readOnlyHint":true}},"#,
    r#"{"name":"progress","description":"So many reports of progress, then an answer","inputSchema":{"type":"object","properties":{"events":{"type":"integer"},"bytes":{"type":"integer"},"delay_ms":{"type":"integer"}},"required":["events"]},"annotations":{"readOnlyHint":true}}"#,
);

/// The three tools and so many in all, as the value of `tools`.
#[must_use]
pub fn list(count: usize) -> String {
    let mut text = format!("[{OWN}");
    for number in 3..count {
        // Writing to a string does not fail.
        let _ = write!(
            text,
            r#",{{"name":"tool_{number:05}","description":"One of many, to make the list long: number {number}","inputSchema":{{"type":"object","properties":{{"path":{{"type":"string"}}}}}}}}"#
        );
    }
    text.push(']');
    text
}
