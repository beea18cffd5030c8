//! What is in force now: a reload puts another [`State`] in the place of the one before.
//!
//! Each request is served by the one that it found, from its head to its answer; but a login, what a client sends with its
//! credentials, and a registration by the one that is in force when all of it is there.

use std::future::{Ready, ready};
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use actix_web::dev::Payload;
use actix_web::error::ErrorInternalServerError;
use actix_web::{FromRequest, HttpMessage as _, HttpRequest};
use arc_swap::ArcSwap;

use crate::http::state::State;

/// One for the process, shared by all workers.
pub struct Live {
    state: ArcSwap<State>,
    is_stopping: AtomicBool,
}

impl Live {
    /// This is in force.
    #[must_use]
    pub fn new(state: State) -> Self {
        Self { state: ArcSwap::from_pointee(state), is_stopping: AtomicBool::new(false) }
    }

    /// What is in force.
    #[must_use]
    pub fn current(&self) -> Arc<State> {
        self.state.load_full()
    }

    /// Puts another in force; gives the one before, which those who came to it still have.
    pub fn replace(&self, state: State) -> Arc<State> {
        self.state.swap(Arc::new(state))
    }

    /// From now on nobody shall be sent here any more.
    pub fn stop(&self) {
        self.is_stopping.store(true, Ordering::Relaxed);
    }

    /// Whether the bridge was told to stop.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::Relaxed)
    }
}

/// What was in force when a request came. The middleware finds it, once; a handler takes it as an argument.
#[derive(Clone)]
pub struct Current(pub Arc<State>);

impl Deref for Current {
    type Target = State;

    fn deref(&self) -> &State {
        &self.0
    }
}

impl FromRequest for Current {
    type Error = actix_web::Error;
    type Future = Ready<Result<Self, Self::Error>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let current = request.extensions().get::<Self>().cloned();
        ready(current.ok_or_else(|| ErrorInternalServerError("every request passes the middleware")))
    }
}
