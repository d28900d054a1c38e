//! Random numbers that a seed decides, whatever else runs.

use rand_chacha::ChaCha8Rng;
use rand_core::SeedableRng;
use sha2::{Digest, Sha256};

/// What a stream of random numbers is for. Streams of different purposes are independent, so that
/// a change in how one is used leaves the others as they were.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Which rows validate.
    Split,
    /// Initial weights.
    Weights,
    /// The order of the rows in an epoch.
    Shuffle,
    /// The masks of dropout in an epoch.
    Dropout,
    /// The values that a sweep draws, by [`named_stream`].
    Search,
}

impl Purpose {
    const fn name(self) -> &'static str {
        match self {
            Self::Split => "split",
            Self::Weights => "weights",
            Self::Shuffle => "shuffle",
            Self::Dropout => "dropout",
            Self::Search => "search",
        }
    }
}

/// The generator for a purpose in an epoch (0 where the purpose is not bound to one): ChaCha with 8
/// rounds, keyed by the SHA-256 of the three.
#[must_use]
pub fn stream(seed: u64, purpose: Purpose, epoch: usize) -> ChaCha8Rng {
    ChaCha8Rng::from_seed(key(seed, purpose, epoch).finalize().into())
}

/// The generator for a purpose that has several, told apart by a name.
#[must_use]
pub fn named_stream(seed: u64, purpose: Purpose, name: &str) -> ChaCha8Rng {
    ChaCha8Rng::from_seed(key(seed, purpose, 0).chain_update(name).finalize().into())
}

fn key(seed: u64, purpose: Purpose, epoch: usize) -> Sha256 {
    Sha256::new()
        .chain_update(b"kiln stream 1")
        .chain_update(seed.to_le_bytes())
        .chain_update((epoch as u64).to_le_bytes())
        .chain_update(purpose.name())
}
