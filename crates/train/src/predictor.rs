use kiln_data::{
    Background, Channels, DataConfig, Dataset, ImageShape, ImageSize, Normalizer, Resize, mirrored,
};
use kiln_store::RunDirectory;

use crate::TrainError;
use crate::TrainedNetwork;
use crate::engine::Engine;
use crate::evaluation::{Evaluation, evaluate_each, mean_prediction, softmax};
use crate::experiment::Experiment;
use crate::metrics::Metrics;
use crate::weights_file::weights_error;

/// Images that are classified together.
const BATCH: usize = 64;

/// The trained network of a finished run.
pub struct Predictor {
    engine: Engine,
    normalizer: Normalizer,
    class_names: Vec<String>,
    image: ImageShape,
    experiment: Experiment,
}

/// The classification of an image.
#[derive(Debug, Clone, PartialEq)]
pub struct Classification {
    /// The indices of all classes, the most probable one first.
    pub ranking: Vec<usize>,
    /// `[classes]`: the probability of each class, in the order of the class names.
    pub probabilities: Vec<f32>,
}

impl Predictor {
    /// Opens the network of a run.
    ///
    /// # Errors
    ///
    /// Those of [`TrainedNetwork::open`].
    pub fn open(run: &RunDirectory) -> Result<Self, TrainError> {
        Self::new(TrainedNetwork::open(run)?, run)
    }

    /// Loads the network of `run` into an engine.
    ///
    /// # Errors
    ///
    /// This build or this computer lacks what the experiment requires, such as a backend.
    pub fn new(network: TrainedNetwork, run: &RunDirectory) -> Result<Self, TrainError> {
        let TrainedNetwork { declaration, architecture, weights, normalizer, class_names, image } =
            network;
        let settings = declaration.engine_settings(&architecture)?;
        let engine = Engine::new(&settings, &weights)
            .map_err(|message| weights_error(&run.model_path(), message))?;
        Ok(Self { engine, normalizer, class_names, image, experiment: declaration.experiment })
    }

    /// The shape of the images that the network expects.
    #[must_use]
    pub const fn image_shape(&self) -> ImageShape {
        self.image
    }

    /// The name of each class, by index.
    #[must_use]
    pub fn class_names(&self) -> &[String] {
        &self.class_names
    }

    /// How the images of the training were brought to their size.
    #[must_use]
    pub const fn resize(&self) -> Resize {
        self.experiment.data.resize
    }

    /// The color behind transparent pixels in the training.
    #[must_use]
    pub const fn background(&self) -> Background {
        self.experiment.data.background
    }

    /// How to read `source` like the images of the training.
    #[must_use]
    pub fn reading_of(&self, source: &str) -> DataConfig {
        let ImageShape { channels, height, width } = self.image;
        DataConfig {
            image: Some(ImageSize { height, width }),
            channels: Some(if channels == 1 { Channels::Gray } else { Channels::Rgb }),
            resize: self.resize(),
            background: self.background(),
            ..DataConfig::new(source)
        }
    }

    /// How to read a table of pixels like that of the training.
    #[must_use]
    pub fn reading_of_table(&self) -> DataConfig {
        let DataConfig { labels, layout, .. } = &self.experiment.data;
        DataConfig { labels: labels.clone(), layout: *layout, ..self.reading_of("") }
    }

    /// Classifies images, each `[channels, height, width]`. An image gets the probabilities that it would have in
    /// `predictions.csv`, to the last bit.
    ///
    /// # Errors
    ///
    /// An image does not have the size that the network expects.
    pub fn classify(&self, images: &[Vec<u8>]) -> Result<Vec<Classification>, TrainError> {
        let size = self.image.values();
        let mut classifications = Vec::with_capacity(images.len());
        for images in images.chunks(BATCH.min(self.engine.evaluation_batch())) {
            if let Some(image) = images.iter().find(|image| image.len() != size) {
                return Err(TrainError::ImageSize { expected: size, found: image.len() });
            }
            let mut logits = self.infer(images);
            if self.experiment.test.flip {
                let width = self.image.width;
                let mirrored: Vec<_> = images.iter().map(|image| mirrored(image, width)).collect();
                logits = mean_prediction(&logits, &self.infer(&mirrored), self.class_names.len());
            }
            let logits = logits.chunks_exact(self.class_names.len()).take(images.len());
            classifications.extend(logits.map(Classification::of));
        }
        Ok(classifications)
    }

    /// The logits of images, each `[channels, height, width]`. A single image has a second row.
    fn infer(&self, images: &[Vec<u8>]) -> Vec<f32> {
        let size = self.image.values();
        let mut normalized = vec![0.0; size * images.len()];
        for (image, normalized) in images.iter().zip(normalized.chunks_exact_mut(size)) {
            self.normalizer.normalize(image, normalized);
        }
        self.engine.infer(&normalized)
    }

    /// Evaluates these rows of a dataset. `labels` are the classes of all its images, as indices into the classes of the
    /// network.
    ///
    /// # Errors
    ///
    /// The images do not have the shape that the network expects.
    pub fn evaluate(
        &self,
        dataset: &Dataset,
        labels: Vec<u16>,
        rows: &[u32],
    ) -> Result<Evaluation, TrainError> {
        let (expected, found) = (self.image.values(), dataset.images.shape.values());
        if dataset.images.shape != self.image {
            return Err(TrainError::ImageSize { expected, found });
        }
        let mut images = dataset.images.clone();
        images.labels = labels;
        let metrics = Metrics::of_evaluation(&self.experiment, self.class_names.len());
        let flip = self.experiment.test.flip;
        Ok(evaluate_each(&self.engine, &images, rows, &self.normalizer, flip, metrics))
    }
}

impl Classification {
    fn of(logits: &[f32]) -> Self {
        let mut ranking: Vec<usize> = (0..logits.len()).collect();
        // Sorted by logits, because rounding can make probabilities equal. The sort is stable: classes with equal logits
        // stay in their usual order.
        ranking.sort_by(|a, b| {
            let (a, b) = (logits[*a], logits[*b]);
            b.partial_cmp(&a).unwrap_or_else(|| b.total_cmp(&a))
        });
        Self { ranking, probabilities: softmax(logits) }
    }
}
