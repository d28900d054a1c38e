//! The end of a run: everything that is computed from its history and its test is written.

use kiln_store::{
    History, RunDirectory, RunRecord, Status, TestReport, Tested, files, predictions,
};

use crate::chart::{confusion_chart, history_chart};
use crate::error::{ReportError, Result};
use crate::markdown::markdown;
use crate::mistakes::{TestImages, mistakes_picture};

/// Ends a run that was trained and tested: writes `predictions.csv`, the pictures, `report.md`, then `run.json`, and
/// last `report.json`, which declares the run finished. The record
/// is given the sums of all the others. What the trainer writes itself must be there before.
///
/// # Errors
///
/// [`ReportError::Inconsistent`] where the record does not say `finished` or what was tested does not fit together;
/// [`ReportError::Store`] where something cannot be written. Either way there is no `report.json`.
pub fn finish(
    run: &RunDirectory,
    record: &RunRecord,
    history: &History,
    tested: &Tested<'_>,
    images: TestImages<'_>,
) -> Result<TestReport> {
    if record.status != Status::Finished {
        let problem = format!("a run that ends as {} has no test report", record.status);
        return Err(ReportError::Inconsistent(problem));
    }
    let report = TestReport::new(tested)?;
    predictions::write(&run.predictions_path(), tested)?;
    files::write(&run.history_chart_path(), history_chart(&record.name, history))?;
    let title = format!("{}: test accuracy {:.4}", record.name, report.accuracy);
    let confusion = confusion_chart(&title, tested.class_names, &report.confusion);
    files::write(&run.confusion_chart_path(), confusion)?;
    files::write(&run.mistakes_path(), mistakes_picture(tested, images)?)?;
    files::write(&run.markdown_path(), markdown(record, history, Some(&report)))?;
    let text = report.to_json()?;
    let files = run.sums(Some(&text))?;
    run.write_record(&RunRecord { files, ..record.clone() })?;
    files::write(&run.report_path(), text)?;
    Ok(report)
}

/// Ends a run that did not come to its test, be it interrupted, failed or diverged: writes the history's picture where
/// there is a history, `report.md`, and `run.json` last.
///
/// # Errors
///
/// [`ReportError::Inconsistent`] where the record says `finished` or `running`; [`ReportError::Store`] where something
/// cannot be written.
pub fn stop(run: &RunDirectory, record: &RunRecord, history: &History) -> Result<()> {
    if matches!(record.status, Status::Finished | Status::Running) {
        let problem = format!("a run that is {} was not stopped", record.status);
        return Err(ReportError::Inconsistent(problem));
    }
    if !history.rows.is_empty() {
        files::write(&run.history_chart_path(), history_chart(&record.name, history))?;
    }
    files::write(&run.markdown_path(), markdown(record, history, None))?;
    // How the run ended is worth more than what its files were: it is told even where one cannot be read.
    let files = run.sums(None).unwrap_or_default();
    Ok(run.write_record(&RunRecord { files, ..record.clone() })?)
}
