//! What is trained.

use std::path::{Path, PathBuf};

/// The experiment that everybody trains, and the sweep that is made of it.
pub(crate) struct Setting {
    pub(crate) config: PathBuf,
    /// The directory with the named datasets.
    pub(crate) data: PathBuf,
    pub(crate) batch: usize,
    /// Epochs from which a step's time is taken; the first is not counted.
    pub(crate) step_epochs: usize,
    pub(crate) learning_rates: &'static [&'static str],
    /// How many layers of 100 units.
    pub(crate) depths: &'static [&'static str],
}

impl Setting {
    pub(crate) fn article() -> Self {
        Self {
            config: at_root("configs/fashion-mnist.toml"),
            data: at_root("data"),
            batch: 32,
            step_epochs: 5,
            learning_rates: &["0.003", "0.01", "0.03", "0.1"],
            depths: &["1", "2", "3"],
        }
    }

    /// How many runs the sweep has.
    pub(crate) fn runs(&self) -> usize {
        self.learning_rates.len() * self.depths.len()
    }

    /// Learning rate and depth of each run of the sweep.
    pub(crate) fn combinations(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        self.depths.iter().flat_map(|depth| self.learning_rates.iter().map(|rate| (*rate, *depth)))
    }
}

pub(crate) fn at_root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Where runs, environments and samples lie: under `target/`.
pub(crate) fn scratch() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
}
