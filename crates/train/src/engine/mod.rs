mod fused;
mod generic;
mod state;

use burn::tensor::Device;
use kiln_model::{Architecture, Shape, Weights};
use rand_chacha::ChaCha8Rng;

use crate::loss::LossConfig;
use crate::optimizers::OptimizerConfig;
use fused::Fused;
use generic::Generic;

pub(crate) use fused::obstacle;
pub use state::OptimizerState;

/// What an [`Engine`] computes with; [`Declaration::engine_settings`](crate::Declaration::engine_settings)
/// makes it of an experiment.
#[derive(Debug, Clone)]
pub struct EngineSettings {
    /// The layers.
    pub architecture: Architecture,
    /// The optimizer. Its learning rate is not used: each step is given one.
    pub optimizer: OptimizerConfig,
    /// The loss.
    pub loss: LossConfig,
    /// Where Burn computes. The fused implementation computes on the CPU, beside Burn.
    pub device: Device,
    /// How a step is computed.
    pub implementation: Implementation,
}

kiln_config::keywords! {
    /// The implementations of a training step; the word is the one in `run.json`.
    pub enum Implementation {
        /// Burn's autodiff, for every layer and backend.
        Generic = "generic",
        /// Matrix products and passes in place, for stacks of dense layers on the CPU.
        Fused = "fused",
    }
}

/// The parameters, the optimizer's state, and the one place that performs a training step.
///
/// Both implementations compute the same, but for rounding.
pub struct Engine {
    input: Shape,
    computation: Computation,
}

enum Computation {
    Generic(Box<Generic>),
    Fused(Box<Fused>),
}

impl Engine {
    /// Gives the weights to the implementation that the settings name.
    ///
    /// # Errors
    ///
    /// The weights are not those of the architecture, or the fused implementation does not know one
    /// of its layers; the message says what differs.
    pub fn new(settings: &EngineSettings, weights: &Weights) -> Result<Self, String> {
        let computation = match settings.implementation {
            Implementation::Generic => {
                Computation::Generic(Box::new(Generic::new(settings, weights)?))
            }
            Implementation::Fused => Computation::Fused(Box::new(Fused::new(settings, weights)?)),
        };
        Ok(Self { input: settings.architecture.input(), computation })
    }

    /// An engine that continues where another one with the same settings was, from its weights and its
    /// optimizer's state. Every later step is the same, bit for bit.
    ///
    /// # Errors
    ///
    /// Those of [`new`](Self::new), or the state is not one of this optimizer and these weights; the
    /// message says what differs.
    pub fn restore(
        settings: &EngineSettings,
        weights: &Weights,
        optimizer: &OptimizerState,
    ) -> Result<Self, String> {
        let mut engine = Self::new(settings, weights)?;
        match &mut engine.computation {
            Computation::Generic(generic) => generic.restore(optimizer)?,
            Computation::Fused(fused) => fused.restore(optimizer)?,
        }
        Ok(engine)
    }

    /// The optimizer's state.
    ///
    /// # Errors
    ///
    /// The backend gives something that cannot be kept in a file.
    pub fn optimizer_state(&self) -> Result<OptimizerState, String> {
        match &self.computation {
            Computation::Generic(engine) => engine.optimizer_state(),
            Computation::Fused(engine) => Ok(engine.optimizer_state()),
        }
    }

    /// Performs one training step on a batch: `pixels` are the normalised images one after
    /// another, `masks` gives dropout its random numbers. Returns the logits `[n, classes]` that
    /// the weights gave before the step, row after row.
    ///
    /// # Panics
    ///
    /// `pixels` are not one image for each label, a label is not below the number of classes, or there
    /// is none.
    pub fn step(
        &mut self,
        pixels: &[f32],
        labels: &[u8],
        learning_rate: f64,
        masks: &mut ChaCha8Rng,
    ) -> Vec<f32> {
        assert!(!labels.is_empty(), "a batch holds an image");
        assert_eq!(pixels.len(), labels.len() * self.input.len(), "an image for each label");
        match &mut self.computation {
            Computation::Generic(engine) => engine.step(pixels, labels, learning_rate, masks),
            Computation::Fused(engine) => engine.step(pixels, labels, learning_rate, masks),
        }
    }

    /// The logits `[n, classes]` of a batch, row after row, as inference gives them.
    #[must_use]
    pub fn infer(&self, pixels: &[f32]) -> Vec<f32> {
        if pixels.is_empty() {
            return Vec::new();
        }
        match &self.computation {
            Computation::Generic(engine) => engine.infer(pixels),
            Computation::Fused(engine) => engine.infer(pixels),
        }
    }

    /// The weights as they are now.
    #[must_use]
    pub fn weights(&self) -> Weights {
        match &self.computation {
            Computation::Generic(engine) => engine.weights(),
            Computation::Fused(engine) => engine.weights(),
        }
    }

    /// The shape of one image.
    #[must_use]
    pub const fn input(&self) -> Shape {
        self.input
    }
}
