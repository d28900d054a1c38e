//! The experiment: what the TOML file declares, and its data.

mod declaration;
mod device;
mod prepared;
mod training;

use std::sync::LazyLock;

use kiln_config::{ConfigError, Document, FromValue, Table};
use kiln_data::DataConfig;
use kiln_model::ModelConfig;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::gradient_clipping::GradientClipping;
use crate::loss::LossConfig;
use crate::metrics::OptionalMetric;
use crate::optimizer::OptimizerConfig;
use crate::schedule::ScheduleConfig;

pub use declaration::Declaration;
pub use device::{Backend, DeviceConfig, EngineChoice};
pub(crate) use prepared::PreparedExperiment;
pub use training::{CheckpointConfig, EarlyStoppingConfig, TrainingConfig, WeightsChoice};

/// `configs/reference.toml`: every key with its default.
pub const REFERENCE: &str = include_str!("../../../../configs/reference.toml");

/// A whole experiment: every table of the TOML file, every value explicit.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Experiment {
    /// Runs of one name share a directory.
    pub name: String,
    /// What every random number comes from.
    pub seed: u64,
    /// Which images.
    pub data: DataConfig,
    /// Which layers.
    pub model: ModelConfig,
    /// What is minimised.
    pub loss: LossConfig,
    /// How.
    pub optimizer: OptimizerConfig,
    /// At what pace.
    pub schedule: ScheduleConfig,
    /// How long, and what is kept.
    pub training: TrainingConfig,
    /// When to stop early, if ever.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub early_stopping: Option<EarlyStoppingConfig>,
    /// On what.
    pub device: DeviceConfig,
    /// What is kept to go on from.
    #[serde(skip)]
    pub checkpoint: CheckpointConfig,
}

/// The tables that no result depends on, which stand behind the others.
#[derive(Serialize)]
struct WithoutResult {
    checkpoint: CheckpointConfig,
}

impl Experiment {
    pub(super) fn read(table: &mut Table<'_>) -> Result<Self, ConfigError> {
        let name = match table.value("name") {
            None => table.required("name")?,
            Some(value) => {
                let name = String::from_value(value)?;
                kiln_report::check_name(&name)
                    .map_err(|error| value.error(format!("this name cannot be used: {error}")))?;
                name
            }
        };
        Ok(Self {
            name,
            seed: table.default("seed", 42)?,
            data: table.table("data", DataConfig::read)?,
            model: table.table("model", ModelConfig::read)?,
            loss: table.optional_table("loss", LossConfig::read)?.unwrap_or_default(),
            optimizer: table.table("optimizer", OptimizerConfig::read)?,
            schedule: table.optional_table("schedule", ScheduleConfig::read)?.unwrap_or_default(),
            training: table.optional_table("training", TrainingConfig::read)?.unwrap_or_default(),
            early_stopping: table.optional_table("early_stopping", EarlyStoppingConfig::read)?,
            device: table.optional_table("device", DeviceConfig::read)?.unwrap_or_default(),
            checkpoint: table
                .optional_table("checkpoint", CheckpointConfig::read)?
                .unwrap_or_default(),
        })
    }

    /// What tells this experiment from every other: the first 48 bits of a SHA-256 over all of its
    /// values that a result depends on, as 12 hexadecimal digits. The same experiment has the same one
    /// under every name, however it was written.
    ///
    /// # Errors
    ///
    /// Those of [`to_toml`](Self::to_toml).
    pub fn identity(&self) -> Result<String, ConfigError> {
        let unnamed = Self { name: String::new(), ..self.clone() };
        let digest = Sha256::digest(toml_of(&unnamed)?);
        Ok(digest[..6].iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// The experiment as TOML, every value explicit; reading it gives the same experiment.
    ///
    /// # Errors
    ///
    /// A number has no TOML form (a seed above 2⁶³ − 1).
    pub fn to_toml(&self) -> Result<String, ConfigError> {
        let results = toml_of(self)?;
        Ok(results + "\n" + &toml_of(&WithoutResult { checkpoint: self.checkpoint })?)
    }
}

fn toml_of(part: &impl Serialize) -> Result<String, ConfigError> {
    toml::to_string(part)
        .map_err(|error| ConfigError::new(format!("the experiment has no TOML form: {error}")))
}

/// Every path that an override may name: those written, those that the defaults add to them, and
/// those of an experiment that has every optional table, whose layers are its own affair.
///
/// # Errors
///
/// The experiment has no TOML form.
pub fn known_paths(document: &Document) -> Result<Vec<String>, ConfigError> {
    static ALWAYS: LazyLock<Result<Vec<String>, ConfigError>> = LazyLock::new(|| {
        let mut everything =
            Document::parse("reference.toml", REFERENCE)?.read(Experiment::read)?;
        everything.early_stopping = Some(EarlyStoppingConfig::default());
        // Empty, it would not be written.
        everything.training.metrics = OptionalMetric::all().collect();
        everything.optimizer.clipping =
            GradientClipping { global_clipnorm: Some(1.0), clipvalue: Some(1.0) };
        let mut paths = Document::parse("reference.toml", &everything.to_toml()?)?.paths();
        paths.retain(|path| !path.starts_with("model."));
        Ok(paths)
    });
    let mut paths = ALWAYS.clone()?;
    paths.extend(document.paths());
    if let Ok(experiment) = document.read(Experiment::read) {
        paths.extend(Document::parse("resolved", &experiment.to_toml()?)?.paths());
    }
    paths.sort_unstable();
    paths.dedup();
    Ok(paths)
}
