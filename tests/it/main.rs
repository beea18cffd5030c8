//! The integration tests, one binary.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy's switch for tests does not reach their helper functions"
)]

mod children;
