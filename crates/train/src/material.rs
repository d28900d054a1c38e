use std::path::Path;

use kiln_data::{Dataset, Normalizer, Split};
use kiln_model::{Architecture, Weights};
use kiln_store::{DatasetRecord, Versions};

use crate::TrainError;
use crate::engine::EngineSettings;
use crate::experiment::{Declaration, Experiment};
use crate::origin::Origin;
use crate::random::{Purpose, stream};

/// The release of Burn that this build computes with.
const BURN_VERSION: &str = "0.22.1";

/// Of this build.
pub(crate) fn versions() -> Versions {
    Versions { kiln: env!("CARGO_PKG_VERSION").to_owned(), burn: BURN_VERSION.to_owned() }
}

/// What an experiment and its data come to, before anything is written.
pub(crate) struct Material {
    pub(crate) architecture: Architecture,
    pub(crate) dataset: Dataset,
    pub(crate) split: Split,
    pub(crate) normalizer: Normalizer,
    pub(crate) settings: EngineSettings,
    pub(crate) origin: Origin,
}

impl Material {
    /// Reads the data and checks the experiment against it.
    pub(crate) fn read(declaration: &Declaration, data: &Path) -> Result<Self, TrainError> {
        let experiment = &declaration.experiment;
        // Before the data is read.
        declaration.device()?;
        let config = experiment.to_toml()?;
        let dataset = declaration.dataset(data)?;
        let architecture =
            declaration.architecture(dataset.train.shape, dataset.class_names.len())?;
        let split = declaration.split(&dataset)?;
        let normalizer = experiment.data.normalize.fit(&dataset.train, &split.training)?;
        let settings = declaration.engine_settings(&architecture)?;
        let origin = Origin {
            config,
            dataset: DatasetRecord {
                name: dataset.name.clone(),
                fingerprint: dataset.fingerprint.clone(),
                training_rows: split.training.len(),
                validation_rows: split.validation.len(),
                test_rows: dataset.test.len(),
            },
            versions: versions(),
            backend: experiment.device.backend.to_string(),
            engine: settings.implementation.to_string(),
        };
        Ok(Self { architecture, dataset, split, normalizer, settings, origin })
    }

    /// The weights that training starts from.
    pub(crate) fn initial_weights(&self, experiment: &Experiment) -> Weights {
        self.architecture.initial_weights(&mut stream(experiment.seed, Purpose::Weights, 0))
    }
}
