//! A small dataset and a small experiment.

use std::fs;
use std::path::{Path, PathBuf};

use kiln_report::RunDirectory;
use kiln_train::{Declaration, Observer, Outcome, Run};
use tempfile::TempDir;

/// A directory with a dataset of three classes, and room for runs.
pub(crate) struct World {
    directory: TempDir,
}

impl World {
    /// 120 training and 30 test images of 4 × 4: in class c, column c shines through noise.
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("columns");
        fs::create_dir(&data).unwrap();
        for (prefix, count, seed) in [("train", 120, 1), ("t10k", 30, 2)] {
            let (images, labels) = columns(count, seed);
            fs::write(data.join(format!("{prefix}-images-idx3-ubyte")), images).unwrap();
            fs::write(data.join(format!("{prefix}-labels-idx1-ubyte")), labels).unwrap();
        }
        Self { directory }
    }

    pub(crate) fn runs(&self) -> PathBuf {
        self.directory.path().join("runs")
    }

    /// Trains the small experiment with these overrides.
    pub(crate) fn run(&self, overrides: &[&str]) -> (RunDirectory, Outcome) {
        self.observed_run(&self.runs(), overrides, &mut ())
    }

    pub(crate) fn observed_run(
        &self,
        runs: &Path,
        overrides: &[&str],
        observer: &mut dyn Observer,
    ) -> (RunDirectory, Outcome) {
        let run = Run::prepare(declaration(overrides), self.directory.path(), runs).unwrap();
        let directory = run.directory().clone();
        let outcome = run.train(observer).unwrap();
        (directory, outcome)
    }
}

pub(crate) const EXPERIMENT: &str = r#"
name = "columns"
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

pub(crate) fn declaration(overrides: &[&str]) -> Declaration {
    let overrides: Vec<String> = overrides.iter().map(|text| (*text).to_owned()).collect();
    Declaration::parse("columns.toml", EXPERIMENT, &overrides).unwrap()
}

fn columns(count: u32, seed: u32) -> (Vec<u8>, Vec<u8>) {
    let header = |dimensions: &[u32]| {
        let mut bytes = vec![0, 0, 8, dimensions.len() as u8];
        bytes.extend(dimensions.iter().flat_map(|dimension| dimension.to_be_bytes()));
        bytes
    };
    let (mut images, mut labels) = (header(&[count, 4, 4]), header(&[count]));
    let mut state = seed;
    for _ in 0..count {
        let mut noise = || {
            // Numerical Recipes' linear congruential generator: noise enough for a picture.
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 25) as u8
        };
        let label = noise() % 3;
        labels.push(label);
        for pixel in 0..16 {
            let light = if pixel % 4 == label { 100 } else { 0 };
            images.push(light + noise());
        }
    }
    (images, labels)
}
