//! Things with no opinion about OAuth or MCP: time, randomness, secrets, digests, ids.

pub mod argon2id;
pub mod clock;
pub mod digest;
pub mod id;
pub mod limit;
pub mod net;
pub mod patience;
pub mod random;
pub mod secret;
pub mod username;
