//! The report of a finished run on other labeled images.

use std::fmt::Write;
use std::path::Path;

use kiln_store::escape::markdown as escaped;
use kiln_store::{RunRecord, TestReport, Tested, files, predictions};

use crate::chart::confusion_chart;
use crate::error::Result;
use crate::markdown::write_test;
use crate::mistakes::{TestImages, mistakes_picture};
use crate::show::show_test;
use crate::summary;
use crate::terminal::Terminal;

/// The evaluation of a run on a dataset that it was not tested on.
#[derive(Debug, Clone, Copy)]
pub struct EvaluatedImages<'a> {
    /// The name of the dataset.
    pub dataset: &'a str,
    /// Its fingerprint.
    pub fingerprint: &'a str,
    /// The answers of the network.
    pub tested: &'a Tested<'a>,
    /// The images.
    pub images: TestImages<'a>,
    /// The file of each image, if they are files.
    pub file_names: Option<&'a [String]>,
}

/// Writes `predictions.csv`, `confusion.svg`, `mistakes.png`, `report.md` and `report.json` into `directory`, and
/// `files.csv` if the images are files. The directory must exist.
///
/// # Errors
///
/// [`ReportError::Inconsistent`](crate::ReportError::Inconsistent) if the numbers do not fit together;
/// [`ReportError::Store`](crate::ReportError::Store) if a file cannot be written.
pub fn evaluation(
    directory: &Path,
    record: &RunRecord,
    evaluated: &EvaluatedImages<'_>,
) -> Result<TestReport> {
    let EvaluatedImages { dataset, fingerprint, tested, images, file_names } = evaluated;
    let report = TestReport::new(tested)?;
    predictions::write(&directory.join("predictions.csv"), tested)?;
    if let Some(names) = file_names {
        let mut text = "index,file\n".to_owned();
        for (index, name) in names.iter().enumerate() {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{index},\"{}\"", name.replace('"', "\"\""));
        }
        files::write(&directory.join("files.csv"), text)?;
    }
    let title = format!("{} on {dataset}: accuracy {:.4}", record.name, report.accuracy);
    let confusion = confusion_chart(&title, tested.class_names, &report.confusion);
    files::write(&directory.join("confusion.svg"), confusion)?;
    files::write(&directory.join("mistakes.png"), mistakes_picture(tested, *images)?)?;
    let mut text = format!("# {} on {}\n\n", escaped(&record.name), escaped(dataset));
    let intro = format!(
        "Run {} on {} images of {dataset} (fingerprint {fingerprint}).",
        record.id,
        tested.labels.len()
    );
    let _ = write!(text, "{}\n\n{}.\n\n", escaped(&intro), escaped(&summary::result(&report)));
    write_test(&mut text, &report);
    files::write(&directory.join("report.md"), text)?;
    files::write(&directory.join("report.json"), report.to_json()?)?;
    Ok(report)
}

/// The results of an evaluation, formatted for a terminal.
#[must_use]
pub fn show_evaluation(report: &TestReport, terminal: Terminal) -> String {
    show_test(report, terminal)
}
