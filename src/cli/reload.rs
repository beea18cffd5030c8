//! SIGHUP: the configuration is read again, and comes into force as a whole or not at all.

use std::error::Error;
use std::path::PathBuf;

use crate::app::{Running, StartError};
use crate::audit::Event;
use crate::config::Config;
use crate::telemetry::Logging;

/// What is read again, and the log, which changes with it.
pub(super) struct Reload {
    pub path: PathBuf,
    pub logging: Logging,
}

/// Why another configuration is not in force.
struct Refused {
    /// For the trail, in a word of ours.
    reason: &'static str,
    /// For the log.
    faults: Vec<String>,
}

impl Refused {
    fn new(reason: &'static str, error: &dyn Error) -> Self {
        Self { reason, faults: vec![error.to_string()] }
    }
}

const fn reason(error: &StartError) -> &'static str {
    match error {
        StartError::Configuration(_) => "faulty",
        StartError::Io(_) => "files",
        StartError::Unavailable(_) => "upstream_unavailable",
        StartError::Failed(_) => "failed",
    }
}

impl Reload {
    /// Reads the configuration and puts it in force. A fault is logged, and everything stays as it is.
    pub async fn run(&mut self, running: &mut Running) {
        // Whatever the configuration holds: who moves log files away sends this signal too.
        if let Err(error) = self.logging.reopen() {
            tracing::error!(%error, "the log could not be opened anew");
        }
        match self.try_run(running).await {
            Ok(()) => {
                // It has happened; a trail that cannot be written changes nothing.
                let _ = running.audit().record(Event::Reloaded).await;
                tracing::info!(path = %self.path.display(), "the configuration was reloaded");
            }
            Err(Refused { reason, faults }) => {
                let _ = running.audit().record(Event::ReloadRefused { reason }).await;
                for fault in &faults {
                    tracing::error!("{fault}");
                }
                let (path, faults) = (self.path.display(), faults.len());
                tracing::error!(%path, faults, "the configuration was not reloaded; the one before stays in force");
            }
        }
    }

    async fn try_run(&mut self, running: &mut Running) -> Result<(), Refused> {
        let path = self.path.clone();
        let read = tokio::task::spawn_blocking(move || Config::load_again(&path)).await;
        let config = match read {
            Ok(Ok(config)) => config,
            Ok(Err(faults)) => {
                let faults = faults.to_string().lines().map(str::to_owned).collect();
                return Err(Refused { reason: "faulty", faults });
            }
            Err(error) => return Err(Refused::new("failed", &error)),
        };
        let log = self.logging.prepare(&config.log).map_err(|error| Refused::new("log", &error))?;
        let warnings = config.warnings.clone();
        let kept = running.reload(config).await.map_err(|error| Refused::new(reason(&error), &error))?;
        self.logging.change(log);
        for warning in warnings {
            tracing::warn!("{warning}");
        }
        for key in kept {
            tracing::warn!(key, "a change of this needs a restart; what it was stays in force");
        }
        Ok(())
    }
}
