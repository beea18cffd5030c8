//! UTF-8 that comes in pieces.

use crate::protocol::mcp::passing::PassFault;

/// UTF-8, in pieces that may end within a letter.
#[derive(Debug)]
pub(super) struct Utf8 {
    begun: [u8; 4],
    length: usize,
}

impl Utf8 {
    /// Nothing came yet.
    pub(super) const fn new() -> Self {
        Self { begun: [0; 4], length: 0 }
    }

    /// Whether the last letter has not ended.
    pub(super) const fn is_within_a_letter(&self) -> bool {
        self.length > 0
    }

    /// Reads on.
    pub(super) fn check(&mut self, piece: &[u8]) -> Result<(), PassFault> {
        let mut rest = piece;
        while self.length > 0 {
            let (Some((first, after)), Some(place)) = (rest.split_first(), self.begun.get_mut(self.length)) else {
                return if rest.is_empty() { Ok(()) } else { Err(PassFault::NotJson) };
            };
            *place = *first;
            rest = after;
            self.length += 1;
            match std::str::from_utf8(self.begun.get(..self.length).unwrap_or_default()) {
                Ok(_) => self.length = 0,
                Err(error) if error.error_len().is_none() => {}
                Err(_) => return Err(PassFault::NotJson),
            }
        }
        match std::str::from_utf8(rest) {
            Ok(_) => Ok(()),
            Err(error) if error.error_len().is_none() => {
                let begun = rest.get(error.valid_up_to()..).unwrap_or_default();
                self.length = begun.len();
                self.begun.iter_mut().zip(begun).for_each(|(place, byte)| *place = *byte);
                Ok(())
            }
            Err(_) => Err(PassFault::NotJson),
        }
    }
}
