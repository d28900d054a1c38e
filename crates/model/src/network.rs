use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use rand_core::Rng;

use crate::architecture::{Architecture, PlannedLayer};
use crate::layers::{Features, Layer, LayerModule, Mode, ModuleParts};
use crate::shape::Shape;
use crate::tensor::WeightTensor;
use crate::weights::Weights;

/// A network on a device: from a batch of images to one logit per class.
///
/// Use an autodiff device for training, and the [`valid`](Module::valid) form for inference.
#[derive(Module, Debug)]
pub struct Network {
    layers: Vec<Layer>,
}

impl Network {
    /// Builds the layers of `architecture` with `weights` on `device`.
    ///
    /// # Errors
    ///
    /// The weights do not fit the architecture. The message reports the first difference.
    pub fn new(
        architecture: &Architecture,
        weights: &Weights,
        device: &Device,
    ) -> Result<Self, String> {
        let weights = weights.in_order_of(architecture)?;
        Ok(Self { layers: modules(architecture.layers(), &mut weights.as_slice(), device) })
    }

    /// Computes logits `[n, classes]` from images `[n, channels, height, width]`.
    pub fn forward<R: Rng>(&self, images: Tensor<4>, mode: &mut Mode<'_, R>) -> Tensor<2> {
        let x = Features::Image(images);
        self.layers.iter().fold(x, |x, layer| layer.forward(x, mode)).flat()
    }

    /// Copies the weights to the host. `architecture` must be the one that the network was built from.
    #[must_use]
    pub fn weights(&self, architecture: &Architecture) -> Weights {
        let values = self.layers.iter().flat_map(Layer::values);
        let tensors = architecture
            .named_parameters()
            .zip(values)
            .map(|((name, spec), data)| WeightTensor {
                name,
                shape: spec.shape.clone(),
                values: data.iter::<f32>().collect(),
            })
            .collect();
        Weights { tensors }
    }
}

/// Makes the modules of these layers and removes their weights from `weights`.
fn modules(layers: &[PlannedLayer], weights: &mut &[&WeightTensor], device: &Device) -> Vec<Layer> {
    let module = |layer: &PlannedLayer| {
        // The tensors of each layer are consecutive, and those of its branches come next.
        let (own, others) = weights.split_at(layer.parameters.len());
        *weights = others;
        let branches = layer.branches.iter();
        let branches = branches.map(|branch| modules(&branch.layers, weights, device)).collect();
        layer.kind.rules().module(ModuleParts { layer, weights: own, branches, device })
    };
    layers.iter().map(module).collect()
}

/// Copies the pixels of consecutive images to a device: `[n, channels, height, width]`.
///
/// # Panics
///
/// The number of pixels is not a multiple of the size of `shape`.
#[must_use]
pub fn images(pixels: Vec<f32>, shape: Shape, device: &Device) -> Tensor<4> {
    let [channels, height, width] = match shape {
        Shape::Image { channels, height, width } => [channels, height, width],
        Shape::Features(features) => [1, 1, features],
    };
    // At least 1, to avoid a division by zero.
    let count = pixels.len() / shape.len().max(1);
    Tensor::from_data(TensorData::new(pixels, [count, channels, height, width]), device)
}
