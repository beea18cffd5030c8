//! Passwords: from standard input, never from the command line, where every user of the machine can read them.

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use rustix::termios::{self, LocalModes, OptionalActions};

use crate::base::secret::Secret;
use crate::cli::{Failure, say};
use crate::identity::password::hash_password;

/// `mcp-bridge hash-password`
pub(super) fn hash() -> Result<(), Failure> {
    let hash = hash_password(&read()?).map_err(Failure::usage)?;
    say(hash.expose())
}

/// Reads one line from standard input; on a terminal it is asked for and not shown.
pub(super) fn read() -> Result<Secret, Failure> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return line();
    }
    write!(std::io::stderr(), "Password: ")?;
    let shown = termios::tcgetattr(&stdin).map_err(std::io::Error::from)?;
    let mut hidden = shown.clone();
    hidden.local_modes.remove(LocalModes::ECHO);
    termios::tcsetattr(&stdin, OptionalActions::Flush, &hidden).map_err(std::io::Error::from)?;
    let password = line();
    termios::tcsetattr(&stdin, OptionalActions::Flush, &shown).map_err(std::io::Error::from)?;
    writeln!(std::io::stderr())?;
    password
}

fn line() -> Result<Secret, Failure> {
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    let kept = line.trim_end_matches(['\r', '\n']).len();
    line.truncate(kept);
    if line.is_empty() { Err(Failure::usage("the password is empty")) } else { Ok(Secret::from(line)) }
}
