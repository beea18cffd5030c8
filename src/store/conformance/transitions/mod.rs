//! Each decision, one at a time.

mod admission;
mod chain;
mod clients;
mod ending;
mod people;

pub(super) use admission::*;
pub(super) use chain::*;
pub(super) use clients::*;
pub(super) use ending::*;
pub(super) use people::*;
