//! Many runs of one experiment: declared in a sweep file or on the command line, planned, launched as
//! processes, and watched.
//!
//! ```text
//! sweep.toml + KEY=V1,V2,…
//!    │  Sweep::open       axes read, keys completed
//!    ▼
//! Sweep
//!    │  Plan::new         expanded; every combination checked by the experiment's own rules and against the data
//!    ▼
//! Plan ── Estimate::measure   how long it will take
//!    │  launch            what is not done yet, each run a process of its own
//!    ▼
//! Launched
//! ```
//!
//! A run's directory is `<runs>/<name>/<id>`, and its id comes from a hash of its resolved experiment.
//! So the state of a sweep is nothing but its run directories: what is complete there is done, whoever did
//! it and when. Beside them `.kiln/<id>.log` is the run's [`Claim`](kiln_store::Claim) and the end of its words.

mod axis;
mod block;
mod change;
mod check;
mod child;
mod declaration;
mod estimate;
mod launch;
mod outcome;
mod pattern;
mod plan;
mod protocol;
mod prune;
mod random;
mod record;
mod state;
mod worker;

use std::path::{Path, PathBuf};

pub use change::Change;
pub use check::Checker;
pub use declaration::{Combination, MOST_RUNS, Sweep};
pub use estimate::Estimate;
pub use launch::{Event, LaunchOptions, Launched, Requests, Watcher, launch};
pub use outcome::{By, Failure, Outcome};
pub use plan::{DifferingKey, Member, Plan};
pub use protocol::{EpochReport, StepReport};
pub use prune::PruneConfig;
pub use record::SweepRecord;
pub use state::State;
pub use worker::work;

/// Why a sweep, or the process of one of its runs, could not go on.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// A run could not be made or finished.
    #[error(transparent)]
    Train(#[from] kiln_train::TrainError),
    /// The operating system refused.
    #[error("cannot {action} {}: {cause}", path.display())]
    Io {
        /// What was tried, as it follows "cannot": "open", "start".
        action: &'static str,
        /// The file or program.
        path: PathBuf,
        /// What the operating system answered.
        cause: std::io::Error,
    },
    /// A file of a run cannot be written or read, or somebody else works on it.
    #[error(transparent)]
    Store(#[from] kiln_store::StoreError),
    /// The process of a run was not given its order.
    #[error("this is the process of one run of a sweep, and its order cannot be carried out: {0}")]
    Order(String),
}

impl From<kiln_config::ConfigError> for SweepError {
    fn from(error: kiln_config::ConfigError) -> Self {
        Self::Train(error.into())
    }
}

impl SweepError {
    pub(crate) fn io(action: &'static str, path: &Path, cause: std::io::Error) -> Self {
        Self::Io { action, path: path.to_owned(), cause }
    }
}
