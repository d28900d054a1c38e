use std::path::Path;
use std::sync::LazyLock;

use burn::tensor::Device;
use kiln_config::{ConfigError, Document, FromValue, MAX_BYTES, Override, Table, read_text};
use kiln_data::{DATASETS, DataConfig, DataError, Dataset, ImageShape, Split, Validation};
use kiln_model::{Architecture, ModelConfig, Shape};
use kiln_store::RunDirectory;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::TrainError;
use crate::config::{CheckpointConfig, EarlyStoppingConfig, TrainingConfig, WeightsChoice};
use crate::device::DeviceConfig;
use crate::engine::{EngineSettings, Implementation};
use crate::loss::LossConfig;
use crate::monitor::Metric;
use crate::optimizers::{GradientClipping, OptimizerConfig};
use crate::random::{Purpose, stream};
use crate::schedule::ScheduleConfig;

/// `configs/reference.toml`: every key with its default.
pub const REFERENCE: &str = include_str!("../../../configs/reference.toml");

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

/// An [`Experiment`] with the text that it was read from, so that an error found later still shows
/// its place.
#[derive(Debug, Clone)]
pub struct Declaration {
    /// What was declared.
    pub experiment: Experiment,
    document: Document,
}

impl Declaration {
    /// Reads a file and applies `KEY=VALUE` overrides in their order.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or something in it or in an override is wrong; the error shows where.
    pub fn open(path: &Path, overrides: &[String]) -> Result<Self, ConfigError> {
        Self::new(Document::open(path)?, &parsed(overrides)?)
    }

    /// Reads a run's configuration. Unlike an experiment that is named on the command line it is a file and nothing
    /// else.
    ///
    /// # Errors
    ///
    /// Those of [`open`](Self::open).
    pub fn of_run(run: &RunDirectory) -> Result<Self, ConfigError> {
        let path = run.config_path();
        let name = path.display().to_string();
        let text = read_text(&path, MAX_BYTES)
            .map_err(|error| ConfigError::new(format!("cannot read {name}: {error}")))?;
        Self::parse(&name, &text, &[])
    }

    /// Like [`open`](Self::open), from a text; `name` stands for it in messages.
    ///
    /// # Errors
    ///
    /// Something in the text or in an override is wrong; the error shows where.
    pub fn parse(name: &str, text: &str, overrides: &[String]) -> Result<Self, ConfigError> {
        Self::new(Document::parse(name, text)?, &parsed(overrides)?)
    }

    /// Like [`open`](Self::open), from a document that was read before.
    ///
    /// # Errors
    ///
    /// Something in the document or in an override is wrong; the error shows where.
    pub fn new(mut document: Document, overrides: &[Override]) -> Result<Self, ConfigError> {
        let mut known = Vec::new();
        for change in overrides {
            // After a change that cannot be the earlier paths still are: each mistake is told by itself.
            known.extend(known_paths(&document)?);
            known.sort_unstable();
            known.dedup();
            document.apply(change, &known)?;
        }
        let experiment = document.read(Experiment::read)?;
        let declaration = Self { experiment, document };
        declaration.check()?;
        Ok(declaration)
    }

    /// An error about the key at a dotted path, with its place where it was written.
    #[must_use]
    pub fn error_at(&self, path: &str, message: impl Into<String>) -> ConfigError {
        self.document.error_at(path, message)
    }

    /// What spans several tables.
    fn check(&self) -> Result<(), ConfigError> {
        let Experiment { data, training, early_stopping, .. } = &self.experiment;
        let validates = !matches!(data.validation, Validation::Rows(0));
        let needs = |metric: Metric, path: &str, choice: &str| {
            if validates || !metric.needs_validation() {
                return Ok(());
            }
            let message = format!(
                "{choice} goes by `{metric}`, which needs validation rows, but data.validation is 0"
            );
            let monitor = if path.starts_with("early") { "early_stopping" } else { "training" };
            let help = format!(
                "set data.validation, such as 5000 or 0.1, or {monitor}.monitor to \"loss\""
            );
            Err(self.error_at(path, message).help(help))
        };
        if training.weights == WeightsChoice::Best {
            needs(training.monitor, "training.weights", "weights = \"best\"")?;
        }
        if let Some(stopping) = early_stopping {
            needs(stopping.monitor, "early_stopping.monitor", "early stopping")?;
            let two_bests = training.weights == WeightsChoice::Best && stopping.restore_best;
            if two_bests && training.monitor != stopping.monitor {
                let message = format!(
                    "two monitors would choose the weights: training.monitor is {}, \
                     early_stopping.monitor is {}",
                    training.monitor, stopping.monitor
                );
                return Err(self.error_at("early_stopping.restore_best", message));
            }
        }
        Ok(())
    }

    /// The model for this data.
    ///
    /// # Errors
    ///
    /// Its layers do not fit each other or the data; a top-k of the training table asks for more
    /// classes than there are; or `device.engine` is one that does not know them.
    pub fn architecture(
        &self,
        image: ImageShape,
        classes: usize,
    ) -> Result<Architecture, ConfigError> {
        let ImageShape { channels, height, width } = image;
        let input = Shape::Image { channels, height, width };
        if let Some(k) = self.experiment.training.top_k.iter().find(|k| **k >= classes) {
            let message = format!("a top {k} of {classes} classes is all of them or more");
            return Err(self.error_at("training.top_k", message));
        }
        let architecture = self.experiment.model.architecture(input, classes).map_err(|error| {
            self.error_at(&error.path, format!("{}: {}", error.layer, error.message))
        })?;
        self.implementation(&architecture)?;
        Ok(architecture)
    }

    /// How the steps of this architecture are computed.
    fn implementation(&self, architecture: &Architecture) -> Result<Implementation, ConfigError> {
        let Experiment { device, optimizer, .. } = &self.experiment;
        device.implementation(architecture, &optimizer.kind).map_err(|obstacle| {
            let message = format!("the fused engine does not go with {obstacle}");
            let help = "set device.engine to \"auto\" or \"generic\"; the generic engine takes every \
                        layer, optimizer and backend";
            self.error_at("device.engine", message).help(help)
        })
    }

    /// What an [`Engine`](crate::Engine) needs to know to train this architecture.
    ///
    /// # Errors
    ///
    /// The backend is not part of this build, or `device.engine` does not go with it or with a layer.
    pub fn engine_settings(
        &self,
        architecture: &Architecture,
    ) -> Result<EngineSettings, ConfigError> {
        Ok(EngineSettings {
            architecture: architecture.clone(),
            optimizer: self.experiment.optimizer,
            loss: self.experiment.loss,
            device: self.device()?,
            implementation: self.implementation(architecture)?,
        })
    }

    /// The model and nothing else: a listed dataset's shape and classes are known without it.
    ///
    /// # Errors
    ///
    /// Those of [`architecture`](Self::architecture), and for a directory those of reading it.
    pub fn architecture_without_data(&self, data: &Path) -> Result<Architecture, TrainError> {
        let source = &self.experiment.data.source;
        if let Some(listed) = DATASETS.iter().find(|dataset| dataset.name == source.as_str()) {
            return Ok(self.architecture(listed.shape, listed.class_names.len())?);
        }
        let dataset = self.dataset(data)?;
        Ok(self.architecture(dataset.train.shape, dataset.class_names.len())?)
    }

    /// Reads the dataset; `data` is the directory of the listed ones.
    ///
    /// # Errors
    ///
    /// `data.source` names none, or its files are missing or damaged.
    pub fn dataset(&self, data: &Path) -> Result<Dataset, TrainError> {
        self.experiment.data.load(data).map_err(|error| match error {
            DataError::UnknownDataset { .. } | DataError::NotADirectory { .. } => {
                self.error_at("data.source", error.to_string()).into()
            }
            error => error.into(),
        })
    }

    /// The backend's device.
    ///
    /// # Errors
    ///
    /// The backend is not part of this build.
    pub fn device(&self) -> Result<Device, ConfigError> {
        let backend = self.experiment.device.backend;
        backend.device().map_err(|message| self.error_at("device.backend", message))
    }

    /// The split of a dataset's training rows.
    ///
    /// # Errors
    ///
    /// The validation rows would leave none for training.
    pub fn split(&self, dataset: &Dataset) -> Result<Split, ConfigError> {
        let mut rng = stream(self.experiment.seed, Purpose::Split, 0);
        self.experiment
            .data
            .split(&dataset.train.labels, &mut rng)
            .map_err(|error| self.error_at("data.validation", error.to_string()))
    }
}

impl Experiment {
    fn read(table: &mut Table<'_>) -> Result<Self, ConfigError> {
        let name = match table.value("name") {
            None => table.required("name")?,
            Some(value) => {
                let name = String::from_value(value)?;
                kiln_store::check_name(&name)
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

fn parsed(overrides: &[String]) -> Result<Vec<Override>, ConfigError> {
    overrides.iter().map(|change| Override::parse(change)).collect()
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
