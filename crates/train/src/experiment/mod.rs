//! The experiment: what the TOML file declares, and its data.

mod declaration;
mod declared_data;
mod device;
mod earlier;
mod extends;
mod memory;
mod prepared;
mod remarks;
mod training;
mod type_change;

use std::sync::LazyLock;

use kiln_config::{ConfigError, Document, FromValue, Table};
use kiln_data::{AugmentConfig, DataConfig};
use kiln_model::{LayerTraining, ModelConfig};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::class_weights::ClassWeights;
use crate::loss::LossConfig;
use crate::metrics::OptionalMetric;
use crate::optimizers::{GradientClipping, OptimizerConfig, WeightDecayExclusion};
use crate::schedules::ScheduleConfig;

pub use declaration::Declaration;
pub use device::{Backend, DeviceConfig, EngineChoice, Simd, limit_threads};
pub use earlier::{EarlierPhase, EarlierPhases};
pub use extends::{join_bases, open_experiment};
pub use memory::MachineMemory;
pub(crate) use prepared::PreparedExperiment;
pub use training::{
    CheckpointConfig, EarlyStoppingConfig, LoggingConfig, Sampling, TestConfig, TrainingConfig,
    WeightsChoice,
};

/// `configs/reference.toml`: every key with its default.
pub const REFERENCE: &str = include_str!("../../../../configs/reference.toml");

/// A complete experiment: all tables of the TOML file, with every value explicit.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Experiment {
    /// The name; runs with the same name share a directory.
    pub name: String,
    /// All random numbers are derived from it.
    pub seed: u64,
    /// The images and their split.
    pub data: DataConfig,
    /// How training images are transformed.
    #[serde(skip_serializing_if = "AugmentConfig::is_empty")]
    pub augment: AugmentConfig,
    /// The layers.
    pub model: ModelConfig,
    /// The function that training minimizes.
    pub loss: LossConfig,
    /// The update rule and its learning rate.
    pub optimizer: OptimizerConfig,
    /// How the learning rate changes during training.
    pub schedule: ScheduleConfig,
    /// The learning rates of the epochs of a run that this one continues, if they differ.
    #[serde(skip_serializing_if = "EarlierPhases::is_empty")]
    pub earlier: EarlierPhases,
    /// The number of epochs, the batch size and the weights to keep.
    pub training: TrainingConfig,
    /// When to stop before the last epoch; `None` to train all epochs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub early_stopping: Option<EarlyStoppingConfig>,
    /// How images are classified after training.
    #[serde(skip_serializing_if = "TestConfig::is_default")]
    pub test: TestConfig,
    /// The backend and the engine.
    pub device: DeviceConfig,
    /// When checkpoints are written and kept. Not part of the identity; see
    /// [`TABLES_WITHOUT_RESULTS`](kiln_config::TABLES_WITHOUT_RESULTS).
    #[serde(skip)]
    pub checkpoint: CheckpointConfig,
    /// What other programs can read while the run trains. Not part of the identity either.
    #[serde(skip)]
    pub logging: LoggingConfig,
}

/// The [`TABLES_WITHOUT_RESULTS`](kiln_config::TABLES_WITHOUT_RESULTS). They follow the others in
/// `config.toml`.
#[derive(Serialize)]
struct WithoutResult {
    checkpoint: CheckpointConfig,
    #[serde(skip_serializing_if = "LoggingConfig::is_default")]
    logging: LoggingConfig,
}

impl Experiment {
    fn read(table: &mut Table<'_>) -> Result<Self, ConfigError> {
        // An experiment that extends another has been joined with it.
        if let Some(extends) = table.value("extends") {
            return Err(extends.error("only the file of an experiment can extend another"));
        }
        let name = match table.value("name") {
            None => table.required("name")?,
            Some(value) => {
                let name = String::from_value(value)?;
                // The name becomes the name of a directory.
                kiln_store::check_name(&name)
                    .map_err(|error| value.error(format!("this name cannot be used: {error}")))?;
                name
            }
        };
        Ok(Self {
            name,
            seed: table.default("seed", 42)?,
            data: table.table("data", DataConfig::read)?,
            augment: table.default("augment", AugmentConfig::default())?,
            model: table.table("model", ModelConfig::read)?,
            loss: table.optional_table("loss", LossConfig::read)?.unwrap_or_default(),
            optimizer: table.table("optimizer", OptimizerConfig::read)?,
            schedule: table.optional_table("schedule", ScheduleConfig::read)?.unwrap_or_default(),
            earlier: table.default("earlier", EarlierPhases::default())?,
            training: table.optional_table("training", TrainingConfig::read)?.unwrap_or_default(),
            early_stopping: table.optional_table("early_stopping", EarlyStoppingConfig::read)?,
            test: table.optional_table("test", TestConfig::read)?.unwrap_or_default(),
            device: table.optional_table("device", DeviceConfig::read)?.unwrap_or_default(),
            checkpoint: table
                .optional_table("checkpoint", CheckpointConfig::read)?
                .unwrap_or_default(),
            logging: table.optional_table("logging", LoggingConfig::read)?.unwrap_or_default(),
        })
    }

    /// The identity of a run of this experiment on the data with this fingerprint, which is its id in a sweep: the first
    /// 48 bits of a SHA-256 over all values that affect the result and over the fingerprint, as 12 hexadecimal digits.
    /// The name and the notation in the file do not matter.
    ///
    /// # Errors
    ///
    /// The errors of [`to_toml`](Self::to_toml).
    pub fn identity_on(&self, fingerprint: &str) -> Result<String, ConfigError> {
        Ok(short_hash(&format!("{}\n{fingerprint}\n", self.values()?)))
    }

    /// Like [`identity_on`](Self::identity_on), without the data. Sweeps of Kiln 0.1.0 used it as the id.
    ///
    /// # Errors
    ///
    /// The errors of [`to_toml`](Self::to_toml).
    pub fn identity(&self) -> Result<String, ConfigError> {
        Ok(short_hash(&self.values()?))
    }

    /// Identifies the training steps on the data with this fingerprint: two experiments with the same one have the same weights
    /// after the same epoch. They may differ in when training ends, if the schedule does not depend on the number of epochs, in
    /// which weights are kept, in what is evaluated, and in the test.
    ///
    /// # Errors
    ///
    /// The errors of [`to_toml`](Self::to_toml).
    pub fn training_identity(&self, fingerprint: &str) -> Result<String, ConfigError> {
        let defaults = TrainingConfig::default();
        let mut steps = self.clone();
        let training = &mut steps.training;
        if !self.schedule.depends_on_length() {
            training.epochs = defaults.epochs;
        }
        // A running average is a part of each step.
        if training.average_decay.is_none() {
            training.weights = defaults.weights;
        }
        training.monitor = defaults.monitor;
        training.save_initial = defaults.save_initial;
        training.evaluate_training_set = defaults.evaluate_training_set;
        (training.top_k, training.metrics) = (defaults.top_k, defaults.metrics);
        (steps.early_stopping, steps.test) = (None, TestConfig::default());
        steps.identity_on(fingerprint)
    }

    /// All values that affect the result.
    fn values(&self) -> Result<String, ConfigError> {
        // Renaming a sweep must not train its runs again.
        let mut experiment = Self { name: String::new(), ..self.clone() };
        // The checksum identifies the weights, not the path. It is unknown until the file was found.
        if experiment.model.initial_weights_sha256.is_some() {
            experiment.model.initial_weights = Some(String::new());
        }
        toml_of(&experiment)
    }

    /// The experiment as TOML with every value explicit. Reading it gives the same experiment.
    ///
    /// # Errors
    ///
    /// A number cannot be written as TOML (a seed above 2⁶³ − 1).
    pub fn to_toml(&self) -> Result<String, ConfigError> {
        let results = toml_of(self)?;
        let Self { checkpoint, logging, .. } = self;
        Ok(results
            + "\n"
            + &toml_of(&WithoutResult { checkpoint: *checkpoint, logging: *logging })?)
    }
}

/// The first 48 bits of the SHA-256, as 12 hexadecimal digits.
fn short_hash(text: &str) -> String {
    Sha256::digest(text)[..6].iter().map(|byte| format!("{byte:02x}")).collect()
}

fn toml_of(part: &impl Serialize) -> Result<String, ConfigError> {
    toml::to_string(part).map_err(|error| {
        ConfigError::new(format!("the experiment cannot be written as TOML: {error}"))
    })
}

/// All paths that an override may name: those in the document, those of the defaults that apply to it, and those of an
/// experiment with every optional table, except its layers.
///
/// # Errors
///
/// The experiment cannot be written as TOML.
pub fn known_paths(document: &Document) -> Result<Vec<String>, ConfigError> {
    static ALWAYS: LazyLock<Result<Vec<String>, ConfigError>> = LazyLock::new(|| {
        let mut everything =
            Document::parse("reference.toml", REFERENCE)?.read(Experiment::read)?;
        everything.data.split_seed = Some(0);
        everything.data.group = "".parse().ok();
        everything.early_stopping = Some(EarlyStoppingConfig::default());
        everything.data = DataConfig::with_every_key();
        everything.training.sampling = Sampling::Balanced;
        everything.training.average_decay = Some(0.0);
        everything.test.flip = true;
        everything.logging.tensorboard = true;
        let LossConfig::SparseCategoricalCrossentropy { class_weights, .. } = &mut everything.loss;
        *class_weights = ClassWeights::Balanced;
        // Empty, it would not be written.
        everything.training.metrics = OptionalMetric::all().collect();
        everything.optimizer.clipping =
            GradientClipping { global_clipnorm: Some(1.0), clipvalue: Some(1.0) };
        everything.optimizer.exclude_from_weight_decay =
            WeightDecayExclusion { bias: true, normalization: true };
        let mut paths = Document::parse("reference.toml", &everything.to_toml()?)?.paths();
        // The layers of the reference are an example, not defaults.
        paths.retain(|path| !path.starts_with("model."));
        // These are never written.
        let unwritten = ["device.simd", "device.threads"];
        let initial = ["model.initial_weights", "model.initial_weights_sha256"];
        paths.extend(initial.into_iter().chain(unwritten).map(str::to_owned));
        // The defaults are empty lists, which have no keys.
        paths.extend(["augment", "earlier"].map(str::to_owned));
        Ok(paths)
    });
    let mut paths = ALWAYS.clone()?;
    paths.extend(document.paths());
    // An invalid document still has its own paths: the override may be what makes it valid.
    if let Ok(experiment) = document.read(Experiment::read) {
        paths.extend(Document::parse("resolved", &experiment.to_toml()?)?.paths());
    }
    // Every layer has these keys, but they are only written if they are set.
    let types = paths.iter().filter(|path| path.starts_with("model."));
    let layers = types.filter_map(|path| path.strip_suffix(".type"));
    let common = layers.flat_map(|layer| LayerTraining::KEYS.map(|key| format!("{layer}.{key}")));
    paths.extend(common.collect::<Vec<_>>());
    // `learning_rate=0.1` means that of the optimizer, not one of an earlier phase.
    paths.retain(|path| !path.starts_with("earlier."));
    paths.sort_unstable();
    paths.dedup();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use kiln_config::affects_results;

    use super::*;

    #[test]
    fn the_identity_depends_on_all_keys_that_affect_results() {
        let document = Document::parse("reference.toml", REFERENCE).expect("valid TOML");
        let experiment = document.read(Experiment::read).expect("a valid experiment");
        let paths = |toml: Result<String, ConfigError>| {
            let toml = toml.expect("it can be written as TOML");
            Document::parse("experiment.toml", &toml).expect("valid TOML").paths()
        };
        let hashed = paths(toml_of(&experiment));
        for path in paths(experiment.to_toml()) {
            assert_eq!(hashed.contains(&path), affects_results(&path), "{path}");
        }
    }
}
