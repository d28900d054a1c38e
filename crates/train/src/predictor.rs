use kiln_config::read_bytes;
use kiln_data::{ImageShape, Normalizer};
use kiln_model::{MAX_WEIGHTS_BYTES, Weights};
use kiln_store::RunDirectory;

use crate::TrainError;
use crate::engine::Engine;
use crate::evaluation::softmax;
use crate::experiment::Declaration;
use crate::run::{WEIGHTS_VERSION, WeightsMetadata};

/// A trained network read back from its run directory.
pub struct Predictor {
    engine: Engine,
    normalizer: Normalizer,
    class_names: Vec<String>,
    image: ImageShape,
}

/// A class and how probable the network finds it.
#[derive(Debug, Clone, PartialEq)]
pub struct Guess {
    /// The class's name.
    pub class: String,
    /// From 0 to 1.
    pub probability: f32,
}

impl Predictor {
    /// Reads the run's `config.toml` and `model.safetensors`.
    ///
    /// # Errors
    ///
    /// The run is not finished, or one of the files is missing, damaged, or does not fit the other.
    pub fn open(run: &RunDirectory) -> Result<Self, TrainError> {
        if !run.is_finished() {
            let (run, status) = (run.path().display().to_string(), run.read_record()?.status);
            return Err(TrainError::Unfinished { run, status });
        }
        let path = run.model_path();
        let error =
            |message: String| TrainError::Weights { place: path.display().to_string(), message };
        let declaration = Declaration::of_run(run)?;
        let bytes = read_bytes(&path, MAX_WEIGHTS_BYTES)
            .map_err(|e| error(format!("cannot be read: {e}")))?;
        let (weights, metadata) =
            Weights::from_safetensors(&bytes).map_err(|e| error(e.to_string()))?;
        let metadata =
            metadata.ok_or_else(|| error("the file has no `kiln` metadata".to_owned()))?;
        let metadata: WeightsMetadata =
            serde_json::from_str(&metadata).map_err(|e| error(format!("its metadata: {e}")))?;
        let WeightsMetadata { format_version, image, class_names, normalizer } = metadata;
        if format_version > WEIGHTS_VERSION {
            return Err(error(format!(
                "format_version {format_version} is later than this Kiln knows, {WEIGHTS_VERSION}"
            )));
        }
        let values = image
            .channels
            .checked_mul(image.height)
            .and_then(|n| n.checked_mul(image.width))
            .filter(|values| *values > 0)
            .ok_or_else(|| error(format!("its metadata: no image has the shape {image}")))?;
        normalizer.check_size(values)?;
        let architecture = declaration.architecture(image, class_names.len())?;
        let settings = declaration.engine_settings(&architecture)?;
        let engine = Engine::new(&settings, &weights).map_err(error)?;
        Ok(Self { engine, normalizer, class_names, image })
    }

    /// The shape of the images that the network takes.
    #[must_use]
    pub const fn image_shape(&self) -> ImageShape {
        self.image
    }

    /// Classifies one image, the bytes by channel, row and column: every class, the most probable
    /// first.
    ///
    /// # Errors
    ///
    /// The image does not have the size that the network takes.
    pub fn predict(&self, pixels: &[u8]) -> Result<Vec<Guess>, TrainError> {
        self.normalizer.check_size(pixels.len())?;
        let mut normalized = vec![0.0; pixels.len()];
        self.normalizer.normalize(pixels, &mut normalized);
        let probabilities = softmax(&self.engine.infer(&normalized));
        let mut guesses: Vec<Guess> = self
            .class_names
            .iter()
            .zip(probabilities)
            .map(|(class, probability)| Guess { class: class.clone(), probability })
            .collect();
        guesses.sort_by(|a, b| b.probability.total_cmp(&a.probability));
        Ok(guesses)
    }
}
