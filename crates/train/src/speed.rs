use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use kiln_data::{Batch, Dataset, EpochAugmenter, gather_augmented};
use kiln_model::Architecture;

use crate::TrainError;
use crate::engine::Engine;
use crate::evaluation::evaluate;
use crate::experiment::Declaration;
use crate::metrics::Metrics;
use crate::random::{Purpose, stream};

/// The measured speed of an experiment on this machine.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Speed {
    /// Seconds per training step, including gathering and augmenting the batch and computing the metrics.
    pub step: f64,
    /// Seconds to evaluate one image.
    pub evaluated_image: f64,
}

/// The number of images that are evaluated.
const EVALUATED: usize = 512;
/// Small enough to keep the weights unchanged, because a diverging network may be slower or faster.
const LEARNING_RATE: f64 = 1e-9;

impl Speed {
    /// Trains on the first batch of the dataset for about `time`, but at least a few steps, and takes the median step. A step
    /// has `threads` threads, unless `device.threads` is set.
    /// Writes nothing, and does not use the test set.
    ///
    /// # Errors
    ///
    /// This build lacks the backend, or the normalizer cannot be fitted to the dataset.
    pub fn measure(
        declaration: &Declaration,
        dataset: &Dataset,
        architecture: &Architecture,
        threads: NonZeroUsize,
        time: Duration,
    ) -> Result<Self, TrainError> {
        let experiment = &declaration.experiment;
        let mut settings = declaration.engine_settings(architecture)?;
        settings.threads = experiment.device.threads.unwrap_or(threads).get();
        let weights =
            architecture.initial_weights(&mut stream(experiment.seed, Purpose::Weights, 0));
        let mut engine = Engine::new(&settings, &weights).map_err(TrainError::Engine)?;
        let images = &dataset.images;
        let rows: Vec<u32> = dataset.parts.training.clone().collect();
        let normalizer =
            experiment.data.normalize.fit(images, &rows[..rows.len().min(EVALUATED)])?;
        let batch_rows = &rows[..rows.len().min(experiment.training.batch_size.get())];
        let mut batch = Batch::new(images.shape);
        let augmenter = EpochAugmenter::new(&experiment.augment, 1, |epoch| {
            stream(experiment.seed, Purpose::Augment, epoch)
        });
        let mut dropout_rng = stream(experiment.seed, Purpose::Dropout, 0);
        let mut metrics = Metrics::new(experiment, dataset.class_names.len());
        let mut step = || {
            let started = Instant::now();
            gather_augmented(images, batch_rows, &rows, &augmenter, &normalizer, &mut batch);
            let logits = engine.step(&batch.pixels, &batch, LEARNING_RATE, &mut dropout_rng);
            metrics.add_batch(&logits, &batch);
            started.elapsed().as_secs_f64()
        };
        // The first steps find cold caches, and allocate buffers that later steps reuse.
        let warm_up: f64 = (0..3).map(|_| step()).sum();
        let remaining = time.saturating_sub(Duration::from_secs_f64(warm_up));
        let started = Instant::now();
        let mut steps = vec![step()];
        while started.elapsed() < remaining {
            steps.push(step());
        }
        steps.sort_by(f64::total_cmp);

        let evaluated = &rows[..rows.len().min(EVALUATED)];
        let metrics = Metrics::of_evaluation(experiment, dataset.class_names.len());
        let started = Instant::now();
        // Only the time matters.
        let _ = evaluate(&engine, images, evaluated, &normalizer, metrics);
        let evaluated_image = started.elapsed().as_secs_f64() / evaluated.len().max(1) as f64;
        // The median ignores steps during which other processes used the core.
        Ok(Self { step: steps[steps.len() / 2], evaluated_image })
    }
}
