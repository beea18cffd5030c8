//! The protected resource: who is let in, and what everybody else is told.

mod challenge;
mod framing;
mod guard;
mod load;
mod stream;
