//! Each decision, one at a time.

mod account;
mod admission;
mod assertions;
mod chain;
mod clients;
mod configured;
mod ending;
mod oversight;
mod people;

pub(super) use account::*;
pub(super) use admission::*;
pub(super) use assertions::*;
pub(super) use chain::*;
pub(super) use clients::*;
pub(super) use configured::*;
pub(super) use ending::*;
pub(super) use oversight::*;
pub(super) use people::*;
