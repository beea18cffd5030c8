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

/// What `reqwest` says, without the URL, which may hold a credential; the innermost cause says what went wrong.
pub(super) fn fault(error: reqwest::Error) -> FetchError {
    let is_connect = error.is_connect();
    let error = error.without_url();
    let mut cause: &dyn std::error::Error = &error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    let text = cause.to_string();
    if is_connect { FetchError::Connect(text) } else { FetchError::Transport(text) }
}
