//! The end of a run: writes everything that is computed from its history and its test.

use kiln_store::{
    History, MAX_MATRIX_CLASSES, RunDirectory, RunRecord, Status, TestReport, Tested, files,
    predictions,
};

use crate::chart::{confused_chart, confusion_chart, history_chart};
use crate::error::{ReportError, Result};
use crate::filters::{Filters, filters_picture};
use crate::markdown::markdown;
use crate::mistakes::{TestImages, mistakes_picture};

/// Completes a run that was trained and tested. Writes `predictions.csv`, the pictures and `report.md`, then
/// `run.json` with the checksums of the other files and the status `finished`, and `report.json` last.
/// The files that the trainer writes must exist already. `filters` are those of the first convolution, if the images go
/// into one.
///
/// # Errors
///
/// [`ReportError::Inconsistent`] if the record's status is not `finished` or the test data is inconsistent;
/// [`ReportError::Store`] if a file cannot be written. In both cases no `report.json` exists.
pub fn finish(
    run: &RunDirectory,
    record: &RunRecord,
    history: &History,
    tested: &Tested<'_>,
    images: TestImages<'_>,
    filters: Option<&Filters<'_>>,
) -> Result<TestReport> {
    if record.status != Status::Finished {
        let problem = format!("a run with status {} cannot have a test report", record.status);
        return Err(ReportError::Inconsistent(problem));
    }
    let report = TestReport::new(tested)?;
    predictions::write(&run.predictions_path(), tested)?;
    files::write(
        &run.history_chart_path(),
        history_chart(&record.name, history, Some(report.epoch)),
    )?;
    let title = format!("{}: test accuracy {:.4}", record.name, report.accuracy);
    let confusion = if tested.class_names.len() > MAX_MATRIX_CLASSES {
        confused_chart(&title, &report)
    } else {
        confusion_chart(&title, tested.class_names, &report.confusion)
    };
    files::write(&run.confusion_chart_path(), confusion)?;
    files::write(&run.mistakes_path(), mistakes_picture(tested, images)?)?;
    if let Some(filters) = filters {
        files::write(&run.filters_path(), filters_picture(filters)?)?;
    }
    files::write(&run.markdown_path(), markdown(record, history, Some(&report), filters))?;
    let text = report.to_json()?;
    let files = run.sums(Some(&text))?;
    run.write_record(&RunRecord { files, ..record.clone() })?;
    files::write(&run.report_path(), text)?;
    Ok(report)
}

/// Completes a run that ended before its test: interrupted, failed, diverged or pruned. Writes the history's chart if
/// there is a history, `report.md`, and `run.json` last.
///
/// # Errors
///
/// [`ReportError::Inconsistent`] if the record's status is `finished` or `running`; [`ReportError::Store`] if a file
/// cannot be written.
pub fn stop(run: &RunDirectory, record: &RunRecord, history: &History) -> Result<()> {
    if matches!(record.status, Status::Finished | Status::Running) {
        let problem = format!("a run with status {} was not stopped early", record.status);
        return Err(ReportError::Inconsistent(problem));
    }
    if !history.rows.is_empty() {
        files::write(&run.history_chart_path(), history_chart(&record.name, history, None))?;
    }
    files::write(&run.markdown_path(), markdown(record, history, None, None))?;
    // Record how the run ended even if a file cannot be read: the status matters more than the checksums.
    let files = run.sums(None).unwrap_or_default();
    Ok(run.write_record(&RunRecord { files, ..record.clone() })?)
}
