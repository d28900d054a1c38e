//! Retrains a run in another directory and compares the results with the recorded ones.

use std::ops::ControlFlow;
use std::path::Path;

use kiln_store::{Checksum, History, RunDirectory, RunRecord, Status, files};

use super::mismatch::{Mismatch, compare_end, compare_epoch, compare_file};
use super::origin::Program;
use crate::TrainError;
use crate::experiment::{Declaration, PreparedExperiment};
use crate::initial_weights::Transfer;
use crate::run::Run;
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
    /// The errors of [`Run::prepare`]; the record or the history of the run cannot be read, or its experiment or its
    /// history was changed.
    pub fn prepare(
        directory: RunDirectory,
        data: &Path,
        scratch: &Path,
    ) -> Result<Self, TrainError> {
        let record = directory.read_record()?;
        // A changed experiment gives other results, and a changed history has other results. Both would wrongly look like
        // a problem of the machine.
        directory.check(&record, &["config.toml", "history.csv"])?;
        let history = directory.read_history()?;
        let mut declaration = Declaration::of_run(&directory)?;
        let fingerprint = &record.dataset.fingerprint;
        let mut prepared = PreparedExperiment::read_recorded(&mut declaration, data, fingerprint)?;
        prepared.transfer = Transfer::of_run(&directory, &record, &declaration, &prepared)?;
        let run = Run::create(declaration, prepared, scratch, None, None)?;
        Ok(Self { directory, record, history, run })
    }

    /// The record of the run.
    #[must_use]
    pub fn record(&self) -> &RunRecord {
        &self.record
    }

    /// The changes since the run was trained, one sentence each. These are the likely reasons of a difference.
    #[must_use]
    pub fn changes(&self) -> Vec<String> {
        let (then, now) = (&self.record, self.run.record());
        let mut changes = Program::of_record(now).changes_since(Program::of_record(then));
        let (then, now) = (&then.dataset.fingerprint, &now.dataset.fingerprint);
        changes.extend((then != now).then(|| format!("the dataset changed from {then} to {now}")));
        changes
    }

    /// Retrains the run, and stops at the first epoch that differs. A finished or diverged run must end in the same
    /// way. Any other run is compared up to the last epoch of its history.
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
        // The retrained run also writes its files, and they are compared below.
        let outcome = run.train(&mut comparison)?;
        let Comparison { epochs, mismatch, is_interrupted, .. } = comparison;

        let mut identical = Vec::new();
        // A difference that was found before the interruption is still reported.
        if mismatch.is_none() && is_interrupted {
            return Ok(Verification { epochs, identical, result: VerificationResult::Interrupted });
        }
        let mut mismatches = Vec::from_iter(mismatch);
        if mismatches.is_empty() {
            mismatches.extend(compare_end(&record, &history, &outcome, epochs));
            // Only these are the same every time: the others have times and durations.
            let mut names = vec!["initial.safetensors", "model.safetensors"];
            if ended_by_itself {
                names.extend(["report.json", "predictions.csv"]);
            } else if record.files.contains_key("report.json") {
                let status = record.status;
                let text =
                    format!("report.json belongs to a finished run, but run.json says {status}");
                mismatches.push(Mismatch::Result(text));
            }
            names.push("splits.csv");
            for name in names {
                let [recorded, now] = [&directory, &retrained].map(|run| run.path().join(name));
                let sum = record.files.get(name);
                if let Some(removed) = record.removed.get(name).filter(|_| sum.is_none()) {
                    // `kiln clean` removed the file, but its checksum is known.
                    if now.exists() && Checksum::of_file(&now)? == *removed {
                        identical.push(name);
                    } else {
                        mismatches.push(Mismatch::Result(format!("{name} differs")));
                    }
                } else if files::exists(&recorded)? {
                    match compare_file(name, &recorded, &now, sum)? {
                        Some(mismatch) => mismatches.push(mismatch),
                        None => identical.push(name),
                    }
                } else if sum.is_some() {
                    mismatches.push(Mismatch::Result(format!("{name} is missing")));
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
        // Report the epoch even if it differs.
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
