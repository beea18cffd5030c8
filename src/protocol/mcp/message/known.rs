//! Objects that come again and again, byte for byte: who a client is, who a server is.
//!
//! A thread keeps the last few that it has read, and does not take apart again what it knows. What is the same is read the same, and
//! nothing else hangs on it: whoever reads every object anew finds the same.

use crate::protocol::mcp::scan::Scan;
use crate::protocol::mcp::splice::Span;

/// How many objects are kept: of the kinds of clients, or servers, that are busy at one time.
const KEPT: usize = 4;
/// The longest that is kept, in bytes. Those of the official SDKs have some 250.
pub(super) const LONGEST: usize = 1024;

/// The objects, and what was found in them.
#[derive(Debug)]
pub(super) struct Known<T>(Vec<Object<T>>);

#[derive(Debug)]
struct Object<T> {
    text: Box<str>,
    /// How deep it was allowed to be nested when it was read.
    room: usize,
    found: T,
}

impl<T: Copy> Known<T> {
    /// Nothing.
    pub const fn nothing() -> Self {
        Self(Vec::new())
    }

    /// Passes what comes next if it is known; gives its place, and what was found in it.
    pub fn again(&self, scan: &mut Scan<'_>) -> Option<(Span, T)> {
        let room = scan.room();
        let fits = self.0.iter().filter(|known| known.room <= room);
        fits.into_iter().find_map(|known| Some((scan.again(&known.text)?, known.found)))
    }

    /// Keeps an object that was read with this room.
    pub fn keep(&mut self, text: &str, room: usize, found: T) {
        // Line breaks and escapes are to be noticed by the scan.
        if text.len() > LONGEST || text.contains(['\n', '\r', '\\']) {
            return;
        }
        if self.0.len() == KEPT {
            self.0.remove(0);
        }
        self.0.push(Object { text: text.into(), room, found });
    }

    #[cfg(test)]
    pub fn texts(&self) -> Vec<String> {
        self.0.iter().map(|object| object.text.to_string()).collect()
    }
}
