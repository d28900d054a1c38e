//! The experiment and the sweep of the benchmark.

use std::path::{Path, PathBuf};

/// The experiment that all subjects train, and the axes of the sweep.
pub(crate) struct Setting {
    pub(crate) config: PathBuf,
    /// The directory of the named datasets.
    pub(crate) data: PathBuf,
    pub(crate) batch: usize,
    /// The number of epochs for the time of a step. The first epoch is not counted.
    pub(crate) step_epochs: usize,
    pub(crate) learning_rates: &'static [&'static str],
    /// The numbers of layers with 100 units.
    pub(crate) depths: &'static [&'static str],
}

impl Setting {
    pub(crate) fn fashion_mnist() -> Self {
        Self {
            config: at_root("configs/fashion-mnist.toml"),
            data: at_root("data"),
            batch: 32,
            step_epochs: 5,
            learning_rates: &["0.003", "0.01", "0.03", "0.1"],
            depths: &["1", "2", "3"],
        }
    }

    /// The number of runs in the sweep.
    pub(crate) fn runs(&self) -> usize {
        self.learning_rates.len() * self.depths.len()
    }

    /// The learning rate and the depth of each run of the sweep.
    pub(crate) fn combinations(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        self.depths.iter().flat_map(|depth| self.learning_rates.iter().map(|rate| (*rate, *depth)))
    }
}

/// A path relative to the root of the workspace.
pub(crate) fn at_root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The directory for runs, environments and samples, under `target/`.
pub(crate) fn scratch() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
}
