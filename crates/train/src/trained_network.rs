use kiln_data::{ImageShape, Normalizer};
use kiln_model::{Architecture, Weights};
use kiln_store::RunDirectory;

use crate::TrainError;
use crate::experiment::Declaration;
use crate::weights_file::{WeightsMetadata, read_weights, weights_error};

/// The network of a finished run: what its files say, checked against each other.
pub struct TrainedNetwork {
    /// The experiment.
    pub declaration: Declaration,
    /// The layers, with their shapes.
    pub architecture: Architecture,
    /// The weights that the run kept. They fit the architecture.
    pub weights: Weights,
    /// The normalizer that was fitted on the training images. It fits the shape of the images.
    pub normalizer: Normalizer,
    /// The name of each class, by index.
    pub class_names: Vec<String>,
    /// The shape of the images that the network expects.
    pub image: ImageShape,
}

impl TrainedNetwork {
    /// Reads `config.toml` and `model.safetensors` of a run and checks them against their recorded checksums.
    ///
    /// # Errors
    ///
    /// The run is not finished, one of the files is missing or damaged, or they do not fit each other.
    pub fn open(run: &RunDirectory) -> Result<Self, TrainError> {
        let record = run.read_record()?;
        if !run.is_finished() {
            let (run, status) = (run.path().display().to_string(), record.status);
            return Err(TrainError::Unfinished { run, status });
        }
        // A flipped bit gives other weights, which would predict something.
        run.check(&record, &["config.toml", "model.safetensors"])?;
        let path = run.model_path();
        let error = |message: String| weights_error(&path, message);
        let declaration = Declaration::of_run(run)?;
        let (weights, WeightsMetadata { image, class_names, normalizer, .. }) =
            read_weights(&path)?;
        // The metadata may come from anywhere, so the product must not overflow.
        let values = image
            .channels
            .checked_mul(image.height)
            .and_then(|n| n.checked_mul(image.width))
            .filter(|values| *values > 0)
            .ok_or_else(|| error(format!("invalid metadata: no image has the shape {image}")))?;
        normalizer.check_size(values)?;
        let architecture = declaration.architecture(image, class_names.len())?;
        weights.check(&architecture).map_err(error)?;
        Ok(Self { declaration, architecture, weights, normalizer, class_names, image })
    }
}
