//! Run directories without training: they are written quickly, and tests can give them any content.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use kiln_store::{
    DatasetRecord, RunRecord, Status, TestReport, Tested, TestedWeights, Timestamp, Versions,
};

/// The content of a run directory.
#[derive(Debug, Clone)]
pub(crate) struct SampleRun {
    pub(crate) id: String,
    pub(crate) seed: u64,
    /// `config.toml` without name and seed.
    pub(crate) config: String,
    pub(crate) status: Status,
    /// One value per epoch.
    pub(crate) val_accuracies: Vec<Option<f64>>,
    /// The label and the prediction of each test image. Empty if the run was not tested.
    pub(crate) predictions: Vec<(u16, u16)>,
    pub(crate) class_names: Vec<String>,
    pub(crate) fingerprint: String,
    /// Which images the validation set has; `None` as in runs of earlier versions.
    pub(crate) validation_fingerprint: Option<String>,
    pub(crate) started: Timestamp,
}

impl SampleRun {
    /// A finished run with this learning rate and depth.
    pub(crate) fn new(learning_rate: f64, depth: usize, seed: u64) -> Self {
        Self {
            id: format!("{learning_rate}-{depth}-{seed}"),
            seed,
            config: config(learning_rate, depth),
            status: Status::Finished,
            val_accuracies: vec![Some(0.5), Some(0.75), Some(0.625)],
            predictions: right(15, 20),
            class_names: vec!["shirt".to_owned(), "boot".to_owned()],
            fingerprint: "50b4".to_owned(),
            validation_fingerprint: Some("fedcba9876543210".to_owned()),
            started: Timestamp::UNIX_EPOCH,
        }
    }

    /// Sets the best validation accuracy, that of the second epoch.
    pub(crate) fn best(mut self, value: f64) -> Self {
        self.val_accuracies[1] = Some(value);
        self
    }

    /// Sets how many of 1,000 test images are classified correctly.
    pub(crate) fn right(mut self, count: usize) -> Self {
        self.predictions = right(count, 1_000);
        self
    }

    /// Sets the status, and removes the test.
    pub(crate) fn ended(mut self, status: Status) -> Self {
        self.status = status;
        self.predictions.clear();
        self
    }

    /// Writes the run to `<sweep>/<id>`, and returns that path.
    pub(crate) fn write(&self, sweep: &Path) -> PathBuf {
        let directory = sweep.join(&self.id);
        fs::create_dir_all(&directory).expect("a directory");
        let put = |name: &str, text: String| {
            fs::write(directory.join(name), text).expect("a file");
        };
        put("config.toml", format!("name = \"depth\"\nseed = {}\n\n{}", self.seed, self.config));
        put("run.json", versioned(&self.record()));
        put("history.csv", self.history());
        if !self.predictions.is_empty() {
            put("predictions.csv", self.predictions_csv());
            put("report.json", versioned(&self.report()));
        }
        directory
    }

    fn record(&self) -> RunRecord {
        RunRecord {
            name: "depth".to_owned(),
            id: self.id.clone(),
            status: self.status,
            stop_reason: None,
            seed: self.seed,
            backend: "flex".to_owned(),
            engine: "generic".to_owned(),
            unsupported_by_fused: None,
            visible_devices: None,
            threads: 1,
            versions: Versions { kiln: "0.1.0".to_owned(), burn: "0.22.1".to_owned(), numerics: 0 },
            git_commit: None,
            dataset: DatasetRecord {
                name: "fashion-mnist".to_owned(),
                fingerprint: self.fingerprint.clone(),
                training_rows: 55_000,
                validation_rows: 5_000,
                test_rows: self.predictions.len(),
                skipped_rows: 0,
                skipped: Vec::new(),
            },
            validation_fingerprint: self.validation_fingerprint.clone(),
            normalization: None,
            data_warnings: Vec::new(),
            warnings: Vec::new(),
            parameters: 286_810,
            started: self.started,
            ended: None,
            training_seconds: Some(1.5),
            epochs: self.val_accuracies.len(),
            optimism: None,
            metrics: Vec::new(),
            reused: None,
            shared: None,
            evaluations: Vec::new(),
            resumed: Vec::new(),
            continued: None,
            files: std::collections::BTreeMap::new(),
            initial_weights: None,
            removed: std::collections::BTreeMap::new(),
        }
    }

    fn history(&self) -> String {
        let mut text =
            "epoch,loss,accuracy,val_loss,val_accuracy,learning_rate,seconds\n".to_owned();
        for (epoch, value) in (1..).zip(&self.val_accuracies) {
            let value = value.map(|value| value.to_string()).unwrap_or_default();
            writeln!(text, "{epoch},0.5,0.75,0.5,{value},0.01,0.500").expect("written");
        }
        text
    }

    /// The earliest epoch with the best validation accuracy, whose weights the run keeps.
    fn best_epoch(&self) -> usize {
        let values =
            (1..).zip(&self.val_accuracies).filter_map(|(epoch, value)| Some((epoch, (*value)?)));
        let best = values.reduce(|best, next| if next.1 > best.1 { next } else { best });
        best.map_or(self.val_accuracies.len().max(1), |(epoch, _)| epoch)
    }

    fn probability(&self, predicted: u16) -> impl Iterator<Item = f32> {
        (0..self.class_names.len()).map(move |class| f32::from(class == usize::from(predicted)))
    }

    fn predictions_csv(&self) -> String {
        let mut text =
            format!("index,label,predicted,probability,{}\n", self.class_names.join(","));
        for (index, (label, predicted)) in self.predictions.iter().enumerate() {
            write!(text, "{index},{label},{predicted},1.0").expect("written");
            for value in self.probability(*predicted) {
                write!(text, ",{value:?}").expect("written");
            }
            text.push('\n');
        }
        text
    }

    fn report(&self) -> TestReport {
        let labels: Vec<u16> = self.predictions.iter().map(|(label, _)| *label).collect();
        let predicted: Vec<u16> =
            self.predictions.iter().map(|(_, predicted)| *predicted).collect();
        let probabilities: Vec<f32> =
            predicted.iter().flat_map(|predicted| self.probability(*predicted)).collect();
        TestReport::new(&Tested {
            class_names: &self.class_names,
            labels: &labels,
            predicted: &predicted,
            probabilities: &probabilities,
            loss: 0.5,
            smoothed_loss: None,
            weights: TestedWeights::Best,
            epoch: self.best_epoch(),
            flip: false,
            top_k: &[],
            most_frequent: None,
            optimism: None,
        })
        .expect("a report")
    }
}

/// A configuration with three layers, of which the second one is named and repeated.
pub(crate) fn config(learning_rate: f64, depth: usize) -> String {
    format!(
        "[[model.layers]]\ntype = \"flatten\"\n\n\
         [[model.layers]]\ntype = \"dense\"\nunits = 100\nactivation = \"relu\"\nname = \"hidden\"\nrepeat = {depth}\n\n\
         [[model.layers]]\ntype = \"dense\"\nunits = \"classes\"\nactivation = \"softmax\"\n\n\
         [optimizer]\ntype = \"sgd\"\nlearning_rate = {learning_rate:?}\n\n\
         [training]\nepochs = 3\nweights = \"best\"\nmonitor = \"val_accuracy\"\n"
    )
}

/// Alternating labels of two classes with their predictions. The first `count` predictions are correct.
pub(crate) fn right(count: usize, of: usize) -> Vec<(u16, u16)> {
    let label = |index: usize| u16::from(index % 2 == 1);
    (0..of).map(|index| (label(index), label(index) ^ u16::from(index >= count))).collect()
}

fn versioned(body: &impl serde::Serialize) -> String {
    let mut value = serde_json::to_value(body).expect("JSON");
    value["format_version"] = 1.into();
    value.to_string()
}
