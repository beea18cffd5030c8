//! A child's standard error into the log, and never more than the log can bear. It need not mean an error; hence level
//! `info`.

use std::time::Duration;

use tokio::time::Instant;

use super::Line;
use crate::base::secret::Secret;

/// The longest piece of a line that is logged, in bytes.
pub(super) const LONGEST_LINE: usize = 4096;

/// How many lines are logged in one [`WINDOW`]; the rest is counted.
const LINES_PER_WINDOW: u32 = 200;

const WINDOW: Duration = Duration::from_secs(1);

/// Where the lines of one child go.
#[derive(Debug)]
pub(in crate::bridge::upstream::child) struct Log {
    upstream: String,
    secrets: Vec<Secret>,
    window_end: Instant,
    logged: u32,
    dropped: u64,
}

impl Log {
    /// `secrets`, the longest first, are blotted out wherever they appear.
    pub(super) fn new(upstream: &str, secrets: Vec<Secret>) -> Self {
        Self { upstream: upstream.to_owned(), secrets, window_end: Instant::now() + WINDOW, logged: 0, dropped: 0 }
    }

    pub(super) fn line(&mut self, line: &Line) {
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
    pub(super) fn turn(&mut self) {
        if Instant::now() >= self.window_end {
            self.account();
            self.window_end = Instant::now() + WINDOW;
            self.logged = 0;
        }
    }

    pub(super) fn account(&mut self) {
        if self.dropped > 0 {
            tracing::warn!(upstream = self.upstream, dropped = self.dropped, "standard error: lines were not logged");
            self.dropped = 0;
        }
    }

    /// Whether there is something to account for when the window is over.
    pub(super) const fn has_dropped(&self) -> bool {
        self.dropped > 0
    }

    pub(super) const fn window_end(&self) -> Instant {
        self.window_end
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
    pub(super) fn kept(&self) -> usize {
        LONGEST_LINE + self.secrets.iter().map(|secret| secret.expose().len()).max().unwrap_or(0)
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

    use super::super::{Destination, drain, report};
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
        let reported = drain(input, Destination::Log(Log::new("files", secrets))).await;
        drop(guard);
        let text = String::from_utf8(captured.0.lock().unwrap().clone()).unwrap();
        (text, reported)
    }

    #[tokio::test]
    async fn child_12_terminal_codes_secrets_and_wrong_bytes_are_made_harmless() {
        let input = b"\x1b[31mred\xff hush-hush-1 \xe2\x80\xae\rx\r\n\n";
        let (text, reported) = logged(input, &["hush-hush-1", "hush-hush"]).await;
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
