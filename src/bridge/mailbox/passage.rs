//! A large answer on its way from an upstream's connection to a client's: one piece at a time, the next only when there is room.

use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::sync::mpsc;

/// The reading end.
#[derive(Debug)]
pub struct Passage(mpsc::Receiver<Piece>);

/// The writing end. An answer that it leaves without [`PassageWriter::end`] has broken off.
#[derive(Debug)]
pub struct PassageWriter(mpsc::Sender<Piece>);

#[derive(Debug)]
enum Piece {
    Part(Bytes),
    End,
}

/// What comes next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// More of it.
    Part(Bytes),
    /// That was all of it.
    End,
    /// It broke off: what came is no answer.
    Broken,
}

/// The reader has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Left;

impl Passage {
    /// A passage that begins with `first`.
    #[must_use]
    pub fn new(first: Bytes) -> (PassageWriter, Self) {
        // One waits, and one is made ready: the rest waits in the upstream's socket.
        let (writer, reader) = mpsc::channel(1);
        // There is room for it: nothing else was written.
        let _full = writer.try_send(Piece::Part(first));
        (PassageWriter(writer), Self(reader))
    }

    /// Polls for what comes next. Nothing comes after the end.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Next> {
        self.0.poll_recv(context).map(|piece| match piece {
            Some(Piece::Part(part)) => Next::Part(part),
            Some(Piece::End) => Next::End,
            None => Next::Broken,
        })
    }
}

impl PassageWriter {
    /// Writes more, as soon as there is room.
    ///
    /// # Errors
    /// Nobody reads any more.
    pub async fn write(&self, part: Bytes) -> Result<(), Left> {
        self.0.send(Piece::Part(part)).await.map_err(|_| Left)
    }

    /// Says that it is whole.
    pub async fn end(self) {
        // Who has left needs not be told.
        let _left = self.0.send(Piece::End).await;
    }
}
