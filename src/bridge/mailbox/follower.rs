//! A stream that can be taken up again: what is read stays for a while, under the number it was sent with.

use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;

use crate::bridge::event_id::{EventId, StreamId};
use crate::bridge::mailbox::sent::{OfCall, Sent};
use crate::bridge::mailbox::{Item, Keep, Mailbox, Next, Passage, Reader, State, end_surplus};
use crate::protocol::mcp::event_stream;

/// The reading end of a stream that can be taken up again. It gives events as they go over the wire.
#[derive(Debug)]
pub struct Follower {
    reader: Reader,
    stream: StreamId,
    after: u64,
    /// What comes before everything else: it may be too large to be kept.
    first: Option<Bytes>,
}

impl Follower {
    /// Makes a call's stream one that can be taken up again. `first` was read already, and comes first again.
    ///
    /// From now on the mailbox takes messages while nobody reads, up to the bounds of `keep`; `too_large` is sent for an
    /// answer beyond them.
    #[must_use]
    pub fn of_call(reader: Reader, keep: Keep, (stream, too_large): (StreamId, Bytes), first: Option<&[u8]>) -> Self {
        let mut sent = Sent::new(keep, Some(OfCall { stream, too_large, is_read: false }));
        let first = first.map(|message| sent.add(stream, message).0);
        {
            let mut state = reader.mailbox.lock();
            state.sent = Some(Box::new(sent));
            if let Some(own) = state.readers.iter_mut().find(|waiting| waiting.id == reader.id) {
                own.stream = Some(stream);
            }
        }
        Self { reader, stream, after: 0, first }
    }

    /// Where the stream is: the id after which the next event comes.
    #[must_use]
    pub const fn position(&self) -> EventId {
        EventId { stream: self.stream, number: self.after }
    }

    /// The mailbox.
    #[must_use]
    pub const fn mailbox(&self) -> &Arc<Mailbox> {
        &self.reader.mailbox
    }

    /// Polls for the next event, as it goes over the wire.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let mut state = self.reader.mailbox.lock();
        let state = &mut *state;
        if !state.readers.iter().any(|reader| reader.id == self.reader.id) {
            // Another connection has taken the stream up.
            return Poll::Ready(None);
        }
        if let Some(first) = self.first.take() {
            self.after = 1;
            return Poll::Ready(Some(first));
        }
        if let Some(next) = state.poll_passing(self.reader.id, context) {
            return next.map(|next| Some(next.on_the_wire()));
        }
        let is_newest = state.is_newest(self.reader.id);
        let Some(sent) = &state.sent else { return Poll::Ready(None) };
        if let Some((number, frame)) = sent.after(self.stream, self.after) {
            self.after = number;
            return Poll::Ready(Some(frame));
        }
        if is_newest && let Some(head) = state.begin_passing(self.reader.id, self.stream) {
            self.after = state.sent.as_ref().map_or(self.after, |sent| sent.last());
            return Poll::Ready(Some(head));
        }
        if is_newest && let Some(frame) = state.send_next(self.stream) {
            self.after = state.sent.as_ref().map_or(self.after, |sent| sent.last());
            self.reader.mailbox.room.notify_waiters();
            return Poll::Ready(Some(frame));
        }
        if state.sleep(self.reader.id, context) {
            return Poll::Pending;
        }
        if let Some(call) = state.sent.as_mut().and_then(|sent| sent.call()) {
            call.is_read = state.ended;
        }
        Poll::Ready(None)
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let mut state = self.reader.mailbox.lock();
        let passage = state.break_off(self.reader.id, self.stream);
        if passage.is_some() {
            self.reader.mailbox.wake_newest(state);
        } else {
            drop(state);
        }
        // Only now: whoever passes it on hears of it, and would give this mailbox another answer.
        drop(passage);
    }
}

impl Mailbox {
    /// Opens a further stream of a session, which gets every message from now on, as with [`Mailbox::reader`]. `None`
    /// when the session has ended, or keeps nothing.
    #[must_use]
    pub fn open(self: &Arc<Self>) -> Option<Follower> {
        let mut state = self.lock();
        if state.ended {
            return None;
        }
        let sent = state.sent.as_mut()?;
        let (stream, after) = (sent.open(), sent.last());
        let id = state.add_reader(Some(stream));
        end_surplus(state);
        Some(Follower { reader: Reader::new(Arc::clone(self), id), stream, after, first: None })
    }

    /// Takes a stream up after the event that its client saw last. The connection it had before ends.
    ///
    /// `None` when there is no such stream or event, or nothing can come after it any more.
    #[must_use]
    pub fn resume(self: &Arc<Self>, EventId { stream, number }: EventId) -> Option<Follower> {
        let mut state = self.lock();
        let sent = state.sent.as_ref().filter(|sent| sent.has(stream) && number <= sent.last())?;
        if state.ended && sent.after(stream, number).is_none() {
            return None;
        }
        let before = state.readers.iter().position(|reader| reader.stream == Some(stream));
        let before = before.map(|index| state.readers.remove(index));
        // Not left to the connection before: one whose client is gone is stuck in a write, and does nothing for a long time.
        let passage = before.as_ref().and_then(|before| state.break_off(before.id, stream));
        let id = state.add_reader(Some(stream));
        end_surplus(state);
        super::wake(before);
        drop(passage);
        Some(Follower { reader: Reader::new(Arc::clone(self), id), stream, after: number, first: None })
    }

    /// Keeps nothing any more of what was sent, and nothing for a client that is away.
    pub fn forget(&self) {
        // Freed after the lock is.
        let _sent = self.lock().sent.take();
    }

    /// How many bytes of what was sent are kept.
    #[must_use]
    pub fn kept_bytes(&self) -> usize {
        self.lock().sent.as_ref().map_or(0, |sent| sent.bytes())
    }

    /// How a call's stream stands.
    #[must_use]
    pub fn rest(&self) -> Rest {
        let mut state = self.lock();
        let (is_read, ended) =
            (state.sent.as_mut().and_then(|sent| sent.call()).is_some_and(|call| call.is_read), state.ended);
        match (state.readers.is_empty(), ended, is_read) {
            (false, _, _) => Rest::Open,
            (true, false, _) => Rest::Unanswered,
            (true, true, false) => Rest::Unread,
            (true, true, true) => Rest::Read,
        }
    }
}

/// How a call's stream stands, from the first that may be forgotten to the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rest {
    /// All of it was handed to a connection.
    Read,
    /// Its answer was not fetched yet.
    Unread,
    /// Its client is away, and the call goes on.
    Unanswered,
    /// Somebody reads.
    Open,
}

impl Next {
    /// The same as part of an event.
    #[must_use]
    pub fn on_the_wire(self) -> Bytes {
        match self {
            Self::Part(part) => part,
            Self::End => Bytes::from_static(event_stream::END),
            Self::Broken => Bytes::from_static(event_stream::ABANDONED),
        }
    }
}

impl State {
    /// Takes the answer that comes in pieces, when it is its turn: the beginning of its event.
    fn begin_passing(&mut self, reader: u64, stream: StreamId) -> Option<Bytes> {
        let passage = self.passage.take_if(|_| self.waiting.is_empty())?;
        self.passing = Some((reader, passage));
        Some(self.sent.as_mut()?.begin_passing(stream))
    }

    /// Polls for the next piece of the answer that passes to this reader. `None` when none does.
    fn poll_passing(&mut self, reader: u64, context: &mut Context<'_>) -> Option<Poll<Next>> {
        let (_, passage) = self.passing.as_mut().filter(|(own, _)| *own == reader)?;
        let next = passage.poll_next(context);
        match next {
            // Another connection may take the stream up meanwhile.
            Poll::Pending => _ = self.sleep(reader, context),
            Poll::Ready(Next::Part(_)) => {}
            Poll::Ready(Next::End) => {
                self.passing = None;
                // That it was handed to a connection does not say that it arrived.
                self.sent.iter_mut().for_each(|sent| sent.stand_in());
            }
            Poll::Ready(Next::Broken) => self.passing = None,
        }
        Some(next)
    }

    /// Gives up what passes to this reader. What passed was not kept: a client that comes back learns that, rather than wait;
    /// or why there was no more of it, if that has been said already.
    fn break_off(&mut self, reader: u64, stream: StreamId) -> Option<Passage> {
        let (_, passage) = self.passing.take_if(|(own, _)| *own == reader)?;
        self.ended = true;
        let (last, unread) = (self.last.take(), self.unread.take());
        if let Some(sent) = &mut self.sent {
            match last {
                Some(answer) => sent.put_answer_by(stream, &answer, unread),
                None => sent.add_too_large(),
            }
        }
        Some(passage)
    }

    /// The next message as an event of this stream.
    fn send_next(&mut self, stream: StreamId) -> Option<Bytes> {
        if let Some(message) = self.take_waiting() {
            return self.sent.as_mut().map(|sent| sent.add(stream, &message).0);
        }
        let answer = self.last.take()?;
        self.ended = true;
        let unread = self.unread.take();
        self.sent.as_mut().map(|sent| sent.add_answer(stream, &answer, unread))
    }

    /// Sends a message on a call's stream that has no connection at the moment: it is there when the client comes back.
    pub(super) fn send_to_nobody(&mut self, item: Item) -> Result<(), Item> {
        let Some(sent) = &mut self.sent else { return Err(item) };
        let Some(stream) = sent.call().map(|call| call.stream) else { return Err(item) };
        if sent.add(stream, item.bytes()).1 { Ok(()) } else { Err(item) }
    }

    /// The same with all that waits, and the answer.
    pub(super) fn send_rest_to_nobody(&mut self) {
        let Some(stream) = self.sent.as_mut().and_then(|sent| sent.call()).map(|call| call.stream) else { return };
        while let Some(message) = self.take_waiting() {
            let _kept = self.sent.as_mut().map(|sent| sent.add(stream, &message));
        }
        let is_unread = self.passage.take().is_some();
        let (answer, unread) = (self.last.take(), self.unread.take());
        if let Some(sent) = self.sent.as_mut().filter(|_| is_unread || answer.is_some()) {
            self.ended = true;
            match answer {
                Some(answer) => sent.put_answer_by(stream, &answer, unread),
                None => sent.add_too_large(),
            }
        }
    }
}
