//! The streams of a session's calls that can be taken up again: few, for a while, the least missed forgotten first.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use crate::base::clock::{Clock, Timestamp};
use crate::base::limit::Limit;
use crate::bridge::event_id::{EventId, StreamId};
use crate::bridge::mailbox::{Follower, Keep, Mailbox, Reader, Rest};

/// How many streams of calls one session may keep. A call beyond them is answered, but its stream cannot be resumed.
const MAX_KEPT: usize = 32;
/// How long an answer waits for a client that is away.
const PATIENCE: Duration = Duration::from_secs(300);
/// How many bytes of one session are kept of streams that were handed to a connection to their end. MCP lets a server choose
/// what it sends again; what may be missed of these is what was on its way when the connection broke.
const READ_BYTES: usize = 128 * 1024;
/// How long those are kept: clients come back after three seconds, and some try more than once.
const READ_PATIENCE: Duration = Duration::from_secs(30);
/// Shown by `config show --limits`.
pub const LIMITS: [Limit; 4] = [
    Limit::count("streams of calls of one session that can be resumed", MAX_KEPT, "the least missed is forgotten"),
    Limit::time("answer kept for a client that is away", PATIENCE, "it is forgotten"),
    Limit::bytes("finished streams of one session, kept beside the newest", READ_BYTES, "the oldest is forgotten"),
    Limit::time("finished stream kept, should the client have missed its end", READ_PATIENCE, "it is forgotten"),
];

/// The streams of a session's calls.
#[derive(Debug)]
pub struct Streams {
    keep: Option<Keep>,
    clock: Clock,
    all: Mutex<All>,
}

#[derive(Debug, Default)]
struct All {
    next: u64,
    kept: BTreeMap<u64, Kept>,
}

#[derive(Debug)]
struct Kept {
    mailbox: Arc<Mailbox>,
    /// When its call was last seen to go on or its client to be there.
    seen: Timestamp,
    /// When it was first seen to be read to its end.
    read: Option<Timestamp>,
}

impl Kept {
    fn is_over(&self, now: Timestamp) -> bool {
        self.read.map_or(now.since(self.seen) >= PATIENCE, |read| now.since(read) >= READ_PATIENCE)
    }
}

impl Streams {
    /// None yet. `replay_events` of each may be kept; 0: no stream can be taken up again.
    #[must_use]
    pub fn new(replay_events: usize, clock: Clock) -> Self {
        Self { keep: Keep::new(replay_events), clock, all: Mutex::default() }
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// How much is kept.
    #[must_use]
    pub fn keep(&self) -> Option<Keep> {
        self.keep.clone()
    }

    /// Makes the stream of a call one that can be taken up again; see [`Follower::of_call`].
    ///
    /// # Errors
    /// Gives the reader back when that cannot be: nothing is to be kept, or too many streams are in use.
    pub fn follow(&self, reader: Reader, first: Option<&[u8]>, too_large: Bytes) -> Result<Follower, Reader> {
        let Some(keep) = &self.keep else { return Err(reader) };
        let mut all = self.lock();
        all.make_room(self.clock.now(), keep, MAX_KEPT - 1);
        if all.kept.len() >= MAX_KEPT {
            return Err(reader);
        }
        all.next += 1;
        let stream = all.next;
        let follower = Follower::of_call(reader, keep.clone(), (StreamId::Call(stream), too_large), first);
        all.kept.insert(stream, Kept { mailbox: Arc::clone(follower.mailbox()), seen: self.clock.now(), read: None });
        Ok(follower)
    }

    /// Takes a stream up after this event. `None` when it is unknown or forgotten, or nothing comes after it.
    #[must_use]
    pub fn resume(&self, id: EventId) -> Option<Follower> {
        self.tidy();
        let StreamId::Call(stream) = id.stream else { return None };
        let mut all = self.lock();
        let kept = all.kept.get_mut(&stream)?;
        kept.seen = self.clock.now();
        kept.mailbox.resume(id)
    }

    /// Forgets what was kept for long enough, or takes too much room.
    pub fn tidy(&self) {
        if let Some(keep) = &self.keep {
            self.lock().make_room(self.clock.now(), keep, MAX_KEPT);
        }
    }

    /// Forgets all. Those that are read are still read to their end.
    pub fn clear(&self) {
        self.lock().kept.clear();
    }

    /// Whether a call goes on whose client may come back for its answer, or did: the request that began it may be long gone.
    #[must_use]
    pub fn is_in_use(&self) -> bool {
        self.lock().kept.values().any(|kept| matches!(kept.mailbox.rest(), Rest::Unanswered | Rest::Open))
    }

    fn lock(&self) -> MutexGuard<'_, All> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl All {
    /// Takes out what is to be forgotten, so that `most` streams are left at most, as far as those in use allow.
    fn make_room(&mut self, now: Timestamp, keep: &Keep, most: usize) {
        // The least missed first; of two alike, the older.
        let mut resting = Vec::new();
        for (stream, kept) in &mut self.kept {
            let rest = kept.mailbox.rest();
            match rest {
                Rest::Open | Rest::Unanswered => (kept.seen, kept.read) = (now, None),
                Rest::Unread => kept.read = None,
                Rest::Read => _ = kept.read.get_or_insert(now),
            }
            if rest != Rest::Open {
                resting.push((rest, *stream));
            }
        }
        resting.sort_unstable();
        let bytes = |kept: Option<&Kept>| kept.map_or(0, |kept| kept.mailbox.kept_bytes());
        let read = resting.iter().filter(|(rest, _)| *rest == Rest::Read);
        // The newest stays whatever its size: it is the likeliest to have been cut off.
        let newest = read.clone().map(|(_, stream)| *stream).max();
        let mut read: usize = read.map(|(_, stream)| bytes(self.kept.get(stream))).sum();
        for (rest, stream) in resting {
            let is_in_the_way = keep.is_exceeded()
                || self.kept.len() > most
                || rest == Rest::Read && (keep.is_scarce() || read > READ_BYTES && newest != Some(stream));
            let is_over = self.kept.get(&stream).is_some_and(|kept| kept.is_over(now));
            if rest == Rest::Read {
                read -= bytes(self.kept.get(&stream));
            }
            if (is_in_the_way || is_over)
                && let Some(kept) = self.kept.remove(&stream)
            {
                // The call may hold on to it.
                kept.mailbox.forget();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bridge::mailbox::STREAM_BYTES;

    fn streams() -> (Streams, Clock) {
        let clock = Clock::fixed(Timestamp::from_unix(0));
        (Streams::new(10, clock.clone()), clock)
    }

    fn follow(streams: &Streams) -> Option<(Arc<Mailbox>, Follower)> {
        let (mailbox, reader) = Mailbox::of_call();
        streams.follow(reader, None, Bytes::new()).ok().map(|follower| (mailbox, follower))
    }

    fn is_known(streams: &Streams, stream: u64) -> bool {
        streams.resume(EventId { stream: StreamId::Call(stream), number: 0 }).is_some()
    }

    #[test]
    fn an_answer_waits_for_a_while_from_when_it_came() {
        let (streams, clock) = streams();
        let (mailbox, follower) = follow(&streams).unwrap();
        assert!(streams.is_in_use(), "also on a connection that is not the one of its request");
        drop(follower);
        clock.advance(2 * PATIENCE);
        assert!(streams.is_in_use());
        assert!(is_known(&streams, 1), "the call goes on");
        mailbox.finish(Bytes::from_static(b"{}"));
        assert!(!streams.is_in_use());
        clock.advance(PATIENCE - Duration::from_secs(1));
        assert!(is_known(&streams, 1));
        clock.advance(PATIENCE);
        streams.tidy();
        assert!(!is_known(&streams, 1));
    }

    #[test]
    fn mcp_24_streams_that_were_read_to_their_end_are_small_and_kept_shortly() {
        let (streams, clock) = streams();
        for _ in 0..5 {
            let (mailbox, mut follower) = follow(&streams).unwrap();
            mailbox.finish(Bytes::from(vec![b'x'; READ_BYTES / 5]));
            let mut next =
                || futures_util::FutureExt::now_or_never(std::future::poll_fn(|context| follower.poll_next(context)));
            assert!(next().unwrap().is_some() && next().unwrap().is_none());
            drop(follower);
            streams.tidy();
        }
        assert!(!is_known(&streams, 1), "the oldest of too many");
        assert!((2..=5).all(|stream| is_known(&streams, stream)));
        clock.advance(READ_PATIENCE - Duration::from_secs(1));
        assert!(is_known(&streams, 5));
        clock.advance(READ_PATIENCE);
        assert!((2..=5).all(|stream| !is_known(&streams, stream)));
    }

    #[test]
    fn mcp_24_streams_of_which_least_is_missed_make_room() {
        let (streams, _) = streams();
        let mut open: Vec<_> = (0..MAX_KEPT).map(|_| follow(&streams).unwrap()).collect();
        assert!(follow(&streams).is_none(), "none makes room while it is read");
        drop(open.remove(5).1);
        let (mailbox, follower) = open.remove(6);
        drop(follower);
        mailbox.finish(Bytes::from_static(b"{}"));
        let _new = follow(&streams).unwrap();
        assert!(!is_known(&streams, 8), "answered and not read, before one that is not answered");
        assert!(is_known(&streams, 6));
        assert!(follow(&streams).is_some());
        assert!(!is_known(&streams, 6));
        assert!(mailbox.push(crate::bridge::mailbox::Item::Notification(Bytes::new())).is_err());
    }

    #[test]
    fn mcp_24_answers_in_excess_of_what_a_session_may_keep_are_forgotten_with_their_connections() {
        let (streams, _) = streams();
        let mut open: Vec<_> = (0..6).map(|_| follow(&streams).unwrap()).collect();
        for (mailbox, follower) in &mut open {
            mailbox.finish(Bytes::from(vec![b'x'; STREAM_BYTES]));
            let frame =
                futures_util::FutureExt::now_or_never(std::future::poll_fn(|context| follower.poll_next(context)));
            assert!(frame.unwrap().is_some());
        }
        assert!(streams.keep().unwrap().is_exceeded());
        drop(open);
        streams.tidy();
        assert!(!streams.keep().unwrap().is_exceeded());
        assert!((1..=3).all(|stream| !is_known(&streams, stream)) && (4..=6).all(|stream| is_known(&streams, stream)));
        streams.clear();
        assert!(!is_known(&streams, 6));
    }
}
