//! A temporary directory with an experiment and a sweep file.

use std::fs;

use kiln_config::ConfigError;
use kiln_sweep::Sweep;
use tempfile::TempDir;

pub(crate) const EXPERIMENT: &str = r#"name = "small"
seed = 5

[data]
source = "fashion-mnist"

[model]
layers = [
  { type = "flatten" },
  { type = "dense", units = 8, activation = "relu", name = "hidden" },
  { type = "dense", units = "classes", activation = "softmax" },
]

[optimizer]
type = "sgd"
learning_rate = 0.1
"#;

pub(crate) struct World(TempDir);

impl World {
    /// `sweep` is the text of the sweep file after its name and experiment.
    pub(crate) fn new(sweep: &str) -> Self {
        let world = Self(tempfile::tempdir().unwrap());
        fs::write(world.0.path().join("experiment.toml"), EXPERIMENT).unwrap();
        let sweep = format!("name = \"sweep\"\nexperiment = \"experiment.toml\"\n{sweep}");
        fs::write(world.0.path().join("sweep.toml"), sweep).unwrap();
        world
    }

    pub(crate) fn write(&self, file: &str, text: &str) {
        fs::write(self.0.path().join(file), text).unwrap();
    }

    pub(crate) fn open(&self, file: &str, axes: &[&str]) -> Result<Sweep, ConfigError> {
        let axes: Vec<String> = axes.iter().map(|axis| (*axis).to_owned()).collect();
        Sweep::open(&self.0.path().join(file), &axes)
    }

    /// The settings of every run of a file with axes, as arguments of the command line.
    pub(crate) fn runs(&self, file: &str, axes: &[&str]) -> Result<Vec<String>, ConfigError> {
        let points = self.open(file, axes)?.expand()?;
        let arguments = points.iter().map(|point| {
            let arguments: Vec<String> = point.settings.iter().map(ToString::to_string).collect();
            arguments.join(" ")
        });
        Ok(arguments.collect())
    }
}

/// The runs of a sweep file.
pub(crate) fn runs(sweep: &str) -> Vec<String> {
    World::new(sweep).runs("sweep.toml", &[]).unwrap_or_else(|error| panic!("{error}"))
}

/// The runs of the experiment with axes of the command line.
pub(crate) fn runs_of(axes: &[&str]) -> Vec<String> {
    World::new("").runs("experiment.toml", axes).unwrap_or_else(|error| panic!("{error}"))
}

/// The error of an invalid sweep file.
pub(crate) fn refused(sweep: &str) -> String {
    World::new(sweep).runs("sweep.toml", &[]).unwrap_err().to_string()
}

/// The error of invalid axes.
pub(crate) fn refused_axes(axes: &[&str]) -> String {
    World::new("").runs("experiment.toml", axes).unwrap_err().to_string()
}
