//! What was sent on the streams of a mailbox, as it went over the wire: the newest is kept, to be sent again.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;

use crate::base::limit::Limit;
use crate::bridge::event_id::{EventId, StreamId};
use crate::bridge::load::Waiting as Unread;
use crate::bridge::mailbox::counted;
use crate::protocol::mcp::event_stream;

/// How many bytes of one mailbox are kept beside an answer.
pub const STREAM_BYTES: usize = 1024 * 1024;
/// How many bytes of one session are kept in all.
const SESSION_BYTES: usize = 4 * 1024 * 1024;
/// Shown by `config show --limits`.
pub const LIMITS: [Limit; 2] = [
    Limit::bytes("bytes kept of one stream for resumption", STREAM_BYTES, "the oldest events are forgotten"),
    Limit::bytes("bytes kept of one session for resumption", SESSION_BYTES, "the least missed stream is forgotten"),
];

/// How much is kept: a share of what one session may keep.
#[derive(Clone, Debug)]
pub struct Keep {
    events: usize,
    held: Arc<AtomicUsize>,
}

impl Keep {
    /// So many events a stream (`server.session.replay_events`) of a new session. `None` when nothing is to be kept.
    #[must_use]
    pub fn new(events: usize) -> Option<Self> {
        (events > 0).then(|| Self { events, held: Arc::default() })
    }

    /// Whether more than half of what the session may keep is in use.
    #[must_use]
    pub fn is_scarce(&self) -> bool {
        self.held.load(Ordering::Relaxed) > SESSION_BYTES / 2
    }

    /// Whether more is kept than the session may: answers are, until their client has taken them.
    #[must_use]
    pub fn is_exceeded(&self) -> bool {
        self.held.load(Ordering::Relaxed) > SESSION_BYTES
    }

    fn take(&self, bytes: usize) -> bool {
        let add = |held: usize| held.checked_add(bytes).filter(|held| *held <= SESSION_BYTES);
        self.held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).is_ok()
    }

    fn give_back(&self, bytes: usize) {
        self.held.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// The events of a mailbox, each under the stream it was sent on: it is sent again on no other.
#[derive(Debug)]
pub(super) struct Sent {
    keep: Keep,
    events: VecDeque<Event>,
    bytes: usize,
    last: u64,
    listening: u64,
    call: Option<OfCall>,
}

/// What is more of the mailbox of a call.
#[derive(Debug)]
pub(super) struct OfCall {
    /// Its stream.
    pub stream: StreamId,
    /// What takes the place of an answer for which there is no room while nobody fetches it.
    pub too_large: Bytes,
    /// Whether all of it was read.
    pub is_read: bool,
}

#[derive(Debug)]
struct Event {
    stream: StreamId,
    number: u64,
    frame: Bytes,
}

impl Sent {
    /// Nothing was sent yet.
    pub(super) const fn new(keep: Keep, call: Option<OfCall>) -> Self {
        Self { keep, events: VecDeque::new(), bytes: 0, last: 0, listening: 0, call }
    }

    /// How many bytes are kept.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// The number of the last event.
    pub(super) const fn last(&self) -> u64 {
        self.last
    }

    /// A stream that is opened to listen.
    pub(super) const fn open(&mut self) -> StreamId {
        self.listening += 1;
        StreamId::Listening(self.listening)
    }

    /// Whether there ever was such a stream.
    pub(super) fn has(&self, stream: StreamId) -> bool {
        match stream {
            StreamId::Listening(number) => (1..=self.listening).contains(&number),
            StreamId::Call(_) => self.call.as_ref().is_some_and(|call| call.stream == stream),
        }
    }

    /// What is more of the mailbox of a call.
    pub(super) const fn call(&mut self) -> Option<&mut OfCall> {
        self.call.as_mut()
    }

    /// Numbers a message. Gives it as an event, and whether it is kept.
    pub(super) fn add(&mut self, stream: StreamId, message: &[u8]) -> (Bytes, bool) {
        let frame = self.number(stream, message);
        let is_small = frame.len() <= STREAM_BYTES;
        while is_small && self.bytes + frame.len() > STREAM_BYTES && self.drop_oldest() {}
        let is_kept = is_small && self.make_room(frame.len());
        if is_kept {
            self.push(stream, frame.clone());
        }
        (frame, is_kept)
    }

    /// Numbers the answer, on its way to a client that reads. It is kept whatever its size: a large one is the likeliest
    /// to be cut off. `unread` is given back when nobody has it any more, neither this nor a connection.
    pub(super) fn add_answer(&mut self, stream: StreamId, answer: &[u8], unread: Option<Box<Unread>>) -> Bytes {
        let frame = counted(self.number(stream, answer), unread);
        if !self.make_room(frame.len()) {
            self.keep.held.fetch_add(frame.len(), Ordering::Relaxed);
        }
        self.push(stream, frame.clone());
        frame
    }

    /// Numbers an answer that comes in pieces, of which nothing is kept. Gives the beginning of its event.
    pub(super) fn begin_passing(&mut self, stream: StreamId) -> Bytes {
        self.last += 1;
        event_stream::head(Some(&EventId { stream, number: self.last }.to_string()))
    }

    /// Keeps an error under the number of the answer that has just passed: who did not get all of it learns that it is gone.
    pub(super) fn stand_in(&mut self) {
        if let Some(call) = &self.call {
            let (stream, too_large) = (call.stream, call.too_large.clone());
            self.last -= 1;
            self.add_answer(stream, &too_large, None);
        }
    }

    /// Puts an error in the place of an answer that nobody can be given any more.
    pub(super) fn add_too_large(&mut self) {
        let instead = self.call.as_ref().map(|call| (call.stream, call.too_large.clone()));
        if let Some((stream, instead)) = instead {
            self.add_answer(stream, &instead, None);
        }
    }

    /// Numbers the answer while nobody reads. An error stands for it when there is no room.
    pub(super) fn put_answer_by(&mut self, stream: StreamId, answer: &[u8], unread: Option<Box<Unread>>) {
        let frame = counted(self.number(stream, answer), unread);
        if self.make_room(frame.len()) {
            return self.push(stream, frame);
        }
        self.last -= 1;
        self.add_too_large();
    }

    /// The first event of the stream after this one.
    pub(super) fn after(&self, stream: StreamId, number: u64) -> Option<(u64, Bytes)> {
        let start = self.events.partition_point(|event| event.number <= number);
        let event = self.events.range(start..).find(|event| event.stream == stream)?;
        Some((event.number, event.frame.clone()))
    }

    fn number(&mut self, stream: StreamId, message: &[u8]) -> Bytes {
        self.last += 1;
        event_stream::frame_with_id(&EventId { stream, number: self.last }.to_string(), message)
    }

    fn push(&mut self, stream: StreamId, frame: Bytes) {
        while self.events.len() >= self.keep.events && self.drop_oldest() {}
        self.bytes += frame.len();
        self.events.push_back(Event { stream, number: self.last, frame });
    }

    /// Takes room from the session's share, at the cost of what is older here.
    fn make_room(&mut self, bytes: usize) -> bool {
        while !self.keep.take(bytes) {
            if !self.drop_oldest() {
                return false;
            }
        }
        true
    }

    fn drop_oldest(&mut self) -> bool {
        let Some(event) = self.events.pop_front() else { return false };
        self.bytes -= event.frame.len();
        self.keep.give_back(event.frame.len());
        true
    }
}

impl Drop for Sent {
    fn drop(&mut self) {
        self.keep.give_back(self.bytes);
    }
}
