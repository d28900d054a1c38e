use std::time::{Duration, Instant};

use kiln_data::{Batch, Dataset, gather};
use kiln_model::Architecture;

use crate::TrainError;
use crate::engine::Engine;
use crate::evaluation::evaluate;
use crate::experiment::Declaration;
use crate::metrics::Metrics;
use crate::random::{Purpose, stream};

/// What an experiment's training costs on this machine, as a short measurement finds it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Speed {
    /// Seconds of one training step, its batch's gathering and its metrics included.
    pub step: f64,
    /// Seconds of evaluating one image.
    pub evaluated_image: f64,
}

/// Images that the measurement evaluates at once.
const EVALUATED: usize = 512;
/// So small that the weights stay as they are drawn: what diverges may be slower or faster.
const LEARNING_RATE: f64 = 1e-9;

impl Speed {
    /// Trains on the dataset's first batch for about this long, at least a few steps, and gives the
    /// median step. Nothing is written, and the test set is not looked at.
    ///
    /// # Errors
    ///
    /// The backend is not part of this build, or the dataset has no rows to normalise by.
    pub fn measure(
        declaration: &Declaration,
        dataset: &Dataset,
        architecture: &Architecture,
        time: Duration,
    ) -> Result<Self, TrainError> {
        let experiment = &declaration.experiment;
        let settings = declaration.engine_settings(architecture)?;
        let weights =
            architecture.initial_weights(&mut stream(experiment.seed, Purpose::Weights, 0));
        let mut engine = Engine::new(&settings, &weights).map_err(TrainError::Engine)?;
        let images = &dataset.train;
        let rows: Vec<u32> = (0..).take(images.len()).collect();
        let normalizer =
            experiment.data.normalize.fit(images, &rows[..rows.len().min(EVALUATED)])?;
        let batch_rows = &rows[..rows.len().min(experiment.training.batch_size.get())];
        let mut batch = Batch::new(images.shape);
        let mut dropout_rng = stream(experiment.seed, Purpose::Dropout, 0);
        let mut metrics = Metrics::new(experiment, dataset.class_names.len());
        let mut step = || {
            let begun = Instant::now();
            gather(images, batch_rows, &normalizer, &mut batch);
            let logits = engine.step(&batch.pixels, &batch.labels, LEARNING_RATE, &mut dropout_rng);
            metrics.add(&logits, &batch.labels);
            begun.elapsed().as_secs_f64()
        };
        // The first steps find cold caches and allocate what later ones use again.
        let warm_up: f64 = (0..3).map(|_| step()).sum();
        let left = time.saturating_sub(Duration::from_secs_f64(warm_up));
        let begun = Instant::now();
        let mut steps = vec![step()];
        while begun.elapsed() < left {
            steps.push(step());
        }
        steps.sort_by(f64::total_cmp);

        let evaluated = &rows[..rows.len().min(EVALUATED)];
        let untouched = Metrics::new(experiment, dataset.class_names.len());
        let begun = Instant::now();
        // Not looked at: the time is.
        let _ = evaluate(&engine, images, evaluated, &normalizer, untouched);
        let evaluated_image = begun.elapsed().as_secs_f64() / evaluated.len().max(1) as f64;
        Ok(Self { step: steps[steps.len() / 2], evaluated_image })
    }
}
