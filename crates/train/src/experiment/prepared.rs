use std::borrow::Cow;
use std::path::Path;

use kiln_data::{
    Dataset, Normalizer, NormalizerParameters, Severity, SkippedFile, Split, Thoroughness,
};
use kiln_model::{Architecture, Weights};
use kiln_store::{DatasetRecord, NormalizationRecord, SkippedImage};
use sha2::{Digest, Sha256};

use super::{Declaration, Experiment, MachineMemory};
use crate::TrainError;
use crate::engine::EngineSettings;
use crate::initial_weights::Transfer;
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
    /// Warnings about the data; see [`check_data`](Self::check_data).
    pub(crate) data_warnings: Vec<String>,
    /// The initial weights, if the experiment names a file of weights and they are needed: a run that resumes from a
    /// checkpoint does not need them.
    pub(crate) transfer: Option<Transfer>,
}

/// The skipped images that the record lists: as many as are no burden for it, which is read often.
fn recorded(skipped: &[SkippedFile]) -> Vec<SkippedImage> {
    const MAX_BYTES: usize = 100_000;
    let mut bytes = 0;
    let images = skipped.iter().map(|SkippedFile { path, reason }| SkippedImage {
        path: path.to_string_lossy().into_owned(),
        reason: reason.clone(),
    });
    let fits = |image: &SkippedImage| {
        bytes += image.path.len() + image.reason.len();
        bytes <= MAX_BYTES
    };
    images.take_while(fits).collect()
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
        let machine = MachineMemory::of_this_machine();
        declaration.check_memory(&architecture, split.training.len(), machine)?;
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
                skipped_rows: dataset.skipped.len(),
                skipped: recorded(&dataset.skipped),
            },
            versions: versions(),
            backend: experiment.device.backend.to_string(),
            engine: settings.implementation.to_string(),
        };
        let data_warnings = Vec::new();
        Ok(Self {
            architecture,
            dataset,
            split,
            normalizer,
            class_weights,
            settings,
            origin,
            data_warnings,
            transfer: None,
        })
    }

    /// Examines the data for what makes a result wrong. A run that is resumed does not repeat it.
    ///
    /// # Errors
    ///
    /// A result would be meaningless.
    pub(crate) fn check_data(&mut self, declaration: &Declaration) -> Result<(), TrainError> {
        let config = &declaration.experiment.data;
        let check = self.dataset.check(config, &self.split, Thoroughness::Quick);
        let mut errors = check.of(Severity::Error);
        if let Some(first) = errors.next() {
            return Err(TrainError::MeaninglessData {
                data: config.source.clone(),
                problem: first.message.clone(),
                others: errors.count(),
                help: first.help.clone(),
            });
        }
        self.data_warnings =
            check.of(Severity::Warning).map(|finding| finding.message.clone()).collect();
        Ok(())
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

    /// See [`RunRecord::warnings`](kiln_store::RunRecord::warnings).
    pub(crate) fn warnings(&self, experiment: &Experiment) -> Vec<String> {
        let transfer = self.transfer.as_ref().filter(|transfer| transfer.is_partial());
        let mut warnings: Vec<String> =
            transfer.map(|transfer| transfer.note.clone()).into_iter().collect();
        warnings.extend(experiment.warnings_on(self.split.training.len()));
        warnings
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

    /// The weights at the start of training.
    pub(crate) fn initial_weights(&self, experiment: &Experiment) -> Weights {
        match &self.transfer {
            Some(transfer) => transfer.weights.clone(),
            None => self.drawn_weights(experiment),
        }
    }

    /// The weights at the start of training, without a file of weights. The seed determines them.
    pub(crate) fn drawn_weights(&self, experiment: &Experiment) -> Weights {
        self.architecture.initial_weights(&mut stream(experiment.seed, Purpose::Weights, 0))
    }
}
