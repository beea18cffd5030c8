//! What goes wrong between a request and the end of its answer.

/// Why there is no answer, or not all of it.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// No connection: nothing was sent.
    #[error("no connection: {0}")]
    Connect(String),
    /// The connection failed after something may have been sent.
    #[error("the connection failed: {0}")]
    Transport(String),
    /// The content is larger than is taken.
    #[error("the answer is too large")]
    TooLarge,
    /// The time is over. Something may have been sent.
    #[error("no answer in time")]
    TimedOut,
    /// A header field or the client itself cannot be made.
    #[error("{0}")]
    Unsendable(String),
}

/// A connection failed under a request.
pub(super) fn transport(error: hyper::Error) -> FetchError {
    FetchError::Transport(innermost(&error))
}

/// What went wrong, of all that an error says: its innermost cause.
pub(super) fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
