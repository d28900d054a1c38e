//! A tiny world: a directory with a dataset and an experiment, and the program let loose in it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

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

/// A dataset of three classes in `data/columns`, and `experiment.toml`, which trains on it.
pub(crate) struct World {
    directory: TempDir,
}

/// What came of a command.
pub(crate) struct Ran {
    pub(crate) status: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl World {
    pub(crate) fn new() -> Self {
        let world = Self { directory: tempfile::tempdir().unwrap() };
        world.write("experiment.toml", EXPERIMENT);
        fs::create_dir_all(world.path("data/columns")).unwrap();
        fs::write(world.path("data/columns/classes.txt"), "left\nmiddle\nright\n").unwrap();
        for (prefix, count, seed) in [("train", 120, 1), ("t10k", 30, 2)] {
            let (images, labels) = columns(count, seed);
            let file = |kind: &str| world.path(&format!("data/columns/{prefix}-{kind}-ubyte"));
            fs::write(file("images-idx3"), images).unwrap();
            fs::write(file("labels-idx1"), labels).unwrap();
        }
        world
    }

    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.directory.path().join(relative)
    }

    pub(crate) fn write(&self, relative: &str, content: impl AsRef<[u8]>) {
        fs::write(self.path(relative), content).unwrap();
    }

    pub(crate) fn read(&self, relative: impl AsRef<Path>) -> String {
        fs::read_to_string(self.directory.path().join(relative)).unwrap()
    }

    /// The program, to be run in the world's directory.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kiln"));
        command.current_dir(self.directory.path()).env_remove("NO_COLOR");
        command
    }

    pub(crate) fn kiln(&self, arguments: &[&str]) -> Ran {
        Ran::from(self.command().args(arguments).output().unwrap())
    }

    /// Runs `experiment.toml` to its end and gives the run directory, from the world's.
    pub(crate) fn trained(&self, overrides: &[&str]) -> String {
        let ran = self.kiln(&[["run", "experiment.toml"].as_slice(), overrides].concat());
        assert_eq!(ran.status, 0, "{}", ran.stderr);
        ran.last_line()
    }

    /// Whether anything lies in `runs`.
    pub(crate) fn has_runs(&self) -> bool {
        fs::read_dir(self.path("runs/columns")).is_ok_and(|mut entries| entries.next().is_some())
    }
}

impl Ran {
    pub(crate) fn last_line(&self) -> String {
        self.stdout.lines().last().unwrap_or_default().to_owned()
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            status: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// A file's header: unsigned bytes of these dimensions.
pub(crate) fn header(dimensions: &[u32]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, dimensions.len() as u8];
    bytes.extend(dimensions.iter().flat_map(|dimension| dimension.to_be_bytes()));
    bytes
}

/// Images of 4 × 4 and their labels: in class c, column c shines through noise.
fn columns(count: u32, seed: u32) -> (Vec<u8>, Vec<u8>) {
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
