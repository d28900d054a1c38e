//! Compares recorded results with retrained ones, and describes how they differ.

use std::fmt;
use std::path::Path;

use kiln_config::read_bytes;
use kiln_model::{MAX_WEIGHTS_BYTES, Weights};
use kiln_store::{Checksum, EpochRow, History, RunRecord, Status, history};

use crate::TrainError;
use crate::run::TrainingOutcome;

/// A description of a difference between a recorded result and the retrained one.
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

/// Describes the first column in which two epochs differ. Seconds always differ, so they are not compared.
pub(super) fn compare_epoch(
    recorded: &EpochRow,
    now: &EpochRow,
    extra: &[String],
) -> Option<String> {
    let usual =
        history::COLUMNS.iter().copied().filter(|name| !["epoch", "seconds"].contains(name));
    // A column that only the new epoch has differs, too.
    let new = now.metrics.iter().map(|(name, _)| &**name);
    let mut columns = usual.chain(extra.iter().map(String::as_str)).chain(new);
    let values = |column: &str| (recorded.metric(column), now.metric(column));
    // Compared by their bits: the promise is the same bytes, and -0 is not 0.
    let differs =
        |(then, now): (Option<f64>, Option<f64>)| then.map(f64::to_bits) != now.map(f64::to_bits);
    let column = columns.find(|column| differs(values(column)))?;
    let text = |value: Option<f64>| value.map_or("no number".to_owned(), |value| value.to_string());
    let (then, is) = values(column);
    let by = then.zip(is).map(|(then, is)| by(then, is)).unwrap_or_default();
    let epoch = now.epoch;
    Some(format!("epoch {epoch} differs: {column} was {} and is {}{by}", text(then), text(is)))
}

/// Describes the difference if the run ended in another way than the recorded one.
pub(super) fn compare_end(
    record: &RunRecord,
    history: &History,
    outcome: &TrainingOutcome,
    epochs: usize,
) -> Option<Mismatch> {
    let reason = record.stop_reason.as_deref().unwrap_or_default();
    let differs = match record.status {
        Status::Finished => outcome.status != record.status,
        // The reason begins with the step in which the run diverged. The rest describes the saved weights, which are
        // compared as a file; earlier versions of Kiln worded it differently.
        Status::Diverged => {
            let step = |reason: &str| reason.split(';').next().unwrap_or_default().to_owned();
            outcome.status != record.status || step(&outcome.reason) != step(reason)
        }
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

/// The difference between a recorded file and the retrained one, byte for byte.
pub(super) fn compare_file(
    name: &str,
    recorded: &Path,
    now: &Path,
    recorded_sum: Option<&Checksum>,
) -> Result<Option<Mismatch>, TrainError> {
    if !now.exists() {
        return Ok(Some(Mismatch::Result(format!("{name} is not written any more"))));
    }
    let sum = Checksum::of_file(now)?;
    let found = Checksum::of_file(recorded)?;
    let is_damaged = recorded_sum.is_some_and(|recorded_sum| *recorded_sum != found);
    Ok(if found == sum && !is_damaged {
        None
    } else if recorded_sum == Some(&sum) {
        // The run had written this content, so the file was changed afterwards.
        let text = format!("{name} was damaged later: retraining gives the file that was written");
        Some(Mismatch::Damaged(text))
    } else if is_damaged {
        // What it says now is not what the run computed, so there is nothing to compare in detail.
        let text = format!(
            "{name} was damaged later, and retraining does not give the file that was written"
        );
        Some(Mismatch::Result(text))
    } else if name == "model.safetensors" {
        Some(Mismatch::Result(format!("{name} {}", compare_weights(recorded, now))))
    } else {
        let line = first_different_line(recorded, now);
        let place = line.map(|line| format!(", first in line {line}")).unwrap_or_default();
        Some(Mismatch::Result(format!("{name} differs{place}")))
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
        // `total_cmp` orders NaN last, so a weight that became NaN counts as the largest difference.
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
