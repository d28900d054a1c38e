//! Retrains a run in another directory and compares the results with the recorded ones.

use std::fmt;
use std::ops::ControlFlow;
use std::path::Path;

use kiln_config::read_bytes;
use kiln_model::{MAX_WEIGHTS_BYTES, Weights};
use kiln_store::{Checksum, EpochRow, History, RunDirectory, RunRecord, Status, files, history};

use crate::TrainError;
use crate::experiment::Declaration;
use crate::run::{Run, TrainingOutcome};
use crate::training_loop::observer::{EpochEnd, Observer, Progress, Stop};

/// The result of retraining a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Verification {
    /// The number of epochs that were compared.
    pub epochs: usize,
    /// The names of the files that are identical, byte for byte.
    pub identical: Vec<&'static str>,
    /// Whether the run reproduced its recorded results.
    pub result: VerificationResult,
}

/// Whether a run reproduced its recorded results.
#[derive(Debug, Clone, PartialEq)]
pub enum VerificationResult {
    /// All recorded results are reproduced exactly.
    Reproduced,
    /// Some results differ.
    Different(Vec<Mismatch>),
    /// The observer stopped the verification, and no difference was found before.
    Interrupted,
}

/// A difference between a recorded result and the retrained one, described for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mismatch {
    /// Retraining gives another result.
    Result(String),
    /// The file was changed after it was written. Retraining gives the result that was written.
    Damaged(String),
}

impl fmt::Display for Mismatch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Result(text) | Self::Damaged(text)) = self;
        formatter.write_str(text)
    }
}

/// A run that is ready to be retrained and compared.
pub struct Verifier {
    directory: RunDirectory,
    record: RunRecord,
    history: History,
    run: Run,
}

impl Verifier {
    /// Prepares to retrain the experiment of a run in a new directory under `scratch`. Nothing is written to the
    /// directory of the run itself. `data` is the directory of the named datasets.
    ///
    /// # Errors
    ///
    /// The errors of [`Run::prepare`]; the record or the history of the run cannot be read, or its experiment was
    /// changed.
    pub fn prepare(
        directory: RunDirectory,
        data: &Path,
        scratch: &Path,
    ) -> Result<Self, TrainError> {
        let record = directory.read_record()?;
        let history = directory.read_history()?;
        if let Some(sum) = record.files.get("config.toml") {
            // A changed experiment gives other results, which would wrongly look like a problem of the machine.
            sum.check(&directory.config_path())?;
        }
        let declaration = Declaration::open(&directory.config_path(), &[])?;
        let run = Run::prepare(declaration, data, scratch, None)?;
        Ok(Self { directory, record, history, run })
    }

    /// The record of the run.
    #[must_use]
    pub fn record(&self) -> &RunRecord {
        &self.record
    }

    /// What has changed since the run was trained, one sentence each. These are the likely reasons of a difference.
    #[must_use]
    pub fn changes(&self) -> Vec<String> {
        let (then, now) = (&self.record, self.run.record());
        let pairs = [
            ("Kiln", &then.versions.kiln, &now.versions.kiln),
            ("Burn", &then.versions.burn, &now.versions.burn),
            ("the backend", &then.backend, &now.backend),
            ("the engine", &then.engine, &now.engine),
            ("the dataset", &then.dataset.fingerprint, &now.dataset.fingerprint),
        ];
        let changed = pairs.into_iter().filter(|(_, then, now)| then != now);
        changed.map(|(what, then, now)| format!("{what} changed from {then} to {now}")).collect()
    }

    /// Retrains the run, and stops at the first epoch that differs. A finished or diverged run must end in the same way.
    /// Any other run is compared up to the last epoch of its history.
    ///
    /// # Errors
    ///
    /// The errors of [`Run::train`]; a file of the run cannot be read.
    pub fn verify(self, observer: &mut dyn Observer) -> Result<Verification, TrainError> {
        let Self { directory, record, history, run } = self;
        let ended_by_itself = matches!(record.status, Status::Finished | Status::Diverged);
        let retrained = run.directory().clone();
        let mut comparison = Comparison {
            history: &history,
            last_epoch: (!ended_by_itself).then_some(history.rows.len()),
            observer,
            epochs: 0,
            mismatch: None,
            is_interrupted: false,
        };
        let outcome = run.train(&mut comparison)?;
        let Comparison { epochs, mismatch, is_interrupted, .. } = comparison;

        let mut identical = Vec::new();
        if mismatch.is_none() && is_interrupted {
            return Ok(Verification { epochs, identical, result: VerificationResult::Interrupted });
        }
        let mut mismatches = Vec::from_iter(mismatch);
        if mismatches.is_empty() {
            mismatches.extend(compare_end(&record, &history, &outcome, epochs));
            let mut names = vec!["initial.safetensors", "model.safetensors"];
            if ended_by_itself {
                names.extend(["report.json", "predictions.csv"]);
            } else if record.files.contains_key("report.json") {
                mismatches.push(Mismatch::Result(format!(
                    "report.json belongs to a finished run, but run.json says {}",
                    record.status
                )));
            }
            for name in names {
                match compare_file(name, &directory, &retrained, record.files.get(name))? {
                    FileComparison::Identical => identical.push(name),
                    FileComparison::Different(mismatch) => mismatches.push(mismatch),
                    FileComparison::NotRecorded => {}
                }
            }
        }
        let result = if mismatches.is_empty() {
            VerificationResult::Reproduced
        } else {
            VerificationResult::Different(mismatches)
        };
        Ok(Verification { epochs, identical, result })
    }
}

/// Compares each epoch with the recorded one.
struct Comparison<'a> {
    history: &'a History,
    /// Stop after this epoch, because the run did not end by itself.
    last_epoch: Option<usize>,
    observer: &'a mut dyn Observer,
    epochs: usize,
    mismatch: Option<Mismatch>,
    is_interrupted: bool,
}

impl Observer for Comparison<'_> {
    fn on_step_end(&mut self, progress: Progress<'_>) -> ControlFlow<Stop> {
        let answer = self.observer.on_step_end(progress);
        self.is_interrupted |= answer.is_break();
        answer?;
        // A run without a completed epoch only has its initial weights to compare.
        if self.last_epoch == Some(0) { ControlFlow::Break(Stop::Interrupted) } else { CONTINUE }
    }

    fn on_epoch_end(&mut self, end: EpochEnd<'_>) -> ControlFlow<Stop> {
        let answer = self.observer.on_epoch_end(end);
        self.epochs = end.row.epoch;
        let difference = match self.history.rows.get(self.epochs - 1) {
            Some(recorded) => compare_epoch(recorded, end.row, &self.history.extra_columns),
            None => Some(format!("the recorded history ends before epoch {}", self.epochs)),
        };
        self.mismatch = difference.map(Mismatch::Result);
        if self.mismatch.is_some() {
            return ControlFlow::Break(Stop::Interrupted);
        }
        self.is_interrupted |= answer.is_break();
        answer?;
        if self.last_epoch == Some(self.epochs) {
            return ControlFlow::Break(Stop::Interrupted);
        }
        CONTINUE
    }
}

const CONTINUE: ControlFlow<Stop> = ControlFlow::Continue(());

/// Describes the first column in which two epochs differ. Seconds always differ, so they are not compared.
fn compare_epoch(recorded: &EpochRow, now: &EpochRow, extra: &[String]) -> Option<String> {
    let usual =
        history::COLUMNS.iter().copied().filter(|name| !["epoch", "seconds"].contains(name));
    let mut columns: Vec<&str> = usual.chain(extra.iter().map(String::as_str)).collect();
    // A column that only the new epoch has differs, too.
    columns.extend(now.metrics.iter().map(|(name, _)| &**name));
    let values = |column: &str| (recorded.metric(column), now.metric(column));
    // Compared by their bits: the promise is the same bytes, and -0 is not 0.
    let differs =
        |(then, now): (Option<f64>, Option<f64>)| then.map(f64::to_bits) != now.map(f64::to_bits);
    let column = columns.into_iter().find(|column| differs(values(column)))?;
    let text = |value: Option<f64>| value.map_or("no number".to_owned(), |value| value.to_string());
    let (then, is) = values(column);
    let by = then.zip(is).map(|(then, is)| by(then, is)).unwrap_or_default();
    let epoch = now.epoch;
    Some(format!("epoch {epoch} differs: {column} was {} and is {}{by}", text(then), text(is)))
}

/// Describes the difference if the run ended in another way than the recorded one.
fn compare_end(
    record: &RunRecord,
    history: &History,
    outcome: &TrainingOutcome,
    epochs: usize,
) -> Option<Mismatch> {
    let reason = record.stop_reason.as_deref().unwrap_or_default();
    let differs = match record.status {
        Status::Finished => outcome.status != record.status,
        // The reason names the step in which the run diverged.
        Status::Diverged => outcome.status != record.status || outcome.reason != reason,
        // The comparison itself stopped the retrained run.
        Status::Running | Status::Interrupted | Status::Failed | Status::Pruned => false,
    };
    let rows = history.rows.len();
    (differs || epochs < rows).then(|| {
        Mismatch::Result(format!(
            "the run was {} after {rows} epochs ({reason}), and is {} after {epochs} ({})",
            record.status, outcome.status, outcome.reason
        ))
    })
}

enum FileComparison {
    Identical,
    Different(Mismatch),
    /// The run has no such file and should not have one.
    NotRecorded,
}

fn compare_file(
    name: &str,
    run: &RunDirectory,
    retrained: &RunDirectory,
    recorded_sum: Option<&Checksum>,
) -> Result<FileComparison, TrainError> {
    let [recorded, now] = [run, retrained].map(|run| run.path().join(name));
    let different = |text: String| FileComparison::Different(Mismatch::Result(text));
    if !files::exists(&recorded)? {
        return Ok(match recorded_sum {
            Some(_) => different(format!("{name} is missing")),
            None => FileComparison::NotRecorded,
        });
    }
    if !now.exists() {
        return Ok(different(format!("{name} is not written any more")));
    }
    let sum = Checksum::of_file(&now)?;
    Ok(if Checksum::of_file(&recorded)? == sum {
        FileComparison::Identical
    } else if recorded_sum == Some(&sum) {
        let text = format!("{name} was damaged later: retraining gives the file that was written");
        FileComparison::Different(Mismatch::Damaged(text))
    } else if name == "model.safetensors" {
        different(format!("{name} {}", compare_weights(&recorded, &now)))
    } else {
        let line = first_different_line(&recorded, &now);
        let place = line.map(|line| format!(", first in line {line}")).unwrap_or_default();
        different(format!("{name} differs{place}"))
    })
}

/// The number, from 1, of the first line in which two texts differ.
fn first_different_line(recorded: &Path, now: &Path) -> Option<usize> {
    let read = |path| read_bytes(path, MAX_WEIGHTS_BYTES).ok();
    let (recorded, now) = (read(recorded)?, read(now)?);
    let is_newline = |byte: &u8| *byte == b'\n';
    let mut lines = recorded.split(is_newline).zip(now.split(is_newline));
    Some(lines.position(|(then, now)| then != now)? + 1)
}

/// Describes the largest difference between two files of weights.
fn compare_weights(recorded: &Path, now: &Path) -> String {
    let read = |path: &Path| -> Option<Weights> {
        Some(Weights::from_safetensors(&read_bytes(path, MAX_WEIGHTS_BYTES).ok()?).ok()?.0)
    };
    let Some(recorded) = read(recorded) else {
        return "is damaged: kiln doctor shows details".to_owned();
    };
    let Some(now) = read(now) else { return "differs".to_owned() };
    let shapes = |weights: &Weights| -> Vec<(String, Vec<usize>)> {
        weights.tensors.iter().map(|tensor| (tensor.name.clone(), tensor.shape.clone())).collect()
    };
    if shapes(&recorded) != shapes(&now) {
        return "has tensors of other names or shapes".to_owned();
    }
    let mut count = 0;
    let largest = recorded
        .tensors
        .iter()
        .zip(&now.tensors)
        .flat_map(|(then, now)| {
            let values = then.values.iter().zip(&now.values).enumerate();
            values.map(move |(index, (recorded, now))| (&then.name, index, *recorded, *now))
        })
        .filter(|(.., then, now)| then.to_bits() != now.to_bits())
        .inspect(|_| count += 1)
        .max_by(|(.., a, b), (.., c, d)| (a - b).abs().total_cmp(&(c - d).abs()));
    match largest {
        Some((tensor, index, then, now)) => format!(
            "differs in {count} weights, most in {tensor}, value {index}: it was {then} and is {now}{}",
            by(then.into(), now.into())
        ),
        None => "has the same weights but other metadata".to_owned(),
    }
}

/// `, by 1.2e-7 (relative 3.4e-8)`
fn by(recorded: f64, now: f64) -> String {
    let difference = now - recorded;
    let relative = difference / recorded;
    if relative.is_finite() {
        format!(", by {difference:.2e} (relative {relative:.2e})")
    } else {
        format!(", by {difference:.2e}")
    }
}
