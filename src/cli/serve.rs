//! `mcp-bridge serve`

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, setrlimit};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::app::{App, FirstUser, NOISY_TARGET, Surroundings};
use crate::base::clock::Clock;
use crate::cli::reload::Reload;
use crate::cli::{Failure, load};
use crate::config::Config;
use crate::config::section::AuditOutput;
use crate::identity::password::COST;
use crate::telemetry::{self, Logging};

/// This program, even if its file was replaced or removed meanwhile.
const MYSELF: &str = "/proc/self/exe";

pub(super) fn run(path: &Path) -> Result<(), Failure> {
    let config = load(path)?;
    leave_no_core();
    let logging =
        telemetry::start(&config.log, NOISY_TARGET).map_err(|error| Failure { code: 74, text: error.to_string() })?;
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(serve(path, config, logging));
    // A thread may wait for a file of a disk that is away; everything that was promised to anybody is done.
    runtime.shutdown_timeout(LAST_WAIT);
    outcome
}

/// How long work that nobody waits for any more may take at the end.
const LAST_WAIT: Duration = Duration::from_secs(2);

async fn serve(path: &Path, config: Config, logging: Logging) -> Result<(), Failure> {
    // Before anything is said, so that whoever waits for the greeting can stop the bridge at once.
    let mut signals = Signals::new()?;
    let surroundings = Surroundings { clock: Clock::system(), keeper: PathBuf::from(MYSELF), password_cost: COST };
    let is_trail_here = config.audit.as_ref().is_some_and(|audit| audit.output == AuditOutput::Stdout);
    let app = tokio::select! {
        app = App::start(config, surroundings) => app?,
        // A required upstream may take its time, and nothing is promised to anybody yet.
        () = signals.stop() => return Ok(()),
    };
    let first_user = app.first_user().await?;
    // Nobody may be reading; that is no reason not to serve.
    let greeting = greeting(&app, first_user.as_ref());
    // Where the trail goes to standard output, nothing else does: whatever reads it takes each line for an event.
    let greeted = match is_trail_here {
        true => std::io::stderr().write_all(greeting.as_bytes()),
        false => std::io::stdout().write_all(greeting.as_bytes()),
    };
    if let Err(error) = greeted {
        tracing::warn!(%error, "the greeting could not be written");
    }
    until_told(app, signals, Reload { path: path.to_owned(), logging }).await
}

/// LOG-8: an image of this process holds keys and passwords. The children that it starts leave none either.
fn leave_no_core() {
    if let Err(error) = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) }) {
        tracing::warn!(%error, "a crash could write an image of this process to the disk");
    }
}

/// The two ways of telling a process to stop, and the one of telling it to look at its configuration again.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    /// Caught from the start: what reloads other servers must not end this one.
    hang_up: Signal,
}

enum Told {
    Stop,
    Reload,
}

impl Signals {
    fn new() -> Result<Self, Failure> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Told {
        tokio::select! {
            biased;
            _ = self.terminate.recv() => Told::Stop,
            _ = self.interrupt.recv() => Told::Stop,
            _ = self.hang_up.recv() => Told::Reload,
        }
    }

    /// As [`Signals::next`], but for who cannot reload now: a hang-up that comes meanwhile is left for later.
    async fn stop(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

async fn until_told(app: App, mut signals: Signals, mut reload: Reload) -> Result<(), Failure> {
    let mut running = app.serve()?;
    loop {
        let told = tokio::select! {
            ended = running.wait() => return Ok(ended?),
            told = signals.next() => told,
        };
        if let Told::Stop = told {
            break;
        }
        tokio::select! {
            () = reload.run(&mut running) => {}
            // It may wait for an upstream. What it began ends with everything else.
            () = signals.stop() => break,
        }
    }
    tracing::info!("stopping; a second signal stops at once");
    tokio::select! {
        () = running.stop() => {}
        () = signals.stop() => {}
    }
    Ok(())
}

/// What a person needs to go on. The password is printed here once and kept nowhere.
fn greeting(app: &App, first_user: Option<&FirstUser>) -> String {
    let mut lines = vec![
        format!("mcp-bridge {} is ready", env!("CARGO_PKG_VERSION")),
        String::new(),
        format!("  connector  {}", app.addresses.resource),
    ];
    if let Some(user) = first_user {
        let how = format!("shown this once; change it with: mcp-bridge user passwd {}", user.name);
        lines.push(format!("  login      {}", user.name));
        lines.push(format!("  password   {}   ({how})", user.password.expose()));
    }
    for (redirect_uri, provider) in app.callbacks() {
        lines.push(format!("  callback   {redirect_uri}   (the redirect URI to register at {provider})"));
    }
    lines.push(format!("  data       {}", app.data_folder()));
    lines.extend(app.key_folder().map(|keys| format!("  keys       {keys}")));
    lines.extend([String::new(), String::new()]);
    lines.join("\n")
}
