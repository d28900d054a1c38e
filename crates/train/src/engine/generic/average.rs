//! The running average of the weights, on the device.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Device, Tensor};
use kiln_model::{Architecture, Network, Weights};

/// The running average of the parameters and running statistics of a network.
pub(super) struct Average {
    /// 1 − decay.
    share: f32,
    /// The averages, as a network on a device without autodiff; `None` before the first step.
    network: Option<Network>,
}

impl Average {
    #[expect(clippy::cast_possible_truncation, reason = "the backend computes in f32")]
    pub(super) fn new(decay: f64) -> Self {
        Self { share: (1.0 - decay) as f32, network: None }
    }

    /// Adds the weights after a step. `current` is a network in its `valid` form.
    pub(super) fn add(&mut self, current: Network) {
        let Some(average) = self.network.take() else {
            self.network = Some(current);
            return;
        };
        let mut parameters = Parameters(Vec::new());
        current.visit(&mut parameters);
        // Both networks have the same layers, so they are visited in the same order.
        let parameters = parameters.0.into_iter();
        self.network = Some(average.map(&mut Blend { parameters, share: self.share }));
    }

    pub(super) fn weights(&self, architecture: &Architecture) -> Option<Weights> {
        Some(self.network.as_ref()?.weights(architecture))
    }

    pub(super) fn restore(
        &mut self,
        architecture: &Architecture,
        weights: &Weights,
        device: &Device,
    ) -> Result<(), String> {
        self.network = Some(Network::new(architecture, weights, device)?);
        Ok(())
    }
}

/// All parameters, each flattened to `[values]`.
struct Parameters(Vec<Tensor<1>>);

impl ModuleVisitor for Parameters {
    fn visit_float<const D: usize>(&mut self, parameter: &Param<Tensor<D>>) {
        let tensor = parameter.val();
        let values = tensor.shape().num_elements();
        self.0.push(tensor.reshape([values]));
    }
}

/// average ← average + share · (weights − average), for all parameters in order.
struct Blend {
    parameters: std::vec::IntoIter<Tensor<1>>,
    share: f32,
}

impl ModuleMapper for Blend {
    fn map_float<const D: usize>(&mut self, average: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(current) = self.parameters.next() else { return average };
        let share = self.share;
        average.map(|average| {
            let current = current.reshape(average.dims());
            average.clone() + (current - average).mul_scalar(share)
        })
    }
}
