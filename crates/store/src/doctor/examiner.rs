//! The examination of one run.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use crate::checkpoint::Checkpoints;
use crate::error::StoreError;
use crate::files::PARTIAL;
use crate::history::History;
use crate::lock::FileLock;
use crate::position::Position;
use crate::predictions::Predictions;
use crate::record::{RunRecord, Status};
use crate::run::RunDirectory;
use crate::shell::quoted;
use crate::test_report::{TestReport, TopK};
use crate::tested::Tested;
use crate::{checksum, files};

use super::examination::{Examined, Health};
use super::finding::{Finding, Severity};
use super::rules::ExperimentRules;

/// Examines every file of a run, or of a directory that looks like one.
pub(super) fn examine(path: &Path, rules: &dyn ExperimentRules) -> Examined {
    let mut examiner = Examiner::new(path);
    let record = examiner.record();
    let is_at_work = examiner.owner.is_some();
    if let Some(record) = record.as_ref().filter(|_| !is_at_work) {
        examiner.files(record);
        examiner.contents(record);
        examiner.usable = examiner.checkpoints(record);
        for finding in rules.run(&examiner.run, record) {
            // A finding about the same file that is at least as serious already says what to do.
            let is_reported = examiner
                .findings
                .iter()
                .any(|other| other.file == finding.file && other.severity <= finding.severity);
            if !is_reported {
                examiner.findings.push(finding);
            }
        }
        let changed_data = rules.changed_data(&examiner.run, record);
        examiner.status(record, changed_data);
    }
    if let Some(owner) = examiner.owner.take() {
        examiner.note("", &format!("it is in use by {owner}"), "wait for it to finish");
    } else {
        examiner.left_over();
    }
    let Examiner { mut findings, .. } = examiner;
    findings.sort_by(|a, b| (a.severity, &a.file).cmp(&(b.severity, &b.file)));
    let health = match Health::of(&findings) {
        Health::Damaged => Health::Damaged,
        _ if is_at_work => Health::InUse,
        health => health,
    };
    // On a full disk, a failure is recorded without checksums.
    let ended = |record: &RunRecord| {
        record.files.is_empty() && record.ended.is_some() && record.status != Status::Failed
    };
    Examined {
        path: path.to_owned(),
        status: record.as_ref().map(|record| record.status),
        health,
        without_sums: !is_at_work && record.as_ref().is_some_and(ended),
        findings,
    }
}

struct Examiner {
    run: RunDirectory,
    /// The names of the files in the directory.
    names: Vec<OsString>,
    /// The process that works on the run.
    owner: Option<String>,
    /// The number of rows in the history, if it can be read.
    rows: usize,
    /// The checkpoint that the run would be resumed from.
    usable: Option<Position>,
    /// The command that trains the run again or resumes it.
    again: String,
    resume: String,
    findings: Vec<Finding>,
}

impl Examiner {
    fn new(path: &Path) -> Self {
        let run = RunDirectory::at(path);
        // A path such as `.` does not contain the run's name.
        let place = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let above = place.parent().unwrap_or(Path::new(""));
        let shown = path.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(above);
        let quote = |path: &Path| quoted(&path.display().to_string());
        let (resume, again) = if run.is_of_sweep() {
            let resume = format!("kiln resume {}", quote(shown));
            (resume.clone(), format!("move the directory away and retrain the run: {resume}"))
        } else {
            let config = quote(&run.config_path());
            (
                format!("kiln resume {}", quote(path)),
                format!("retrain as a new run: kiln run {config}"),
            )
        };
        let mut findings = Vec::new();
        let mut names = Vec::new();
        match fs::read_dir(path) {
            Ok(entries) => names.extend(entries.flatten().map(|entry| entry.file_name())),
            Err(cause) => {
                let problem = format!("it cannot be listed: {cause}");
                findings.push(Finding::of(
                    Severity::Unchecked,
                    "",
                    problem,
                    "change its permissions",
                ));
            }
        }
        // The order of a directory's entries is random.
        names.sort();
        let owner = FileLock::owner_of(&run);
        Self { run, names, owner, rows: 0, usable: None, again, resume, findings }
    }

    fn find(&mut self, severity: Severity, file: &str, problem: &str, advice: &str) {
        self.findings.push(Finding::of(severity, file, problem, advice));
    }

    fn damaged(&mut self, file: &str, problem: &str, advice: &str) {
        self.find(Severity::Damaged, file, problem, advice);
    }

    fn note(&mut self, file: &str, problem: &str, advice: &str) {
        self.find(Severity::Note, file, problem, advice);
    }

    fn error(&mut self, file: &str, error: &StoreError, advice: &str) {
        // One finding per file is enough.
        if !self.has_finding(file) {
            self.findings.push(Finding::of_error(file, error, advice));
        }
    }

    fn has_finding(&self, file: &str) -> bool {
        self.findings.iter().any(|finding| finding.file == file)
    }

    fn has(&self, name: &str) -> bool {
        self.names.iter().any(|own| own == name)
    }

    /// Reads the record, if it exists and is valid.
    fn record(&mut self) -> Option<RunRecord> {
        if self.has("run.json") {
            let read = self.run.read_record();
            let advice = self.restore("run.json");
            return read.map_err(|error| self.error("run.json", &error, &advice)).ok();
        }
        if !self.findings.is_empty() || self.owner.is_some() {
            return None;
        }
        if self.has("report.json") {
            let advice = self.restore("run.json");
            let problem = "it is missing, but report.json shows that the run finished";
            self.damaged("run.json", problem, &advice);
        } else if Checkpoints::of(&self.run).positions().is_ok_and(|all| !all.is_empty()) {
            let problem = "it is missing, but there are checkpoints of an unfinished run";
            let advice = self.restore("run.json");
            self.damaged("run.json", problem, &advice);
        } else {
            let problem = "it has no run.json: a run that was killed at its start, or not a run";
            self.find(Severity::Unfinished, "", problem, "look at its content, then remove it");
        }
        None
    }

    fn restore(&self, file: &str) -> String {
        match file {
            "config.toml" => "restore it from a backup".to_owned(),
            "log.jsonl" => String::new(),
            _ => format!("restore it from a backup, or {}", self.again),
        }
    }

    /// The advice for a damaged file.
    fn remedy(&self, record: &RunRecord, file: &str) -> String {
        let is_open = is_open(record);
        // Resuming rewrites all files except the experiment.
        if is_open && file != "config.toml" {
            format!("to resume: {}", self.resume)
        } else {
            self.restore(file)
        }
    }

    /// Checks that each file exists and is unchanged.
    fn files(&mut self, record: &RunRecord) {
        for (name, sum) in &record.files {
            let checked = if checksum::is_plain(name) {
                sum.check(&self.run.path().join(name))
            } else {
                let problem =
                    format!("its list of files has {name:?}, which is not a plain file name");
                Err(StoreError::damaged(self.run.path(), problem))
            };
            // The list itself is then what is damaged.
            let name = if checksum::is_plain(name) { name } else { "run.json" };
            if let Err(error) = checked {
                self.error(name, &error, &self.remedy(record, name));
            }
        }
        // Files that a run of this status must have, whether or not their checksums were recorded.
        for file in RunDirectory::FILES {
            if record.removed.contains_key(file.name) {
                continue;
            }
            let is_needed = match file.name {
                "config.toml" => true,
                "log.jsonl" => false,
                _ => record.status == Status::Finished && !file.optional,
            };
            if is_needed && !self.has(file.name) && !self.has_finding(file.name) {
                self.damaged(file.name, "it is missing", &self.remedy(record, file.name));
            }
        }
    }

    /// Checks that the files are valid and belong to the same run.
    fn contents(&mut self, record: &RunRecord) {
        match self.run.read_history() {
            Ok(history) => self.history(record, &history),
            Err(error) => self.error("history.csv", &error, &self.remedy(record, "history.csv")),
        }
        match self.run.read_report() {
            Ok(Some(report)) => self.report(record, &report),
            Ok(None) => {}
            Err(error) => self.error("report.json", &error, &self.restore("report.json")),
        }
        if let Err(error) = self.run.read_annotations() {
            let advice = "correct it, or remove it: no result depends on it";
            self.error("notes.json", &error, advice);
        }
        if record.id != self.run.id() {
            let problem =
                format!("it belongs to the run {}: the directory was copied or renamed", record.id);
            self.note("run.json", &problem, "");
        }
    }

    fn history(&mut self, record: &RunRecord, history: &History) {
        let rows = history.rows.len();
        self.rows = rows;
        // The row of an epoch that diverged may be missing, and does not count.
        let complete = history.rows.iter().filter(|row| row.metric("loss").is_some()).count();
        let is_open = is_open(record);
        let problem = if history.cut && !is_open {
            "its last row is incomplete".to_owned()
        } else if record.status != Status::Running
            && record.epochs != rows
            && record.epochs != complete
            && record.ended.is_some()
        {
            format!("it has {rows} epochs, but run.json has {}", record.epochs)
        } else {
            return;
        };
        if !self.has_finding("history.csv") {
            self.damaged("history.csv", &problem, &self.remedy(record, "history.csv"));
        }
    }

    /// Compares the report with the predictions, unless checksums have already verified both.
    fn report(&mut self, record: &RunRecord, report: &TestReport) {
        let rows = self.rows;
        let problem = if record.status != Status::Finished {
            let status = record.status;
            format!(
                "it exists, but the status in run.json is {status}: one of them belongs to another run"
            )
        } else if report.epoch > rows && !self.has_finding("history.csv") {
            format!("it is about epoch {}, but history.csv ends at epoch {rows}", report.epoch)
        } else if report.examples != record.dataset.test_rows {
            let (examples, rows) = (report.examples, record.dataset.test_rows);
            format!("it is about {examples} images, but run.json has {rows} test images")
        } else if record.files.contains_key("report.json")
            && record.files.contains_key("predictions.csv")
        {
            return;
        } else {
            match self.run.read_predictions() {
                Ok(predictions) if !agree(report, &predictions) => {
                    "it does not match predictions.csv: one of them was changed".to_owned()
                }
                Ok(_) => return,
                Err(error) => {
                    let advice = self.restore("predictions.csv");
                    return self.error("predictions.csv", &error, &advice);
                }
            }
        };
        if !self.has_finding("report.json") {
            self.damaged("report.json", &problem, &self.restore("report.json"));
        }
    }

    /// Reports what remains to be done, and from where, and whether the data of the run has changed.
    fn status(&mut self, record: &RunRecord, changed_data: Option<String>) {
        if let Some(problem) = &changed_data {
            let advice = if self.run.is_of_sweep() {
                "the run stays as it is; its sweep trains the experiment again on the new data"
            } else {
                "the run stays as it is; its results are those of the earlier data"
            };
            self.note("", problem, advice);
        }
        let usable = self.usable;
        let reason = record.stop_reason.as_deref().unwrap_or("no reason was recorded");
        let problem = match record.status {
            Status::Finished | Status::Pruned => return,
            Status::Diverged => {
                let advice = "lower optimizer.learning_rate, or set optimizer.global_clipnorm";
                return self.note("", &format!("diverged: {reason}"), advice);
            }
            Status::Running => {
                "marked as running, but no process owns it: it was killed or the disk filled up"
                    .to_owned()
            }
            Status::Interrupted | Status::Failed => record.ending(),
        };
        let from =
            usable.map_or("from scratch: there is no checkpoint".to_owned(), Position::start);
        let advice = if changed_data.is_some() {
            "to resume it, restore its dataset first; kiln resume refuses the new one".to_owned()
        } else if self.has_finding("config.toml") {
            format!("restore config.toml, then resume: {}", self.resume)
        } else {
            format!("to resume ({from}): {}", self.resume)
        };
        self.find(Severity::Unfinished, "", &problem, &advice);
    }

    /// Examines all checkpoints; returns the one that the run would be resumed from.
    fn checkpoints(&mut self, record: &RunRecord) -> Option<Position> {
        let checkpoints = Checkpoints::of(&self.run);
        let rows = self.rows;
        let goes_on = is_open(record) || record.status == Status::Pruned;
        let mut usable = None;
        let mut wrong = Vec::new();
        let positions = checkpoints.positions().unwrap_or_else(|error| {
            self.error("checkpoints", &error, "make them readable");
            Vec::new()
        });
        for position in positions {
            match checkpoints.check(position) {
                Ok(()) => usable = usable.max(Some(position)),
                Err(error) => wrong.push((position, error)),
            }
        }
        for (position, error) in wrong {
            let advice = match usable {
                _ if !goes_on => "it is no longer needed: remove it".to_owned(),
                Some(usable) => format!("the run will be resumed from the checkpoint {usable}"),
                None => "the run will restart from scratch when it is resumed".to_owned(),
            };
            let checkpoint = checkpoints.path(position);
            let file = from(self.run.path(), error.path().unwrap_or(&checkpoint));
            self.error(&file, &error, &advice);
        }
        let is_ahead = |position: &Position| position.epochs > rows;
        if let Some(position) = usable.filter(is_ahead)
            && !self.has_finding("history.csv")
        {
            let problem = format!("it ends at epoch {rows}, but there is a checkpoint {position}");
            self.damaged("history.csv", &problem, &self.remedy(record, "history.csv"));
        }
        usable
    }

    /// Reports files that are not needed: temporary files, and files that do not belong to a run.
    fn left_over(&mut self) {
        let path = self.run.path().to_owned();
        let clean =
            format!("remove it: kiln doctor --clean {}", quoted(&path.display().to_string()));
        for directory in [path.clone(), self.run.checkpoints_path()] {
            for partial in files::partial(&directory) {
                let file = from(&path, &partial);
                self.find(Severity::Stale, &file, "it was left half written", &clean);
            }
        }
        let is_known = |name: &OsString| {
            let name = name.to_string_lossy();
            matches!(&*name, "checkpoints" | "tensorboard")
                || name.starts_with(PARTIAL)
                || RunDirectory::FILES.iter().any(|file| name == file.name)
        };
        let is_position = |name: &OsString| {
            let name = name.to_string_lossy();
            name.starts_with(PARTIAL) || Position::of_directory_name(&name).is_some()
        };
        let entries = fs::read_dir(self.run.checkpoints_path()).into_iter().flatten().flatten();
        let entries = entries.map(|entry| entry.file_name()).filter(|name| !is_position(name));
        let in_checkpoints = entries.map(|name| PathBuf::from("checkpoints").join(name));
        let others = self.names.iter().filter(|name| !is_known(name)).map(PathBuf::from);
        let strangers: Vec<String> =
            others.chain(in_checkpoints).map(|path| path.display().to_string()).collect();
        for stranger in strangers {
            self.note(&stranger, "it is not a file of a run", "");
        }
    }
}

/// Whether there is something left to train.
fn is_open(record: &RunRecord) -> bool {
    matches!(record.status, Status::Running | Status::Interrupted | Status::Failed)
}

/// Whether a report matches these predictions. The loss cannot be computed from them and is not compared.
fn agree(report: &TestReport, predictions: &Predictions) -> bool {
    let has_top = !predictions.top.is_empty();
    let names: Vec<String>;
    let class_names = if has_top {
        names = report.per_class.iter().map(|class| class.class.clone()).collect();
        &names
    } else {
        &predictions.class_names
    };
    let mut classes = predictions.labels.iter().chain(&predictions.predicted);
    if classes.any(|class| usize::from(*class) >= class_names.len()) {
        return false;
    }
    // Nothing but its accuracy can be checked.
    let most_frequent = report.most_frequent.as_ref().and_then(|most_frequent| {
        let images = predictions.labels.len() as f64;
        let share = |class: usize| {
            let is_class = |label: &&u16| usize::from(**label) == class;
            predictions.labels.iter().filter(is_class).count() as f64 / images
        };
        let mut classes = class_names.iter().enumerate();
        let place = classes.find(|(class, name)| {
            **name == most_frequent.class && share(*class) == most_frequent.accuracy
        });
        place.map(|(class, _)| class)
    });
    let tested = Tested {
        class_names,
        labels: &predictions.labels,
        predicted: &predictions.predicted,
        probabilities: &predictions.probabilities,
        loss: report.loss.unwrap_or(f64::NAN),
        smoothed_loss: report.smoothed_loss,
        weights: report.weights,
        epoch: report.epoch,
        flip: report.flip,
        top_k: &report.top_k,
        most_frequent,
        optimism: report.optimism,
    };
    if has_top {
        // The top-k accuracies cannot be checked without the other probabilities.
        return TestReport::of_classes(&tested) == *report;
    }
    TestReport::new(&tested).is_ok_and(|computed| computed == *report)
        && report.top_k.iter().all(|top| is_possible(*top, &tested))
}

/// Whether a top-k accuracy, which is computed from logits, is possible with these probabilities. Rounding can make
/// probabilities equal, and then they leave open which class is the more probable one.
fn is_possible(top: TopK, tested: &Tested<'_>) -> bool {
    let (mut least, mut most) = (0, 0);
    for prediction in tested.predictions() {
        let own = prediction.probabilities[prediction.label];
        let count = |is_before: fn(&f32, &f32) -> bool| {
            prediction.probabilities.iter().filter(|other| is_before(other, &own)).count()
        };
        let (above, at_least) = (count(|other, own| other > own), count(|other, own| other >= own));
        // The class itself is among `at_least`.
        least += usize::from(at_least <= top.k);
        most += usize::from(above < top.k);
    }
    let share = |count: usize| count as f64 / tested.labels.len() as f64;
    (share(least)..=share(most)).contains(&top.accuracy)
}

/// The path of a file relative to a parent directory.
pub(super) fn from(above: &Path, path: &Path) -> String {
    path.strip_prefix(above).unwrap_or(path).display().to_string()
}
