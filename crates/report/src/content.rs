use kiln_store::{History, RunDirectory, RunRecord, StoreError, TestReport};

use crate::error::Result;
use crate::settings::{self, SettingsLine};
use crate::summary::{self, Fact};

/// What there is to say about one run, before it is formatted. Its texts are not escaped.
///
/// Files are checked against their recorded checksums, and nothing of a damaged file is in it.
#[derive(Debug)]
pub struct RunContent {
    /// `run.json`.
    pub record: RunRecord,
    /// How the run ended, as a phrase: "finished: all epochs done".
    pub ending: String,
    /// Data, model, seed, versions, duration, warnings, tags and the note.
    pub facts: Vec<Fact>,
    /// The settings, a line for each table and each layer.
    pub settings: Vec<SettingsLine>,
    /// The history; `None` if it cannot be read.
    pub history: Option<History>,
    /// The test result; `None` if the run was not tested, or if it cannot be read.
    pub report: Option<TestReport>,
    /// The names of the files that are damaged, and how.
    pub damaged: Vec<(&'static str, StoreError)>,
}

/// A table of texts. The first `words` columns are text; the others are numbers.
#[derive(Debug)]
pub struct TextTable {
    /// The headings.
    pub columns: Vec<String>,
    /// The number of columns with text.
    pub words: usize,
    /// The cells; missing values are empty.
    pub rows: Vec<Vec<String>>,
    /// Sentences below the table.
    pub notes: Vec<String>,
}

impl RunContent {
    /// Reads the files of a run that its report shows.
    ///
    /// # Errors
    ///
    /// [`ReportError::Store`](crate::ReportError::Store) if `run.json` cannot be read.
    pub fn read(run: &RunDirectory) -> Result<Self> {
        let record = run.read_record()?;
        let mut damaged = Vec::new();
        let mut keep = |name: &'static str, error: StoreError| damaged.push((name, error));
        let config = run.read_checked(&record, "config.toml", kiln_config::MAX_BYTES);
        let settings = config.map(|_| settings::lines(run));
        let settings = settings.map_err(|error| keep("config.toml", error)).unwrap_or_default();
        let history = run.read_checked_history(&record);
        let history = history.map_err(|error| keep("history.csv", error)).ok();
        let report = run.read_checked_report(&record);
        let report = report.map_err(|error| keep("report.json", error)).ok().flatten();
        let annotations = run.read_annotations();
        let annotations =
            annotations.map_err(|error| keep("notes.json", error)).unwrap_or_default();
        let mut facts = summary::facts(&record);
        facts.extend(summary::annotations(&annotations));
        Ok(Self {
            ending: summary::ending(&record),
            facts,
            settings,
            history,
            report,
            damaged,
            record,
        })
    }

    /// Why a file is not shown.
    #[must_use]
    pub fn problem(&self, name: &str) -> Option<String> {
        let (_, error) = self.damaged.iter().find(|(damaged, _)| *damaged == name)?;
        Some(error.to_string())
    }

    /// The epochs, at most twenty of them; `None` if none was completed.
    #[must_use]
    pub fn epochs(&self) -> Option<TextTable> {
        let history = self.history.as_ref().filter(|history| !history.rows.is_empty())?;
        let columns = summary::epoch_columns(history);
        let rows = history.selection(summary::MAX_EPOCHS);
        let notes = [
            summary::left_out(history, rows.len()),
            summary::best_epoch(history),
            summary::optimism(&self.record),
        ];
        Some(TextTable {
            rows: rows.iter().map(|row| summary::epoch_cells(row, &columns)).collect(),
            columns: columns.into_iter().map(str::to_owned).collect(),
            words: 0,
            notes: notes.into_iter().flatten().collect(),
        })
    }

    /// The test result as sentences: accuracy and loss, and the accuracy without any skill.
    #[must_use]
    pub fn result(&self) -> Vec<String> {
        let Some(report) = &self.report else { return Vec::new() };
        std::iter::once(summary::result(report)).chain(summary::most_frequent(report)).collect()
    }

    /// Precision, recall and F1 by class, with intervals.
    #[must_use]
    pub fn classes(&self) -> Option<TextTable> {
        let report = self.report.as_ref()?;
        let mut notes: Vec<String> = summary::classes_left_out(report).into_iter().collect();
        notes.push(summary::INTERVAL_NOTE.to_owned());
        notes.extend(report.notes.iter().map(|note| format!("Note: {note}.")));
        Some(TextTable {
            columns: summary::INTERVAL_COLUMNS.map(str::to_owned).to_vec(),
            words: 1,
            rows: summary::class_rows_with_intervals(report),
            notes,
        })
    }

    /// The classes that were confused most often, as phrases.
    #[must_use]
    pub fn confused(&self) -> Vec<String> {
        let Some(report) = &self.report else { return Vec::new() };
        let pairs = report.confused_pairs().into_iter().take(summary::MAX_PAIRS);
        pairs.map(|pair| summary::confused(report, pair)).collect()
    }
}
