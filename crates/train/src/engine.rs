use burn::module::Module;
use burn::nn::loss::CrossEntropyLoss;
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::tensor::{Device, Int, Tensor, TensorData};
use kiln_model::{Architecture, Mode, Network, Shape, Weights, images};
use rand_chacha::ChaCha8Rng;

use crate::gradient_clipping::GradientClipping;
use crate::loss::LossConfig;
use crate::optimizer::OptimizerConfig;

/// What an [`Engine`] computes with.
#[derive(Debug, Clone)]
pub struct EngineSettings {
    /// The layers.
    pub architecture: Architecture,
    /// The update rule, its learning rate left aside: each step is given its own.
    pub optimizer: OptimizerConfig,
    /// The loss.
    pub loss: LossConfig,
}

/// The parameters, the optimiser's state, and the one place that performs a training step.
pub struct Engine {
    architecture: Architecture,
    network: Network,
    optimizer: ModuleOptimizer,
    clipping: GradientClipping,
    loss: CrossEntropyLoss,
    device: Device,
}

impl Engine {
    /// The word for this implementation in `run.json`: Burn's autodiff, for every layer and backend.
    pub const NAME: &str = "generic";

    /// Puts the weights on a device.
    ///
    /// # Errors
    ///
    /// The weights are not those of the architecture; the message says what differs.
    pub fn new(
        settings: &EngineSettings,
        weights: &Weights,
        device: &Device,
    ) -> Result<Self, String> {
        let device = device.clone().autodiff();
        Ok(Self {
            architecture: settings.architecture.clone(),
            network: Network::new(&settings.architecture, weights, &device)?,
            optimizer: settings.optimizer.kind.init(),
            clipping: settings.optimizer.clipping,
            loss: settings.loss.init(&device),
            device,
        })
    }

    /// Performs one training step on a batch: `pixels` are the normalised images one after
    /// another, `masks` gives dropout its random numbers. Returns the logits `[n, classes]` that
    /// the weights gave before the step, row after row.
    pub fn step(
        &mut self,
        pixels: &[f32],
        labels: &[u8],
        learning_rate: f64,
        masks: &mut ChaCha8Rng,
    ) -> Vec<f32> {
        let x = self.images(pixels, &self.device);
        let labels: Vec<i32> = labels.iter().map(|label| i32::from(*label)).collect();
        let count = labels.len();
        let labels = Tensor::<1, Int>::from_data(TensorData::new(labels, [count]), &self.device);

        let logits = self.network.forward(x, &mut Mode::Training(masks)); // [n, classes]
        let loss = self.loss.forward(logits.clone(), labels);
        let gradients = GradientsParams::from_grads(loss.backward(), &self.network);
        let gradients = self.clipping.apply(&self.network, gradients);
        let network = self.network.clone();
        self.network = self.optimizer.step(learning_rate, network, gradients);

        values(logits)
    }

    /// The logits `[n, classes]` of a batch, row after row, as inference gives them.
    #[must_use]
    pub fn infer(&self, pixels: &[f32]) -> Vec<f32> {
        let x = self.images(pixels, &self.device.clone().inner());
        values(self.network.valid().forward(x, &mut Mode::<ChaCha8Rng>::Inference))
    }

    /// The weights as they are now.
    #[must_use]
    pub fn weights(&self) -> Weights {
        self.network.weights(&self.architecture)
    }

    /// The shape of one image.
    #[must_use]
    pub const fn input(&self) -> Shape {
        self.architecture.input()
    }

    fn images(&self, pixels: &[f32], device: &Device) -> Tensor<4> {
        images(pixels.to_vec(), self.architecture.input(), device)
    }
}

fn values(logits: Tensor<2>) -> Vec<f32> {
    logits.into_data().iter::<f32>().collect()
}
