use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::checksum::Checksum;
use crate::error::{Result, StoreError};
use crate::files;
use crate::hidden::hidden;
use crate::history::{self, History, HistoryWriter};
use crate::name::check_name;
use crate::predictions::Predictions;
use crate::record::{RunRecord, Status, now};
use crate::test_report::{self, TestReport};

/// The directory of one run, `<runs>/<name>/<id>/`. The crate's documentation lists its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunDirectory {
    path: PathBuf,
}

/// A file of a run directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunFile {
    /// Its name.
    pub name: &'static str,
    /// A short description of its content.
    pub holds: &'static str,
    /// Whether a finished run may lack it.
    pub optional: bool,
}

const fn file(name: &'static str, holds: &'static str) -> RunFile {
    RunFile { name, holds, optional: false }
}

impl RunDirectory {
    /// The files of a finished run.
    pub const FILES: [RunFile; 15] = [
        file("config.toml", "full configuration; retrain with `kiln run`"),
        file("run.json", "status, versions and checksums"),
        // Earlier versions of Kiln did not write it.
        RunFile { name: "splits.csv", holds: "images of each split", optional: true },
        file("history.csv", "metrics per epoch"),
        file("history.svg", "curves of loss and accuracy"),
        file("report.md", "human-readable report"),
        file("report.json", "test report as JSON"),
        file("predictions.csv", "predictions for all test images"),
        file("confusion.svg", "confusion matrix"),
        file("mistakes.png", "most confident mistakes"),
        // Only if the first layer with weights is a convolution.
        RunFile { name: "filters.png", holds: "filters of the first convolution", optional: true },
        file("model.safetensors", "saved weights"),
        RunFile { name: "initial.safetensors", holds: "weights before training", optional: true },
        file("log.jsonl", "log"),
        RunFile { name: "notes.json", holds: "your note and tags", optional: true },
    ];

    /// Creates a new directory for a run of the experiment `name`, with its missing parents.
    ///
    /// Without an `id`, the run is named after the time, `YYYYMMDD-HHMMSS` in UTC, with a suffix `-2`, `-3`, … if
    /// that name is taken. Two processes never get the same directory.
    ///
    /// # Errors
    ///
    /// [`StoreError::Name`] if `name` or `id` does not pass [`check_name`], [`StoreError::RunExists`] if the `id` is
    /// taken, [`StoreError::LeadsOut`] if the name is a link that leaves `runs`, [`StoreError::Io`] if the directory
    /// cannot be created.
    pub fn create(runs: &Path, name: &str, id: Option<&str>) -> Result<Self> {
        checked("name", name)?;
        if let Some(id) = id {
            checked("id", id)?;
        }
        let above = runs.join(name);
        files::create_directories(&above)?;
        files::check_within(runs, &above)?;
        match id {
            Some(id) => Self::create_new(above.join(id)),
            None => Self::claim_by_time(&above),
        }
    }

    fn create_new(path: PathBuf) -> Result<Self> {
        files::claim_directory(&path)?;
        Ok(Self { path })
    }

    fn claim_by_time(above: &Path) -> Result<Self> {
        let time = now().strftime("%Y%m%d-%H%M%S").to_string();
        let mut id = time.clone();
        let mut number = 1_u32;
        loop {
            match Self::create_new(above.join(&id)) {
                Err(StoreError::RunExists { .. }) => {
                    number += 1;
                    id = format!("{time}-{number}");
                }
                claimed => return claimed,
            }
        }
    }

    /// Opens the directory of an existing run.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotARun`] if the directory is missing or has no `run.json`, [`StoreError::Io`] if that cannot be
    /// determined.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self> {
        let run = Self { path: path.into() };
        let problem = if !files::exists(&run.path)? {
            "it does not exist"
        } else if !run.path.is_dir() {
            "it is a file"
        } else if !files::exists(&run.record_path())? {
            "it has no run.json"
        } else {
            return Ok(run);
        };
        Err(StoreError::NotARun { path: run.path, problem })
    }

    /// A directory that may or may not be a run.
    #[must_use]
    pub fn at(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// Whether the run is complete: `report.json` is written last.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.report_path().exists()
    }

    /// Writes `run.json`.
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`] if it cannot be written.
    pub fn write_record(&self, record: &RunRecord) -> Result<()> {
        files::write(&self.record_path(), record.to_json()?)
    }

    /// Reads `run.json`. If the status is `finished` but `report.json` is missing, the process was killed in between,
    /// and the status is returned as `interrupted`.
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`], [`StoreError::Malformed`], [`StoreError::NewerFormat`], or [`StoreError::Damaged`] if the
    /// file was changed after it was written.
    pub fn read_record(&self) -> Result<RunRecord> {
        let mut record: RunRecord = RunRecord::read(&self.record_path())?;
        if record.status == Status::Finished && !self.is_finished() {
            record.status = Status::Interrupted;
            record.stop_reason = Some("it was killed while its report was written".to_owned());
            // The checksum was computed before the file was written; it never existed.
            record.files.remove("report.json");
        }
        Ok(record)
    }

    /// Whether `run.json` has a checksum of itself. Earlier versions of Kiln did not write one.
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`] or [`StoreError::Unreadable`] if the file cannot be read.
    pub fn has_checked_record(&self) -> Result<bool> {
        RunRecord::has_checksum(&self.record_path())
    }

    /// Checks these files against the checksums in the run's record. A file without a recorded checksum passes: it is
    /// missing from the record of a run that has not ended, and from those of the first versions of Kiln.
    ///
    /// # Errors
    ///
    /// Those of [`Checksum::check`] for the first file that differs.
    pub fn check(&self, record: &RunRecord, names: &[&str]) -> Result<()> {
        let sums = names.iter().filter_map(|name| Some((name, record.files.get(*name)?)));
        sums.into_iter().try_for_each(|(name, sum)| sum.check(&self.path.join(name)))
    }

    /// Starts `history.csv`; see [`HistoryWriter::create`].
    ///
    /// # Errors
    ///
    /// Those of [`HistoryWriter::create`].
    pub fn start_history(&self, extra_columns: &[&str]) -> Result<HistoryWriter> {
        HistoryWriter::create(&self.history_path(), extra_columns)
    }

    /// Reads `history.csv`. A run without a completed epoch has an empty history.
    ///
    /// # Errors
    ///
    /// Those of [`History::read`].
    pub fn read_history(&self) -> Result<History> {
        let path = self.history_path();
        if files::exists(&path)? { History::read(&path) } else { Ok(History::default()) }
    }

    /// Reads a text file of at most `most` bytes, and checks what was read against the checksum in the record, if it has one.
    ///
    /// # Errors
    ///
    /// Those of [`files::read`] and [`Checksum::check_content`].
    pub fn read_checked(&self, record: &RunRecord, name: &str, most: u64) -> Result<String> {
        let path = self.path.join(name);
        let text = files::read(&path, most)?;
        if let Some(sum) = record.files.get(name) {
            sum.check_content(&path, text.as_bytes())?;
        }
        Ok(text)
    }

    /// Like [`read_history`](Self::read_history), and checks the file as [`read_checked`](Self::read_checked) does. The record
    /// of a run that has ended says whether there must be one.
    ///
    /// # Errors
    ///
    /// Those of [`read_checked`](Self::read_checked) and [`History::parse`].
    pub fn read_checked_history(&self, record: &RunRecord) -> Result<History> {
        let path = self.history_path();
        if !record.files.contains_key("history.csv") && !files::exists(&path)? {
            return Ok(History::default());
        }
        History::parse(&path, &self.read_checked(record, "history.csv", history::MAX_BYTES)?)
    }

    /// Like [`read_report`](Self::read_report), and checks the file as [`read_checked`](Self::read_checked) does. The record
    /// of a run that has ended says whether there must be one.
    ///
    /// # Errors
    ///
    /// Those of [`read_checked`](Self::read_checked) and [`TestReport::parse`].
    pub fn read_checked_report(&self, record: &RunRecord) -> Result<Option<TestReport>> {
        if !record.files.contains_key("report.json") && !self.is_finished() {
            return Ok(None);
        }
        let text = self.read_checked(record, "report.json", test_report::MAX_BYTES)?;
        TestReport::parse(&self.report_path(), &text).map(Some)
    }

    /// Reads `report.json`; `None` if the run is not finished.
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`], [`StoreError::Malformed`] or [`StoreError::NewerFormat`].
    pub fn read_report(&self) -> Result<Option<TestReport>> {
        if !self.is_finished() {
            return Ok(None);
        }
        TestReport::read(&self.report_path()).map(Some)
    }

    /// The checksums of all files that are complete when the record is written. `report` is the text of
    /// `report.json`, which is written after the record. The log is not included because it still grows, and the notes
    /// because the user may change them.
    ///
    /// # Errors
    ///
    /// Those of [`Checksum::of_file`]; [`StoreError::Io`] if a file cannot be examined.
    pub fn sums(&self, report: Option<&str>) -> Result<BTreeMap<String, Checksum>> {
        let mut sums = BTreeMap::new();
        for file in RunDirectory::FILES {
            let path = self.path.join(file.name);
            // Their content can still change.
            let is_open =
                matches!(file.name, "run.json" | "report.json" | "log.jsonl" | "notes.json");
            if is_open || !files::exists(&path)? {
                continue;
            }
            sums.insert(file.name.to_owned(), Checksum::of_file(&path)?);
        }
        if let Some(text) = report {
            sums.insert("report.json".to_owned(), Checksum::of(text.as_bytes()));
        }
        Ok(sums)
    }

    /// Removes the files that the end of a run writes, except the record. A failed run needs no partial report, and
    /// on a full disk their space is needed to record the failure.
    pub fn remove_report(&self) {
        // First the report: with it, the run would look finished.
        let paths = [
            self.report_path(),
            self.predictions_path(),
            self.history_chart_path(),
            self.confusion_chart_path(),
            self.mistakes_path(),
            self.filters_path(),
            self.markdown_path(),
        ];
        for path in paths {
            // The file may not have been written yet.
            let _ = files::remove(&path);
        }
    }

    /// Removes temporary files of a killed process, here and among the checkpoints. No other process may be working
    /// on the run.
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`] if something cannot be removed.
    pub fn remove_partial(&self) -> Result<()> {
        files::remove_partial(&self.checkpoints_path())?;
        files::remove_partial(&self.path)
    }

    /// Like [`check`](Self::check), for one file and the record on disk.
    ///
    /// # Errors
    ///
    /// Those of [`read_record`](Self::read_record) and [`check`](Self::check).
    pub fn check_file(&self, name: &str) -> Result<()> {
        self.check(&self.read_record()?, &[name])
    }

    /// Reads `predictions.csv` and checks it against its recorded checksum.
    ///
    /// # Errors
    ///
    /// Those of [`check_file`](Self::check_file) and [`Predictions::read`].
    pub fn read_predictions(&self) -> Result<Predictions> {
        self.check_file("predictions.csv")?;
        Predictions::read(&self.predictions_path())
    }

    /// The path of the directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The run's id: the name of the directory, even if the path hides it, as `..` does.
    #[must_use]
    pub fn id(&self) -> String {
        self.place().file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Whether a sweep made the run: its id consists of twelve hexadecimal digits, and its parent directory has a
    /// sweep.
    #[must_use]
    pub fn is_of_sweep(&self) -> bool {
        let id = self.id();
        let is_hash = id.len() == 12 && id.chars().all(|c| c.is_ascii_hexdigit());
        let record = |above: &Path| hidden(above).join("sweep.json");
        is_hash && self.place().parent().is_some_and(|above| record(above).exists())
    }

    /// The absolute path, which ends in the directory's name.
    fn place(&self) -> PathBuf {
        let found = match self.path.file_name() {
            Some(_) => std::path::absolute(&self.path),
            // Such as `..`, which only the file system can resolve.
            None => self.path.canonicalize(),
        };
        // An error here becomes one of the next file that is read, with a better message.
        found.unwrap_or_else(|_| self.path.clone())
    }

    /// `config.toml`, the resolved experiment.
    #[must_use]
    pub fn config_path(&self) -> PathBuf {
        self.path.join("config.toml")
    }

    /// `run.json`, the [`RunRecord`].
    #[must_use]
    pub fn record_path(&self) -> PathBuf {
        self.path.join("run.json")
    }

    /// `splits.csv`, the [`Splits`](crate::splits::Splits).
    #[must_use]
    pub fn splits_path(&self) -> PathBuf {
        self.path.join("splits.csv")
    }

    /// `history.csv`, the [`History`].
    #[must_use]
    pub fn history_path(&self) -> PathBuf {
        self.path.join("history.csv")
    }

    /// `checkpoints/`, the [`Checkpoints`](crate::checkpoint::Checkpoints).
    #[must_use]
    pub fn checkpoints_path(&self) -> PathBuf {
        self.path.join("checkpoints")
    }

    /// `report.json`, the [`TestReport`].
    #[must_use]
    pub fn report_path(&self) -> PathBuf {
        self.path.join("report.json")
    }

    /// `report.md`, the human-readable report.
    #[must_use]
    pub fn markdown_path(&self) -> PathBuf {
        self.path.join("report.md")
    }

    /// `predictions.csv`, the [`Predictions`].
    #[must_use]
    pub fn predictions_path(&self) -> PathBuf {
        self.path.join("predictions.csv")
    }

    /// `model.safetensors`, the saved weights.
    #[must_use]
    pub fn model_path(&self) -> PathBuf {
        self.path.join("model.safetensors")
    }

    /// `initial.safetensors`, the weights before training.
    #[must_use]
    pub fn initial_path(&self) -> PathBuf {
        self.path.join("initial.safetensors")
    }

    /// `history.svg`, the curves of loss and accuracy.
    #[must_use]
    pub fn history_chart_path(&self) -> PathBuf {
        self.path.join("history.svg")
    }

    /// `confusion.svg`, the confusion matrix.
    #[must_use]
    pub fn confusion_chart_path(&self) -> PathBuf {
        self.path.join("confusion.svg")
    }

    /// `mistakes.png`, the most confident mistakes.
    #[must_use]
    pub fn mistakes_path(&self) -> PathBuf {
        self.path.join("mistakes.png")
    }

    /// `filters.png`, the filters of the first convolution. Networks without one have no such file.
    #[must_use]
    pub fn filters_path(&self) -> PathBuf {
        self.path.join("filters.png")
    }

    /// `tensorboard/`, the event files that a run writes while it trains, if it is asked to.
    #[must_use]
    pub fn tensorboard_path(&self) -> PathBuf {
        self.path.join("tensorboard")
    }

    /// `log.jsonl`, the run's log.
    #[must_use]
    pub fn log_path(&self) -> PathBuf {
        self.path.join("log.jsonl")
    }
}

fn checked(role: &'static str, text: &str) -> Result<()> {
    check_name(text).map_err(|problem| StoreError::Name { role, text: text.to_owned(), problem })
}
