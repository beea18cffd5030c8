//! The Model Context Protocol in both its eras: versions, headers, JSON-RPC messages, server-sent events.
//!
//! A message is read only as far as something must be decided from it. The rest stays the bytes that came, and what
//! must change (ids, tokens, names) is spliced into them, so that unknown members keep their meaning.

pub mod version;
pub mod header;
pub mod method;
pub mod scan;
pub mod object;
pub mod canonical;
pub mod log_level;
pub mod client_features;
pub mod meta;
pub mod message;
pub mod splice;
pub mod reply;
pub mod fault;
pub mod envelope;
pub mod mirror;
pub mod param_header;
pub mod completion;
pub mod passing;
pub mod event_stream;
