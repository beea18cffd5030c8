//! What waits to be read by a client: bounded, written by an upstream's task, read by one stream at a time.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use tokio::sync::Notify;

/// How many messages may wait for a client.
pub const MAX_ITEMS: usize = 100;
/// How many bytes may wait for a client; one message alone may be larger.
pub const MAX_BYTES: usize = 1024 * 1024;

/// How many streams of one session may be open; opening another ends the oldest.
const MAX_READERS: usize = 4;

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
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A notification or a request.
    Related(Bytes),
    /// The answer; nothing comes after it.
    Last(Bytes),
}

/// The messages of one call (ending with its answer) or of one session (for its GET stream).
#[derive(Debug)]
pub struct Mailbox {
    state: Mutex<State>,
    room: Notify,
    keeps: bool,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Item>,
    bytes: usize,
    last: Option<Bytes>,
    ended: bool,
    /// The newest last: it alone is given messages.
    readers: VecDeque<Waiting>,
    next_reader: u64,
}

/// A reader, and how it is told that there is something.
#[derive(Debug)]
struct Waiting {
    id: u64,
    waker: Option<Waker>,
}

impl State {
    fn add_reader(&mut self) -> u64 {
        self.next_reader += 1;
        self.readers.push_back(Waiting { id: self.next_reader, waker: None });
        self.next_reader
    }

    fn is_newest(&self, id: u64) -> bool {
        self.readers.back().is_some_and(|reader| reader.id == id)
    }

    fn is_full(&self, more: usize) -> bool {
        self.waiting.len() >= MAX_ITEMS || (!self.waiting.is_empty() && self.bytes + more > MAX_BYTES)
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
    /// The mailbox of a call, with its reader. When the reader is dropped, messages are refused.
    #[must_use]
    pub fn of_call() -> (Arc<Self>, Reader) {
        let mut state = State::default();
        let id = state.add_reader();
        let mailbox = Arc::new(Self { state: Mutex::new(state), room: Notify::new(), keeps: false });
        (Arc::clone(&mailbox), Reader { mailbox, id })
    }

    /// The mailbox of a session: messages are kept while nobody reads.
    #[must_use]
    pub fn of_session() -> Arc<Self> {
        Arc::new(Self { state: Mutex::default(), room: Notify::new(), keeps: true })
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
        let id = state.add_reader();
        let surplus = if state.readers.len() > MAX_READERS { state.readers.pop_front() } else { None };
        drop(state);
        wake(surplus);
        Some(Reader { mailbox: Arc::clone(self), id })
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
        if state.ended || state.last.is_some() || !self.keeps && state.readers.is_empty() {
            return Err(item);
        }
        if state.is_full(item.bytes().len()) && state.is_full_of_requests(item.bytes().len()) {
            return Err(item);
        }
        while state.is_full(item.bytes().len()) {
            state.drop_oldest_notification();
        }
        state.bytes += item.bytes().len();
        state.waiting.push_back(item);
        wake_newest(state);
        Ok(())
    }

    /// Waits until there is room without losing anything, or nobody reads any more.
    pub async fn wait_for_room(&self) {
        loop {
            let notified = self.room.notified();
            {
                let state = self.lock();
                if !state.is_full(0) || state.ended || state.readers.is_empty() {
                    return;
                }
            }
            notified.await;
        }
    }

    /// Puts the answer in. The first one stands.
    pub fn finish(&self, answer: Bytes) {
        let mut state = self.lock();
        if !state.ended && state.last.is_none() {
            state.last = Some(answer);
            wake_newest(state);
        }
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
}

fn wake_newest(mut state: MutexGuard<'_, State>) {
    let waker = state.readers.back_mut().and_then(|reader| reader.waker.take());
    drop(state);
    if let Some(waker) = waker {
        waker.wake();
    }
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
}

impl Reader {
    /// The next event; `None` at the end.
    pub async fn next(&mut self) -> Option<Event> {
        std::future::poll_fn(|context| self.poll_next(context)).await
    }

    /// Polls for the next event.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Event>> {
        let mut state = self.mailbox.lock();
        let is_newest = state.is_newest(self.id);
        if is_newest && let Some(item) = state.waiting.pop_front() {
            state.bytes -= item.bytes().len();
            self.mailbox.room.notify_waiters();
            let (Item::Notification(bytes) | Item::Request(bytes)) = item;
            return Poll::Ready(Some(Event::Related(bytes)));
        }
        if is_newest && let Some(answer) = state.last.take() {
            state.ended = true;
            return Poll::Ready(Some(Event::Last(answer)));
        }
        let ended = state.ended;
        match state.readers.iter_mut().find(|reader| reader.id == self.id) {
            Some(reader) if !ended => match &mut reader.waker {
                Some(waker) => waker.clone_from(context.waker()),
                none @ None => *none = Some(context.waker().clone()),
            },
            // Ended, or one stream too many.
            _ => return Poll::Ready(None),
        }
        Poll::Pending
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut state = self.mailbox.lock();
        state.readers.retain(|reader| reader.id != self.id);
        self.mailbox.room.notify_waiters();
        // What waits is now for the one before.
        wake_newest(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notification(text: &str) -> Item {
        Item::Notification(Bytes::copy_from_slice(text.as_bytes()))
    }

    #[tokio::test]
    async fn the_answer_comes_after_what_belongs_to_it() {
        let (mailbox, mut reader) = Mailbox::of_call();
        mailbox.push(notification("a")).unwrap();
        mailbox.finish(Bytes::from_static(b"z"));
        assert!(mailbox.push(notification("late")).is_err());
        assert_eq!(reader.next().await, Some(Event::Related(Bytes::from_static(b"a"))));
        assert_eq!(reader.next().await, Some(Event::Last(Bytes::from_static(b"z"))));
        assert_eq!(reader.next().await, None);
    }

    #[tokio::test]
    async fn a_sessions_mailbox_keeps_the_newest_while_nobody_reads() {
        let mailbox = Mailbox::of_session();
        mailbox.push(Item::Request(Bytes::from_static(b"ask"))).unwrap();
        for number in 0..2 * MAX_ITEMS {
            mailbox.push(notification(&number.to_string())).unwrap();
        }
        let mut reader = mailbox.reader().unwrap();
        assert_eq!(reader.next().await, Some(Event::Related(Bytes::from_static(b"ask"))));
        assert_eq!(reader.next().await, Some(Event::Related(Bytes::from("101"))));
        mailbox.end();
        assert!(mailbox.reader().is_none(), "nobody reads what has ended");
    }

    #[tokio::test]
    async fn mcp_24_what_waits_is_bounded_in_bytes_and_the_writer_waits() {
        let (mailbox, mut reader) = Mailbox::of_call();
        let half = Bytes::from(vec![b'x'; MAX_BYTES / 2 + 1]);
        mailbox.push(Item::Request(half.clone())).unwrap();
        assert!(mailbox.push(Item::Request(half.clone())).is_err());
        mailbox.push(notification("fits")).unwrap();
        assert!(mailbox.push(Item::Request(half)).is_err());
        for _ in 2..MAX_ITEMS {
            mailbox.push(Item::Request(Bytes::from_static(b"r"))).unwrap();
        }
        let waiting = Arc::clone(&mailbox);
        let writer = tokio::spawn(async move { waiting.wait_for_room().await });
        tokio::task::yield_now().await;
        assert!(!writer.is_finished());
        reader.next().await.unwrap();
        writer.await.unwrap();
    }

    #[tokio::test]
    async fn mcp_13_each_message_goes_to_the_newest_stream_and_to_the_one_before_when_that_is_gone() {
        let mailbox = Mailbox::of_session();
        let (mut old, mut new) = (mailbox.reader().unwrap(), mailbox.reader().unwrap());
        mailbox.push(notification("a")).unwrap();
        assert!(futures_util::poll!(std::pin::pin!(old.next())).is_pending());
        assert_eq!(new.next().await, Some(Event::Related(Bytes::from_static(b"a"))));
        mailbox.push(notification("b")).unwrap();
        drop(new);
        assert_eq!(old.next().await, Some(Event::Related(Bytes::from_static(b"b"))));
        let _more: Vec<_> = (0..MAX_READERS).map(|_| mailbox.reader().unwrap()).collect();
        assert_eq!(old.next().await, None, "the oldest of too many ends");
    }

    #[test]
    fn a_call_without_a_reader_takes_nothing() {
        let (mailbox, reader) = Mailbox::of_call();
        drop(reader);
        assert!(mailbox.push(notification("x")).is_err());
    }
}
