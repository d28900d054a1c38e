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

mod engine;
mod evaluation;
mod experiment;
mod gradient_clipping;
mod loss;
mod metrics;
mod optimizer;
mod predictor;
pub mod random;
mod resume;
mod run;
mod schedule;
mod speed;
mod training_loop;
mod weights_file;

extern crate kiln_report as kiln_store;
use thiserror::Error;

pub use engine::{Engine, EngineSettings, Implementation, OptimizerState};
pub use evaluation::{Evaluation, evaluate, evaluate_each};
pub use experiment::{
    Backend, CheckpointConfig, Declaration, DeviceConfig, EarlyStoppingConfig, EngineChoice,
    Experiment, REFERENCE, TrainingConfig, WeightsChoice, known_paths,
};
pub use gradient_clipping::GradientClipping;
pub use loss::LossConfig;
pub use metrics::{MetricName, Metrics, MissingSetting, OptionalMetric};
pub use optimizer::{OptimizerConfig, OptimizerKind, OptimizerName};
pub use predictor::{Guess, Predictor};
pub use resume::lock::RunLock;
pub use resume::origin::{ResumeError, ResumeErrorKind};
pub use resume::{Mismatch, Resumed, Verification, VerificationResult, Verifier, check};
pub use run::{Run, TrainingOutcome};
pub use schedule::{ScheduleConfig, ScheduleKind, ScheduleName};
pub use speed::Speed;
pub use training_loop::observer::{EpochEnd, Observer, Progress, Stop};

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
    Report(#[from] kiln_report::ReportError),
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
    /// A run cannot be resumed.
    #[error("{run} cannot be resumed: {error}")]
    Resume {
        /// Its directory.
        run: String,
        /// The reason.
        error: ResumeError,
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
        status: kiln_report::Status,
    },
}
