//! Log lines as they come out, written into a buffer.

use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;
use serde_json::Value;
use tracing::subscriber::with_default;
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;

use super::{layer, open_file};
use crate::config::section::LogFormat;
use crate::telemetry::line::Output;

#[derive(Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What is written when `log` runs.
fn written(format: LogFormat, is_terminal: bool, log: impl FnOnce()) -> String {
    let buffer = Buffer::default();
    let output = buffer.clone();
    let writer = BoxMakeWriter::new(move || output.clone());
    let layer = layer(format, Arc::new(ArcSwap::from_pointee(Output { is_terminal, writer })));
    with_default(tracing_subscriber::registry().with(layer), log);
    let bytes = buffer.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap()
}

const HOSTILE: &str = "eve\n{\"msg\":\"login ok\"}\r\x1b[2J\u{9b}1m\u{2028}\u{2029}\u{85}\u{202e}\u{7f}end";

fn log_hostile() {
    let span = tracing::info_span!("request", path = HOSTILE);
    let _entered = span.enter();
    tracing::warn!(user = HOSTILE, shown = %HOSTILE, debugged = ?HOSTILE, "login of {HOSTILE} failed");
}

fn is_plain(text: &str) -> bool {
    text.chars().all(|c| !c.is_control() && !matches!(c, '\u{2028}' | '\u{2029}' | '\u{202e}'))
}

#[test]
fn log_2_hostile_values_stay_on_one_line_of_text() {
    let output = written(LogFormat::Text, false, log_hostile);
    let line = output.strip_suffix('\n').unwrap();
    assert!(is_plain(line), "{line:?}");
    assert!(line.contains("\\u{2028}") && line.contains("login ok"), "{line}");
    assert!(line.matches("end").count() == 5, "{line}");
}

#[test]
fn log_2_hostile_values_stay_in_one_json_object() {
    let output = written(LogFormat::Json, false, log_hostile);
    let line = output.strip_suffix('\n').unwrap();
    assert!(is_plain(line), "{line:?}");
    let event: Value = serde_json::from_str(line).unwrap();
    assert_eq!(event["user"], HOSTILE);
    assert_eq!(event["message"], format!("login of {HOSTILE} failed"));
    assert_eq!(event["span"]["path"], HOSTILE);
}

#[test]
fn log_2_colour_is_the_level_and_nothing_else() {
    let output = written(LogFormat::Text, true, log_hostile);
    let line = output.strip_suffix('\n').unwrap();
    let (time, rest) = line.split_once(' ').unwrap();
    assert!(is_plain(time));
    let rest = rest.strip_prefix("\u{1b}[33m WARN\u{1b}[0m").unwrap();
    assert!(is_plain(rest), "{rest:?}");
}

#[test]
fn log_2_a_long_value_is_cut() {
    let long = "ä".repeat(1 << 20);
    let text = written(LogFormat::Text, false, || tracing::info!(user = %long, "hello"));
    assert!(text.len() < 20_000 && text.contains("bytes more") && text.lines().count() == 1);
    let json = written(LogFormat::Json, false, || tracing::info!(user = %long, "hello"));
    let event: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(event["message"], "hello");
    assert!(json.len() < 20_000 && event["user"].as_str().unwrap().ends_with("bytes more)"));
}

#[test]
fn a_log_file_is_for_its_owner_and_grows() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bridge.log");
    open_file(&path).unwrap().write_all(b"one\n").unwrap();
    open_file(&path).unwrap().write_all(b"two\n").unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "one\ntwo\n");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}
