use std::path::Path;

use burn::tensor::Device;
use kiln_config::{ConfigError, Document, MOST_BYTES, Override, read_text};
use kiln_data::{DATASETS, DataError, Dataset, ImageShape, Split};
use kiln_model::{Architecture, Shape};
use kiln_report::RunDirectory;

use super::{Experiment, WeightsChoice, known_paths};
use crate::TrainError;
use crate::engine::{EngineSettings, Implementation};
use crate::metrics::{MetricName, MissingSetting};
use crate::random::{Purpose, stream};

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
        let text = read_text(&path, MOST_BYTES)
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
        let Experiment { training, early_stopping, .. } = &self.experiment;
        let check = |metric: MetricName, path: &str, monitor: &str| {
            let Some(missing) = metric.missing_setting(&self.experiment) else { return Ok(()) };
            let MissingSetting { problem, help, .. } = missing;
            let message = format!("{monitor} monitors `{metric}`, which {problem}");
            let table = if path.starts_with("early") { "early_stopping" } else { "training" };
            let help = format!("{help}, or set {table}.monitor to \"loss\"");
            Err(self.error_at(path, message).help(help))
        };
        // The default is val_loss, also without validation rows. That only matters if the best weights are kept.
        let keeps_best = training.weights == WeightsChoice::Best;
        if keeps_best {
            check(training.monitor, "training.weights", "weights = \"best\"")?;
        } else if !training.monitor.needs_validation() {
            check(training.monitor, "training.monitor", "this run")?;
        }
        if let Some(stopping) = early_stopping {
            check(stopping.monitor, "early_stopping.monitor", "early stopping")?;
            let two_bests = keeps_best && stopping.restore_best;
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
        self.experiment.device.implementation(architecture).map_err(|obstacle| {
            let message = format!("the fused engine does not go with {obstacle}");
            let help = "set device.engine to \"auto\" or \"generic\"; the generic engine takes every \
                        layer and backend";
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

fn parsed(overrides: &[String]) -> Result<Vec<Override>, ConfigError> {
    overrides.iter().map(|change| Override::parse(change)).collect()
}
