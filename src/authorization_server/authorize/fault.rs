//! Why a flow does not go on: what the person is told, and what only the log is.

use std::fmt;

use crate::authorization_server::client::ResolveFault;
use crate::identity::federated::Failure;
use crate::store::StoreError;

/// Why a step was not taken.
#[derive(Debug, thiserror::Error)]
pub enum FlowFault {
    /// No such flow in this browser: expired, answered already, begun in another browser, or made up. With what the log is
    /// told.
    #[error("This login has expired, was finished already, or began in another browser.")]
    Gone(&'static str),
    /// The form did not come from our page in this browser.
    #[error("This form did not come from this site's own page.")]
    Forged,
    /// The person said yes and ticked nothing.
    #[error("Tick at least one thing that the app may do, or deny it.")]
    NothingChosen,
    /// The login at the provider that people call so came to nothing. The flow is back at its beginning.
    #[error("The login at {0} came to nothing.")]
    Provider(String, Failure),
    /// The store cannot answer.
    #[error("The server cannot do this now.")]
    Unavailable(#[from] StoreError),
}

impl FlowFault {
    /// It was decided meanwhile, in another tab or by a second click.
    pub(super) const MOVED: Self = Self::Gone("the flow has moved on meanwhile, or its user may not come in any more");

    /// What only the log is told.
    #[must_use]
    pub fn cause(&self) -> Option<&dyn fmt::Display> {
        match self {
            Self::Gone(cause) => Some(cause),
            Self::Forged | Self::NothingChosen => None,
            Self::Provider(_, failure) => Some(failure),
            Self::Unavailable(error) => Some(error),
        }
    }
}

impl From<ResolveFault> for FlowFault {
    fn from(fault: ResolveFault) -> Self {
        match fault {
            ResolveFault::Store(error) => error.into(),
            ResolveFault::Document(_) => Self::Gone("its client's document is not accepted any more"),
        }
    }
}
