//! The audit trail: who was let in, refused, granted and revoked, one JSON object a line. Written before the answer is sent.
//!
//! Owns the events and their lines, the thread that writes them, and their file. A request waits for its own line and for
//! nothing else: lines that wait together share one write and one `fsync`, on a thread of their own, so that neither a slow
//! disk nor a reader that stopped reading holds a worker of the web server.
//!
//! When a line cannot be written (a full disk, nobody who reads), whatever would hand something out is refused with 503, and
//! whatever takes something away happens all the same: a revocation that waits for a disk would be the worse fault. Lines that
//! were lost are counted, and the count is the first line written afterwards.
//!
//! Each line of a file is tied to the one before it (`chain`), so that `verify` can say whether all is as it was written.
//!
//! Not owned: the log (`telemetry`), which may lose lines and is for finding faults.

mod bound;
mod chain;
mod event;
mod file;
mod line;
mod lock;
pub mod origin;
mod owner;
mod sink;
pub mod trail;
pub mod verify;
mod writer;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::audit::bound::Bound;
use crate::audit::sink::Sink;
use crate::audit::writer::Writer;
use crate::base::clock::Clock;
use crate::base::limit::Limit;
use crate::config::section;
use crate::store::StoreError;

pub use event::{ConsentBy, Event, KeyChange, UserChange};
pub use sink::OpenError;

/// The bounds of the trail, for the operator.
#[must_use]
pub fn limits() -> Vec<Limit> {
    [&writer::LIMITS[..], &bound::LIMITS, &line::LIMITS].concat()
}

/// The way into the trail. Copies lead to the same one.
#[derive(Clone)]
pub struct Audit(Option<Arc<Trail>>);

struct Trail {
    clock: Clock,
    bound: Arc<Bound>,
    writer: Writer,
}

impl Audit {
    /// Nothing is recorded.
    #[must_use]
    pub const fn off() -> Self {
        Self(None)
    }

    /// The trail of a configuration; without the section, none.
    ///
    /// # Errors
    /// The file cannot be opened, or no thread be started.
    pub fn open(section: Option<&section::Audit>, clock: Clock) -> Result<Self, OpenError> {
        section.map_or(Ok(Self::off()), |section| Self::start(Sink::open(section)?, clock))
    }

    /// The same for a command beside the bridge. Its standard output is its own, so a trail that the bridge writes to
    /// standard output is continued on standard error.
    ///
    /// # Errors
    /// As [`Audit::open`].
    pub fn open_beside(section: Option<&section::Audit>, clock: Clock) -> Result<Self, OpenError> {
        section.map_or(Ok(Self::off()), |section| Self::start(Sink::open_beside(section)?, clock))
    }

    fn start(sink: Sink, clock: Clock) -> Result<Self, OpenError> {
        let bound = Arc::new(Bound::default());
        let writer = Writer::start(sink, Arc::clone(&bound), clock.clone()).map_err(OpenError::Thread)?;
        Ok(Self(Some(Arc::new(Trail { clock, bound, writer }))))
    }

    /// Whether anything is recorded.
    #[must_use]
    pub const fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Records an event. When this returns it is on disk, or was not worth a line of its own, or what it tells of goes on
    /// without ([`Event::is_required`]).
    ///
    /// # Errors
    /// An event without which nothing may be handed out could not be written.
    pub async fn record(&self, event: Event<'_>) -> Result<(), StoreError> {
        let Some(trail) = &self.0 else { return Ok(()) };
        let (origin, now) = (origin::current(), trail.clock.now());
        let withheld = event.stranger(&origin).map_or(Some(0), |stranger| trail.bound.admit(stranger, now));
        let Some(withheld) = withheld else { return Ok(()) };
        let line = line::of(event.record(), &origin, now, withheld);
        let written = trail.writer.write(line, event.is_required()).await;
        if event.is_required() { written } else { Ok(()) }
    }

    /// Whether an event could be recorded now. Asked before something is spent that cannot be given back.
    ///
    /// # Errors
    /// It could not.
    pub async fn check(&self) -> Result<(), StoreError> {
        match &self.0 {
            Some(trail) => trail.writer.check().await,
            None => Ok(()),
        }
    }
}
