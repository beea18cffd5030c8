//! One tool call, and whether its answer is the one that belongs to it.

use std::cell::Cell;
use std::time::Duration;

use crate::http::{Connection, Message, find};
use crate::target::{Asked, Seat, Target, unexpected};
use crate::{Result, flag, number, option};

const MESSAGE: &str = "hello from a load test, 64 bytes of text or thereabouts.";
/// What is kept of an answer that is not kept whole: its end, where the result is.
const END: usize = 64 * 1024;
/// What a slow client reads at a time, and how long it waits then.
const SIP: (usize, Duration) = (16 * 1024, Duration::from_millis(10));

/// What is called, from the command line.
#[derive(Debug)]
pub struct Call {
    asked: Asked,
    expected: String,
    least: usize,
    is_slow: bool,
    /// Set when a slow client is to become a quick one.
    pub hurry: Cell<bool>,
}

impl Call {
    /// Reads `--tool`, `--arguments`, `--expect`, `--least-bytes`, `--progress` and `--slow`.
    ///
    /// # Errors
    /// A number is none.
    pub fn from_options() -> Result<Self> {
        let asked = Asked {
            tool: option("--tool").unwrap_or_else(|| "echo".to_owned()),
            arguments: option("--arguments").unwrap_or_else(|| format!(r#"{{"message":"{MESSAGE}"}}"#)),
            with_progress: flag("--progress"),
        };
        Ok(Self {
            asked,
            expected: option("--expect").unwrap_or_else(|| MESSAGE.to_owned()),
            least: number("--least-bytes", 0)?,
            is_slow: flag("--slow"),
            hurry: Cell::new(false),
        })
    }

    /// Calls the tool once. Answers how many bytes the answer had.
    ///
    /// # Errors
    /// The answer is not the one that was expected.
    pub async fn make(&self, target: &Target, seat: &Seat, connection: &mut Connection, id: u64) -> Result<usize> {
        connection.write(&target.call(seat, id, &self.asked)).await?;
        let mut answer = connection.read_head().await?.ok_or("closed instead of an answer")?;
        let length = self.read(connection, &mut answer).await?;
        let body = &answer.body;
        let sound = answer.status() == 200 && (length > END || answered(body) == Some(id)) && length >= self.least;
        // The id stands at the beginning of a large answer, which is not kept; a connection carries one call at a time.
        if sound && find(body, self.expected.as_bytes()).is_some() {
            return Ok(length);
        }
        Err(unexpected(&format!("the call with id {id} ({length} bytes)"), &answer))
    }

    async fn read(&self, connection: &mut Connection, answer: &mut Message) -> Result<usize> {
        let mut length = 0;
        loop {
            let is_slow = self.is_slow && !self.hurry.get();
            let Some(piece) = connection.read_piece(if is_slow { SIP.0 } else { usize::MAX }).await? else { break };
            length += piece.len();
            answer.body.extend_from_slice(&piece);
            if answer.body.len() > 2 * END {
                answer.body.drain(..answer.body.len() - END);
            }
            if is_slow && !piece.is_empty() {
                tokio::time::sleep(SIP.1).await;
            }
        }
        Ok(length)
    }
}

/// The id of a JSON-RPC answer, which came as JSON or as the last event of a stream.
fn answered(body: &[u8]) -> Option<u64> {
    #[derive(serde::Deserialize)]
    struct Answer {
        id: u64,
    }
    let text = std::str::from_utf8(body).ok()?;
    let text = if text.starts_with('{') { text } else { text.rsplit_once("data:")?.1.split('\n').next()? };
    Some(serde_json::from_str::<Answer>(text.trim()).ok()?.id)
}
