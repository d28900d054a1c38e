//! What an experiment of the benchmark consists of.

use std::path::{Path, PathBuf};

use crate::options::Part;
use crate::samples::Subject;
use crate::targets::Target;

/// An experiment that all subjects train. Each one is a file of [`crate::experiments`].
pub(crate) struct Setting {
    /// The value of `--experiment`.
    pub(crate) name: &'static str,
    /// The heading of its section in the results, and what is trained.
    pub(crate) heading: &'static str,
    pub(crate) about: &'static str,
    pub(crate) config: PathBuf,
    /// The directory of the named datasets.
    pub(crate) data: PathBuf,
    pub(crate) batch: usize,
    /// The number of epochs for the time of a step. The first epoch is not counted.
    pub(crate) step_epochs: usize,
    /// The number of epochs of a run, and of each run of the sweep.
    pub(crate) run_epochs: usize,
    pub(crate) sweep_epochs: usize,
    /// The axes of the sweep. Its runs are all combinations.
    pub(crate) axes: [Axis; 2],
    pub(crate) parts: &'static [Part],
    pub(crate) peers: &'static [Peer],
    pub(crate) targets: &'static [Target],
}

/// An axis of the sweep: its key in the experiment, the option of the scripts, and the values.
#[derive(Clone, Copy)]
pub(crate) struct Axis {
    pub(crate) key: &'static str,
    pub(crate) option: &'static str,
    pub(crate) values: &'static [&'static str],
}

/// A framework to compare with: the packages that it needs, and the script that trains with it.
pub(crate) struct Peer {
    pub(crate) subject: Subject,
    pub(crate) packages: &'static [&'static str],
    pub(crate) script: &'static str,
    /// A script that trains the whole sweep in one process. Without it, each run is a process.
    pub(crate) sweep_script: Option<&'static str>,
}

impl Setting {
    /// The number of runs in the sweep.
    pub(crate) fn runs(&self) -> usize {
        self.axes.iter().map(|axis| axis.values.len()).product()
    }

    /// The values of both axes for each run of the sweep.
    pub(crate) fn combinations(&self) -> impl Iterator<Item = [&'static str; 2]> {
        let [first, second] = self.axes;
        second.values.iter().flat_map(move |b| first.values.iter().map(move |a| [*a, *b]))
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
