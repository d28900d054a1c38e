//! Targets for text files. Kiln refuses a file that is not UTF-8 before it parses the text.

use std::path::Path;

use kiln_config::ConfigError;
use kiln_data::ImageShape;
use kiln_report::chart::{confusion_chart, history_chart};
use kiln_report::markdown;
use kiln_store::{History, Predictions, RunRecord, StoreError, TestReport};
use kiln_sweep::Sweep;
use kiln_train::Declaration;

use crate::files::with_file;
use crate::{assert_has_message, assert_printable, assert_valid_svg};

/// Larger sweeps are not expanded. Each combination is an experiment, which takes time to read.
pub(crate) const MAX_COMBINATIONS: usize = 50;

/// The file name in error messages.
const FILE: &str = "file";

/// Reads an experiment. If it is valid, writing and reading the resolved experiment again must give the same text, and
/// computing the shapes of its layers must not panic.
pub fn experiment_toml(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    match Declaration::parse(FILE, text, &[]) {
        Ok(declaration) => {
            let resolved = declaration.experiment.to_toml().expect("it was read from TOML");
            let again = Declaration::parse("resolved", &resolved, &[])
                .unwrap_or_else(|error| panic!("{error}\n{resolved}"));
            // Compare texts, since NaN is not equal to itself.
            assert_eq!(again.experiment.to_toml().expect("it was written before"), resolved);
            let shape = ImageShape { channels: 1, height: 28, width: 28 };
            match declaration.architecture(shape, 10) {
                Ok(architecture) => assert_printable(&architecture.summary(32, 1).to_string()),
                Err(error) => assert_rendered(&error),
            }
        }
        Err(error) => assert_rendered(&error),
    }
}

/// Reads the input as a sweep file next to `experiment.toml`, or as an experiment that is swept.
pub fn sweep_toml(bytes: &[u8]) {
    const EXPERIMENT: &[u8] = include_bytes!("../corpus/experiment_toml/small.toml");
    with_file("experiment.toml", EXPERIMENT, |_| ());
    let sweep =
        with_file("sweep.toml", bytes, |directory| Sweep::open(&directory.join("sweep.toml"), &[]));
    match sweep {
        Ok(sweep) if sweep.size().is_some_and(|size| size <= MAX_COMBINATIONS) => {
            match sweep.expand() {
                Ok(runs) => assert!(runs.len() <= MAX_COMBINATIONS),
                Err(error) => assert_rendered(&error),
            }
        }
        Ok(_) => {}
        Err(error) => assert_rendered(&error),
    }
}

/// Reads a history. If it is valid, writing and reading it again must give the same text, and it can be drawn.
pub fn history_csv(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    match History::parse(Path::new(FILE), text) {
        Ok(history) => {
            let written = history.to_csv();
            let again = History::parse(Path::new(FILE), &written).expect("it was just written");
            assert_eq!(again.to_csv(), written);
            assert_eq!(again.rows.len(), history.rows.len());
            assert_valid_svg(&history_chart("title", &history, Some(1)));
        }
        Err(error) => assert_names_file(&error),
    }
}

/// Reads a test report. If it is valid, writing and reading it again must give the same report, and it can be shown.
pub fn report_json(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    match TestReport::parse(Path::new(FILE), text) {
        Ok(report) => {
            let written = report.to_json().expect("it was read from JSON");
            let again = TestReport::parse(Path::new(FILE), &written).expect("it was just written");
            assert_eq!(again, report);
            let record = include_str!("../corpus/run_json/finished.json");
            let record = RunRecord::parse(Path::new(FILE), record).expect("a valid record");
            assert_printable(&markdown(&record, &History::default(), Some(&report), None));
            let names: Vec<String> =
                report.per_class.iter().map(|class| class.class.clone()).collect();
            assert_valid_svg(&confusion_chart("title", &names, &report.confusion));
        }
        Err(error) => assert_names_file(&error),
    }
}

/// Reads the record of a run. If it is valid, writing and reading it again must give the same record, and it can be shown.
pub fn run_json(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    match RunRecord::parse(Path::new(FILE), text) {
        Ok(record) => {
            let written = record.to_json().expect("it was read from JSON");
            let again = RunRecord::parse(Path::new(FILE), &written).expect("it was just written");
            assert_eq!(again, record);
            assert_printable(&markdown(&record, &History::default(), None, None));
        }
        Err(error) => assert_names_file(&error),
    }
}

/// Reads predictions. If they are valid, there must be a probability for each image and class.
pub fn predictions_csv(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    match Predictions::parse(Path::new(FILE), text) {
        Ok(read) => {
            assert_eq!(read.labels.len(), read.predicted.len());
            assert_eq!(read.labels.len() * read.class_names.len(), read.probabilities.len());
        }
        Err(error) => assert_names_file(&error),
    }
}

/// Asserts that a configuration error can be rendered with its place, with and without colors.
fn assert_rendered(error: &ConfigError) {
    assert_printable(&error.render(false));
    assert!(error.render(true).starts_with('\u{1b}'));
}

/// Asserts that an error about a file of a run names the file.
fn assert_names_file(error: &StoreError) {
    assert_has_message(error);
    assert!(error.to_string().contains(FILE), "{error}");
}
