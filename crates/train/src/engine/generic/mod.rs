mod state;

use burn::module::Module;
use burn::nn::loss::CrossEntropyLoss;
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::tensor::{Device, Int, Tensor, TensorData};
use kiln_model::{Architecture, Mode, Network, Weights, images};
use rand_chacha::ChaCha8Rng;

use super::EngineSettings;
use crate::optimizers::{GradientClipping, SharedMomentum};
use crate::schedules::StepSettings;

/// The engine on Burn's autodiff and optimizers. It supports every layer and every backend.
pub(super) struct Generic {
    architecture: Architecture,
    network: Network,
    optimizer: ModuleOptimizer,
    momentum: SharedMomentum,
    clipping: GradientClipping,
    loss: CrossEntropyLoss,
    device: Device,
}

impl Generic {
    pub(super) fn new(settings: &EngineSettings, weights: &Weights) -> Result<Self, String> {
        let device = settings.device.clone().autodiff();
        let momentum = SharedMomentum::new();
        Ok(Self {
            architecture: settings.architecture.clone(),
            network: Network::new(&settings.architecture, weights, &device)?,
            optimizer: settings.optimizer.kind.burn(momentum.clone()),
            momentum,
            clipping: settings.optimizer.clipping,
            loss: settings.loss.init(&device),
            device,
        })
    }

    pub(super) fn step(
        &mut self,
        pixels: &[f32],
        labels: &[u16],
        settings: StepSettings,
        dropout_rng: &mut ChaCha8Rng,
    ) -> Vec<f32> {
        let x = self.images(pixels, &self.device);
        let labels: Vec<i32> = labels.iter().map(|label| i32::from(*label)).collect();
        let count = labels.len();
        let labels = Tensor::<1, Int>::from_data(TensorData::new(labels, [count]), &self.device);

        let logits = self.network.forward(x, &mut Mode::Training(dropout_rng)); // [n, classes]
        let loss = self.loss.forward(logits.clone(), labels);
        let gradients = GradientsParams::from_grads(loss.backward(), &self.network);
        let gradients = self.clipping.apply(&self.network, gradients);
        // Burn's optimizers take the network by value. The clone shares its tensors.
        let network = self.network.clone();
        self.momentum.set(settings.momentum);
        self.network = self.optimizer.step(settings.learning_rate, network, gradients);

        // Reading the logits waits for the device, once per step.
        values(logits)
    }

    pub(super) fn infer(&self, pixels: &[f32]) -> Vec<f32> {
        // The inner device computes without recording for autodiff.
        let x = self.images(pixels, &self.device.clone().inner());
        values(self.network.valid().forward(x, &mut Mode::<ChaCha8Rng>::Inference))
    }

    pub(super) fn weights(&self) -> Weights {
        self.network.weights(&self.architecture)
    }

    fn images(&self, pixels: &[f32], device: &Device) -> Tensor<4> {
        images(pixels.to_vec(), self.architecture.input(), device)
    }
}

fn values(logits: Tensor<2>) -> Vec<f32> {
    logits.into_data().iter::<f32>().collect()
}
