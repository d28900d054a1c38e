mod average;
mod groups;
mod state;

use burn::module::{Module, ParamGroup};
use burn::nn::loss::CrossEntropyLoss;
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Int, Tensor, TensorData};
use kiln_model::{Architecture, Mode, Network, Weights, images};
use rand_chacha::ChaCha8Rng;

use super::{EngineSettings, Targets};
use crate::optimizers::{GradientClipping, SharedMomentum};
use crate::schedules::StepSettings;
use average::Average;
use groups::Groups;

/// The engine on Burn's autodiff and optimizers. It supports every layer and every backend.
pub(super) struct Generic {
    architecture: Architecture,
    network: Network,
    optimizer: ModuleOptimizer,
    momentum: SharedMomentum,
    clipping: GradientClipping,
    loss: CrossEntropyLoss,
    label_smoothing: f32,
    average: Option<Average>,
    device: Device,
}

impl Generic {
    #[expect(clippy::cast_possible_truncation, reason = "the backend computes in f32")]
    pub(super) fn new(settings: &EngineSettings, weights: &Weights) -> Result<Self, String> {
        let device = settings.device.clone().autodiff();
        let momentum = SharedMomentum::new();
        let network = Network::new(&settings.architecture, weights, &device)?;
        let Groups { frozen, others } = Groups::new(settings, &network)?;
        let frozen = ParamGroup::from_ids(frozen);
        Ok(Self {
            architecture: settings.architecture.clone(),
            network: network.set_require_grad_group(frozen, false),
            optimizer: settings.optimizer.kind.burn(&momentum, &others),
            momentum,
            clipping: settings.optimizer.clipping,
            loss: settings.loss.init(&device),
            label_smoothing: settings.loss.label_smoothing() as f32,
            average: settings.average_decay.map(Average::new),
            device,
        })
    }

    pub(super) fn step(
        &mut self,
        pixels: &[f32],
        targets: Targets<'_>,
        settings: StepSettings,
        dropout_rng: &mut ChaCha8Rng,
    ) -> Tensor<2> {
        let x = self.images(pixels, &self.device);
        let logits = self.network.forward(x, &mut Mode::Training(dropout_rng)); // [n, classes]
        let loss = self.loss(logits.clone(), targets);
        let gradients = GradientsParams::from_grads(loss.backward(), &self.network);
        let gradients = self.clipping.apply(&self.network, gradients);
        // Burn's optimizers take the network by value. The clone shares its tensors.
        let network = self.network.clone();
        self.momentum.set(settings.momentum);
        self.network = self.optimizer.step(settings.learning_rate, network, gradients);
        if let Some(average) = &mut self.average {
            average.add(self.network.valid());
        }
        // Without the graph of this step, which would keep its activations.
        logits.inner()
    }

    /// The mean loss of a batch.
    fn loss(&self, logits: Tensor<2>, targets: Targets<'_>) -> Tensor<1> {
        if targets.mix.is_empty() && targets.class_weights.is_empty() {
            let labels: Vec<i32> = targets.labels.iter().map(|label| i32::from(*label)).collect();
            let labels = TensorData::new(labels, [targets.len()]);
            return self.loss.forward(logits, Tensor::<1, Int>::from_data(labels, &self.device));
        }
        let [count, classes] = logits.dims();
        let distributions = distributions(targets, classes, self.label_smoothing);
        let distributions = TensorData::new(distributions, [count, classes]);
        let distributions = Tensor::<2>::from_data(distributions, &self.device);
        (log_softmax(logits, 1) * distributions).sum_dim(1).mean().neg()
    }

    pub(super) fn infer(&self, pixels: &[f32]) -> Vec<f32> {
        // The inner device computes without recording for autodiff.
        let x = self.images(pixels, &self.device.clone().inner());
        let logits = self.network.valid().forward(x, &mut Mode::<ChaCha8Rng>::Inference);
        logits.into_data().iter().collect()
    }

    pub(super) fn weights(&self) -> Weights {
        self.network.weights(&self.architecture)
    }

    pub(super) fn average(&self) -> Option<Weights> {
        self.average.as_ref()?.weights(&self.architecture)
    }

    fn images(&self, pixels: &[f32], device: &Device) -> Tensor<4> {
        images(pixels.to_vec(), self.architecture.input(), device)
    }
}

/// The smoothed distribution of the labels of each image, times its weight: `[n, classes]`.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "classes are far below 2^24; the backend computes in f32"
)]
fn distributions(targets: Targets<'_>, classes: usize, label_smoothing: f32) -> Vec<f32> {
    let mut distributions = vec![label_smoothing / classes as f32; targets.len() * classes];
    let rows = distributions.chunks_exact_mut(classes).zip(targets.labels);
    for (sample, (row, label)) in rows.enumerate() {
        let mix = targets.mix.get(sample);
        let share = mix.map_or(0.0, |mix| mix.weight);
        row[usize::from(*label)] += (1.0 - label_smoothing) * (1.0 - share);
        if let Some(mix) = mix {
            row[usize::from(mix.label)] += (1.0 - label_smoothing) * share;
        }
        if let Some(weight) = targets.weight(sample) {
            row.iter_mut().for_each(|value| *value *= weight as f32);
        }
    }
    distributions
}
