//! The life of an upstream: up, down, up again, until the bridge stops.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::bridge::subscribe;
use crate::bridge::upstream::backoff::Backoff;
use crate::bridge::upstream::connect::{self, Connected};
use crate::bridge::upstream::hello::{Hello, Speaks};
use crate::bridge::upstream::link::Link;
use crate::bridge::upstream::lists;
use crate::bridge::upstream::stateless::listening;
use crate::bridge::upstream::wire::Wire;
use crate::bridge::upstream::{State, Upstream};
use crate::config::section::UpstreamKind;
use crate::protocol::mcp::log_level::LogLevel;

/// How long an upstream that is back is not used for what sessions had set up there before: it is not to miss a log message, nor to be
/// missed itself.
const HELD_UP: Duration = Duration::from_secs(2);
/// How often calls whose time is up are looked for, at most.
const SWEEP: Duration = Duration::from_secs(1);

impl Upstream {
    /// Keeps the upstream up until `stop` says otherwise.
    pub async fn run(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        let mut backoff = match &self.settings.kind {
            UpstreamKind::Stdio(command) => Backoff::new(command.restart),
            UpstreamKind::Http(_) | UpstreamKind::Builtin(_) => Backoff::of_remote(),
        };
        loop {
            let began = Instant::now();
            let reason = match self.connect(&mut stop).await {
                Ok(connected) => self.serve(connected, &mut stop).await,
                Err(reason) => reason,
            };
            if *stop.borrow() {
                return self.finish(&reason);
            }
            let wait = backoff.next(began.elapsed());
            self.go_down(&reason, wait);
            let Some(wait) = wait else { return };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                _ = stop.wait_for(|stop| *stop) => return self.finish(&reason),
            }
            self.restarts.fetch_add(1, Ordering::Relaxed);
        }
    }

    async fn serve(&self, connected: Connected, stop: &mut watch::Receiver<bool>) -> String {
        let Connected { link, mut process } = connected;
        let reason = tokio::select! {
            reason = self.tend(&link) => reason,
            reason = connect::ended(&link, &mut process) => reason,
            _ = stop.wait_for(|stop| *stop) => "the bridge stops".to_owned(),
        };
        self.link.store(None);
        link.lose(&reason);
        self.dropped.fetch_add(link.dropped(), Ordering::Relaxed);
        if *stop.borrow() {
            if let Wire::Http(wire) = link.wire() {
                wire.farewell().await;
            }
            if let Some(process) = &mut process {
                process.stopped().await;
            }
        }
        reason
    }

    /// What goes on while the connection stands. Never ends by itself.
    async fn tend(&self, link: &Arc<Link>) -> String {
        let listen = async {
            match (link.speaks(), link.wire()) {
                (Speaks::Stateless, _) => listening::listen(link).await,
                (Speaks::Sessions, Wire::Http(wire)) => wire.listen(link).await,
                (Speaks::Sessions, Wire::Builtin | Wire::Stdio(_) | Wire::Sse(_)) => {}
            }
        };
        let lists = async {
            if link.speaks() == Speaks::Stateless {
                // What changes after a list was read must be heard.
                link.listening.settled().await;
            }
            let Some(hello) = link.hello.get() else { return };
            self.read_lists(link, lists::all_changes(hello.offers)).await;
            let mut restoring = pin!(self.restore(link));
            let is_restored = tokio::time::timeout(HELD_UP, &mut restoring).await.is_ok();
            self.go_up(link, hello);
            let rest = async {
                if !is_restored {
                    tracing::warn!(upstream = self.name(), "an upstream takes long to take what sessions had set up");
                    restoring.await;
                }
            };
            let follow = async {
                loop {
                    let changes = link.changes.take().await;
                    self.read_lists(link, changes).await;
                    self.announce(changes);
                }
            };
            let ((), ()) = tokio::join!(rest, follow);
        };
        let interval = SWEEP.min(self.settings.timeout / 4).max(Duration::from_millis(10));
        let sweep = async {
            let mut ticks = tokio::time::interval(interval);
            loop {
                ticks.tick().await;
                link.sweep();
            }
        };
        let ((), (), ()) = tokio::join!(listen, lists, sweep);
        link.lost().await
    }

    fn go_up(&self, link: &Arc<Link>, hello: &Hello) {
        self.known.store(Some(Arc::new(hello.clone())));
        // Who waits for its first try is told of it in the answer; who was answered before it came is told now.
        let audience = self.hub.audience(&self.tenant);
        self.link.store(Some(Arc::clone(link)));
        let person = self.tenant.person().map(tracing::field::display);
        tracing::info!(upstream = self.name(), person, version = %hello.version, "the upstream is up");
        self.state.send_replace(State::Up);
        lists::announce_to(&audience, lists::all_changes(hello.offers));
    }

    /// What live sessions set up on the connection before.
    pub(crate) async fn restore(&self, link: &Arc<Link>) {
        if link.speaks() == Speaks::Stateless {
            // It is told of both with every request, and when it is listened to.
            return;
        }
        let offers = link.hello.get().map(|hello| hello.offers).unwrap_or_default();
        if offers.logging
            && let Some(level) = self.hub.sessions.lowest_level(&self.tenant)
        {
            self.set_level(link, level, self.settings.timeout.min(subscribe::PATIENCE)).await;
        }
        for uri in self.hub.subscriptions_of(self.index) {
            let params = format!(r#"{{"uri":{}}}"#, serde_json::Value::from(uri));
            self.ask_or_log(link, "resources/subscribe", &params).await;
        }
    }

    /// Sets the level of the upstream's log messages.
    pub(crate) async fn set_level(&self, link: &Arc<Link>, level: LogLevel, limit: Duration) {
        if link.speaks() == Speaks::Stateless {
            // MCP 2026-07-28, Per-request log level: each request says what its client wants.
            return;
        }
        let params = format!(r#"{{"level":"{}"}}"#, level.name());
        match link.ask("logging/setLevel", &params, limit).await {
            Ok(_) => link.log_level.store(level.rank(), Ordering::Relaxed),
            Err(fault) => {
                tracing::warn!(upstream = self.name(), %fault, "an upstream did not take the level of its log messages");
            }
        }
    }

    async fn ask_or_log(&self, link: &Arc<Link>, method: &'static str, params: &str) {
        if let Err(fault) = link.ask(method, params, self.settings.timeout).await {
            tracing::warn!(upstream = self.name(), %fault, "what sessions had set up could not be restored");
        }
    }

    /// The end: who still waits for the first try need not.
    fn finish(&self, reason: &str) {
        self.state.send_replace(State::Down(reason.to_owned()));
        tracing::debug!(upstream = self.name(), "the upstream was ended");
    }

    fn go_down(&self, reason: &str, wait: Option<Duration>) {
        let person = self.tenant.person().map(tracing::field::display);
        let was_up = *self.state.borrow() == State::Up;
        match wait {
            Some(wait) => {
                let retry_in_ms = wait.as_millis();
                tracing::warn!(upstream = self.name(), person, reason, retry_in_ms, "the upstream is down");
            }
            None => {
                tracing::error!(upstream = self.name(), person, reason, "the upstream is down and is not tried again")
            }
        }
        self.state.send_replace(State::Down(reason.to_owned()));
        if was_up && let Some(hello) = self.hello() {
            self.announce(lists::all_changes(hello.offers));
        }
    }
}
