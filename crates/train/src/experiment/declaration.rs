use std::borrow::Cow;
use std::path::Path;

use burn::tensor::Device;
use kiln_config::{ConfigError, Document, MAX_BYTES, Override, read_text};
use kiln_data::{DATASETS, ImageShape, Parts, SplitSize};
use kiln_kernels::Instructions;
use kiln_model::{Architecture, Shape};
use kiln_store::RunDirectory;

use super::extends::open_experiment;
use super::type_change::TypeChanges;
use super::{EngineChoice, Experiment, WeightsChoice, known_paths};
use crate::engine::{EngineSettings, Implementation};
use crate::initial_weights::WeightsFile;
use crate::metrics::{MetricName, MissingSetting};

/// The meaning of the column `accuracy` if images are mixed.
const MIXED_ACCURACY: &str = "accuracy: each training image has two labels; it counts as correct if the one with the larger \
                              share is predicted";

/// An [`Experiment`] with the text that it was read from, so that an error that is found later still shows its place.
#[derive(Debug, Clone)]
pub struct Declaration {
    /// The experiment, with its own rules checked.
    pub experiment: Experiment,
    /// Notes for the user about the experiment, such as what an override of `optimizer.type` or `schedule.type` has
    /// changed besides the type: "learning_rate: 0.001, the default of adam (the file has 0.01 for sgd)".
    pub notes: Vec<String>,
    document: Document,
}

impl Declaration {
    /// Reads a file and those that it extends, and applies `KEY=VALUE` overrides in their order.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or the file or an override is invalid. The error shows the place.
    pub fn open(path: &Path, overrides: &[String]) -> Result<Self, ConfigError> {
        Self::new(open_experiment(path)?, &parsed(overrides)?)
    }

    /// Reads the `config.toml` of a run. It must be an ordinary file, unlike an experiment that the user names on the
    /// command line.
    ///
    /// # Errors
    ///
    /// The errors of [`open`](Self::open).
    pub fn of_run(run: &RunDirectory) -> Result<Self, ConfigError> {
        let path = run.config_path();
        let name = path.display().to_string();
        let text = read_text(&path, MAX_BYTES)
            .map_err(|error| ConfigError::new(format!("cannot read {name}: {error}")))?;
        Self::parse(&name, &text, &[])
    }

    /// Like [`open`](Self::open), but reads a text. Error messages call it `name`.
    ///
    /// # Errors
    ///
    /// The text or an override is invalid. The error shows the place.
    pub fn parse(name: &str, text: &str, overrides: &[String]) -> Result<Self, ConfigError> {
        Self::new(Document::parse(name, text)?, &parsed(overrides)?)
    }

    /// Like [`open`](Self::open), but reads a parsed document.
    ///
    /// # Errors
    ///
    /// The document or an override is invalid. The error shows the place.
    pub fn new(mut document: Document, overrides: &[Override]) -> Result<Self, ConfigError> {
        let mut known = Vec::new();
        let mut type_changes = TypeChanges::default();
        for change in overrides {
            // Keep the paths known before the previous override. If that one made the experiment invalid, this one is
            // still checked by itself.
            known.extend(known_paths(&document)?);
            known.sort_unstable();
            known.dedup();
            let path = document.complete(change, &known)?;
            type_changes.apply(&mut document, &path, change)?;
        }
        Self::read(document, &type_changes)
    }

    /// Like [`new`](Self::new), for overrides with the full paths of their keys. It is faster, because it needs no list of all
    /// keys.
    ///
    /// # Errors
    ///
    /// Those of [`new`](Self::new).
    pub fn at_paths<'a>(
        mut document: Document,
        overrides: impl IntoIterator<Item = (&'a str, &'a Override)>,
    ) -> Result<Self, ConfigError> {
        let mut type_changes = TypeChanges::default();
        for (path, change) in overrides {
            type_changes.apply(&mut document, path, change)?;
        }
        Self::read(document, &type_changes)
    }

    fn read(document: Document, type_changes: &TypeChanges) -> Result<Self, ConfigError> {
        let experiment = document.read(Experiment::read)?;
        let mut notes = type_changes.notes(&document);
        if experiment.augment.mixes() {
            notes.push(MIXED_ACCURACY.to_owned());
        }
        let declaration = Self { experiment, notes, document };
        declaration.check()?;
        Ok(declaration)
    }

    /// An error about the key at a dotted path. It shows the place where the key was written.
    #[must_use]
    pub fn error_at(&self, path: &str, message: impl Into<String>) -> ConfigError {
        self.document.error_at(path, message)
    }

    /// The experiment on a dataset with these parts: if the dataset has validation images of its own and the experiment
    /// asks for none, it uses them.
    ///
    /// # Errors
    ///
    /// The experiment needs validation images, and there are none.
    pub fn on_parts(&self, parts: &Parts) -> Result<Cow<'_, Self>, ConfigError> {
        if self.experiment.data.validation != SplitSize::Rows(0) {
            return Ok(Cow::Borrowed(self));
        }
        if parts.validation.is_empty() {
            self.check_metrics(true)?;
            return Ok(Cow::Borrowed(self));
        }
        let mut declaration = self.clone();
        declaration.experiment.data.validation = SplitSize::Source;
        Ok(Cow::Owned(declaration))
    }

    /// Sets the file that `model.initial_weights` names.
    ///
    /// # Errors
    ///
    /// The experiment has the checksum of another file.
    pub fn set_initial_weights(&mut self, file: &WeightsFile) -> Result<(), ConfigError> {
        let model = &mut self.experiment.model;
        if let Some(expected) = &model.initial_weights_sha256
            && *expected != file.sha256
        {
            let message =
                format!("{} has the SHA-256 {}, not {expected}", file.path.display(), file.sha256);
            let help = "the file has changed; restore it, or remove initial_weights_sha256 to use it as it is now";
            return Err(self.error_at("model.initial_weights_sha256", message).help(help));
        }
        model.initial_weights = Some(file.path.to_string_lossy().into_owned());
        model.initial_weights_sha256 = Some(file.sha256.clone());
        Ok(())
    }

    /// Whether only the data will show whether there are validation images.
    fn may_get_validation(&self) -> bool {
        let data = &self.experiment.data;
        let is_listed = DATASETS.iter().any(|dataset| dataset.name == data.source);
        data.validation == SplitSize::Rows(0) && !is_listed
    }

    /// Checks the rules that involve several tables.
    fn check(&self) -> Result<(), ConfigError> {
        self.check_metrics(!self.may_get_validation())
    }

    /// Checks the rules that involve several tables. `knows_validation` is whether `data.validation` says whether there are
    /// validation images.
    fn check_metrics(&self, knows_validation: bool) -> Result<(), ConfigError> {
        let Experiment { optimizer, schedule, earlier, training, early_stopping, .. } =
            &self.experiment;
        let keeps_best = training.weights == WeightsChoice::Best;
        let error = |metric: MetricName, missing: MissingSetting, path: &str, user: &str| {
            let MissingSetting { problem, help, instead, .. } = missing;
            let (table, _) = path.split_once('.').unwrap_or((path, ""));
            self.error_at(path, format!("{user} uses `{metric}`, which {problem}"))
                .help(format!("{help}, or set {table}.monitor to \"{instead}\""))
        };
        let missing_setting = |metric: MetricName| {
            let missing = metric.missing_setting(&self.experiment)?;
            (knows_validation || missing.path != "data.validation").then_some(missing)
        };
        let metric = training.monitor;
        match missing_setting(metric) {
            Some(missing) if keeps_best => {
                return Err(error(metric, missing, "training.weights", "weights = \"best\""));
            }
            // The default monitor is val_loss. Without validation rows it has no value, and nothing depends on it.
            Some(missing) if missing.path != "data.validation" => {
                return Err(error(metric, missing, "training.monitor", "training.monitor"));
            }
            _ => {}
        }
        if let Some(monitor) = schedule.monitor()
            && let Some(missing) = missing_setting(monitor)
        {
            return Err(error(monitor, missing, "schedule.monitor", "the schedule"));
        }
        for (index, phase) in earlier.0.iter().enumerate() {
            let path = format!("earlier.{index}");
            if phase.until > training.epochs {
                let message = format!(
                    "the phase ends in epoch {}, but the run has {} epochs",
                    phase.until, training.epochs
                );
                return Err(self.error_at(&format!("{path}.until"), message));
            }
            if let Some(monitor) = phase.schedule.monitor()
                && let Some(missing) = missing_setting(monitor)
            {
                let path = format!("{path}.schedule.monitor");
                return Err(error(monitor, missing, &path, "the schedule"));
            }
            if phase.schedule.sets_momentum() && !optimizer.kind.has_momentum() {
                let name = optimizer.kind.name();
                let message =
                    format!("the optimizer \"{name}\" has no momentum that a schedule can set");
                return Err(self.error_at(&format!("{path}.schedule.cycle_momentum"), message));
            }
        }
        if schedule.sets_momentum() && !optimizer.kind.has_momentum() {
            let name = optimizer.kind.name();
            let message =
                format!("the optimizer \"{name}\" has no momentum that a schedule can set");
            let help = "set schedule.cycle_momentum to false, or choose an optimizer with momentum: \
                        sgd or rmsprop with optimizer.momentum above 0, adam, adamw or lion";
            return Err(self.error_at("schedule.cycle_momentum", message).help(help));
        }
        if let Some(stopping) = early_stopping {
            let metric = stopping.monitor;
            if let Some(missing) = missing_setting(metric) {
                return Err(error(metric, missing, "early_stopping.monitor", "early stopping"));
            }
            // A run saves the weights of one epoch, so both settings must select the same one.
            let two_bests = keeps_best && stopping.restore_best;
            if two_bests && training.monitor != stopping.monitor {
                let message = format!(
                    "training.weights and early_stopping.restore_best need the same monitor, but \
                     training.monitor is {} and early_stopping.monitor is {}",
                    training.monitor, stopping.monitor
                );
                return Err(self.error_at("early_stopping.restore_best", message));
            }
        }
        Ok(())
    }

    /// The architecture of the network for images of this shape.
    ///
    /// # Errors
    ///
    /// The layers or the augmentation do not fit each other or the data, `training.top_k` has a k that is not below the number of classes,
    /// or the engine that `device.engine` requires does not support a layer.
    pub fn architecture(
        &self,
        image: ImageShape,
        classes: usize,
    ) -> Result<Architecture, ConfigError> {
        let ImageShape { channels, height, width } = image;
        let input = Shape::Image { channels, height, width };
        if let Some(k) = self.experiment.training.top_k.iter().find(|k| **k >= classes) {
            let message = format!("k must be below the number of classes, {classes}, but is {k}");
            return Err(self.error_at("training.top_k", message));
        }
        let architecture = self.experiment.model.architecture(input, classes).map_err(|error| {
            self.error_at(&error.path, format!("{}: {}", error.layer, error.message))
        })?;
        self.experiment
            .augment
            .check(image)
            .map_err(|(index, message)| self.error_at(&format!("augment.{index}"), message))?;
        // Checked here, where the plan of a sweep sees it, and not when the first run starts.
        self.engine(&architecture)?;
        Ok(architecture)
    }

    /// The implementation of a training step for this architecture.
    ///
    /// # Errors
    ///
    /// The engine that `device.engine` requires does not support the backend, the optimizer or a layer.
    pub fn engine(&self, architecture: &Architecture) -> Result<Implementation, ConfigError> {
        let Experiment { device, optimizer, .. } = &self.experiment;
        device.implementation(architecture, &optimizer.kind).map_err(|unsupported| {
            let message = format!("the fused engine does not support {unsupported}");
            let help = "set device.engine to \"auto\" or \"generic\"; the generic engine supports \
                        every layer, optimizer and backend";
            self.error_at("device.engine", message).help(help)
        })
    }

    /// The layer that keeps the fused engine from training this architecture, such as `layer "conv2d" (conv2d)`. `None`
    /// if it does, and if `device.engine` requires the generic engine.
    #[must_use]
    pub fn unsupported_by_fused(&self, architecture: &Architecture) -> Option<String> {
        let Experiment { device, optimizer, .. } = &self.experiment;
        let is_required = device.engine == EngineChoice::Generic;
        device.unsupported(architecture, &optimizer.kind).filter(|_| !is_required)
    }

    /// The settings of an [`Engine`](crate::Engine) for this architecture.
    ///
    /// # Errors
    ///
    /// This build lacks the backend, this processor lacks the instructions of `device.simd`, or the engine that
    /// `device.engine` requires does not support the backend, the optimizer or a layer.
    pub fn engine_settings(
        &self,
        architecture: &Architecture,
    ) -> Result<EngineSettings, ConfigError> {
        let device = self.experiment.device;
        let implementation = self.engine(architecture)?;
        // Burn decides on the instructions of the generic engine.
        let instructions = match implementation {
            Implementation::Fused => device.simd.instructions(),
            Implementation::Generic => Ok(Instructions::Auto),
        };
        Ok(EngineSettings {
            threads: device.threads(
                architecture,
                self.experiment.training.batch_size.get(),
                implementation,
            ),
            instructions: instructions.map_err(|error| self.error_at("device.simd", error))?,
            architecture: architecture.clone(),
            optimizer: self.experiment.optimizer,
            loss: self.experiment.loss.clone(),
            average_decay: self.experiment.training.average_decay,
            device: self.device()?,
            implementation,
        })
    }

    /// The device of the backend.
    ///
    /// # Errors
    ///
    /// This build lacks the backend.
    pub fn device(&self) -> Result<Device, ConfigError> {
        let backend = self.experiment.device.backend;
        backend.device().map_err(|message| self.error_at("device.backend", message))
    }
}

fn parsed(overrides: &[String]) -> Result<Vec<Override>, ConfigError> {
    overrides.iter().map(|change| Override::parse(change)).collect()
}
