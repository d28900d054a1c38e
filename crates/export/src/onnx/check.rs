//! Computes an exported network with another program's runtime and compares the result with the run's own predictions.

use kiln_data::{ImageShape, Normalizer};
use kiln_store::RunDirectory;
use kiln_train::{Predictor, TrainedNetwork};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use rten::Model;
use rten_tensor::prelude::*;
use rten_tensor::{NdTensor, Tensor};

use super::{OnnxInput, OnnxOptions, OnnxOutput};
use crate::ExportError;

/// The largest difference of a probability if the logits of an image differ by at most 1. Larger logits have larger rounding
/// errors, so the bound grows with their spread.
const TOLERANCE: f32 = 1e-5;

/// Batches of several sizes, because the first dimension of the input is free.
const BATCHES: [usize; 2] = [1, 7];

pub(super) fn check(
    encoded: Vec<u8>,
    network: TrainedNetwork,
    run: &RunDirectory,
    options: OnnxOptions,
) -> Result<(), ExportError> {
    let (image, classes) = (network.image, network.class_names.len());
    let normalizer = network.normalizer.clone();
    let predictor = Predictor::new(network, run)?;
    let problem = |problem: String| ExportError::Check { problem };
    let model = Model::load(encoded).map_err(|error| problem(error.to_string()))?;
    let rng = &mut ChaCha8Rng::seed_from_u64(0);
    for count in BATCHES {
        let images: Vec<Vec<u8>> = (0..count).map(|index| test_image(image, index, rng)).collect();
        let expected = predictor.classify(&images)?;
        let found = outputs(&model, &images, image, &normalizer, options.input).map_err(problem)?;
        if found.shape() != [count, classes] {
            return Err(problem(format!("the output has the shape {:?}", found.shape())));
        }
        let found = found.to_vec();
        for (expected, found) in expected.iter().zip(found.chunks_exact(classes.max(1))) {
            let found = match options.output {
                OnnxOutput::Probabilities => found.to_vec(),
                OnnxOutput::Logits => softmax(found),
            };
            let differences = expected.probabilities.iter().zip(&found).map(|(a, b)| (a - b).abs());
            let difference = largest(&differences.collect::<Vec<_>>());
            // Not `>`, so that NaN is a difference.
            let is_close = difference <= TOLERANCE * spread(&expected.probabilities).max(1.0);
            if !is_close {
                return Err(problem(format!("a probability differs by {difference:e}")));
            }
        }
    }
    Ok(())
}

/// Noise, fine for even indices and in squares of four by four pixels for odd ones: `[channels, height, width]`.
fn test_image(image: ImageShape, index: usize, rng: &mut ChaCha8Rng) -> Vec<u8> {
    let ImageShape { height, width, .. } = image;
    let mut noise = vec![0; image.values()];
    rng.fill_bytes(&mut noise);
    if index.is_multiple_of(2) {
        return noise;
    }
    let corner = |pixel: usize| {
        let (row, column) = (pixel / width % height, pixel % width);
        noise[pixel - (row % 4) * width - column % 4]
    };
    (0..image.values()).map(corner).collect()
}

/// Computes the network with the runtime: `[n, classes]`.
fn outputs(
    model: &Model,
    images: &[Vec<u8>],
    image: ImageShape,
    normalizer: &Normalizer,
    input: OnnxInput,
) -> Result<Tensor<f32>, String> {
    let shape = [images.len(), image.channels, image.height, image.width];
    let bytes = images.concat();
    let output = match input {
        OnnxInput::Bytes => model.run_one(NdTensor::from_data(shape, bytes).into(), None),
        OnnxInput::Floats => {
            let floats: Vec<f32> = bytes.iter().map(|byte| f32::from(*byte)).collect();
            model.run_one(NdTensor::from_data(shape, floats).into(), None)
        }
        OnnxInput::Normalized => {
            let mut floats = vec![0.0; bytes.len()];
            normalizer.normalize(&bytes, &mut floats);
            model.run_one(NdTensor::from_data(shape, floats).into(), None)
        }
    };
    let output = output.map_err(|error| error.to_string())?;
    output.try_into().map_err(|_| "the output is not a tensor of 32-bit numbers".to_owned())
}

fn largest(values: &[f32]) -> f32 {
    // `f32::max` would ignore NaN.
    values.iter().map(|value| value.abs()).fold(0.0, |a, b| if b > a || b.is_nan() { b } else { a })
}

/// The difference between the largest and the smallest logit of these probabilities, without those that were rounded to 0.
fn spread(probabilities: &[f32]) -> f32 {
    let positive = || probabilities.iter().copied().filter(|probability| *probability > 0.0);
    let [smallest, largest] = [positive().reduce(f32::min), positive().reduce(f32::max)];
    (largest.unwrap_or(1.0) / smallest.unwrap_or(1.0)).ln()
}

fn softmax(logits: &[f32]) -> Vec<f32> {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f32> = logits.iter().map(|logit| (logit - largest).exp()).collect();
    let sum: f32 = powers.iter().sum();
    powers.iter().map(|power| power / sum).collect()
}
