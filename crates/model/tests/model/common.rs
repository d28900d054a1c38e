//! Builds models from a few lines of TOML and runs them.

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, Gradients, Tensor};
use kiln_config::{ConfigError, Document};
use kiln_model::{
    Architecture, Mode, ModelConfig, ModelError, Network, ParameterSpec, Shape, Weights, images,
};
use rand_chacha::ChaCha8Rng;
use rand_core::SeedableRng;

/// The network of `configs/`: 784-300-100-100-100-10.
pub(crate) const FIVE_DENSE_LAYERS: &str = r#"
layers = [
  { type = "flatten" },
  { type = "dense", units = 300, activation = "relu" },
  { type = "dense", units = 100, activation = "relu", repeat = 3, name = "hidden" },
  { type = "dense", units = "classes", activation = "softmax" },
]
"#;

/// The shape of an image of Fashion-MNIST.
pub(crate) const FASHION_MNIST: Shape = Shape::Image { channels: 1, height: 28, width: 28 };

/// The shape of an image with a single row.
pub(crate) const fn row(width: usize) -> Shape {
    Shape::Image { channels: 1, height: 1, width }
}

pub(crate) fn generator(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

/// A generator for comparisons with independent programs: ChaCha8 with the bytes 0 to 31 as its key.
pub(crate) fn known_generator() -> ChaCha8Rng {
    ChaCha8Rng::from_seed(std::array::from_fn(|index| index as u8))
}

/// Reads a `[model]` table.
pub(crate) fn read(table: &str) -> Result<ModelConfig, ConfigError> {
    Document::parse("model.toml", table)?.read(ModelConfig::read)
}

/// Plans an architecture from the entries of a TOML list.
pub(crate) fn plan(layers: &str, input: Shape, classes: usize) -> Result<Architecture, ModelError> {
    read(&format!("layers = [{layers}]")).expect("valid layers").architecture(input, classes)
}

/// Identity weights: every matrix is the identity, every bias zero. The parameters of batch
/// normalization keep their initial values.
pub(crate) fn identity(architecture: &Architecture) -> Weights {
    let mut weights = architecture.initial_weights(&mut generator(0));
    for tensor in &mut weights.tensors {
        if let [rows, columns] = tensor.shape[..] {
            assert_eq!(rows, columns, "an identity matrix is square");
            for (index, value) in tensor.values.iter_mut().enumerate() {
                *value = f32::from(u8::from(index / columns == index % columns));
            }
        }
    }
    weights
}

/// The logits in inference.
pub(crate) fn infer(architecture: &Architecture, weights: &Weights, pixels: &[f32]) -> Vec<f32> {
    let device = Device::flex();
    let network = Network::new(architecture, weights, &device).expect("its own weights");
    let x = images(pixels.to_vec(), architecture.input(), &device);
    values(network.forward(x, &mut Mode::<ChaCha8Rng>::Inference))
}

/// The network on an autodiff device.
pub(crate) fn trainable(architecture: &Architecture, weights: &Weights) -> (Network, Device) {
    let device = Device::flex().autodiff();
    (Network::new(architecture, weights, &device).expect("its own weights"), device)
}

pub(crate) fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

pub(crate) fn parameters_of(layer: &kiln_model::PlannedLayer) -> usize {
    layer.parameters.iter().map(ParameterSpec::len).sum()
}

/// Compares numbers with the tolerance of `f32`.
#[track_caller]
pub(crate) fn assert_close(found: &[f32], expected: &[f64]) {
    assert_close_for("this network", found, expected);
}

/// Like [`assert_close`], with a description of the numbers for the message.
#[track_caller]
pub(crate) fn assert_close_for(subject: &str, found: &[f32], expected: &[f64]) {
    assert_eq!(found.len(), expected.len(), "{subject}");
    for (index, (&found, &expected)) in found.iter().zip(expected).enumerate() {
        let distance = (f64::from(found) - expected).abs();
        assert!(
            distance <= 1e-6 * (1.0 + expected.abs()),
            "{subject}: value {index} is {found}, expected {expected}"
        );
    }
}

/// The backends that are always compiled in.
#[expect(deprecated, reason = "Burn removes the ndarray backend in a later version")]
pub(crate) fn backends() -> [(&'static str, Device); 2] {
    [("flex", Device::flex()), ("ndarray", Device::ndarray())]
}

/// A model that returns the values of these layers, flattened: a dense layer without a bias follows, whose weights are the
/// identity if they come from [`single_weights`].
pub(crate) fn single(layers: &str, input: Shape) -> Result<Architecture, ModelError> {
    let layers = format!(
        r#"{layers}, {{ type = "flatten", name = "end" }},
           {{ type = "dense", units = "classes", use_bias = false }}"#
    );
    let planned = plan(&layers, input, 2)?;
    let end = planned.layers().iter().find(|layer| layer.name == "end").expect("it is there");
    plan(&layers, input, end.output.len())
}

/// The values of the parameters of the layers of [`single`], and the identity.
pub(crate) fn single_weights(architecture: &Architecture, values: &[Vec<f32>]) -> Weights {
    let mut weights = architecture.initial_weights(&mut generator(0));
    let Some((last, own)) = weights.tensors.split_last_mut() else { panic!("a dense layer") };
    assert_eq!(own.len(), values.len(), "parameters");
    for (tensor, values) in own.iter_mut().zip(values) {
        assert_eq!(tensor.values.len(), values.len(), "{} {:?}", tensor.name, tensor.shape);
        tensor.values.clone_from(values);
    }
    let features = last.shape[1];
    for (index, value) in last.values.iter_mut().enumerate() {
        *value = f32::from(u8::from(index / features == index % features));
    }
    weights
}

/// The gradient of every parameter that has one, in the order of the weights file.
pub(crate) fn parameter_gradients(network: &Network, gradients: &Gradients) -> Vec<Vec<f32>> {
    struct Visitor<'a> {
        gradients: &'a Gradients,
        found: Vec<Vec<f32>>,
    }
    impl ModuleVisitor for Visitor<'_> {
        fn visit_float<const D: usize>(&mut self, parameter: &Param<Tensor<D>>) {
            self.found.extend(parameter.val().grad(self.gradients).map(values));
        }
    }
    let mut visitor = Visitor { gradients, found: Vec::new() };
    network.visit(&mut visitor);
    visitor.found
}
