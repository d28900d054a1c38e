mod fused;
mod generic;
mod logits;
mod state;
mod targets;

use burn::tensor::Device;
use kiln_kernels::Instructions;
use kiln_model::{Architecture, Shape, Weights};
use rand_chacha::ChaCha8Rng;

use crate::loss::LossConfig;
use crate::optimizers::OptimizerConfig;
use crate::schedules::StepSettings;
use fused::Fused;
use generic::Generic;

pub(crate) use fused::unsupported;
pub(crate) use logits::Logits;
pub use state::OptimizerState;
pub use targets::Targets;

/// The settings of an [`Engine`]. [`Declaration::engine_settings`](crate::Declaration::engine_settings) derives them
/// from an experiment.
#[derive(Debug, Clone)]
pub struct EngineSettings {
    /// The layers.
    pub architecture: Architecture,
    /// The update rule. Its learning rate is not used: each step receives its own.
    pub optimizer: OptimizerConfig,
    /// The loss.
    pub loss: LossConfig,
    /// The decay of the running average of the weights; `None` to keep no average. See [`Engine::average`].
    pub average_decay: Option<f64>,
    /// The device that Burn computes on. The fused implementation does not use it; it computes on the CPU.
    pub device: Device,
    /// The implementation of a training step.
    pub implementation: Implementation,
    /// The threads of the fused implementation. They do not affect the result.
    pub threads: usize,
    /// The vector instructions of the fused implementation. They do not affect the result.
    pub instructions: Instructions,
}

kiln_config::keywords! {
    /// The implementations of a training step, by their names in `run.json`.
    pub enum Implementation as "engine" {
        /// Burn's autodiff; supports every layer and backend.
        Generic = "generic",
        /// Kiln's own kernels on the CPU; supports all layers except a softmax inside the network and maxima over more than
        /// 65,536 positions.
        Fused = "fused",
    }
}

/// The largest batch of an evaluation.
const MAX_EVALUATION_BATCH: usize = 256;

/// The largest number of values that an evaluation stores at a time, unless two images need more: 1 GiB.
const EVALUATION_VALUES: usize = 1 << 28;

/// The parameters and the state of the optimizer. [`step`](Self::step) and `queue_step`, which it calls, are the only places
/// that perform a training step.
///
/// Both implementations compute the same up to rounding.
pub struct Engine {
    input: Shape,
    evaluation_batch: usize,
    computation: Computation,
}

enum Computation {
    Generic(Box<Generic>),
    Fused(Box<Fused>),
}

impl Engine {
    /// Creates the implementation that the settings name, with these weights.
    ///
    /// # Errors
    ///
    /// The weights do not fit the architecture, or the fused implementation does not support one of its layers. The
    /// message names the parameter or the layer.
    pub fn new(settings: &EngineSettings, weights: &Weights) -> Result<Self, String> {
        let computation = match settings.implementation {
            Implementation::Generic => {
                Computation::Generic(Box::new(Generic::new(settings, weights)?))
            }
            Implementation::Fused => Computation::Fused(Box::new(Fused::new(settings, weights)?)),
        };
        let architecture = &settings.architecture;
        let values = architecture.inference_values().max(1);
        let evaluation_batch = (EVALUATION_VALUES / values).clamp(2, MAX_EVALUATION_BATCH);
        Ok(Self { input: architecture.input(), evaluation_batch, computation })
    }

    /// Creates an engine that continues where another one with the same settings stopped: with its weights, the state of
    /// its optimizer and its [`average`](Self::average). Every later step is the same, bit for bit.
    ///
    /// # Errors
    ///
    /// The errors of [`new`](Self::new), or the state does not fit this optimizer and these weights. The message says
    /// what differs.
    pub fn restore(
        settings: &EngineSettings,
        weights: &Weights,
        optimizer: &OptimizerState,
        average: Option<&Weights>,
    ) -> Result<Self, String> {
        // The settings do not contain the state of the optimizer, because it depends on the engine.
        let mut engine = Self::new(settings, weights)?;
        match &mut engine.computation {
            Computation::Generic(generic) => generic.restore(optimizer, average)?,
            Computation::Fused(fused) => fused.restore(optimizer, average)?,
        }
        Ok(engine)
    }

    /// The state of the optimizer after the last step.
    ///
    /// # Errors
    ///
    /// The backend returns a state that cannot be written to a file.
    pub fn optimizer_state(&self) -> Result<OptimizerState, String> {
        match &self.computation {
            Computation::Generic(engine) => engine.optimizer_state(),
            Computation::Fused(engine) => Ok(engine.optimizer_state()),
        }
    }

    /// Performs one training step on a batch of n images. `pixels` is `[n, channels, height, width]`, normalized;
    /// `targets` are the labels, or a [`Batch`](kiln_data::Batch), whose labels may be mixed; `settings` are those of the schedule, or a learning rate; `dropout_rng` draws the dropout masks. Returns the logits
    /// `[n, classes]` of the weights before the step.
    ///
    /// # Panics
    ///
    /// The batch is empty, the number of pixels or of mixed labels does not match the number of labels, or a label is not
    /// below the number of classes.
    pub fn step<'a>(
        &mut self,
        pixels: &[f32],
        targets: impl Into<Targets<'a>>,
        settings: impl Into<StepSettings>,
        dropout_rng: &mut ChaCha8Rng,
    ) -> Vec<f32> {
        self.queue_step(pixels, targets, settings, dropout_rng).read()
    }

    /// Like [`step`](Self::step), but does not wait for the device.
    ///
    /// # Panics
    ///
    /// Those of [`step`](Self::step).
    pub(crate) fn queue_step<'a>(
        &mut self,
        pixels: &[f32],
        targets: impl Into<Targets<'a>>,
        settings: impl Into<StepSettings>,
        dropout_rng: &mut ChaCha8Rng,
    ) -> Logits {
        let (targets, settings) = (targets.into(), settings.into());
        assert!(!targets.is_empty(), "the batch is empty");
        assert_eq!(pixels.len(), targets.len() * self.input.len(), "one image per label");
        assert!(
            targets.mix.is_empty() || targets.mix.len() == targets.len(),
            "all labels are mixed, or none"
        );
        // A branch instead of a trait object: there are two engines, and no other crate adds one.
        match &mut self.computation {
            Computation::Generic(engine) => {
                Logits::Device(Box::new(engine.step(pixels, targets, settings, dropout_rng)))
            }
            Computation::Fused(engine) => {
                Logits::Host(engine.step(pixels, targets, settings, dropout_rng))
            }
        }
    }

    /// The number of images that evaluation computes at a time. It follows from the architecture alone, because it affects
    /// results by rounding.
    #[must_use]
    pub const fn evaluation_batch(&self) -> usize {
        self.evaluation_batch
    }

    /// The logits `[n, classes]` of a batch in inference mode. `pixels` is `[n, channels, height, width]`, normalized.
    #[must_use]
    pub fn infer(&self, pixels: &[f32]) -> Vec<f32> {
        // The number of classes follows from the length of the output and the number of images.
        if pixels.is_empty() {
            return Vec::new();
        }
        let infer = |pixels: &[f32]| match &self.computation {
            Computation::Generic(engine) => engine.infer(pixels),
            Computation::Fused(engine) => engine.infer(pixels),
        };
        if pixels.len() > self.input.len() {
            return infer(pixels);
        }
        // The engines add up a single image in another order than one of a batch. An image always gets the same logits.
        let mut logits = infer(&[pixels, pixels].concat());
        logits.truncate(logits.len() / 2);
        logits
    }

    /// A copy of the current weights.
    #[must_use]
    pub fn weights(&self) -> Weights {
        match &self.computation {
            Computation::Generic(engine) => engine.weights(),
            Computation::Fused(engine) => engine.weights(),
        }
    }

    /// A copy of the exponential moving average of the weights, including running statistics. After the first step it is
    /// the weights; after every later step it is decay · average + (1 − decay) · weights, as with Keras' `ema_momentum`.
    /// `None` before the first step, and if the settings ask for no average.
    ///
    /// It is computed as average + (1 − decay) · (weights − average), where 1 − decay is rounded only once.
    #[must_use]
    pub fn average(&self) -> Option<Weights> {
        match &self.computation {
            Computation::Generic(engine) => engine.average(),
            Computation::Fused(engine) => engine.average(),
        }
    }

    /// The shape of one image.
    #[must_use]
    pub const fn input(&self) -> Shape {
        self.input
    }
}
