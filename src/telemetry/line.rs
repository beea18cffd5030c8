//! The last station of every log line: escaped, shortened, and coloured for a terminal.

use std::borrow::Cow;
use std::io::{self, Write};
use std::sync::Arc;

use arc_swap::ArcSwap;
use serde_json::Value;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

use crate::base::limit::Limit;
use crate::base::username::is_invisible;

/// Longer lines are cut: one request must not fill the disk.
const LONGEST_LINE: usize = 16 * 1024;
/// Shown by `config show --limits`.
pub const LIMITS: [Limit; 1] = [Limit::bytes("line of the log", LONGEST_LINE, "it is cut")];
/// What is left of a long text within a JSON line.
const LONGEST_JSON_TEXT: usize = 1024;

/// What a line looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    /// One JSON object.
    Json,
    /// Plain text.
    Text,
    /// Text with the level in colour.
    ColoredText,
}

/// Where lines go.
pub struct Output {
    /// Whether a person watches.
    pub is_terminal: bool,
    /// What takes them.
    pub writer: BoxMakeWriter,
}

/// Makes a [`Line`] for each event, over the output of the moment.
pub struct MakeLine {
    is_json: bool,
    output: Arc<ArcSwap<Output>>,
}

impl MakeLine {
    pub fn new(is_json: bool, output: Arc<ArcSwap<Output>>) -> Self {
        Self { is_json, output }
    }
}

impl<'a> MakeWriter<'a> for MakeLine {
    type Writer = Line;

    fn make_writer(&'a self) -> Self::Writer {
        Line { is_json: self.is_json, output: self.output.load_full() }
    }
}

/// Takes a whole event in each call of `write`, which is how `tracing-subscriber` hands them over.
pub struct Line {
    is_json: bool,
    output: Arc<Output>,
}

impl Write for Line {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let style = match (self.is_json, self.output.is_terminal) {
            (true, _) => Style::Json,
            (false, true) => Style::ColoredText,
            (false, false) => Style::Text,
        };
        let line = finished(style, text.strip_suffix('\n').unwrap_or(&text));
        // One call, so that lines of two threads or processes do not mix.
        self.output.writer.make_writer().write_all(line.as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.writer.make_writer().flush()
    }
}

fn finished(style: Style, event: &str) -> String {
    let mut line = match style {
        Style::Json => escaped(&shortened_json(event), json_escape),
        Style::Text => escaped(&shortened(event, LONGEST_LINE), text_escape),
        Style::ColoredText => colored(&escaped(&shortened(event, LONGEST_LINE), text_escape)),
    };
    line.push('\n');
    line
}

/// Replaces everything that a terminal or a reader of lines could act upon: control characters, separators of lines, and what
/// changes the direction of writing or cannot be seen.
fn escaped(text: &str, escape: fn(char) -> String) -> String {
    let mut line = String::with_capacity(text.len() + 1);
    for character in text.chars() {
        if is_invisible(character) { line.push_str(&escape(character)) } else { line.push(character) }
    }
    line
}

fn text_escape(character: char) -> String {
    character.escape_default().to_string()
}

/// RFC 8259 §7: beyond the Basic Multilingual Plane, as two surrogates.
fn json_escape(character: char) -> String {
    character.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect()
}

fn shortened(text: &str, longest: usize) -> Cow<'_, str> {
    if text.len() <= longest {
        return Cow::Borrowed(text);
    }
    let end = text.floor_char_boundary(longest);
    Cow::Owned(format!("{} … ({} bytes more)", &text[..end], text.len() - end))
}

/// Shortens the texts within a long object, so that it stays JSON.
fn shortened_json(event: &str) -> Cow<'_, str> {
    if event.len() <= LONGEST_LINE {
        return Cow::Borrowed(event);
    }
    match serde_json::from_str::<Value>(event) {
        Ok(mut value) => {
            shorten_texts(&mut value);
            Cow::Owned(value.to_string())
        }
        Err(_) => Cow::Borrowed("{\"level\":\"WARN\",\"message\":\"a log line was too long\"}"),
    }
}

fn shorten_texts(value: &mut Value) {
    match value {
        Value::String(text) if text.len() > LONGEST_JSON_TEXT => {
            *text = shortened(text, LONGEST_JSON_TEXT).into_owned()
        }
        Value::Array(elements) => elements.iter_mut().for_each(shorten_texts),
        Value::Object(members) => members.values_mut().for_each(shorten_texts),
        _ => {}
    }
}

/// The level is the second word of a line; its colour is the only thing here that writes an escape character.
fn colored(line: &str) -> String {
    let Some((time, rest)) = line.split_once(' ') else { return line.to_owned() };
    for (level, color) in [("ERROR", 31), ("WARN", 33), ("INFO", 32), ("DEBUG", 34), ("TRACE", 35)] {
        if let Some(message) = rest.trim_start().strip_prefix(level) {
            return format!("{time} \u{1b}[{color}m{level:>5}\u{1b}[0m{message}");
        }
    }
    line.to_owned()
}
