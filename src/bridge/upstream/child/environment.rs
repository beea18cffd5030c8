//! What a child gets of the bridge's surroundings: an allow-list of variables, and a program that was looked for beforehand.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::{env, fs};

use rustix::fs::{Access, access};

use super::SpawnError;
use crate::base::secret::Secret;
use crate::config::section::Command;
use crate::config::section::InheritEnv;

/// Where `execvp` looks when there is no `PATH`.
const DEFAULT_PATH: &str = "/bin:/usr/bin";

/// Shorter values would hide ordinary words of the log.
const SHORTEST_SECRET: usize = 8;

/// Parts of a variable's name that make its value one to keep out of the log.
const SECRET_NAMES: [&str; 7] = ["AUTH", "CREDENTIAL", "KEY", "PASS", "PRIVATE", "SECRET", "TOKEN"];

/// The child's whole environment: the allow-list from the bridge's own, then `env`.
pub(super) fn variables(command: &Command) -> BTreeMap<OsString, OsString> {
    // Inheritance is by definition from the process, not from the configuration, hence read here.
    let mut variables: BTreeMap<_, _> = match &command.inherit_env {
        InheritEnv::All => env::vars_os().collect(),
        InheritEnv::Only(names) => {
            names.iter().filter_map(|name| Some((OsString::from(name), env::var_os(name)?))).collect()
        }
    };
    variables.extend(command.env.iter().map(|(name, value)| (name.into(), value.expose().into())));
    variables
}

/// The values of `env` that must not show up in the log when the child prints them.
pub(super) fn secrets(command: &Command) -> Vec<Secret> {
    let telling = |name: &str| {
        let name = name.to_ascii_uppercase();
        SECRET_NAMES.iter().any(|part| name.contains(part))
    };
    let chosen = command.env.iter().filter(|(name, value)| telling(name) && value.expose().len() >= SHORTEST_SECRET);
    chosen.map(|(_, value)| value.clone()).collect()
}

/// Looks for the working directory and the program, so that the commonest mistakes get a clear text at once.
///
/// # Errors
/// As the variants say.
pub(super) fn check(command: &Command, variables: &BTreeMap<OsString, OsString>) -> Result<(), SpawnError> {
    if let Some(dir) = &command.dir {
        // The dot makes a file that is not a folder fail too.
        access(dir.join("."), Access::EXEC_OK)
            .map_err(|error| SpawnError::Directory { dir: dir.clone(), source: error.into() })?;
    }
    let dir = command.dir.as_deref().unwrap_or(Path::new(""));
    if command.command.contains('/') {
        return executable(dir.join(&command.command));
    }
    let path = variables.get(OsStr::new("PATH")).cloned().unwrap_or_else(|| DEFAULT_PATH.into());
    let found: Vec<_> =
        env::split_paths(&path).map(|folder| executable(dir.join(folder).join(&command.command))).collect();
    if found.iter().any(Result::is_ok) {
        return Ok(());
    }
    // A file without the x bit is a better clue than "not found".
    found.into_iter().find(|one| matches!(one, Err(SpawnError::NotExecutable(_)))).unwrap_or_else(|| {
        Err(SpawnError::NotInPath { command: command.command.clone(), path: path.to_string_lossy().into_owned() })
    })
}

fn executable(file: PathBuf) -> Result<(), SpawnError> {
    match fs::metadata(&file) {
        Err(_) => Err(SpawnError::NotFound(file)),
        Ok(found) if found.is_file() && access(&file, Access::EXEC_OK).is_ok() => Ok(()),
        Ok(_) => Err(SpawnError::NotExecutable(file)),
    }
}
