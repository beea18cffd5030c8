//! Passwords: from standard input, never from the command line, where every user of the machine can read them.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _};
use std::os::unix::net::UnixStream;

use rustix::termios::{self, LocalModes, OptionalActions, Termios};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::low_level::{emulate_default_handler, pipe};

use crate::base::secret::Secret;
use crate::cli::arguments::{HashOptions, PasswordAlgorithm};
use crate::cli::{Failure, say};
use crate::identity::password::{HashAlgorithm, hash_password};

/// `mcp-bridge hash-password`
pub(super) fn hash(options: HashOptions) -> Result<(), Failure> {
    say(read_and_hash(options)?.expose())
}

/// Reads a password and hashes it.
pub(super) fn read_and_hash(options: HashOptions) -> Result<Secret, Failure> {
    let algorithm = match options.algorithm {
        PasswordAlgorithm::Bcrypt => HashAlgorithm::Bcrypt,
        PasswordAlgorithm::Argon2id => HashAlgorithm::Argon2id,
    };
    hash_password(&read()?, algorithm).map_err(Failure::usage)
}

/// Reads one line from standard input; on a terminal it is asked for and not shown.
fn read() -> Result<Secret, Failure> {
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        return line();
    }
    let shown = termios::tcgetattr(&stdin).map_err(io::Error::from)?;
    show_again_when_interrupted(shown.clone())?;
    let mut hidden = shown.clone();
    hidden.local_modes.remove(LocalModes::ECHO);
    termios::tcsetattr(&stdin, OptionalActions::Flush, &hidden).map_err(io::Error::from)?;
    write!(io::stderr(), "Password: ")?;
    let password = line();
    termios::tcsetattr(&stdin, OptionalActions::Flush, &shown).map_err(io::Error::from)?;
    writeln!(io::stderr())?;
    password
}

/// Ctrl-C at the prompt would leave a terminal that shows nothing of what is typed.
fn show_again_when_interrupted(shown: Termios) -> io::Result<()> {
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        let (mut heard, told) = UnixStream::pair()?;
        pipe::register(signal, told)?;
        let shown = shown.clone();
        std::thread::spawn(move || {
            if heard.read_exact(&mut [0]).is_ok() {
                let _ = termios::tcsetattr(io::stdin(), OptionalActions::Flush, &shown);
                let _ = emulate_default_handler(signal);
            }
        });
    }
    Ok(())
}

fn line() -> Result<Secret, Failure> {
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).map_err(|error| match error.kind() {
        io::ErrorKind::InvalidData => Failure::usage("the password is not UTF-8"),
        _ => Failure::from(error),
    })?;
    let kept = line.trim_end_matches(['\r', '\n']).len();
    line.truncate(kept);
    if line.is_empty() { Err(Failure::usage("the password is empty")) } else { Ok(Secret::from(line)) }
}
