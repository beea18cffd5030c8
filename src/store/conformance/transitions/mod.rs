//! Each decision, one at a time.

mod account;
mod admission;
mod chain;
mod ending;
mod people;

pub(super) use account::*;
pub(super) use admission::*;
pub(super) use chain::*;
pub(super) use ending::*;
pub(super) use people::*;
