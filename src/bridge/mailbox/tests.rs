//! Order, bounds, and who is given what.

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
    let mailbox = Mailbox::of_session(None);
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
    let mailbox = Mailbox::of_session(None);
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
