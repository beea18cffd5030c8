//! Answering, from the first request to the last.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::middleware::from_fn;
use actix_web::rt::net::TcpStream;
use actix_web::web::Data;
use actix_web::{App as Web, HttpServer};
use rustix::net::sockopt::{set_socket_send_buffer_size, set_tcp_user_timeout};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::app::made::{Behind, Made};
use crate::app::reload::Late;
use crate::app::tasks::Retention;
use crate::app::{App, Ground, StartError, connections, tasks};
use crate::audit::Audit;
use crate::base::limit::Limit;
use crate::config::Config;
use crate::http::live::Live;
use crate::http::{middleware, routes};

/// Where actix logs each malformed request as an error, with which strangers could alarm the operator.
pub const NOISY_TARGET: &str = "actix_http::h1::dispatcher";

/// How many bytes of a connection the kernel takes off our hands. It counts what it needs for them, too, and twice as much at
/// most. Left to itself it takes four MiB of somebody who reads slowly; this still fills a line of 20 Mbit/s to the other
/// side of the world.
const UNSENT: usize = 256 * 1024;
/// Shown by `config show --limits`.
pub const LIMITS: [Limit; 1] =
    [Limit::bytes("sent on one connection and not taken by its client", UNSENT, "the upstream is read no faster")];

/// A bridge that answers.
pub struct Running {
    server: JoinHandle<std::io::Result<()>>,
    handle: ServerHandle,
    pub(super) live: Data<Live>,
    pub(super) ground: Ground,
    pub(super) config: Config,
    pub(super) behind: Behind,
    /// For how long tokens and clients are kept.
    pub(super) retention: Option<watch::Sender<Retention>>,
    cleanup: Vec<JoinHandle<()>>,
    /// What reloads left to be looked at once more.
    pub(super) late: Late,
}

impl App {
    /// Starts to answer.
    ///
    /// # Errors
    /// [`StartError::Io`] when the listener cannot be used.
    pub fn serve(self) -> Result<Running, StartError> {
        let Self { listener, ground, config, made: Made { state, behind }, .. } = self;
        let live = Data::new(Live::new(state));
        let addresses = connections::Addresses::new(ground.connections);
        let workers =
            config.server.workers.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
        let (served, connected) = (Data::clone(&live), Data::clone(&live));
        let server = HttpServer::new(move || {
            let routed = served.current();
            Web::new()
                .app_data(Data::clone(&served))
                .wrap(from_fn(middleware::run))
                .configure(move |app| routes(app, &routed))
        })
        .workers(workers)
        .max_connections(ground.connections.div_ceil(workers))
        .keep_alive(config.server.idle_timeout)
        .client_request_timeout(config.server.read_timeout)
        .shutdown_timeout(config.server.shutdown_timeout.as_secs())
        .on_connect(move |connection, kept| {
            let state = connected.current();
            bound_stalls(connection, state.write_timeout);
            bound_unsent(connection);
            addresses.enter(connection, kept, &state.guard.trusted_proxies);
        })
        .disable_signals()
        .listen(listener)
        .map_err(|error| StartError::Io(format!("cannot listen: {error}")))?
        .run();
        let handle = server.handle();
        let retention = config.oauth_server.as_ref().map(|section| watch::Sender::new(Retention::of(section)));
        let cleanup = retention.iter().flat_map(|retention| {
            let (store, clock) = (Arc::clone(&ground.store), ground.surroundings.clock.clone());
            let calls = tasks::record_calls(Arc::clone(&store));
            let clean_up = tasks::clean_up(store, ground.audit.clone(), retention.subscribe(), clock);
            [tokio::spawn(clean_up), tokio::spawn(calls)]
        });
        let cleanup = cleanup.collect();
        let server = tokio::spawn(server);
        Ok(Running { server, handle, live, ground, config, behind, retention, cleanup, late: Late::default() })
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

/// What a client does not take waits with the upstream, and little of it in the memory of this machine's kernel.
fn bound_unsent(connection: &dyn Any) {
    let Some(stream) = connection.downcast_ref::<TcpStream>() else { return };
    if let Err(error) = set_socket_send_buffer_size(stream, UNSENT) {
        tracing::debug!(%error, "a connection has the system's own send buffer");
    }
}

impl Running {
    /// Stops: balancers are told and given their time, then there are no new connections, streams are ended, requests under
    /// way may finish, children are told to go.
    pub async fn stop(self) {
        self.live.stop();
        tokio::time::sleep(self.config.server.pre_stop_delay).await;
        self.live.current().bridge.end_streams();
        self.handle.stop(true).await;
        self.finish().await;
    }

    /// Waits until the server ends by itself, which it does only when it fails.
    pub async fn wait(&mut self) -> std::io::Result<()> {
        (&mut self.server).await.unwrap_or_else(|error| Err(std::io::Error::other(error)))
    }

    /// The trail of this bridge.
    #[must_use]
    pub const fn audit(&self) -> &Audit {
        &self.ground.audit
    }

    async fn finish(self) {
        self.cleanup.iter().for_each(JoinHandle::abort);
        if let Err(error) = self.ground.store.record_calls().await {
            tracing::debug!(%error, "when apps were last used could not be written down");
        }
        self.live.current().bridge.shutdown().await;
    }
}
