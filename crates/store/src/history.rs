//! `history.csv`: one row per epoch.
//!
//! ```text
//! epoch,loss,accuracy,val_loss,val_accuracy,learning_rate,seconds
//! 1,0.7219,0.7636,0.4972,0.8366,0.01,1.213
//! ```
//!
//! Every history has these columns. Further metrics have columns after them. Numbers are written with the fewest digits
//! that read back as the same `f64`, seconds with three decimals. The cell of a value that is missing or not finite is
//! empty.

use std::path::Path;
use std::sync::Arc;

use crate::error::{Result, StoreError};
use crate::files;
use crate::files::Appender;
use crate::metric::Direction;
use crate::number::decimals;

/// The most epochs that a run may have. Every checkpoint stores all of their rows.
pub const MAX_EPOCHS: usize = 100_000;

/// The largest history that is written and read: that many epochs with a dozen further metrics.
pub const MAX_BYTES: u64 = 32 << 20;

/// More columns than any choice of metrics has.
const MAX_EXTRA_COLUMNS: usize = 256;

/// The columns that every history has, in order.
pub const COLUMNS: [&str; 7] =
    ["epoch", "loss", "accuracy", "val_loss", "val_accuracy", "learning_rate", "seconds"];

/// The results of one epoch.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct EpochRow {
    /// Counted from 1.
    pub epoch: usize,
    /// The learning rate of the epoch's last step.
    pub learning_rate: f64,
    /// How long the epoch took.
    pub seconds: f64,
    /// The metrics by the names of their columns, in the order of the columns. A metric without a value is missing here.
    pub metrics: Vec<(Arc<str>, f64)>,
}

impl EpochRow {
    /// The value of a column by name, such as `loss`, `val_top_3_accuracy` or `learning_rate`; `None` if the epoch has no
    /// such value, or one that is not finite.
    #[must_use]
    pub fn metric(&self, name: &str) -> Option<f64> {
        self.metric_after(name, &mut 0)
    }

    /// Like [`metric`](Self::metric), and begins the search at the index `next` of the metrics, which it sets to the index
    /// after the metric. A caller that asks for all metrics in their order finds each at once.
    fn metric_after(&self, name: &str, next: &mut usize) -> Option<f64> {
        let value = match name {
            "learning_rate" => self.learning_rate,
            "seconds" => self.seconds,
            _ => {
                let count = self.metrics.len();
                let order = (*next..count).chain(0..(*next).min(count));
                let index = order.into_iter().find(|index| &*self.metrics[*index].0 == name)?;
                *next = index + 1;
                self.metrics[index].1
            }
        };
        value.is_finite().then_some(value)
    }

    fn to_csv(&self, extra_columns: &[String]) -> String {
        let mut next = 0;
        let mut cells = vec![self.epoch.to_string()];
        for column in &COLUMNS[1..] {
            let value = self.metric_after(column, &mut next);
            cells.push(if *column == "seconds" { decimals(value, 3) } else { cell(value) });
        }
        let extra = extra_columns.iter().map(|column| cell(self.metric_after(column, &mut next)));
        cells.extend(extra);
        cells.join(",") + "\n"
    }
}

fn cell(value: Option<f64>) -> String {
    // `{}` writes the shortest decimal that reads back as the same f64.
    value.map_or_else(String::new, |value| value.to_string())
}

/// A history in memory.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct History {
    /// The columns after the seven of [`COLUMNS`], in the file's order.
    pub extra_columns: Vec<String>,
    /// The epochs from 1, without gaps.
    pub rows: Vec<EpochRow>,
    /// Whether the file's last line is cut off, because its writer was interrupted. That line is not in `rows`.
    pub cut: bool,
}

impl History {
    /// The epoch with the lowest validation loss, or without validation the one with the lowest training loss. Of equals,
    /// the earlier one.
    #[must_use]
    pub fn best(&self) -> Option<&EpochRow> {
        let lowest = |metric| self.best_by(metric, Direction::Lower).map(|(row, _)| row);
        lowest("val_loss").or_else(|| lowest("loss"))
    }

    /// The epoch with the best value of a metric, and that value. Of equals, the earlier one; `None` if no epoch has the
    /// metric.
    #[must_use]
    pub fn best_by(&self, metric: &str, better: Direction) -> Option<(&EpochRow, f64)> {
        let mut best: Option<(&EpochRow, f64)> = None;
        for row in &self.rows {
            if let Some(value) = row.metric(metric)
                && best.is_none_or(|(_, best)| better.improves(value, best, 0.0))
            {
                best = Some((row, value));
            }
        }
        best
    }

    /// The epochs for a table of about `most` rows: all if they fit, otherwise the first and every n-th, and always the
    /// best and the last.
    #[must_use]
    pub fn selection(&self, most: usize) -> Vec<&EpochRow> {
        let step = if self.rows.len() <= most { 1 } else { self.rows.len().div_ceil(most) };
        // Readers look for the best epoch, so the table always has it.
        let best = self.best().map(|row| row.epoch);
        let is_selected = |row: &&EpochRow| {
            row.epoch == 1
                || row.epoch.is_multiple_of(step)
                || row.epoch == self.rows.len()
                || Some(row.epoch) == best
        };
        self.rows.iter().filter(is_selected).collect()
    }

    /// The text of `history.csv`.
    #[must_use]
    pub fn to_csv(&self) -> String {
        let rows = self.rows.iter().map(|row| row.to_csv(&self.extra_columns));
        std::iter::once(header(&self.extra_columns)).chain(rows).collect()
    }

    /// Reads `history.csv`. See [`parse`](Self::parse).
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`] or [`StoreError::Unreadable`] if the file cannot be read, and the errors of
    /// [`parse`](Self::parse).
    pub fn read(path: &Path) -> Result<Self> {
        Self::parse(path, &files::read(path, MAX_BYTES)?)
    }

    /// Parses the text of a `history.csv`; messages name it by `path`. A last line without a line break is skipped and
    /// reported in [`History::cut`]: a process was killed or the disk was full while it was written.
    ///
    /// # Errors
    ///
    /// [`StoreError::Malformed`] with the number of the first other line that a [`HistoryWriter`] would not write.
    pub fn parse(path: &Path, text: &str) -> Result<Self> {
        let complete = text.rfind('\n').map_or("", |end| &text[..=end]);
        let mut history = History { cut: complete.len() < text.len(), ..History::default() };
        let malformed = |line, problem| StoreError::malformed(path, line, problem);
        let mut lines = (1_u64..).zip(complete.lines());
        let Some((line, head)) = lines.next() else { return Ok(history) };
        history.extra_columns = extra_columns(head).map_err(|problem| malformed(line, problem))?;
        // All rows share the names.
        // Those four are the metrics that every history has.
        let metrics = COLUMNS[1..5].iter().copied();
        let metrics = metrics.chain(history.extra_columns.iter().map(String::as_str));
        let metrics: Vec<Arc<str>> = metrics.map(Arc::from).collect();
        for (line, text) in lines {
            let row = row(text, history.rows.len() + 1, &metrics);
            history.rows.push(row.map_err(|problem| malformed(line, problem))?);
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

/// Checks the names of further columns: no name may break the lines of the file or be there twice.
fn checked_columns(extra: &[&str]) -> Result<Vec<String>, String> {
    if extra.len() > MAX_EXTRA_COLUMNS {
        return Err(format!("there are more than {MAX_EXTRA_COLUMNS} columns of further metrics"));
    }
    for (index, column) in extra.iter().enumerate() {
        if COLUMNS.contains(column) || extra[..index].contains(column) {
            return Err(format!("duplicate column `{column}`"));
        }
        if column.is_empty() || column.contains(|c: char| c == ',' || c == '"' || c.is_control()) {
            return Err(format!("{column:?} cannot be the name of a column"));
        }
    }
    Ok(extra.iter().map(|column| (*column).to_owned()).collect())
}

/// Parses the row of an epoch. `metrics` names all columns but epoch, learning rate and seconds, in the file's order.
fn row(line: &str, epoch: usize, metrics: &[Arc<str>]) -> Result<EpochRow, String> {
    if epoch > MAX_EPOCHS {
        return Err(format!("there are more than {MAX_EPOCHS} epochs"));
    }
    let cells: Vec<&str> = line.split(',').collect();
    let expected = metrics.len() + 3;
    if cells.len() != expected {
        let cells =
            if cells.len() == 1 { "1 cell".to_owned() } else { format!("{} cells", cells.len()) };
        return Err(format!("{cells}, but the header has {expected}"));
    }
    let (number, four) = (cells[0], &cells[1..5]);
    if number.parse() != Ok(epoch) {
        return Err(format!("epoch `{number}`, but epoch {epoch} comes next"));
    }
    let mut row = EpochRow {
        epoch,
        learning_rate: required("learning_rate", cells[5])?,
        seconds: required("seconds", cells[6])?,
        metrics: Vec::new(),
    };
    for (name, cell) in metrics.iter().zip(four.iter().chain(&cells[7..])) {
        if let Some(value) = finite(name, cell)? {
            row.metrics.push((Arc::clone(name), value));
        }
    }
    Ok(row)
}

fn finite(column: &str, cell: &str) -> Result<Option<f64>, String> {
    if cell.is_empty() {
        return Ok(None);
    }
    match cell.parse::<f64>() {
        Ok(value) if value.is_finite() => Ok(Some(value)),
        _ => Err(format!("`{cell}` in column `{column}` is not a finite number")),
    }
}

fn required(column: &str, cell: &str) -> Result<f64, String> {
    finite(column, cell)?.ok_or_else(|| format!("column `{column}` is empty"))
}

/// Writes `history.csv` during training. Each row is on disk before the next epoch begins.
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
    /// [`StoreError::Inconsistent`] if the name of a column has a comma, a quote or a control character, or is there twice;
    /// [`StoreError::Io`] if the file cannot be written.
    pub fn create(path: &Path, extra_columns: &[&str]) -> Result<Self> {
        let extra_columns = checked_columns(extra_columns).map_err(inconsistent)?;
        let file = Appender::create(path, header(&extra_columns))?;
        Ok(Self { file, extra_columns, next_epoch: 1 })
    }

    /// Sets the file to `history`, so that later rows and a row that is cut off are gone, and continues after it.
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`] if the file cannot be written.
    pub fn resume(path: &Path, history: &History) -> Result<Self> {
        files::write(path, history.to_csv())?;
        let file = Appender::open(path)?;
        let extra_columns = history.extra_columns.clone();
        Ok(Self { file, extra_columns, next_epoch: history.rows.len() + 1 })
    }

    /// Appends the next epoch.
    ///
    /// # Errors
    ///
    /// [`StoreError::Inconsistent`] if it is not the next epoch, has a metric without a column, or a learning rate or
    /// duration that is not finite, or if the file would become too large to be read; [`StoreError::Io`] if it cannot be
    /// written.
    pub fn append(&mut self, row: &EpochRow) -> Result<()> {
        self.check(row).map_err(inconsistent)?;
        // A file that could not be read back would make the run impossible to resume.
        let line = row.to_csv(&self.extra_columns);
        if self.file.length().saturating_add(line.len() as u64) > MAX_BYTES {
            let limit = MAX_BYTES >> 20;
            let problem = format!("the file is full: Kiln reads at most {limit} MiB");
            return Err(inconsistent(problem));
        }
        self.file.append(line)?;
        self.next_epoch += 1;
        Ok(())
    }

    fn check(&self, row: &EpochRow) -> Result<(), String> {
        let has_column = |name: &str| {
            COLUMNS[1..5].contains(&name) || self.extra_columns.iter().any(|column| column == name)
        };
        if row.epoch != self.next_epoch {
            return Err(format!("epoch {}, but epoch {} comes next", row.epoch, self.next_epoch));
        }
        if let Some((name, _)) = row.metrics.iter().find(|(name, _)| !has_column(name)) {
            return Err(format!("metric `{name}` has no column"));
        }
        if !row.learning_rate.is_finite() || !row.seconds.is_finite() {
            return Err("learning rate and seconds must be finite".to_owned());
        }
        Ok(())
    }
}

fn inconsistent(problem: String) -> StoreError {
    StoreError::Inconsistent(format!("history: {problem}"))
}
