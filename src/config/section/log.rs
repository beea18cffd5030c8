//! `log`: what is written, how and where.

use std::path::PathBuf;

use serde_json::json;

use crate::config::document::Node;
use crate::config::fault::Wrong;
use crate::config::reader::kind::{Kind, shortened, text};
use crate::config::reader::{Reader, nearest};

/// `log` (alias `logging`).
#[derive(Clone, Debug)]
pub struct Log {
    /// `level`: a level, or directives such as `info,mcp_bridge::bridge=debug`.
    pub level: String,
    /// `format`.
    pub format: LogFormat,
    /// `output`.
    pub output: LogOutput,
}

/// `log.format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

/// `log.output`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogOutput {
    /// Standard error.
    Stderr,
    /// Standard output.
    Stdout,
    /// A file, made with mode 0600 and appended to.
    File(PathBuf),
}

const FORMATS: [(&str, LogFormat); 2] = [("text", LogFormat::Text), ("json", LogFormat::Json)];
const LEVELS: [&str; 6] = ["trace", "debug", "info", "warn", "error", "off"];

impl Log {
    pub(in crate::config) fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            level: reader.value(
                "level",
                &LEVEL,
                "info",
                "trace, debug, info, warn, error or off; or directives for parts, such as info,mcp_bridge::bridge=debug.",
            ),
            format: reader.choice("format", &FORMATS, LogFormat::Text, "Lines for people, or one JSON object a line."),
            output: match reader.text("output", "stderr", "stderr, stdout, or a file (made with mode 0600).").as_str() {
                "stderr" => LogOutput::Stderr,
                "stdout" => LogOutput::Stdout,
                path => LogOutput::File(reader.folder().join(path)),
            },
        }
    }
}

const LEVEL: Kind<String> = Kind {
    schema: || json!({"type": "string"}),
    parse: |node| {
        let text = text(node)?;
        text.split(',')
            .try_for_each(|directive| check_level(directive.rsplit('=').next().unwrap_or(directive).trim()))?;
        Ok(text.replace(' ', ""))
    },
    print: |level| Node::String(level.clone()),
};

fn check_level(level: &str) -> Result<(), Wrong> {
    if LEVELS.contains(&level) {
        return Ok(());
    }
    let fix = match nearest(level, LEVELS.into_iter()) {
        Some(level) => format!("did you mean {level}?"),
        None => format!("write one of {}", LEVELS.join(", ")),
    };
    Err(Wrong::new(format!("`{}` is no level", shortened(level)), fix))
}
