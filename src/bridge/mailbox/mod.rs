//! What waits to be read by a client: bounded, written by an upstream's task, read by one stream at a time.
//!
//! It owns the order of messages and their number. A [`Reader`] takes them out; a [`Follower`] leaves them to be sent
//! again to a client whose connection broke, which comes back with the id of the last event it saw.

mod sent;
mod follower;
mod passage;

pub use sent::LIMITS as KEPT_LIMITS;
#[cfg(test)]
mod tests;

pub use follower::{Follower, Rest};
pub use passage::{Left, Next, Passage, PassageWriter};
pub use sent::{Keep, STREAM_BYTES};

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use smallvec::SmallVec;
use tokio::sync::Notify;

use crate::base::limit::Limit;
use crate::bridge::event_id::StreamId;
use crate::bridge::load::Waiting as Unread;
use crate::bridge::mailbox::sent::Sent;

/// How many messages may wait for a client.
pub const MAX_ITEMS: usize = 100;
/// How many bytes may wait for a client; only the last message may go beyond.
pub const MAX_BYTES: usize = 1024 * 1024;

/// How many streams of one session may be open; opening another ends the oldest.
const MAX_READERS: usize = 4;
/// Shown by `config show --limits`.
pub const LIMITS: [Limit; 3] = [
    Limit::count(
        "messages waiting on one stream",
        MAX_ITEMS,
        "notifications are dropped; the upstream is read no faster than the client reads",
    ),
    Limit::bytes(
        "bytes waiting on one stream",
        MAX_BYTES,
        "notifications are dropped; the upstream is read no faster than the client reads",
    ),
    Limit::count("open GET streams of one session", MAX_READERS, "the oldest is ended"),
];

/// A message to a client that is no answer to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// May be lost when the client does not read.
    Notification(Bytes),
    /// Somebody waits for the answer.
    Request(Bytes),
}

impl Item {
    const fn bytes(&self) -> &Bytes {
        match self {
            Self::Notification(bytes) | Self::Request(bytes) => bytes,
        }
    }
}

/// What a reader gets.
#[derive(Debug)]
pub enum Event {
    /// Nothing yet, and nothing soon.
    Delayed,
    /// A notification or a request.
    Related(Bytes),
    /// The answer; nothing comes after it.
    Last(Bytes),
    /// The answer, in pieces. If it breaks off, an error comes as the last.
    Passing(Passage),
}

/// The messages of one call (ending with its answer) or of one session (for its GET stream).
#[derive(Debug)]
pub struct Mailbox {
    state: Mutex<State>,
    room: Notify,
    keeps: bool,
    /// Its reader is about to look, and need not be woken.
    is_awake: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Item>,
    bytes: usize,
    last: Option<Bytes>,
    /// Of the answer, if it is an error and somebody wants to know.
    code: Option<i32>,
    /// The answer is a large one, and counted until it is read. Boxed: it is seldom there.
    unread: Option<Box<Unread>>,
    passage: Option<Passage>,
    /// The same while it passes to a stream that can be taken up again, with its reader.
    passing: Option<(u64, Passage)>,
    /// Its answer passes, or did.
    is_passing: bool,
    is_delayed: bool,
    ended: bool,
    /// The newest last: it alone is given messages.
    readers: SmallVec<[Waiting; 1]>,
    next_reader: u64,
    /// What was sent, if it can be asked for again.
    sent: Option<Box<Sent>>,
}

/// A reader, and how it is told that there is something.
#[derive(Debug)]
struct Waiting {
    id: u64,
    stream: Option<StreamId>,
    waker: Option<Waker>,
}

impl State {
    fn add_reader(&mut self, stream: Option<StreamId>) -> u64 {
        self.next_reader += 1;
        self.readers.push(Waiting { id: self.next_reader, stream, waker: None });
        self.next_reader
    }

    fn take_waiting(&mut self) -> Option<Bytes> {
        let (Item::Notification(bytes) | Item::Request(bytes)) = self.waiting.pop_front()?;
        self.bytes -= bytes.len();
        Some(bytes)
    }

    /// Remembers how to wake a reader. False when it is to be woken no more: all has ended, or its stream has.
    fn sleep(&mut self, id: u64, context: &Context<'_>) -> bool {
        let ended = self.ended;
        match self.readers.iter_mut().find(|reader| reader.id == id) {
            Some(reader) if !ended => {
                match &mut reader.waker {
                    Some(waker) => waker.clone_from(context.waker()),
                    none @ None => *none = Some(context.waker().clone()),
                }
                true
            }
            _ => false,
        }
    }

    fn is_answered(&self) -> bool {
        self.last.is_some() || self.is_passing
    }

    fn is_newest(&self, id: u64) -> bool {
        self.readers.last().is_some_and(|reader| reader.id == id)
    }

    /// Whether one more message has no room. It is not asked how large that is: a writer that waited for room must find
    /// it, and cannot know what will be spliced in.
    fn is_full(&self) -> bool {
        self.waiting.len() >= MAX_ITEMS || self.bytes >= MAX_BYTES
    }

    /// Whether what may not be lost leaves no room for so many more bytes.
    fn is_full_of_requests(&self, more: usize) -> bool {
        let requests = self.waiting.iter().filter(|item| matches!(item, Item::Request(_)));
        let (count, bytes) = requests.fold((0, 0), |(count, bytes), item| (count + 1, bytes + item.bytes().len()));
        count >= MAX_ITEMS || (count > 0 && bytes + more > MAX_BYTES)
    }

    fn drop_oldest_notification(&mut self) {
        let index = self.waiting.iter().position(|item| matches!(item, Item::Notification(_)));
        if let Some(item) = index.and_then(|index| self.waiting.remove(index)) {
            self.bytes -= item.bytes().len();
        }
    }
}

impl Mailbox {
    fn of(state: State, keeps: bool) -> Self {
        Self { state: Mutex::new(state), room: Notify::new(), keeps, is_awake: AtomicBool::new(false) }
    }

    /// The mailbox of a call, with its reader. When the reader is dropped, messages are refused.
    #[must_use]
    pub fn of_call() -> (Arc<Self>, Reader) {
        let mut state = State::default();
        let id = state.add_reader(None);
        let mailbox = Arc::new(Self::of(state, false));
        (Arc::clone(&mailbox), Reader::new(mailbox, id))
    }

    /// The mailbox of a session: messages are kept while nobody reads, and with `keep` also after they were sent.
    #[must_use]
    pub fn of_session(keep: Option<Keep>) -> Arc<Self> {
        let sent = keep.map(|keep| Box::new(Sent::new(keep, None)));
        Arc::new(Self::of(State { sent, ..State::default() }, true))
    }

    /// A further reader of a session's mailbox, which gets every message from now on. `None` when the session has ended.
    ///
    /// The others stay and are silent, until this one goes: a client whose connection broke opens a new stream before
    /// anybody has noticed that the old one is dead. Each message goes to one of them.
    #[must_use]
    pub fn reader(self: &Arc<Self>) -> Option<Reader> {
        let mut state = self.lock();
        if state.ended {
            return None;
        }
        let id = state.add_reader(None);
        end_surplus(state);
        Some(Reader::new(Arc::clone(self), id))
    }

    /// Whether somebody reads.
    #[must_use]
    pub fn has_reader(&self) -> bool {
        !self.lock().readers.is_empty()
    }

    /// Puts a message in. When it is full, the oldest notifications make room.
    ///
    /// # Errors
    /// Gives the message back when nobody will read it, or requests alone fill the mailbox.
    pub fn push(&self, item: Item) -> Result<(), Item> {
        let mut state = self.lock();
        if state.ended || state.is_answered() {
            return Err(item);
        }
        if !self.keeps && state.readers.is_empty() {
            return state.send_to_nobody(item);
        }
        let may_be_full = matches!(item, Item::Request(_)) || state.is_full();
        if may_be_full && state.is_full_of_requests(item.bytes().len()) {
            return Err(item);
        }
        while state.is_full() {
            state.drop_oldest_notification();
        }
        state.bytes += item.bytes().len();
        state.waiting.push_back(item);
        self.wake_newest(state);
        Ok(())
    }

    /// Waits until there is room without losing anything, or nobody reads any more.
    pub async fn wait_for_room(&self) {
        loop {
            let notified = self.room.notified();
            {
                let state = self.lock();
                if !state.is_full() || state.ended || state.readers.is_empty() {
                    return;
                }
            }
            notified.await;
        }
    }

    /// Tells the reader that the answer will take a while.
    pub fn delay(&self) {
        let mut state = self.lock();
        state.is_delayed = true;
        self.wake_newest(state);
    }

    /// Puts the answer in. The first one stands; while one passes, it is the error that stands for it should it break off.
    pub fn finish(&self, answer: Bytes) {
        self.finish_with(answer, None);
    }

    /// The same with the code of an answer that is an error.
    pub fn finish_with(&self, answer: Bytes, code: Option<i32>) {
        let mut state = self.lock();
        if state.ended || state.last.is_some() {
            return;
        }
        state.last = Some(answer);
        state.code = code;
        // Of one that nobody has begun to read, nothing need be said.
        let _unread = state.passage.take();
        if state.readers.is_empty() {
            state.send_rest_to_nobody();
            state.unread = None;
        }
        self.wake_newest(state);
    }

    /// Notes that the answer that comes next is counted among those that wait to be read.
    pub fn count(&self, unread: Unread) {
        self.lock().unread = Some(Box::new(unread));
    }

    /// Puts an answer in that comes in pieces.
    ///
    /// # Errors
    /// Gives it back when nobody would read it.
    pub fn pass(&self, passage: Passage) -> Result<(), Passage> {
        let mut state = self.lock();
        if state.ended || state.is_answered() || state.readers.is_empty() {
            return Err(passage);
        }
        state.passage = Some(passage);
        state.is_passing = true;
        self.wake_newest(state);
        Ok(())
    }

    /// Notes that all of an answer has passed: it cannot break off any more.
    pub fn passed(&self) {
        let mut state = self.lock();
        state.ended = true;
        self.wake_newest(state);
    }

    /// Ends the stream after what is waiting.
    pub fn end(&self) {
        let mut state = self.lock();
        state.ended = true;
        self.room.notify_waiters();
        let wakers: Vec<_> = state.readers.iter_mut().filter_map(|reader| reader.waker.take()).collect();
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake_newest(&self, mut state: MutexGuard<'_, State>) {
        // A reader takes this back before it locks to look. So one that locks after us finds what was put in, and of one that has locked
        // before us the lock shows us that it took it back: none sleeps with something to read, although this is relaxed.
        if self.is_awake.load(Ordering::Relaxed) {
            return;
        }
        let waker = state.readers.last_mut().and_then(|reader| reader.waker.take());
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

fn end_surplus(mut state: MutexGuard<'_, State>) {
    let surplus = if state.readers.len() > MAX_READERS { Some(state.readers.remove(0)) } else { None };
    drop(state);
    wake(surplus);
}

fn wake(reader: Option<Waiting>) {
    if let Some(waker) = reader.and_then(|reader| reader.waker) {
        waker.wake();
    }
}

/// The reading end.
#[derive(Debug)]
pub struct Reader {
    mailbox: Arc<Mailbox>,
    id: u64,
    code: Option<i32>,
    unread: Option<Box<Unread>>,
}

impl Reader {
    const fn new(mailbox: Arc<Mailbox>, id: u64) -> Self {
        Self { mailbox, id, code: None, unread: None }
    }

    /// The error code of the answer, once it came, as [`Mailbox::finish_with`] was given it.
    #[must_use]
    pub const fn code(&self) -> Option<i32> {
        self.code
    }

    /// These bytes, which hold the answer that was read, counted among those that wait until they are gone. Without this they are
    /// counted as long as the reader lives.
    #[must_use]
    pub fn counted(&mut self, bytes: Bytes) -> Bytes {
        counted(bytes, self.unread.take())
    }

    /// What the answer that was read is counted with, for [`counted`].
    pub const fn take_unread(&mut self) -> Option<Box<Unread>> {
        self.unread.take()
    }

    /// The next event; `None` at the end.
    pub async fn next(&mut self) -> Option<Event> {
        std::future::poll_fn(|context| self.poll_next(context)).await
    }

    /// Until it is polled again nothing that is put in wakes it. For the only reader there is.
    pub fn stay_awake(&mut self) {
        self.mailbox.is_awake.store(true, Ordering::Relaxed);
    }

    /// Polls for the next event.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Event>> {
        self.mailbox.is_awake.store(false, Ordering::Relaxed);
        let mut state = self.mailbox.lock();
        let is_newest = state.is_newest(self.id);
        if is_newest && let Some(bytes) = state.take_waiting() {
            self.mailbox.room.notify_waiters();
            return Poll::Ready(Some(Event::Related(bytes)));
        }
        if is_newest && let Some(passage) = state.passage.take() {
            return Poll::Ready(Some(Event::Passing(passage)));
        }
        if is_newest && let Some(answer) = state.last.take() {
            state.ended = true;
            self.code = state.code;
            self.unread = state.unread.take();
            return Poll::Ready(Some(Event::Last(answer)));
        }
        if is_newest && std::mem::take(&mut state.is_delayed) {
            return Poll::Ready(Some(Event::Delayed));
        }
        // Otherwise all has ended, or this was one stream too many.
        if state.sleep(self.id, context) { Poll::Pending } else { Poll::Ready(None) }
    }
}

/// These bytes, counted among those that wait to be read until all of them are gone.
#[must_use]
pub fn counted<U: Send + 'static>(bytes: Bytes, unread: Option<U>) -> Bytes {
    match unread {
        Some(unread) => Bytes::from_owner(Counted { bytes, _unread: unread }),
        None => bytes,
    }
}

struct Counted<U> {
    bytes: Bytes,
    _unread: U,
}

impl<U> AsRef<[u8]> for Counted<U> {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut state = self.mailbox.lock();
        state.readers.retain(|reader| reader.id != self.id);
        self.mailbox.room.notify_waiters();
        if !self.mailbox.keeps && state.readers.is_empty() {
            state.send_rest_to_nobody();
            state.unread = None;
        }
        // What waits is now for the one before.
        self.mailbox.wake_newest(state);
    }
}
