//! A child's standard error into the log: always drained, and never more than the log can bear.
//!
//! MCP, Transports, stdio: a server may write anything there, and it need not mean an error; hence level `info`.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::{Instant, timeout_at};

use super::report;
use crate::base::limit::Limit;
use crate::base::secret::Secret;

/// The longest piece of a line that is logged, in bytes.
const LONGEST_LINE: usize = 4096;

/// How many lines are logged in one [`WINDOW`]; the rest is counted.
const LINES_PER_WINDOW: u32 = 200;

const WINDOW: Duration = Duration::from_secs(1);
/// Shown by `config show --limits`.
pub const LIMITS: [Limit; 2] = [
    Limit::bytes("logged line of a child's standard error", LONGEST_LINE, "the rest is cut off"),
    Limit::count("logged lines of a child, each second", LINES_PER_WINDOW as usize, "the rest is counted"),
];

/// Where the lines of one child go.
#[derive(Debug)]
pub(super) struct Log {
    upstream: String,
    secrets: Vec<Secret>,
    window_end: Instant,
    logged: u32,
    dropped: u64,
}

impl Log {
    /// `secrets` are blotted out wherever they appear.
    pub(super) fn new(upstream: &str, mut secrets: Vec<Secret>) -> Self {
        // The longest first: one may be the beginning of another, whose rest would stay.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.expose().len()));
        Self { upstream: upstream.to_owned(), secrets, window_end: Instant::now() + WINDOW, logged: 0, dropped: 0 }
    }

    fn line(&mut self, line: &Line) {
        self.turn();
        if self.logged == LINES_PER_WINDOW {
            self.dropped += 1;
            return;
        }
        self.logged += 1;
        let text = self.readable(line);
        tracing::info!(upstream = self.upstream, "{text}");
    }

    /// Begins a new window when the old one is over, and tells what the old one dropped.
    fn turn(&mut self) {
        if Instant::now() >= self.window_end {
            self.account();
            self.window_end = Instant::now() + WINDOW;
            self.logged = 0;
        }
    }

    fn account(&mut self) {
        if self.dropped > 0 {
            tracing::warn!(upstream = self.upstream, dropped = self.dropped, "standard error: lines were not logged");
            self.dropped = 0;
        }
    }

    /// Secrets first: escaping or cutting before could split one so that its parts show.
    fn readable(&self, line: &Line) -> String {
        let mut text = String::from_utf8_lossy(&line.bytes).into_owned();
        for secret in &self.secrets {
            text = text.replace(secret.expose(), "[redacted]");
        }
        let whole = text.len();
        text.truncate(text.floor_char_boundary(LONGEST_LINE));
        let more = line.beyond + (whole - text.len());
        let mut text = escaped(&text);
        if more > 0 {
            text.push_str(&format!(" … ({more} bytes more)"));
        }
        text
    }

    /// How much of a line must be kept so that a secret that reaches over the cut is still seen whole.
    fn kept(&self) -> usize {
        LONGEST_LINE + self.secrets.iter().map(|secret| secret.expose().len()).max().unwrap_or(0)
    }
}

/// Reads until the end and logs. Returns the keeper's report, if there was one.
pub(super) async fn drain(mut stderr: impl AsyncRead + Unpin, mut log: Log) -> Option<String> {
    let mut reported = None;
    let mut line = Line::default();
    let mut chunk = vec![0; 16 * 1024];
    loop {
        let read = if log.dropped > 0 {
            // The count of what was dropped must not wait for the child's next word.
            match timeout_at(log.window_end, stderr.read(&mut chunk)).await {
                Ok(read) => read,
                Err(_) => {
                    log.turn();
                    continue;
                }
            }
        } else {
            stderr.read(&mut chunk).await
        };
        let Ok(length @ 1..) = read else { break };
        for part in chunk[..length].split_inclusive(|byte| *byte == b'\n') {
            line.append(part, log.kept());
            if part.ends_with(b"\n") {
                finish(&mut line, &mut log, &mut reported);
            }
        }
    }
    finish(&mut line, &mut log, &mut reported);
    log.account();
    reported
}

/// Hands a whole line on: to the log, or, when it is the keeper's, to the caller.
fn finish(line: &mut Line, log: &mut Log, reported: &mut Option<String>) {
    let line = std::mem::take(line);
    if let Some(words) = report::decode(&line.bytes) {
        *reported = Some(escaped(&words));
    } else if !line.bytes.is_empty() {
        log.line(&line);
    }
}

/// The beginning of a line, and how much is not kept.
#[derive(Debug, Default)]
struct Line {
    bytes: Vec<u8>,
    beyond: usize,
}

impl Line {
    fn append(&mut self, part: &[u8], bound: usize) {
        let part = part.strip_suffix(b"\n").unwrap_or(part);
        let part = part.strip_suffix(b"\r").unwrap_or(part);
        let kept = part.len().min(bound.saturating_sub(self.bytes.len()));
        self.bytes.extend_from_slice(&part[..kept]);
        self.beyond += part.len() - kept;
    }
}

/// Control characters, and those that turn the direction of text or break lines, as `\u{…}`: what a child prints can
/// neither steer the operator's terminal nor forge a second log line.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        let steers = matches!(character, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if character.is_control() || steers {
            out.extend(character.escape_default());
        } else {
            out.push(character);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Captured(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Captured {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What stands in the log after a child has printed `input`, and the keeper's report.
    async fn logged(input: &[u8], secrets: &[&str]) -> (String, Option<String>) {
        let captured = Captured::default();
        let writer = captured.clone();
        let subscriber =
            tracing_subscriber::fmt().with_writer(move || writer.clone()).with_ansi(false).without_time().finish();
        let guard = tracing::subscriber::set_default(subscriber);
        let secrets = secrets.iter().map(|secret| Secret::new(*secret)).collect();
        let reported = drain(input, Log::new("files", secrets)).await;
        drop(guard);
        let text = String::from_utf8(captured.0.lock().unwrap().clone()).unwrap();
        (text, reported)
    }

    #[tokio::test]
    async fn child_12_terminal_codes_secrets_and_wrong_bytes_are_made_harmless() {
        let input = b"\x1b[31mred\xff hush-hush-1 \xe2\x80\xae\rx\r\n\n";
        let (text, reported) = logged(input, &["hush-hush", "hush-hush-1"]).await;
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.contains(r"\u{1b}[31mred� [redacted] \u{202e}\rx"), "{text}");
        assert!(text.contains(r#"upstream="files""#), "{text}");
        assert_eq!(reported, None);
    }

    #[tokio::test]
    async fn child_12_a_long_line_is_cut_and_a_secret_on_the_cut_does_not_show() {
        let line = format!("{}hush-hush-1{}\n", "x".repeat(LONGEST_LINE - 4), "y".repeat(100_000));
        let (text, _) = logged(line.as_bytes(), &["hush-hush-1"]).await;
        assert!(!text.contains("hush") && text.contains("x[red …"), "{}", &text[LONGEST_LINE - 50..]);
        assert!(text.len() < LONGEST_LINE + 200 && text.contains("bytes more)"), "{}", text.len());
    }

    #[tokio::test]
    async fn child_12_a_flood_is_counted_instead_of_logged() {
        let (text, _) = logged("flood\n".repeat(5000).as_bytes(), &[]).await;
        let shown = text.lines().filter(|line| line.contains(": flood ")).count();
        assert!((200..5000).contains(&shown), "{shown}");
        let counted =
            text.lines().filter_map(|line| line.rsplit_once("dropped=")?.1.parse::<usize>().ok()).sum::<usize>();
        assert_eq!(shown + counted, 5000);
    }

    #[tokio::test]
    async fn the_keepers_last_word_wins_and_is_not_logged() {
        let input = format!("{}open line{}", report::encode("forged"), report::encode("exited with 1"));
        let (text, reported) = logged(input.as_bytes(), &[]).await;
        assert_eq!(reported.as_deref(), Some("exited with 1"));
        assert!(text.contains(": open line ") && !text.contains("forged"), "{text}");
    }
}
