//! Order, bounds, and who is given what.

use std::future::poll_fn;
use std::sync::atomic::AtomicUsize;
use std::task::Wake;

use futures_util::FutureExt as _;

use super::*;
use crate::bridge::event_id::EventId;

fn notification(text: &str) -> Item {
    Item::Notification(Bytes::copy_from_slice(text.as_bytes()))
}

async fn related(reader: &mut Reader) -> Bytes {
    match reader.next().await {
        Some(Event::Related(message)) => message,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_answer_comes_after_what_belongs_to_it() {
    let (mailbox, mut reader) = Mailbox::of_call();
    mailbox.push(notification("a")).unwrap();
    mailbox.finish(Bytes::from_static(b"z"));
    assert!(mailbox.push(notification("late")).is_err());
    assert_eq!(related(&mut reader).await, "a");
    assert!(matches!(reader.next().await, Some(Event::Last(answer)) if answer == "z"));
    assert!(reader.next().await.is_none());
}

#[test]
fn a_reader_is_woken_but_while_it_is_awake() {
    struct Count(AtomicUsize);
    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let count = Arc::new(Count(AtomicUsize::new(0)));
    let waker = Waker::from(Arc::clone(&count));
    let context = &mut Context::from_waker(&waker);
    let (mailbox, mut reader) = Mailbox::of_call();
    for (round, is_awake) in [false, true, false, true, true, false].into_iter().enumerate() {
        assert!(reader.poll_next(context).is_pending());
        let before = count.0.load(Ordering::Relaxed);
        if is_awake {
            reader.stay_awake();
        }
        mailbox.push(notification(&round.to_string())).unwrap();
        assert_eq!(count.0.load(Ordering::Relaxed) - before, usize::from(!is_awake), "{round}");
        assert!(
            matches!(reader.poll_next(context), Poll::Ready(Some(Event::Related(text))) if text == round.to_string())
        );
    }
}

#[tokio::test]
async fn a_sessions_mailbox_keeps_the_newest_while_nobody_reads() {
    let mailbox = Mailbox::of_session(None);
    mailbox.push(Item::Request(Bytes::from_static(b"ask"))).unwrap();
    for number in 0..2 * MAX_ITEMS {
        mailbox.push(notification(&number.to_string())).unwrap();
    }
    let mut reader = mailbox.reader().unwrap();
    assert_eq!(related(&mut reader).await, "ask");
    assert_eq!(related(&mut reader).await, "101");
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
async fn mcp_24_a_writer_that_waits_for_room_loses_nothing_however_large_it_writes() {
    for (size, fit) in [(16 * 1024, 64), (MAX_BYTES / 3 + 1, 3), (MAX_BYTES - 1, 2), (2 * MAX_BYTES, 1)] {
        let (mailbox, mut reader) = Mailbox::of_call();
        let message = |number: u8| Bytes::from(vec![number; size]);
        let mut written = 0;
        while mailbox.wait_for_room().now_or_never().is_some() {
            mailbox.push(Item::Notification(message(written))).unwrap();
            written += 1;
        }
        assert_eq!(written, fit, "{size}");
        for number in 0..written {
            assert!(related(&mut reader).await == message(number), "{number} of {size}");
        }
    }
}

#[tokio::test]
async fn mcp_13_each_message_goes_to_the_newest_stream_and_to_the_one_before_when_that_is_gone() {
    let mailbox = Mailbox::of_session(None);
    let (mut old, mut new) = (mailbox.reader().unwrap(), mailbox.reader().unwrap());
    mailbox.push(notification("a")).unwrap();
    assert!(futures_util::poll!(std::pin::pin!(old.next())).is_pending());
    assert_eq!(related(&mut new).await, "a");
    mailbox.push(notification("b")).unwrap();
    drop(new);
    assert_eq!(related(&mut old).await, "b");
    let _more: Vec<_> = (0..MAX_READERS).map(|_| mailbox.reader().unwrap()).collect();
    assert!(old.next().await.is_none(), "the oldest of too many ends");
}

#[test]
fn a_call_without_a_reader_takes_nothing() {
    let (mailbox, reader) = Mailbox::of_call();
    drop(reader);
    assert!(mailbox.push(notification("x")).is_err());
}

fn bytes(length: usize) -> Bytes {
    Bytes::from(vec![b'x'; length])
}

/// A call's stream that can be taken up again.
fn followed(keep: &Keep, stream: u64) -> (Arc<Mailbox>, Follower) {
    let (mailbox, reader) = Mailbox::of_call();
    let too_large = Bytes::from_static(b"too large");
    (mailbox, Follower::of_call(reader, keep.clone(), (StreamId::Call(stream), too_large), None))
}

fn at(stream: u64, number: u64) -> EventId {
    EventId { stream: StreamId::Call(stream), number }
}

/// What is there to be read at once.
fn drain(follower: &mut Follower) -> Vec<Bytes> {
    let mut all = Vec::new();
    while let Some(Some(frame)) = poll_fn(|context| follower.poll_next(context)).now_or_never() {
        all.push(frame);
    }
    all
}

#[test]
fn what_is_sent_again_is_the_same_memory() {
    let keep = Keep::new(10).unwrap();
    let (mailbox, mut first) = followed(&keep, 1);
    mailbox.push(notification("a")).unwrap();
    let sent = drain(&mut first);
    let again = drain(&mut mailbox.resume(at(1, 0)).unwrap());
    assert_eq!(sent, ["id: p1-1\nevent: message\ndata: a\n\n"]);
    assert_eq!((&again, again[0].as_ptr()), (&sent, sent[0].as_ptr()));
    assert!(drain(&mut first).is_empty());
}

#[test]
fn what_comes_while_nobody_reads_is_there_later_in_order() {
    let keep = Keep::new(10).unwrap();
    let (mailbox, mut follower) = followed(&keep, 1);
    mailbox.push(notification("a")).unwrap();
    assert_eq!(drain(&mut follower).len(), 1);
    mailbox.push(notification("b")).unwrap();
    drop(follower);
    assert_eq!(mailbox.rest(), Rest::Unanswered);
    mailbox.push(Item::Request(Bytes::from_static(b"c"))).unwrap();
    mailbox.finish(Bytes::from_static(b"z"));
    assert_eq!(mailbox.rest(), Rest::Unread);
    assert!(mailbox.push(notification("late")).is_err());
    let mut again = mailbox.resume(at(1, 1)).unwrap();
    let data: Vec<_> = drain(&mut again).iter().map(|frame| frame[frame.len() - 3]).collect();
    assert_eq!(data, *b"bcz");
    drop(again);
    assert_eq!(mailbox.rest(), Rest::Read);
    assert!(mailbox.resume(at(1, 4)).is_none(), "nothing comes after the answer");
    for unknown in [at(1, 5), at(2, 0), EventId { stream: StreamId::Listening(1), number: 0 }] {
        assert!(mailbox.resume(unknown).is_none());
    }
}

#[test]
fn mcp_24_what_is_kept_of_a_stream_is_bounded_in_number_and_bytes() {
    let keep = Keep::new(10).unwrap();
    let (mailbox, follower) = followed(&keep, 1);
    drop(follower);
    for number in 0..100 {
        mailbox.push(notification(&number.to_string())).unwrap();
    }
    assert_eq!(drain(&mut mailbox.resume(at(1, 0)).unwrap()).len(), 10);
    for _ in 0..10 {
        mailbox.push(Item::Notification(bytes(STREAM_BYTES / 4))).unwrap();
    }
    assert_eq!(drain(&mut mailbox.resume(at(1, 0)).unwrap()).len(), 3);
    assert!(
        mailbox.push(Item::Notification(bytes(STREAM_BYTES))).is_err(),
        "one that is larger is lost, and said to be"
    );
}

#[test]
fn mcp_24_what_is_kept_of_a_session_is_bounded_and_an_answer_gives_way_to_an_error() {
    let keep = Keep::new(10).unwrap();
    let others: Vec<_> = (0..3).map(|stream| followed(&keep, stream)).collect();
    for (mailbox, _) in &others {
        mailbox.finish(bytes(STREAM_BYTES));
    }
    let mailboxes: Vec<_> = others.into_iter().map(|(mailbox, _)| mailbox).collect();
    assert!(keep.is_scarce() && !keep.is_exceeded());
    let (mailbox, follower) = followed(&keep, 9);
    drop(follower);
    mailbox.finish(bytes(2 * STREAM_BYTES));
    let instead = drain(&mut mailbox.resume(at(9, 0)).unwrap());
    assert_eq!(instead, ["id: p9-1\nevent: message\ndata: too large\n\n"]);
    // To one that reads it goes whole, and it is kept until the connection has it.
    let (mailbox, mut follower) = followed(&keep, 10);
    mailbox.finish(bytes(2 * STREAM_BYTES));
    let frame = poll_fn(|context| follower.poll_next(context)).now_or_never().unwrap().unwrap();
    drop(follower);
    assert!(keep.is_exceeded());
    assert_eq!(drain(&mut mailbox.resume(at(10, 0)).unwrap()), [frame]);
    drop((mailbox, mailboxes));
    assert!(!keep.is_scarce(), "given back");
}

#[test]
fn what_is_too_large_to_be_kept_is_sent_once() {
    let keep = Keep::new(10).unwrap();
    let (mailbox, reader) = Mailbox::of_call();
    let (large, stream) = (bytes(2 * STREAM_BYTES), StreamId::Call(1));
    let mut follower = Follower::of_call(reader, keep, (stream, Bytes::new()), Some(&large));
    assert_eq!(follower.position(), at(1, 0));
    let mut sent = Vec::new();
    for message in [Item::Notification(large), notification("small")] {
        mailbox.push(message).unwrap();
        sent.extend(drain(&mut follower));
    }
    let sizes = |frames: Vec<Bytes>| frames.iter().map(|frame| frame.len() > STREAM_BYTES).collect::<Vec<_>>();
    assert_eq!(sizes(sent), [true, true, false]);
    assert_eq!(follower.position(), at(1, 3));
    assert_eq!(sizes(drain(&mut mailbox.resume(at(1, 0)).unwrap())), [false]);
}

#[test]
fn one_stream_has_one_connection() {
    let keep = Keep::new(10).unwrap();
    let (mailbox, mut before) = followed(&keep, 1);
    let mut next = mailbox.resume(at(1, 0)).unwrap();
    mailbox.push(notification("a")).unwrap();
    assert_eq!(poll_fn(|context| before.poll_next(context)).now_or_never(), Some(None));
    drop(before);
    assert_eq!(drain(&mut next).len(), 1);
    assert_eq!(mailbox.rest(), Rest::Open);
}

#[tokio::test]
async fn mcp_24_an_answer_is_counted_as_long_as_anybody_has_it() {
    let all = crate::bridge::load::Unread::default();
    let person = crate::model::principal::Principal::anonymous();
    let count = || all.add(&person, 200 * 1024 * 1024).map(Box::new);
    let (mailbox, reader) = Mailbox::of_call();
    let stream = StreamId::Call(1);
    let mut first = Follower::of_call(reader, Keep::new(10).unwrap(), (stream, Bytes::new()), None);
    mailbox.count(*count().unwrap());
    mailbox.finish(Bytes::from_static(b"large"));
    let frame = poll_fn(|context| first.poll_next(context)).await.unwrap();
    drop(first);
    // Another connection takes the stream up, and goes: the one before has it still.
    let mut second = mailbox.resume(EventId { stream, number: 0 }).unwrap();
    let again = poll_fn(|context| second.poll_next(context)).await.unwrap();
    assert_eq!(frame, again);
    drop((second, again));
    mailbox.forget();
    assert!(count().is_none());
    drop(frame);
    assert!(count().is_some());
}
