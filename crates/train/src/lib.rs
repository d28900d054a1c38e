//! The experiment, its training loop, and what it takes to run it.
//!
//! [`Experiment`] is the whole TOML file: the tables of the data and model crates and this one's
//! own, composed. [`Run::prepare`] checks it against the data and claims a run directory;
//! [`Run::train`] goes through the epochs, tests once and leaves the directory complete. What it
//! says on the way goes to an [`Observer`].
//!
//! One training step is [`Engine::step`], and nothing else knows how it is computed.
//!
//! Every random number comes from [`random::stream`], a generator for a seed, a purpose and an
//! epoch: never from a backend's, which all runs of a process would share.

mod check;
mod checkpoint;
mod config;
mod course;
mod device;
mod engine;
mod epoch;
mod evaluation;
mod experiment;
mod loss;
mod material;
mod metrics;
mod monitor;
mod observer;
pub mod optimizers;
mod origin;
mod predictor;
pub mod random;
mod resume;
mod run;
mod schedule;
mod speed;
mod training_loop;
mod verify;

use thiserror::Error;

pub use check::check;
pub use config::{CheckpointConfig, EarlyStoppingConfig, TrainingConfig, WeightsChoice};
pub use device::{Backend, DeviceConfig, EngineChoice};
pub use engine::{Engine, EngineSettings, Implementation, OptimizerState};
pub use evaluation::{Evaluation, evaluate, evaluate_each};
pub use experiment::{Declaration, Experiment, REFERENCE, known_paths};
pub use loss::LossConfig;
pub use metrics::Metrics;
pub use monitor::Metric;
pub use observer::{EpochEnd, Observer, Progress, Stop};
pub use optimizers::{OptimizerConfig, OptimizerKind, OptimizerName};
pub use predictor::{Guess, Predictor};
pub use resume::Resumed;
pub use run::{Hold, Outcome, Run};
pub use schedule::{ScheduleConfig, ScheduleKind, ScheduleName};
pub use speed::Speed;
pub use verify::{Difference, Verdict, Verification, Verifier};

/// Why a run could not be made or finished.
#[derive(Debug, Error)]
pub enum TrainError {
    /// The configuration is wrong, by itself or for this data.
    #[error(transparent)]
    Config(#[from] kiln_config::ConfigError),
    /// The data cannot be read.
    #[error(transparent)]
    Data(#[from] kiln_data::DataError),
    /// A file of the run cannot be written or read.
    #[error(transparent)]
    Store(#[from] kiln_store::StoreError),
    /// The run's report cannot be computed.
    #[error(transparent)]
    Report(kiln_report::ReportError),
    /// The weights cannot be encoded or decoded.
    #[error("the weights of {place}: {message}")]
    Weights {
        /// The file.
        place: String,
        /// What is wrong with it.
        message: String,
    },
    /// The weights do not fit the backend or the architecture.
    #[error("{0}")]
    Engine(String),
    /// A run cannot go on where it was interrupted.
    #[error("{run} cannot go on: {problem}")]
    Resume {
        /// Its directory.
        run: String,
        /// Why.
        problem: String,
        /// Whether it is another program or engine that would go on with it: begun anew, it comes out as this
        /// one computes it.
        is_program: bool,
    },
    /// A checkpoint cannot be encoded.
    #[error("the checkpoint {place}: {message}")]
    Checkpoint {
        /// Its directory.
        place: String,
        /// What is wrong with it.
        message: String,
    },
    /// The run was not trained to its end.
    #[error("{run} is not a finished run ({status}); only a finished run predicts")]
    Unfinished {
        /// Its directory.
        run: String,
        /// How it stands.
        status: kiln_store::Status,
    },
}

// An error of a file is `Store`, whether the report met it or training did: callers match on one variant.
impl From<kiln_report::ReportError> for TrainError {
    fn from(error: kiln_report::ReportError) -> Self {
        match error {
            kiln_report::ReportError::Store(error) => Self::Store(error),
            error => Self::Report(error),
        }
    }
}
