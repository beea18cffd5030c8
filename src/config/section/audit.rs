//! `audit`: the trail of security events.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::fault::Wrong;
use crate::config::reader::Reader;
use crate::config::reader::kind;

/// `audit`, when it is enabled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audit {
    /// `path`.
    pub output: AuditOutput,
    /// `max_size_mb`, in bytes: a file that would grow beyond it is put aside.
    pub max_size: u64,
    /// `max_age`: a file whose first line is older is put aside. Zero: none is for its age.
    pub max_age: Duration,
    /// `keep`: how many files that were put aside are kept.
    pub keep: u32,
}

/// `audit.path`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuditOutput {
    /// `stdout`.
    Stdout,
    /// A file, absolute here, made with mode 0600.
    File(PathBuf),
}

/// The word for standard output.
const STDOUT: &str = "stdout";
/// More files than anybody renames at each rotation.
const MOST_KEPT: u32 = 1000;

impl Audit {
    pub(in crate::config) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let enabled = reader.boolean("enabled", false, "Writes who was let in, refused, granted and revoked.");
        let path = "/var/log/mcp-bridge/audit.jsonl";
        let path = reader.text("path", path, "A file of JSON lines (made with mode 0600), or stdout.");
        let output = if path == STDOUT { AuditOutput::Stdout } else { AuditOutput::File(reader.folder().join(path)) };
        let megabytes = reader.count("max_size_mb", 100, "The file is put aside as path.1 before it grows beyond.");
        let doc = "The file is put aside when its first line is older, such as 720h; 0s: never for its age.";
        let max_age = reader.value("max_age", &kind::DURATION, "0s", doc);
        let keep = reader.count("keep", 10, "How many files that were put aside are kept.");
        if megabytes == 0 {
            reader.fault("max_size_mb", Wrong::new("is 0, and no line fits", "write 1 or more"));
        }
        if keep == 0 || keep > MOST_KEPT {
            let fix = format!("write a number from 1 to {MOST_KEPT}");
            reader.fault("keep", Wrong::new(format!("is {keep}"), fix));
        }
        if !enabled && ["path", "max_size_mb", "max_age", "keep"].iter().any(|key| reader.is_set(key)) {
            let problem = "is written, but nothing is recorded";
            reader.warn("", Wrong::new(problem, "write enabled: true, or remove the section"));
        }
        let max_size = u64::from(megabytes) << 20;
        enabled.then_some(Self { output, max_size, max_age, keep })
    }
}
