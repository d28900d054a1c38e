use std::borrow::Cow;
use std::path::Path;

use kiln_data::{Dataset, Normalizer, NormalizerParameters, Split};
use kiln_model::{Architecture, Weights};
use kiln_store::{DatasetRecord, NormalizationRecord};
use sha2::{Digest, Sha256};

use super::{Declaration, Experiment};
use crate::TrainError;
use crate::engine::EngineSettings;
use crate::random::{Purpose, stream};
use crate::resume::origin::{Origin, versions};

/// An experiment together with its data: read, checked against each other, ready to train. Nothing is written yet.
pub(crate) struct PreparedExperiment {
    pub(crate) architecture: Architecture,
    pub(crate) dataset: Dataset,
    pub(crate) split: Split,
    pub(crate) normalizer: Normalizer,
    /// The weight of each class in training; empty if all images count the same.
    pub(crate) class_weights: Vec<f64>,
    pub(crate) settings: EngineSettings,
    pub(crate) origin: Origin,
}

impl PreparedExperiment {
    /// Reads the data and checks the experiment against it. The experiment becomes that on the data, see
    /// [`Declaration::on_parts`].
    ///
    /// # Errors
    ///
    /// This build lacks the backend, the data cannot be read, or the experiment does not fit the data.
    pub(crate) fn read(declaration: &mut Declaration, data: &Path) -> Result<Self, TrainError> {
        // Reading a large dataset takes a while, so report a missing backend first.
        declaration.device()?;
        let dataset = declaration.dataset(data)?;
        Self::new(declaration, dataset)
    }

    /// Like [`read`](Self::read), for data with a recorded fingerprint, which may have moved.
    ///
    /// # Errors
    ///
    /// Those of [`read`](Self::read).
    pub(crate) fn read_recorded(
        declaration: &mut Declaration,
        data: &Path,
        fingerprint: &str,
    ) -> Result<Self, TrainError> {
        declaration.device()?;
        let dataset = declaration.recorded_dataset(data, fingerprint)?;
        Self::new(declaration, dataset)
    }

    fn new(declaration: &mut Declaration, dataset: Dataset) -> Result<Self, TrainError> {
        if let Cow::Owned(adapted) = declaration.on_parts(&dataset.parts)? {
            *declaration = adapted;
        }
        let experiment = &declaration.experiment;
        let config = experiment.to_toml()?;
        let architecture =
            declaration.architecture(dataset.images.shape, dataset.class_names.len())?;
        let split = declaration.split(&dataset)?;
        let class_weights = declaration.class_weights(&dataset, &split)?;
        // Validation rows must not influence what the network sees, so only training rows are fitted.
        let normalizer = experiment.data.normalize.fit(&dataset.images, &split.training)?;
        let settings = declaration.engine_settings(&architecture)?;
        let origin = Origin {
            config,
            dataset: DatasetRecord {
                name: dataset.name.clone(),
                fingerprint: dataset.fingerprint.clone(),
                training_rows: split.training.len(),
                validation_rows: split.validation.len(),
                test_rows: split.test.len(),
            },
            versions: versions(),
            backend: experiment.device.backend.to_string(),
            engine: settings.implementation.to_string(),
        };
        Ok(Self { architecture, dataset, split, normalizer, class_weights, settings, origin })
    }

    /// The number of classes.
    pub(crate) fn classes(&self) -> usize {
        self.dataset.class_names.len()
    }

    /// The most frequent class of the training rows; of equally frequent ones, the first.
    pub(crate) fn most_frequent_class(&self) -> Option<usize> {
        let mut counts = vec![0_usize; self.classes()];
        for row in &self.split.training {
            counts[usize::from(self.dataset.images.labels[*row as usize])] += 1;
        }
        // `max_by_key` returns the last of equals.
        (0..counts.len()).rev().max_by_key(|class| counts[*class])
    }

    /// See [`RunRecord::validation_fingerprint`](kiln_store::RunRecord::validation_fingerprint). The row numbers are hashed
    /// as little-endian 32-bit numbers.
    pub(crate) fn validation_fingerprint(&self) -> Option<String> {
        if self.split.validation.is_empty() {
            return None;
        }
        let mut hash = Sha256::new_with_prefix(&self.dataset.fingerprint);
        for row in &self.split.validation {
            hash.update(row.to_le_bytes());
        }
        Some(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// The normalization for the run's record.
    pub(crate) fn normalization(&self) -> NormalizationRecord {
        let (mean, standard_deviation) = match self.normalizer.parameters() {
            NormalizerParameters::Standardize { mean, standard_deviation } => {
                (vec![*mean], vec![*standard_deviation])
            }
            NormalizerParameters::StandardizePerChannel { mean, standard_deviation, .. } => {
                (mean.clone(), standard_deviation.clone())
            }
            // Two numbers for each pixel would hide the rest of the record.
            NormalizerParameters::StandardizePerPixel { .. }
            | NormalizerParameters::Unit
            | NormalizerParameters::None => (Vec::new(), Vec::new()),
        };
        let method = self.normalizer.parameters().method().to_string();
        NormalizationRecord { method, mean, standard_deviation }
    }

    /// The weights at the start of training. The seed determines them.
    pub(crate) fn initial_weights(&self, experiment: &Experiment) -> Weights {
        self.architecture.initial_weights(&mut stream(experiment.seed, Purpose::Weights, 0))
    }
}
