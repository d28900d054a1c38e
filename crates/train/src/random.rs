//! Random numbers that depend on nothing but the seed and their purpose.

use rand_chacha::ChaCha8Rng;
use rand_core::SeedableRng;
use sha2::{Digest, Sha256};

/// The purpose of a stream of random numbers. Streams of different purposes are independent, so a change in the use of
/// one does not change the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The choice of the validation rows.
    Split,
    /// The choice of the test rows, if the source has no test images.
    TestSplit,
    /// The initial weights.
    Weights,
    /// The order of the rows in an epoch.
    Shuffle,
    /// The rows of an epoch, if each class is drawn equally often.
    Sampling,
    /// The dropout masks of an epoch.
    Dropout,
    /// The key of the augmentation of an epoch.
    Augment,
    /// The values that a sweep draws; used with [`named_stream`].
    Search,
}

impl Purpose {
    const fn name(self) -> &'static str {
        match self {
            Self::Split => "split",
            Self::TestSplit => "test split",
            Self::Weights => "weights",
            Self::Shuffle => "shuffle",
            Self::Sampling => "sampling",
            Self::Dropout => "dropout",
            Self::Augment => "augment",
            Self::Search => "search",
        }
    }
}

/// The generator for a purpose in an epoch: ChaCha with 8 rounds, keyed by the SHA-256 of all three. The epoch is 0 for
/// purposes that are not specific to an epoch.
#[must_use]
pub fn stream(seed: u64, purpose: Purpose, epoch: usize) -> ChaCha8Rng {
    ChaCha8Rng::from_seed(key(seed, purpose, epoch).finalize().into())
}

/// One of several generators for the same purpose, distinguished by name.
#[must_use]
pub fn named_stream(seed: u64, purpose: Purpose, name: &str) -> ChaCha8Rng {
    ChaCha8Rng::from_seed(key(seed, purpose, 0).chain_update(name).finalize().into())
}

fn key(seed: u64, purpose: Purpose, epoch: usize) -> Sha256 {
    // Any change here changes every result. A new derivation needs a new number in the first part.
    Sha256::new()
        .chain_update(b"kiln stream 1")
        .chain_update(seed.to_le_bytes())
        .chain_update((epoch as u64).to_le_bytes())
        .chain_update(purpose.name())
}
