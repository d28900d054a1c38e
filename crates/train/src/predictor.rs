use kiln_data::{ImageShape, Normalizer};
use kiln_store::RunDirectory;

use crate::TrainError;
use crate::engine::Engine;
use crate::evaluation::softmax;
use crate::experiment::Declaration;
use crate::weights_file::{WeightsMetadata, read_weights, weights_error};

/// The trained network of a finished run.
pub struct Predictor {
    engine: Engine,
    normalizer: Normalizer,
    class_names: Vec<String>,
    image: ImageShape,
}

/// A class and its probability.
#[derive(Debug, Clone, PartialEq)]
pub struct Guess {
    /// The name of the class.
    pub class: String,
    /// From 0 to 1.
    pub probability: f32,
}

impl Predictor {
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
        let settings = declaration.engine_settings(&architecture)?;
        let engine = Engine::new(&settings, &weights).map_err(error)?;
        Ok(Self { engine, normalizer, class_names, image })
    }

    /// The shape of the images that the network expects.
    #[must_use]
    pub const fn image_shape(&self) -> ImageShape {
        self.image
    }

    /// Classifies one image, `[channels, height, width]`. Returns all classes, the most probable one first.
    ///
    /// # Errors
    ///
    /// The image does not have the size that the network expects.
    pub fn predict(&self, pixels: &[u8]) -> Result<Vec<Guess>, TrainError> {
        self.normalizer.check_size(pixels.len())?;
        let mut normalized = vec![0.0; pixels.len()];
        self.normalizer.normalize(pixels, &mut normalized);
        let logits = self.engine.infer(&normalized);
        let probabilities = softmax(&logits);
        let mut classes: Vec<usize> = (0..self.class_names.len()).collect();
        // Sorted by logits, because rounding can make probabilities equal. The sort is stable: classes with equal logits
        // stay in their usual order.
        classes.sort_by(|a, b| {
            let (a, b) = (logits[*a], logits[*b]);
            b.partial_cmp(&a).unwrap_or_else(|| b.total_cmp(&a))
        });
        let guess = |class: usize| Guess {
            class: self.class_names[class].clone(),
            probability: probabilities[class],
        };
        Ok(classes.into_iter().map(guess).collect())
    }
}
