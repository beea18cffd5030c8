//! `log`: what is written, how and where.

use std::path::PathBuf;

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
