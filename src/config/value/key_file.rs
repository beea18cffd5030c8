//! Files with private keys: there, and nobody else's to read.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::config::fault::Wrong;

/// All that a key file may be: 0640, so that a group for secrets can be used.
const TOO_WIDE: u32 = 0o037;

/// # Errors
/// No file, or one that more than its owner and its group's readers can get at. What is in it is checked by `keys`.
/// `otherwise` says what to do instead of having one.
pub fn check(path: &Path, otherwise: &str) -> Result<(), Wrong> {
    let metadata = fs::metadata(path).map_err(|error| {
        let fix = format!("make it with `mcp-bridge keygen`, or {otherwise}");
        Wrong::new(format!("{} cannot be read: {error}", path.display()), fix)
    })?;
    if !metadata.is_file() {
        return Err(Wrong::new(format!("{} is no file", path.display()), "name the PEM file of a private key"));
    }
    let mode = metadata.permissions().mode() & 0o777;
    if mode & TOO_WIDE != 0 {
        let problem = format!("{} has mode {mode:04o}, so that others can read the key", path.display());
        return Err(Wrong::new(problem, format!("run `chmod 0600 {}`", path.display())));
    }
    Ok(())
}
