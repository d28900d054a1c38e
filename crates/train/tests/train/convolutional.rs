//! Training trajectories of random convolutional networks against PyTorch in float64: the loss of every step, and the
//! weights after the last one. `fixtures/convolutional.py` computed them.

use std::fmt::Write;

use kiln_data::ImageShape;
use kiln_model::{WeightTensor, Weights};
use kiln_train::random::{Purpose, stream};
use kiln_train::{Backend, Declaration, Engine, Implementation, Metrics};
use serde::Deserialize;
use std::collections::BTreeMap;

/// The largest relative error of the loss at a step. The files have only networks for which PyTorch's own float32 is within a
/// fourth of it.
const LOSS: f64 = 1e-5;

/// The largest error of a final weight, relative to the largest of its tensor, with the same restriction.
const WEIGHT: f64 = 1e-4;

#[derive(Deserialize)]
struct Trajectories {
    classes: usize,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    seed: u64,
    /// Channels, height and width.
    image: [usize; 3],
    layers: Vec<String>,
    optimizer: String,
    /// All images, to be divided by 64.
    images: Vec<i16>,
    labels: Vec<u16>,
    /// The images of each step.
    rows: Vec<Vec<usize>>,
    /// The weights before the first step, to be divided by 256.
    initial: BTreeMap<String, Vec<i16>>,
    losses: Vec<f64>,
    #[serde(rename = "final")]
    last: BTreeMap<String, Vec<f64>>,
}

fn trajectories() -> Trajectories {
    let mut all: Trajectories =
        serde_json::from_str(include_str!("../fixtures/convolutional.json")).unwrap();
    let wide: Trajectories = serde_json::from_str(include_str!("../fixtures/wide.json")).unwrap();
    assert_eq!(wide.classes, all.classes);
    all.cases.extend(wide.cases);
    all
}

impl Case {
    fn follow(&self, classes: usize, backend: Backend, implementation: Implementation) {
        let Self { seed, image: [channels, height, width], .. } = *self;
        let mut text = "name = \"case\"\ndata.source = \"none\"\nmodel.layers = [\n".to_owned();
        self.layers.iter().for_each(|layer| writeln!(text, "{layer},").unwrap());
        write!(text, "]\n[optimizer]\n{}\n", self.optimizer).unwrap();
        write!(text, "[device]\nbackend = \"{backend}\"\nengine = \"{implementation}\"").unwrap();
        let name = format!("network {seed} on {backend}, {implementation}");
        let declaration = Declaration::parse(&name, &text, &[]).unwrap_or_else(|e| panic!("{e}"));
        let image = ImageShape { channels, height, width };
        let architecture =
            declaration.architecture(image, classes).unwrap_or_else(|e| panic!("{name}: {e}"));
        let settings = declaration.engine_settings(&architecture).unwrap();

        let tensors = architecture.named_parameters().map(|(name, spec)| WeightTensor {
            values: self.initial[&name].iter().map(|value| f32::from(*value) / 256.0).collect(),
            shape: spec.shape.clone(),
            name,
        });
        let weights = Weights { tensors: tensors.collect() };
        assert_eq!(weights.tensors.len(), self.initial.len(), "{name}: the number of tensors");
        let mut engine = Engine::new(&settings, &weights).unwrap_or_else(|e| panic!("{name}: {e}"));

        let learning_rate = declaration.experiment.optimizer.learning_rate;
        let mut dropout_rng = stream(0, Purpose::Dropout, 1);
        for (step, (rows, expected)) in self.rows.iter().zip(&self.losses).enumerate() {
            let pixels = |row: &usize| &self.images[row * image.values()..][..image.values()];
            let pixels: Vec<f32> =
                rows.iter().flat_map(pixels).map(|value| f32::from(*value) / 64.0).collect();
            let labels: Vec<u16> = rows.iter().map(|row| self.labels[*row]).collect();
            let logits = engine.step(&pixels, &labels, learning_rate, &mut dropout_rng);
            let loss = Metrics::new(&declaration.experiment, classes).add_batch(&logits, &labels);
            assert!(
                (loss - expected).abs() <= LOSS * expected.abs(),
                "{name}, step {step}: loss {loss}, expected {expected}\n{text}"
            );
        }
        assert_eq!(self.losses.len(), 50);
        for tensor in engine.weights().tensors {
            let expected = &self.last[&tensor.name];
            assert_eq!(tensor.values.len(), expected.len());
            let largest = expected.iter().fold(0.0_f64, |most, value| most.max(value.abs()));
            for (own, expected) in tensor.values.iter().zip(expected) {
                assert!(
                    (f64::from(*own) - expected).abs() <= WEIGHT * largest,
                    "{name}, {}: {own}, expected {expected}\n{text}",
                    tensor.name
                );
            }
        }
    }
}

#[test]
fn random_networks_follow_pytorch() {
    let Trajectories { classes, cases } = trajectories();
    for case in &cases {
        case.follow(classes, Backend::Flex, Implementation::Generic);
    }
}

#[test]
fn random_networks_follow_pytorch_in_the_fused_engine() {
    let Trajectories { classes, cases } = trajectories();
    for case in &cases {
        case.follow(classes, Backend::Flex, Implementation::Fused);
    }
}

#[test]
fn random_networks_follow_pytorch_on_ndarray() {
    let Trajectories { classes, cases } = trajectories();
    for case in &cases {
        case.follow(classes, Backend::Ndarray, Implementation::Generic);
    }
}

/// Needs the feature `wgpu` and a GPU, or Vulkan in software such as Mesa's lavapipe.
#[cfg(feature = "wgpu")]
#[test]
#[expect(clippy::print_stderr, reason = "says what was skipped")]
fn random_networks_follow_pytorch_on_wgpu() {
    let works = std::panic::catch_unwind(|| {
        let device = Backend::Wgpu.device().expect("this build has the backend");
        burn::tensor::Tensor::<1>::from_data([1.0], &device).into_data()
    });
    if works.is_err() {
        eprintln!("skipped: there is no device for wgpu");
        return;
    }
    let Trajectories { classes, cases } = trajectories();
    // A few, because the kernels of each shape are compiled and tuned first.
    for case in cases.iter().take(6) {
        case.follow(classes, Backend::Wgpu, Implementation::Generic);
    }
}
