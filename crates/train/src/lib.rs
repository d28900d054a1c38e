//! Trains, resumes and verifies runs.
//!
//! [`Experiment`] is the TOML file: the tables of the data and model crates and of this one. [`Run::prepare`] checks an
//! experiment against its data and creates a run directory. [`Run::train`] goes through the epochs, evaluates the test set
//! once and completes the directory, and reports to an [`Observer`]. [`Run::resume`] continues an interrupted run, and
//! [`Verifier`] retrains a run and compares the results.
//!
//! [`Engine::step`] performs one training step. No other code depends on how a step is computed.
//!
//! All random numbers come from [`random::stream`], a generator for a seed, a purpose and an epoch. The generators of
//! the backends are not used, because all runs of a process would share them.

mod class_weights;
mod continuation;
mod engine;
mod evaluation;
mod experiment;
mod initial_weights;
mod loss;
mod metrics;
pub mod optimizers;
mod predictor;
pub mod random;
mod resume;
mod run;
pub mod schedules;
mod shared_training;
mod speed;
mod trained_network;
mod training_loop;
mod weights_file;

use thiserror::Error;

pub use class_weights::ClassWeights;
pub use continuation::Continued;
pub use engine::{Engine, EngineSettings, Implementation, OptimizerState, Targets};
pub use evaluation::{Evaluation, evaluate, evaluate_each};
pub use experiment::{
    Backend, CheckpointConfig, Declaration, DeviceConfig, EarlierPhase, EarlierPhases,
    EarlyStoppingConfig, EngineChoice, Experiment, LoggingConfig, MachineMemory, REFERENCE,
    Sampling, Simd, TestConfig, TrainingConfig, WeightsChoice, join_bases, known_paths,
    limit_threads, open_experiment,
};
pub use initial_weights::WeightsFile;
pub use loss::LossConfig;
pub use metrics::{MetricName, Metrics, MissingSetting, OptionalMetric};
pub use optimizers::{OptimizerConfig, OptimizerKind, OptimizerName};
pub use predictor::{Classification, Predictor};
pub use resume::lock::RunLock;
pub use resume::origin::{ResumeError, ResumeErrorKind, reproduces};
pub use resume::{Mismatch, Resumed, Verification, VerificationResult, Verifier, check};
pub use run::{ALL_EPOCHS_DONE, PlannedId, Run, TrainingOutcome};
pub use schedules::{ScheduleConfig, ScheduleKind, ScheduleName};
pub use speed::Speed;
pub use trained_network::TrainedNetwork;
pub use training_loop::observer::{EpochEnd, EpochLog, Observer, Progress, Stop};

/// Why a run cannot be prepared, trained, resumed or used.
#[derive(Debug, Error)]
pub enum TrainError {
    /// The configuration is invalid by itself or for this data.
    #[error(transparent)]
    Config(#[from] kiln_config::ConfigError),
    /// The data cannot be read.
    #[error(transparent)]
    Data(#[from] kiln_data::DataError),
    /// A file of the run cannot be written or read.
    #[error(transparent)]
    Store(#[from] kiln_store::StoreError),
    /// The report of the run cannot be computed.
    #[error(transparent)]
    Report(kiln_report::ReportError),
    /// A file of weights cannot be written or read.
    #[error("weights {place}: {message}")]
    Weights {
        /// The path of the file.
        place: String,
        /// The cause.
        message: String,
    },
    /// The weights do not fit the architecture.
    #[error("{0}")]
    Engine(String),
    /// A run cannot be resumed.
    #[error("{run} cannot be resumed: {error}")]
    Resume {
        /// The directory of the run.
        run: String,
        /// The reason.
        error: ResumeError,
    },
    /// A run cannot be continued as a new run.
    #[error("{run} cannot be continued: {problem}")]
    Continue {
        /// The directory of the run.
        run: String,
        /// The reason.
        problem: String,
        /// The advice. Not part of the message.
        help: Option<String>,
    },
    /// The dataset is not the one that the run was planned with.
    #[error(
        "the dataset {name} changed from {planned} to {now} after the run was planned: repeat the command"
    )]
    DataChanged {
        /// The name of the dataset.
        name: String,
        /// The fingerprint that the run was planned with.
        planned: String,
        /// The fingerprint of the data that was read.
        now: String,
    },
    /// Every result on the data would be meaningless.
    #[error("{data}: {problem}{}", and_others(.others))]
    MeaninglessData {
        /// `data.source`.
        data: String,
        /// The problem with the data.
        problem: String,
        /// The number of further problems.
        others: usize,
        /// The advice. Not part of the message.
        help: String,
    },
    /// A checkpoint cannot be encoded.
    #[error("cannot write checkpoint {place}: {message}")]
    Checkpoint {
        /// The directory of the checkpoint.
        place: String,
        /// The cause.
        message: String,
    },
    /// An image does not have the size that the network expects.
    #[error("the image has {found} values, the network expects {expected}")]
    ImageSize {
        /// The values of the network's input.
        expected: usize,
        /// The values of the image.
        found: usize,
    },
    /// A prediction needs a finished run.
    #[error("{run} is not finished ({status}); only finished runs can predict")]
    Unfinished {
        /// The directory of the run.
        run: String,
        /// The status of the run.
        status: kiln_store::Status,
    },
}

fn and_others(others: &usize) -> String {
    match others {
        0 => String::new(),
        1 => " (and 1 more problem: kiln data check)".to_owned(),
        others => format!(" (and {others} more problems: kiln data check)"),
    }
}

// Callers match on `Store` for all errors of files, including those that occur while the report is written.
impl From<kiln_report::ReportError> for TrainError {
    fn from(error: kiln_report::ReportError) -> Self {
        match error {
            kiln_report::ReportError::Store(error) => Self::Store(error),
            error => Self::Report(error),
        }
    }
}
