//! Work for its own sake: what makes every attempt cost the same, whatever the hash, and whether there is one.

use std::hint::black_box;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use argon2::{Algorithm, Argon2, Params, Version};

use crate::base::argon2id::Argon2idCost;

/// Dummy work needs a salt as well; nobody's hash has it.
const SALT: [u8; 16] = *b"mcp-bridge dummy";
/// argon2 computes no fewer blocks than this.
const LEAST_BLOCKS: u64 = 8;

/// What an attempt costs: rounds of bcrypt as a power of two, and blocks of argon2id, in memory of so many KiB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Of bcrypt: 2 to this power rounds. 0: none.
    pub cost: u32,
    /// Of argon2id: how many blocks.
    pub blocks: u64,
    /// How many of them there are at a time.
    pub memory: u32,
}

impl Work {
    /// Of an argon2id hash.
    pub const fn of(cost: Argon2idCost) -> Self {
        Self { cost: 0, blocks: cost.blocks(), memory: cost.memory }
    }

    /// As much as either.
    pub fn max(self, other: Self) -> Self {
        Self {
            cost: self.cost.max(other.cost),
            blocks: self.blocks.max(other.blocks),
            memory: self.memory.max(other.memory),
        }
    }
}

/// The most among the hashes that were met: every attempt takes as long as the slowest would. Where no argon2id hash is
/// known, nothing of it is computed.
pub struct Ceiling {
    cost: AtomicU32,
    blocks: AtomicU64,
    memory: AtomicU32,
}

impl Ceiling {
    /// Beginning with this much.
    pub const fn new(least: Work) -> Self {
        Self {
            cost: AtomicU32::new(least.cost),
            blocks: AtomicU64::new(least.blocks),
            memory: AtomicU32::new(least.memory),
        }
    }

    /// From now on at least this much.
    pub fn raise(&self, to: Work) {
        self.cost.fetch_max(to.cost, Ordering::Relaxed);
        self.blocks.fetch_max(to.blocks, Ordering::Relaxed);
        self.memory.fetch_max(to.memory, Ordering::Relaxed);
    }

    /// How much it is.
    pub fn get(&self) -> Work {
        Work {
            cost: self.cost.load(Ordering::Relaxed),
            blocks: self.blocks.load(Ordering::Relaxed),
            memory: self.memory.load(Ordering::Relaxed),
        }
    }
}

/// 2^`cost` rounds of bcrypt. Gives how many.
pub fn bcrypt_rounds(password: &[u8], cost: u32) -> u64 {
    // The result is an error only for a cost that no ceiling has.
    let _ = black_box(bcrypt::hash_with_salt(black_box(password), cost, SALT));
    1 << cost
}

/// So many blocks of argon2id, `memory` of them at a time. Gives how many: fewer than eight cannot be.
pub fn argon2id_blocks(password: &[u8], blocks: u64, memory: u32) -> u64 {
    let (mut done, mut output) = (0, [0; 32]);
    while blocks - done >= LEAST_BLOCKS && u64::from(memory) >= LEAST_BLOCKS {
        let rest = blocks - done;
        let memory = u32::try_from(rest).unwrap_or(u32::MAX).min(memory);
        let passes = u32::try_from(rest / u64::from(memory)).unwrap_or(u32::MAX);
        let cost = Argon2idCost { memory, passes, lanes: 1 };
        argon2id(black_box(password), &SALT, cost, &mut output);
        black_box(output);
        done += cost.blocks();
    }
    done
}

/// The argon2id of a password. `false`: it cannot be, with these.
pub fn argon2id(password: &[u8], salt: &[u8], cost: Argon2idCost, output: &mut [u8]) -> bool {
    let Ok(parameters) = Params::new(cost.memory, cost.passes, cost.lanes, Some(output.len())) else { return false };
    let hasher = Argon2::new(Algorithm::Argon2id, Version::V0x13, parameters);
    hasher.hash_password_into(password, salt, output).is_ok()
}
