//! Answering, from the first request to the last.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::middleware::from_fn;
use actix_web::rt::net::TcpStream;
use actix_web::web::Data;
use actix_web::{App as Web, HttpServer};
use rustix::net::sockopt::set_tcp_user_timeout;
use tokio::task::JoinHandle;

use crate::app::{App, StartError, connections, tasks};
use crate::authorization_server::{client_bounds, refresh_policy};
use crate::bridge::Bridge;
use crate::http::{middleware, routes};

/// Where actix logs each malformed request as an error, with which strangers could alarm the operator.
pub const NOISY_TARGET: &str = "actix_http::h1::dispatcher";

/// A bridge that answers.
pub struct Running {
    server: JoinHandle<std::io::Result<()>>,
    handle: ServerHandle,
    bridge: Arc<Bridge>,
    cleanup: Option<JoinHandle<()>>,
}

impl App {
    /// Starts to answer.
    ///
    /// # Errors
    /// [`StartError::Io`] when the listener cannot be used.
    pub fn serve(self) -> Result<Running, StartError> {
        let Self { listener, connections, config, state, store, clock, .. } = self;
        let state = Data::new(state);
        let bridge = Arc::clone(&state.bridge);
        let stall = config.server.write_timeout;
        let addresses = connections::Addresses::new(connections, config.server.trusted_proxies.clone());
        let workers =
            config.server.workers.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
        let server = HttpServer::new(move || {
            let routed = Data::clone(&state);
            Web::new()
                .app_data(Data::clone(&state))
                .wrap(from_fn(middleware::run))
                .configure(move |app| routes(app, &routed))
        })
        .workers(workers)
        .max_connections(connections.div_ceil(workers))
        .keep_alive(config.server.idle_timeout)
        .client_request_timeout(config.server.read_timeout)
        .shutdown_timeout(config.server.shutdown_timeout.as_secs())
        .on_connect(move |connection, kept| {
            bound_stalls(connection, stall);
            addresses.enter(connection, kept);
        })
        .disable_signals()
        .listen(listener)
        .map_err(|error| StartError::Io(format!("cannot listen: {error}")))?
        .run();
        let handle = server.handle();
        let cleanup = config.oauth_server.as_ref().map(|section| {
            tokio::spawn(tasks::clean_up(store, refresh_policy(section), client_bounds(section), clock))
        });
        Ok(Running { server: tokio::spawn(server), handle, bridge, cleanup })
    }
}

/// A client that takes nothing more is cut off by the kernel: actix asks a stream for no more then, so nothing of ours runs
/// that could notice.
fn bound_stalls(connection: &dyn Any, stall: Duration) {
    let Some(stream) = connection.downcast_ref::<TcpStream>() else { return };
    let milliseconds = u32::try_from(stall.as_millis()).unwrap_or(u32::MAX);
    if let Err(error) = set_tcp_user_timeout(stream, milliseconds) {
        tracing::debug!(%error, "a connection has no bound on stalls");
    }
}

impl Running {
    /// Stops: no new connections, streams are ended, requests under way may finish, children are told to go.
    pub async fn stop(self) {
        self.bridge.end_streams();
        self.handle.stop(true).await;
        self.finish().await;
    }

    /// Waits until the server ends by itself, which it does only when it fails.
    pub async fn wait(&mut self) -> std::io::Result<()> {
        (&mut self.server).await.unwrap_or_else(|error| Err(std::io::Error::other(error)))
    }

    async fn finish(self) {
        if let Some(cleanup) = self.cleanup {
            cleanup.abort();
        }
        self.bridge.shutdown().await;
    }
}
