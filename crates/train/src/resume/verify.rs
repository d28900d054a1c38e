//! Training a run again, and holding what comes of it to what is on record.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;

use kiln_config::read_bytes;
use kiln_model::{MOST_WEIGHTS_BYTES, Weights};
use kiln_report::{EpochRow, History, RunDirectory, RunRecord, Status, Sum, history};

use crate::TrainError;
use crate::experiment::Declaration;
use crate::run::Run;
use crate::training_loop::observer::{EpochEnd, Observer, Progress, Stop};

/// What a run came to when it was trained again.
#[derive(Debug, Clone, PartialEq)]
pub struct Verification {
    /// How far it was held to the record.
    pub epochs: usize,
    /// The files that are the same, byte for byte.
    pub same: Vec<&'static str>,
    /// What came of it.
    pub result: VerificationResult,
}

/// What came of training a run again.
#[derive(Debug, Clone, PartialEq)]
pub enum VerificationResult {
    /// All that is on record came again.
    Reproduced,
    /// Something else came, in a line for each thing that differs.
    Different(Vec<Mismatch>),
    /// It was stopped from outside.
    Interrupted,
}

/// Something that differs.
#[derive(Debug, Clone, PartialEq)]
pub enum Mismatch {
    /// The first number of a history that does.
    Epoch {
        /// The epoch, from 1.
        epoch: usize,
        /// The history's column.
        column: String,
        /// What is on record.
        recorded: Option<f64>,
        /// What came now.
        now: Option<f64>,
    },
    /// The weight that differs most.
    Weight {
        /// Its tensor.
        tensor: String,
        /// Its place in it, from 0, the last dimension running fastest.
        index: usize,
        /// What is on record.
        recorded: f32,
        /// What came now.
        now: f32,
        /// How many differ.
        count: usize,
    },
    /// A file that is no longer as it was written, while what was written comes again.
    Damaged(&'static str),
    /// Another file, or an ending.
    Other(String),
}

impl std::fmt::Display for Mismatch {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Epoch { epoch, column, recorded, now } => {
                let text = |value: &Option<f64>| {
                    value.map_or_else(|| "no number".to_owned(), |value| value.to_string())
                };
                let (then, is) = (text(recorded), text(now));
                write!(formatter, "epoch {epoch} differs: {column} was {then} and is {is}")?;
                match (recorded, now) {
                    (Some(recorded), Some(now)) => write!(formatter, "{}", by(*recorded, *now)),
                    _ => Ok(()),
                }
            }
            Self::Weight { tensor, index, recorded, now, count } => {
                let by = by(f64::from(*recorded), f64::from(*now));
                write!(
                    formatter,
                    "model.safetensors differs in {count} weights, most in {tensor}, value {index}: \
                     it was {recorded} and is {now}{by}"
                )
            }
            Self::Damaged(name) => {
                write!(formatter, "{name} was damaged later: what was written then comes again now")
            }
            Self::Other(problem) => formatter.write_str(problem),
        }
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

/// What is to be held to the record of a run.
pub struct Verifier {
    directory: RunDirectory,
    record: RunRecord,
    history: History,
    run: Run,
}

impl Verifier {
    /// Makes a run's experiment ready to be trained again, in a directory of its own under `scratch`. Nothing is written
    /// into that of the run. `data` is the directory of the named datasets.
    ///
    /// # Errors
    ///
    /// Those of [`Run::prepare`]; the run's record or history cannot be read, or its experiment was changed since.
    pub fn prepare(
        directory: RunDirectory,
        data: &Path,
        scratch: &Path,
    ) -> Result<Self, TrainError> {
        let record = directory.read_record()?;
        let history = directory.read_history()?;
        if let Some(sum) = record.files.get("config.toml") {
            // Another experiment would come to other results, and tell nothing of this machine.
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

    /// What is no longer as it was when the run was trained, in a sentence each: the likely reasons of a difference.
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
        changed.map(|(what, then, now)| format!("{what} was {then} and is {now}")).collect()
    }

    /// Trains, and stops at the first epoch that differs. A run that is finished or has diverged must come to the same end;
    /// any other is held to the record as far as its history goes.
    ///
    /// # Errors
    ///
    /// Those of [`Run::train`]; a file of the run cannot be read.
    pub fn verify(self, observer: &mut dyn Observer) -> Result<Verification, TrainError> {
        let Self { directory, record, history, run } = self;
        let has_end = matches!(record.status, Status::Finished | Status::Diverged);
        let again = run.directory().clone();
        let mut comparing = Comparing {
            history: &history,
            last: (!has_end).then_some(history.rows.len()),
            observer,
            epochs: 0,
            difference: None,
            is_interrupted: false,
        };
        let outcome = run.train(&mut comparing)?;
        let Comparing { epochs, difference, is_interrupted, .. } = comparing;
        let ended = |same, result| Ok(Verification { epochs, same, result });
        if let Some(difference) = difference {
            return ended(Vec::new(), VerificationResult::Different(vec![difference]));
        }
        if is_interrupted {
            return ended(Vec::new(), VerificationResult::Interrupted);
        }
        let mut differences = Vec::new();
        if has_end && outcome.status != record.status || epochs < history.rows.len() {
            let rows = history.rows.len();
            let then = record.stop_reason.as_deref().unwrap_or_default();
            differences.push(Mismatch::Other(format!(
                "it was {} after {rows} epochs ({then}), and is {} after {epochs} ({})",
                record.status, outcome.status, outcome.reason
            )));
        } else if record.status == Status::Diverged
            && record.stop_reason.as_ref() != Some(&outcome.reason)
        {
            let then = record.stop_reason.as_deref().unwrap_or_default();
            differences
                .push(Mismatch::Other(format!("it diverged, {then}, and now, {}", outcome.reason)));
        }
        let mut names = vec!["initial.safetensors", "model.safetensors"];
        if has_end {
            names.extend(["report.json", "predictions.csv"]);
        } else if record.files.contains_key("report.json") {
            let status = record.status;
            let problem = format!("report.json is of a finished run, and run.json says {status}");
            differences.push(Mismatch::Other(problem));
        }
        let same = files(&directory, &names, &record.files, &again, &mut differences)?;
        let verdict = if differences.is_empty() {
            VerificationResult::Reproduced
        } else {
            VerificationResult::Different(differences)
        };
        ended(same, verdict)
    }
}

/// Holds each epoch to the recorded one.
struct Comparing<'a> {
    history: &'a History,
    /// The epoch to end after, where the run was not to come to its end.
    last: Option<usize>,
    observer: &'a mut dyn Observer,
    epochs: usize,
    difference: Option<Mismatch>,
    is_interrupted: bool,
}

impl Comparing<'_> {
    fn heard(&mut self, answer: ControlFlow<Stop>) -> ControlFlow<Stop> {
        self.is_interrupted |= answer.is_break();
        answer
    }
}

impl Observer for Comparing<'_> {
    fn on_step_end(&mut self, progress: Progress<'_>) -> ControlFlow<Stop> {
        let answer = self.observer.on_step_end(progress);
        self.heard(answer)?;
        // A run that came to no epoch has nothing but its initial weights to be held to.
        if self.last == Some(0) {
            ControlFlow::Break(Stop::Interrupted)
        } else {
            ControlFlow::Continue(())
        }
    }

    fn on_epoch_end(&mut self, end: EpochEnd<'_>) -> ControlFlow<Stop> {
        let answer = self.observer.on_epoch_end(end);
        self.epochs = end.row.epoch;
        self.difference = match self.history.rows.get(self.epochs - 1) {
            Some(recorded) => difference(recorded, end.row, &self.history.extra_columns),
            None => Some(Mismatch::Other(format!(
                "epoch {} was not there: the history ends at epoch {}",
                self.epochs,
                self.history.rows.len()
            ))),
        };
        if self.difference.is_some() {
            return ControlFlow::Break(Stop::Interrupted);
        }
        self.heard(answer)?;
        if self.last == Some(self.epochs) {
            return ControlFlow::Break(Stop::Interrupted);
        }
        ControlFlow::Continue(())
    }
}

/// The first column in which an epoch is not the recorded one. Times are never the same.
fn difference(recorded: &EpochRow, now: &EpochRow, extra: &[String]) -> Option<Mismatch> {
    let own =
        history::COLUMNS.iter().copied().filter(|column| !["epoch", "seconds"].contains(column));
    let mut columns: Vec<&str> = own.chain(extra.iter().map(String::as_str)).collect();
    let others = now.metrics.iter().map(|(name, _)| &**name);
    let others: Vec<&str> = others.filter(|name| !columns.contains(name)).collect();
    columns.extend(others);
    let differs = |column: &&str| {
        recorded.metric(column).map(f64::to_bits) != now.metric(column).map(f64::to_bits)
    };
    let column = columns.into_iter().find(differs)?;
    Some(Mismatch::Epoch {
        epoch: now.epoch,
        column: column.to_owned(),
        recorded: recorded.metric(column),
        now: now.metric(column),
    })
}

/// Holds the files that are the same every time to those of the run, as far as it has them.
fn files(
    run: &RunDirectory,
    names: &[&'static str],
    sums: &BTreeMap<String, Sum>,
    again: &RunDirectory,
    differences: &mut Vec<Mismatch>,
) -> Result<Vec<&'static str>, TrainError> {
    let mut same = Vec::new();
    for name in names.iter().copied() {
        let [recorded, now] = [run, again].map(|run| run.path().join(name));
        if !kiln_report::files::exists(&recorded)? {
            if sums.contains_key(name) {
                differences.push(Mismatch::Other(format!("{name} is missing")));
            }
            continue;
        }
        if !now.exists() {
            differences.push(Mismatch::Other(format!("{name} was there, and is not")));
            continue;
        }
        let sum = Sum::of_file(&now)?;
        if Sum::of_file(&recorded)? == sum {
            same.push(name);
        } else if sums.get(name) == Some(&sum) {
            differences.push(Mismatch::Damaged(name));
        } else if name == "model.safetensors" {
            differences.push(weights(&recorded, &now));
        } else {
            differences.push(Mismatch::Other(format!("{name} differs{}", line(&recorded, &now))));
        }
    }
    Ok(same)
}

/// The first line in which two texts differ.
fn line(recorded: &Path, now: &Path) -> String {
    let read = |path| read_bytes(path, MOST_WEIGHTS_BYTES).unwrap_or_default();
    let [recorded, now] = [recorded, now].map(read);
    let lines = |text: &[u8]| -> Vec<Vec<u8>> {
        text.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
    };
    let (recorded, now) = (lines(&recorded), lines(&now));
    let differs = |(recorded, now): (&Vec<u8>, &Vec<u8>)| recorded != now;
    let first = recorded.iter().zip(&now).position(differs);
    first.map_or_else(String::new, |first| format!(", first in line {}", first + 1))
}

/// Where two files of weights differ most.
fn weights(recorded: &Path, now: &Path) -> Mismatch {
    let other = |problem: &str| Mismatch::Other(format!("model.safetensors {problem}"));
    let read =
        |path: &Path| Weights::from_safetensors(&read_bytes(path, MOST_WEIGHTS_BYTES).ok()?).ok();
    let Some((recorded, _)) = read(recorded) else {
        return other("is damaged: kiln doctor tells more");
    };
    let Some((now, _)) = read(now) else { return other("differs") };
    let is_alike = recorded.tensors.len() == now.tensors.len()
        && recorded
            .tensors
            .iter()
            .zip(&now.tensors)
            .all(|(a, b)| (&a.name, &a.shape) == (&b.name, &b.shape));
    if !is_alike {
        return other("holds other tensors than before");
    }
    let mut most = None::<(f32, Mismatch)>;
    let mut differing = 0;
    for (then, now) in recorded.tensors.iter().zip(&now.tensors) {
        for (index, (recorded, now)) in then.values.iter().zip(&now.values).enumerate() {
            if recorded.to_bits() == now.to_bits() {
                continue;
            }
            differing += 1;
            let by = (now - recorded).abs();
            if most.as_ref().is_none_or(|(most, _)| by > *most) {
                let tensor = then.name.clone();
                let (recorded, now) = (*recorded, *now);
                most = Some((by, Mismatch::Weight { tensor, index, recorded, now, count: 0 }));
            }
        }
    }
    match most {
        Some((_, Mismatch::Weight { tensor, index, recorded, now, .. })) => {
            Mismatch::Weight { tensor, index, recorded, now, count: differing }
        }
        _ => other("has the same weights and other words about them"),
    }
}
