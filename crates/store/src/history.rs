//! `history.csv`: one row an epoch.
//!
//! ```text
//! epoch,loss,accuracy,val_loss,val_accuracy,learning_rate,seconds
//! 1,0.7219,0.7636,0.4972,0.8366,0.01,1.213
//! ```
//!
//! Other metrics add columns behind these. A number is written with as many digits as bring back the same `f64`,
//! seconds with three decimals. A value that is not there, or is not finite, is an empty cell.

use std::collections::BTreeMap;
use std::path::Path;

use crate::error::{Result, StoreError};
use crate::files;
use crate::files::Appender;
use crate::number::decimals;

/// The most epochs that a run may have: each checkpoint holds all of their rows.
pub const MAX_EPOCHS: usize = 100_000;

/// The largest history that is written and read: so many epochs with a dozen further metrics.
pub const MAX_BYTES: u64 = 32 << 20;

/// More columns than any choice of metrics gives.
const MAX_EXTRA_COLUMNS: usize = 256;

/// The columns that every history has, in order.
pub const COLUMNS: [&str; 7] =
    ["epoch", "loss", "accuracy", "val_loss", "val_accuracy", "learning_rate", "seconds"];

/// What one epoch came to.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct EpochRow {
    /// Counted from 1.
    pub epoch: usize,
    /// Mean training loss over the epoch, as the weights were changing. Absent where it was not finite.
    pub loss: Option<f64>,
    /// Share of training rows classified rightly over the epoch, as the weights were changing.
    pub accuracy: Option<f64>,
    /// Mean loss on the validation rows after the epoch.
    pub val_loss: Option<f64>,
    /// Share of validation rows classified rightly after the epoch.
    pub val_accuracy: Option<f64>,
    /// The learning rate of the epoch's last step.
    pub learning_rate: f64,
    /// How long the epoch took.
    pub seconds: f64,
    /// Further metrics by column name; those that are absent leave their cells empty.
    pub extra: BTreeMap<String, f64>,
}

impl EpochRow {
    /// The metric of that name, `loss`, `val_top_3_accuracy`, …; `None` where the epoch has no such number, or one that
    /// is not finite.
    #[must_use]
    pub fn metric(&self, name: &str) -> Option<f64> {
        let value = match name {
            "loss" => self.loss,
            "accuracy" => self.accuracy,
            "val_loss" => self.val_loss,
            "val_accuracy" => self.val_accuracy,
            "learning_rate" => Some(self.learning_rate),
            "seconds" => Some(self.seconds),
            _ => self.extra.get(name).copied(),
        };
        value.filter(|value| value.is_finite())
    }

    fn to_csv(&self, extra_columns: &[String]) -> String {
        let mut cells = vec![self.epoch.to_string()];
        cells.extend(COLUMNS[1..6].iter().map(|column| cell(self.metric(column))));
        cells.push(decimals(self.metric("seconds"), 3));
        cells.extend(extra_columns.iter().map(|column| cell(self.metric(column))));
        cells.join(",") + "\n"
    }
}

fn cell(value: Option<f64>) -> String {
    // `{}` writes the shortest decimal that reads back to the same f64.
    value.map_or_else(String::new, |value| value.to_string())
}

/// A history in memory.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct History {
    /// The columns behind the seven of [`COLUMNS`], in the file's order.
    pub extra_columns: Vec<String>,
    /// The epochs from 1, without gaps.
    pub rows: Vec<EpochRow>,
    /// Whether the file's last line was cut off while it was written; it is not among `rows`.
    pub cut: bool,
}

impl History {
    /// The epoch with the lowest validation loss, the earlier one of equals; without validation, with the lowest
    /// training loss.
    #[must_use]
    pub fn best(&self) -> Option<&EpochRow> {
        self.lowest("val_loss").or_else(|| self.lowest("loss"))
    }

    fn lowest(&self, metric: &str) -> Option<&EpochRow> {
        let with_value = self.rows.iter().filter_map(|row| Some((row, row.metric(metric)?)));
        with_value.min_by(|(_, left), (_, right)| left.total_cmp(right)).map(|(row, _)| row)
    }

    /// The epochs for a table of about `most` rows: all of them where they fit, otherwise the first and every n-th,
    /// and always the best and the last.
    #[must_use]
    pub fn selection(&self, most: usize) -> Vec<&EpochRow> {
        let step = if self.rows.len() <= most { 1 } else { self.rows.len().div_ceil(most) };
        let best = self.best().map(|row| row.epoch);
        let chosen = |row: &&EpochRow| {
            row.epoch == 1
                || row.epoch.is_multiple_of(step)
                || row.epoch == self.rows.len()
                || Some(row.epoch) == best
        };
        self.rows.iter().filter(chosen).collect()
    }

    /// The text of `history.csv`.
    #[must_use]
    pub fn to_csv(&self) -> String {
        let rows = self.rows.iter().map(|row| row.to_csv(&self.extra_columns));
        std::iter::once(header(&self.extra_columns)).chain(rows).collect()
    }

    /// Reads `history.csv`; see [`parse`](Self::parse).
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`] or [`StoreError::Unreadable`] where it cannot be read, and those of [`parse`](Self::parse).
    pub fn read(path: &Path) -> Result<Self> {
        Self::parse(path, &files::read(path, MAX_BYTES)?)
    }

    /// Reads the text of a `history.csv`; `path` stands for it in messages. A last line without its end, left by a run
    /// that was killed or a disk that was full, is passed over and reported in [`History::cut`].
    ///
    /// # Errors
    ///
    /// [`StoreError::Malformed`] with the line where anything but the last line is not what a [`HistoryWriter`] writes.
    pub fn parse(path: &Path, text: &str) -> Result<Self> {
        let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
        let mut history = History { cut: whole.len() < text.len(), ..History::default() };
        for (line, text) in (1_u64..).zip(whole.lines()) {
            let read = if line == 1 {
                extra_columns(text).map(|columns| history.extra_columns = columns)
            } else {
                row(text, &history).map(|row| history.rows.push(row))
            };
            read.map_err(|problem| StoreError::malformed(path, line, problem))?;
        }
        Ok(history)
    }
}

fn header(extra_columns: &[String]) -> String {
    let mut columns = COLUMNS.to_vec();
    columns.extend(extra_columns.iter().map(String::as_str));
    columns.join(",") + "\n"
}

fn extra_columns(head: &str) -> Result<Vec<String>, String> {
    let columns: Vec<&str> = head.split(',').collect();
    match columns.strip_prefix(COLUMNS.as_slice()) {
        Some(extra) => checked_columns(extra),
        None => Err(format!("a history begins with the columns `{}`", COLUMNS.join(","))),
    }
}

/// The names of further columns, none of which may break the file's lines or come twice.
fn checked_columns(extra: &[&str]) -> Result<Vec<String>, String> {
    if extra.len() > MAX_EXTRA_COLUMNS {
        return Err(format!("there are more than {MAX_EXTRA_COLUMNS} columns of further metrics"));
    }
    for (index, column) in extra.iter().enumerate() {
        if COLUMNS.contains(column) || extra[..index].contains(column) {
            return Err(format!("column `{column}` comes twice"));
        }
        if column.is_empty() || column.contains(|c: char| c == ',' || c == '"' || c.is_control()) {
            return Err(format!("{column:?} cannot be the name of a column"));
        }
    }
    Ok(extra.iter().map(|column| (*column).to_owned()).collect())
}

/// Reads the row that follows those which `history` holds.
fn row(line: &str, history: &History) -> Result<EpochRow, String> {
    if history.rows.len() == MAX_EPOCHS {
        return Err(format!("there are more than {MAX_EPOCHS} epochs"));
    }
    let cells: Vec<&str> = line.split(',').collect();
    let unequal = || {
        let expected = COLUMNS.len() + history.extra_columns.len();
        match cells.len() {
            1 => format!("1 cell where the header has {expected}"),
            cells => format!("{cells} cells where the header has {expected}"),
        }
    };
    let [epoch, loss, accuracy, val_loss, val_accuracy, learning_rate, seconds, extra @ ..] =
        cells.as_slice()
    else {
        return Err(unequal());
    };
    if extra.len() != history.extra_columns.len() {
        return Err(unequal());
    }
    let next = history.rows.len() + 1;
    if epoch.parse() != Ok(next) {
        return Err(format!("epoch `{epoch}` where epoch {next} comes next"));
    }
    let mut row = EpochRow {
        epoch: next,
        loss: number("loss", loss)?,
        accuracy: number("accuracy", accuracy)?,
        val_loss: number("val_loss", val_loss)?,
        val_accuracy: number("val_accuracy", val_accuracy)?,
        learning_rate: required("learning_rate", learning_rate)?,
        seconds: required("seconds", seconds)?,
        extra: BTreeMap::new(),
    };
    for (column, cell) in history.extra_columns.iter().zip(extra) {
        if let Some(value) = number(column, cell)? {
            row.extra.insert(column.clone(), value);
        }
    }
    Ok(row)
}

fn number(column: &str, cell: &str) -> Result<Option<f64>, String> {
    if cell.is_empty() {
        return Ok(None);
    }
    match cell.parse::<f64>() {
        Ok(value) if value.is_finite() => Ok(Some(value)),
        _ => Err(format!("`{cell}` in column `{column}` is not a finite number")),
    }
}

fn required(column: &str, cell: &str) -> Result<f64, String> {
    number(column, cell)?.ok_or_else(|| format!("column `{column}` is empty"))
}

/// Writes `history.csv` as the epochs come, each on disk before the next begins.
#[derive(Debug)]
pub struct HistoryWriter {
    file: Appender,
    extra_columns: Vec<String>,
    next_epoch: usize,
}

impl HistoryWriter {
    /// Creates the file, which must not exist, and writes its header.
    ///
    /// # Errors
    ///
    /// [`StoreError::Inconsistent`] where a column's name has a comma, a quote or a control character, or comes
    /// twice; [`StoreError::Io`] where the file cannot be written.
    pub fn create(path: &Path, extra_columns: &[&str]) -> Result<Self> {
        let extra_columns = checked_columns(extra_columns).map_err(inconsistent)?;
        let file = Appender::create(path, header(&extra_columns))?;
        Ok(Self { file, extra_columns, next_epoch: 1 })
    }

    /// Goes on behind `history`, to which the file is first set: later rows and a cut one are gone.
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`] where the file cannot be written.
    pub fn go_on(path: &Path, history: &History) -> Result<Self> {
        files::write(path, history.to_csv())?;
        let file = Appender::open(path)?;
        let extra_columns = history.extra_columns.clone();
        Ok(Self { file, extra_columns, next_epoch: history.rows.len() + 1 })
    }

    /// Adds the next epoch.
    ///
    /// # Errors
    ///
    /// [`StoreError::Inconsistent`] where it is not the next epoch, has a metric that the header has not, or a
    /// learning rate or duration that is not finite, or the file would be too large to be read;
    /// [`StoreError::Io`] where it cannot be written.
    pub fn append(&mut self, row: &EpochRow) -> Result<()> {
        let problem = if row.epoch != self.next_epoch {
            format!("epoch {} where epoch {} comes next", row.epoch, self.next_epoch)
        } else if let Some(name) = row.extra.keys().find(|name| !self.extra_columns.contains(name))
        {
            format!("metric `{name}` has no column")
        } else if !row.learning_rate.is_finite() || !row.seconds.is_finite() {
            "learning rate and seconds must be finite".to_owned()
        } else {
            let line = row.to_csv(&self.extra_columns);
            if self.file.length().saturating_add(line.len() as u64) > MAX_BYTES {
                let most = MAX_BYTES >> 20;
                let problem = format!("it is full: more than {most} MiB would not be read again");
                return Err(inconsistent(problem));
            }
            self.file.append(line)?;
            self.next_epoch += 1;
            return Ok(());
        };
        Err(inconsistent(problem))
    }
}

fn inconsistent(problem: String) -> StoreError {
    StoreError::Inconsistent(format!("history: {problem}"))
}
