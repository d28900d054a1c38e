//! Readers of text. What is not UTF-8 is refused before they see it.

use std::path::Path;

use kiln_config::ConfigError;
use kiln_data::ImageShape;
use kiln_report::chart::{confusion_chart, history_chart};
use kiln_report::markdown;
use kiln_store::{History, Predictions, RunRecord, StoreError, TestReport};
use kiln_sweep::Sweep;
use kiln_train::Declaration;

use crate::files::with_file;
use crate::{assert_picture, assert_printable, assert_sound};

/// More combinations of a sweep than this are not gone through: each is an experiment of its own.
pub(crate) const MOST_COMBINATIONS: usize = 50;

/// Stands for a file in messages.
const FILE: &str = "file";

/// An experiment: what reads is resolved, written back and reads the same, and its layers are planned.
pub fn experiment_toml(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    match Declaration::parse(FILE, text, &[]) {
        Ok(declaration) => {
            let resolved = declaration.experiment.to_toml().expect("it was read from TOML");
            let again = Declaration::parse("resolved", &resolved, &[])
                .unwrap_or_else(|error| panic!("{error}\n{resolved}"));
            // Texts, for NaN is not equal to itself.
            assert_eq!(again.experiment.to_toml().expect("it was written once"), resolved);
            let shape = ImageShape { channels: 1, height: 28, width: 28 };
            match declaration.architecture(shape, 10) {
                Ok(architecture) => assert_printable(&architecture.summary(32, 1).to_string()),
                Err(error) => assert_shown(&error),
            }
        }
        Err(error) => assert_shown(&error),
    }
}

/// A sweep beside its experiment, or an experiment as a sweep.
pub fn sweep_toml(bytes: &[u8]) {
    const EXPERIMENT: &[u8] = include_bytes!("../corpus/experiment_toml/small.toml");
    with_file("experiment.toml", EXPERIMENT, |_| ());
    let sweep =
        with_file("sweep.toml", bytes, |directory| Sweep::open(&directory.join("sweep.toml"), &[]));
    match sweep {
        Ok(sweep) if sweep.size().is_some_and(|size| size <= MOST_COMBINATIONS) => {
            match sweep.expand() {
                Ok(runs) => assert!(runs.len() <= MOST_COMBINATIONS),
                Err(error) => assert_shown(&error),
            }
        }
        Ok(_) => {}
        Err(error) => assert_shown(&error),
    }
}

/// A history: what reads is written back and reads the same.
pub fn history_csv(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    match History::parse(Path::new(FILE), text) {
        Ok(history) => {
            let written = history.to_csv();
            let again = History::parse(Path::new(FILE), &written).expect("it was just written");
            assert_eq!(again.to_csv(), written);
            assert_eq!(again.rows.len(), history.rows.len());
            assert_picture(&history_chart("title", &history));
        }
        Err(error) => assert_malformed(&error),
    }
}

/// A test report: what reads is written back and reads the same, and can be shown.
pub fn report_json(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    match TestReport::parse(Path::new(FILE), text) {
        Ok(report) => {
            let written = report.to_json().expect("it was read from JSON");
            let again = TestReport::parse(Path::new(FILE), &written).expect("it was just written");
            assert_eq!(again, report);
            let record = include_str!("../corpus/run_json/finished.json");
            let record = RunRecord::parse(Path::new(FILE), record).expect("a sound record");
            assert_printable(&markdown(&record, &History::default(), Some(&report)));
            let names: Vec<String> =
                report.per_class.iter().map(|class| class.class.clone()).collect();
            assert_picture(&confusion_chart("title", &names, &report.confusion));
        }
        Err(error) => assert_malformed(&error),
    }
}

/// A run's record: what reads is written back and reads the same, and can be shown.
pub fn run_json(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    match RunRecord::parse(Path::new(FILE), text) {
        Ok(record) => {
            let written = record.to_json().expect("it was read from JSON");
            let again = RunRecord::parse(Path::new(FILE), &written).expect("it was just written");
            assert_eq!(again, record);
            assert_printable(&markdown(&record, &History::default(), None));
        }
        Err(error) => assert_malformed(&error),
    }
}

/// Predictions: a probability for each image and class.
pub fn predictions_csv(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    match Predictions::parse(Path::new(FILE), text) {
        Ok(read) => {
            assert_eq!(read.labels.len(), read.predicted.len());
            assert_eq!(read.labels.len() * read.class_names.len(), read.probabilities.len());
        }
        Err(error) => assert_malformed(&error),
    }
}

/// An error about a configuration is shown with its place, in colour and without.
fn assert_shown(error: &ConfigError) {
    assert_printable(&error.render(false));
    assert!(error.render(true).starts_with('\u{1b}'));
}

/// An error about a file of a run names the file.
fn assert_malformed(error: &StoreError) {
    assert_sound(error);
    assert!(error.to_string().contains(FILE), "{error}");
}
