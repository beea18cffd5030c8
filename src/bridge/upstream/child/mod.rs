//! A child process that speaks on its standard input and output.

use std::path::Path;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{ChildStdin, ChildStdout};

use crate::config::section::{Command, InheritEnv};

/// A running child's pipes. Its standard error goes to the log.
#[derive(Debug)]
pub struct Child {
    /// Where messages to it are written.
    pub stdin: ChildStdin,
    /// Where messages from it are read.
    pub stdout: ChildStdout,
}

/// How the child will have ended. Dropping it ends the child.
#[derive(Debug)]
pub struct Exit(tokio::process::Child);

/// The child could not be started.
#[derive(Debug, thiserror::Error)]
#[error("{command:?} cannot be started: {cause}")]
pub struct SpawnError {
    command: String,
    cause: std::io::Error,
}

impl Child {
    /// Starts a child. Needs a tokio runtime around it.
    ///
    /// # Errors
    /// The program cannot be run.
    pub fn spawn(name: &str, command: &Command, _keeper: &Path) -> Result<(Self, Exit), SpawnError> {
        let fault = |cause| SpawnError { command: command.command.clone(), cause };
        let mut process = tokio::process::Command::new(&command.command);
        process
            .args(&command.args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        if let InheritEnv::Only(names) = &command.inherit_env {
            process.env_clear();
            process.envs(std::env::vars_os().filter(|(key, _)| names.iter().any(|name| key == name.as_str())));
        }
        process.envs(command.env.iter().map(|(key, value)| (key, value.expose())));
        if let Some(dir) = &command.dir {
            process.current_dir(dir);
        }
        let mut child = process.spawn().map_err(fault)?;
        let pipes = child.stdin.take().zip(child.stdout.take()).zip(child.stderr.take());
        let Some(((stdin, stdout), stderr)) = pipes else { return Err(fault(std::io::ErrorKind::BrokenPipe.into())) };
        let name = name.to_owned();
        tokio::spawn(async move {
            let mut lines = BufReader::new(stderr).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                tracing::info!(upstream = name, "{line:?}");
            }
        });
        Ok((Self { stdin, stdout }, Exit(child)))
    }
}

impl Exit {
    /// Waits for the end; tells in words how it came.
    pub async fn wait(&mut self) -> String {
        match self.0.wait().await {
            Ok(status) => status.to_string(),
            Err(error) => error.to_string(),
        }
    }
}
