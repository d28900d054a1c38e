//! A small run with three classes, eight test images and three epochs.

use std::path::Path;
use std::sync::Arc;

use kiln_store::{
    DatasetRecord, EpochRow, History, Optimism, RunDirectory, RunRecord, Status, Tested,
    TestedWeights, Timestamp, TopK, Versions,
};
use tempfile::TempDir;

pub(crate) fn directory() -> TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

/// The names of the entries of a directory, sorted.
pub(crate) fn listing(path: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(path).expect("a directory");
    let mut names: Vec<String> = entries
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

pub(crate) fn time(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

pub(crate) fn record() -> RunRecord {
    RunRecord {
        name: "fashion-mnist".to_owned(),
        id: "20250601-123456".to_owned(),
        status: Status::Finished,
        stop_reason: Some("all epochs done".to_owned()),
        seed: 42,
        backend: "flex".to_owned(),
        engine: "burn".to_owned(),
        unsupported_by_fused: None,
        visible_devices: None,
        threads: 1,
        versions: Versions { kiln: "0.1.0".to_owned(), burn: "0.22.1".to_owned(), numerics: 0 },
        git_commit: Some("402e127".to_owned()),
        dataset: DatasetRecord {
            name: "fashion-mnist".to_owned(),
            fingerprint: "sha256:0123456789abcdef".to_owned(),
            training_rows: 55_000,
            validation_rows: 5_000,
            test_rows: 8,
            skipped_rows: 0,
            skipped: Vec::new(),
        },
        validation_fingerprint: Some("fedcba9876543210".to_owned()),
        normalization: None,
        data_warnings: Vec::new(),
        warnings: Vec::new(),
        parameters: 286_810,
        started: time("2025-06-01T12:34:56.789Z"),
        ended: Some(time("2025-06-01T12:36:00Z")),
        training_seconds: Some(61.25),
        epochs: 3,
        optimism: Some(Optimism {
            epochs: 3,
            val_accuracy: 0.8,
            cross_fitted: 0.7984,
            difference: 0.0016,
        }),
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

/// The record while the run is training.
pub(crate) fn running() -> RunRecord {
    RunRecord {
        status: Status::Running,
        stop_reason: None,
        ended: None,
        training_seconds: None,
        epochs: 0,
        optimism: None,
        ..record()
    }
}

pub(crate) fn row(epoch: usize, [loss, accuracy, val_loss, val_accuracy]: [f64; 4]) -> EpochRow {
    EpochRow {
        epoch,
        learning_rate: 0.01,
        seconds: 20.4166,
        metrics: metrics([
            ("loss", loss),
            ("accuracy", accuracy),
            ("val_loss", val_loss),
            ("val_accuracy", val_accuracy),
            ("top_3_accuracy", 0.95),
        ]),
    }
}

pub(crate) fn metrics<'a>(
    values: impl IntoIterator<Item = (&'a str, f64)>,
) -> Vec<(Arc<str>, f64)> {
    values.into_iter().map(|(name, value)| (name.into(), value)).collect()
}

pub(crate) fn history() -> History {
    History {
        extra_columns: vec!["top_3_accuracy".to_owned()],
        rows: vec![
            row(1, [0.75, 0.5, 0.6, 0.7]),
            row(2, [0.5, 0.75, 0.4, 0.8]),
            row(3, [0.25, 0.875, 0.45, 0.85]),
        ],
        cut: false,
    }
}

/// The data of a test. [`Tested`] borrows it.
pub(crate) struct Test {
    pub(crate) class_names: Vec<String>,
    pub(crate) labels: Vec<u16>,
    pub(crate) probabilities: Vec<f32>,
    pub(crate) predicted: Vec<u16>,
    pub(crate) pixels: Vec<u8>,
    pub(crate) rows: Vec<u32>,
}

impl Test {
    pub(crate) fn tested(&self) -> Tested<'_> {
        Tested {
            class_names: &self.class_names,
            labels: &self.labels,
            predicted: &self.predicted,
            probabilities: &self.probabilities,
            loss: 0.375,
            smoothed_loss: None,
            weights: TestedWeights::Best,
            epoch: 2,
            flip: false,
            top_k: &[TopK { k: 2, accuracy: 0.875 }],
            most_frequent: Some(1),
            optimism: record().optimism,
        }
    }

    /// A test of the given images, each with its label and the probability of each class. The first of the most probable
    /// classes is the predicted one.
    pub(crate) fn new(class_names: &[&str], images: &[(u16, &[f32])]) -> Self {
        let most_probable = |row: &[f32]| {
            let highest = row.iter().copied().fold(0.0, f32::max);
            u16::try_from(row.iter().position(|value| *value == highest).unwrap_or(0))
                .expect("a class")
        };
        Self {
            class_names: class_names.iter().map(|name| (*name).to_owned()).collect(),
            labels: images.iter().map(|(label, _)| *label).collect(),
            probabilities: images.iter().flat_map(|(_, row)| row.iter().copied()).collect(),
            predicted: images.iter().map(|(_, row)| most_probable(row)).collect(),
            pixels: vec![128; 4 * images.len()],
            rows: (0..).take(images.len()).collect(),
        }
    }
}

/// A test with the confusion matrix `3 1 0`, `0 2 0`, `1 0 1`. The true class is among the two most probable ones in all
/// images except one.
pub(crate) fn test() -> Test {
    Test::new(
        &["T-shirt/top", "Trouser", "Ankle boot"],
        &[
            (0, &[0.75, 0.125, 0.125]),
            (0, &[0.5, 0.25, 0.25]),
            (0, &[1.0, 0.0, 0.0]),
            (0, &[0.0625, 0.9375, 0.0]),
            (1, &[0.25, 0.625, 0.125]),
            (1, &[0.0, 1.0, 0.0]),
            (2, &[0.875, 0.125, 1e-7]),
            (2, &[0.25, 0.125, 0.625]),
        ],
    )
}

/// A run in `runs` with everything that the trainer writes.
pub(crate) fn trained(runs: &Path) -> RunDirectory {
    let run = RunDirectory::create(runs, "fashion-mnist", Some("20250601-123456"))
        .expect("a new directory");
    run.write_record(&running()).expect("a record");
    let mut writer = run.start_history(&["top_3_accuracy"]).expect("a history");
    for row in &history().rows {
        writer.append(row).expect("an epoch");
    }
    let [config, splits] = [run.config_path(), run.splits_path()];
    for path in [config, splits, run.model_path(), run.initial_path(), run.log_path()] {
        std::fs::write(path, "").expect("a file");
    }
    run
}
