//! A tiny dataset and an experiment that trains on it. The tests of the training crate and the benchmark use them, too.

use std::fs;
use std::path::Path;

pub(crate) const EXPERIMENT: &str = r#"name = "columns"
seed = 1

[data]
source = "columns"
validation = 24

[model]
layers = [
  { type = "flatten" },
  { type = "dense", units = 8, activation = "relu", name = "hidden" },
  { type = "dense", units = "classes", activation = "softmax" },
]

[optimizer]
type = "sgd"
learning_rate = 0.1

[training]
epochs = 3
batch_size = 10
"#;

/// Writes the four IDX files of the dataset: 120 training and 30 test images of 4 × 4 pixels. They are noise, and in an
/// image of class c, column c is brighter.
pub(crate) fn write(directory: &Path) {
    fs::create_dir_all(directory).unwrap();
    for (prefix, count, seed) in [("train", 120, 1), ("t10k", 30, 2)] {
        let (images, labels) = images_and_labels(count, seed);
        fs::write(directory.join(format!("{prefix}-images-idx3-ubyte")), images).unwrap();
        fs::write(directory.join(format!("{prefix}-labels-idx1-ubyte")), labels).unwrap();
    }
}

/// The header of an IDX file that contains unsigned bytes.
pub(crate) fn idx_header(dimensions: &[u32]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, dimensions.len() as u8];
    bytes.extend(dimensions.iter().flat_map(|dimension| dimension.to_be_bytes()));
    bytes
}

fn images_and_labels(count: u32, seed: u32) -> (Vec<u8>, Vec<u8>) {
    let (mut images, mut labels) = (idx_header(&[count, 4, 4]), idx_header(&[count]));
    let mut state = seed;
    for _ in 0..count {
        let mut noise = || {
            // The linear congruential generator of Numerical Recipes. Its upper bits are random enough for this.
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 25) as u8
        };
        let label = noise() % 3;
        labels.push(label);
        for pixel in 0..16 {
            let brightness = if pixel % 4 == label { 100 } else { 0 };
            images.push(brightness + noise());
        }
    }
    (images, labels)
}
