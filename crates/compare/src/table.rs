//! A comparison as rows and columns, before they become text.

use std::cmp::Ordering;

use kiln_config::KeyError;
use kiln_store::escape::control;

use crate::columns::{self, Place};
use crate::combination::{Combination, RunSummary};
use crate::comparison::Comparison;
use crate::error::{CompareError, Result};
use crate::rank::{ascending, compare_values, descending};
use crate::statistics::Spread;

/// What a table of a comparison shows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TableOptions {
    /// The column to sort by, by its heading; without it the rows stay as they are ranked. Losses, epochs, seconds and
    /// settings ascend, accuracies and verdicts descend; what has no value comes last.
    pub sort: Option<String>,
    /// The columns to show, in this order, by heading or by the name of any setting; none stands for all that matter.
    pub columns: Vec<String>,
    /// One row a run in place of one a combination.
    pub all_seeds: bool,
}

/// A number that a row has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Metric {
    BestEpoch,
    Best,
    Last,
    TestLoss,
    TestAccuracy,
    Seconds,
}

/// A column of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Field {
    /// The setting at this index of [`Comparison::columns`].
    Setting(usize),
    /// The setting at this index of [`Comparison::shared`].
    Shared(usize),
    Seed,
    Run,
    Metric(Metric),
    Status,
    Verdict,
}

const METRICS: [Metric; 6] = [
    Metric::BestEpoch,
    Metric::Best,
    Metric::Last,
    Metric::TestLoss,
    Metric::TestAccuracy,
    Metric::Seconds,
];

impl Metric {
    pub(crate) fn heading(self) -> &'static str {
        match self {
            Metric::BestEpoch => "best epoch",
            Metric::Best => "best val_accuracy",
            Metric::Last => "last val_accuracy",
            Metric::TestLoss => "test loss",
            Metric::TestAccuracy => "test accuracy",
            Metric::Seconds => "seconds",
        }
    }

    fn of_combination(self, combination: &Combination) -> Option<Spread> {
        match self {
            Metric::BestEpoch => combination.best_epoch(),
            Metric::Best => combination.best(),
            Metric::Last => combination.last(),
            Metric::TestLoss => combination.test_loss(),
            Metric::TestAccuracy => combination.test_accuracy(),
            Metric::Seconds => combination.training_seconds(),
        }
    }

    fn of_run(self, run: &RunSummary) -> Option<f64> {
        match self {
            Metric::BestEpoch => run.best.map(|best| best.epoch as f64),
            Metric::Best => run.best.map(|best| best.value),
            Metric::Last => run.last.map(|last| last.value),
            Metric::TestLoss => run.test.and_then(|test| test.loss),
            Metric::TestAccuracy => run.test.map(|test| test.accuracy),
            Metric::Seconds => run.training_seconds,
        }
    }

    fn is_better_higher(self) -> bool {
        matches!(self, Metric::Best | Metric::Last | Metric::TestAccuracy)
    }
}

/// One line of the table: a combination, or one run of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row<'a> {
    pub(crate) combination: &'a Combination,
    /// The combination's index in the comparison.
    pub(crate) index: usize,
    pub(crate) run: Option<&'a RunSummary>,
}

impl Row<'_> {
    pub(crate) fn metric(&self, metric: Metric) -> Option<Spread> {
        match self.run {
            Some(run) => Spread::of(metric.of_run(run)),
            None => metric.of_combination(self.combination),
        }
    }

    pub(crate) fn status(&self) -> String {
        self.run.map_or_else(|| self.combination.status(), RunSummary::status_words)
    }

    /// Of how many runs the row tells.
    pub(crate) fn runs(&self) -> usize {
        if self.run.is_some() { 1 } else { self.combination.runs.len() }
    }
}

/// The rows and columns that were asked for.
pub(crate) struct Table<'a> {
    pub(crate) comparison: &'a Comparison,
    pub(crate) fields: Vec<Field>,
    pub(crate) rows: Vec<Row<'a>>,
}

impl<'a> Table<'a> {
    pub(crate) fn new(comparison: &'a Comparison, options: &TableOptions) -> Result<Self> {
        let mut table = Self { comparison, fields: Vec::new(), rows: Vec::new() };
        for (index, combination) in comparison.combinations.iter().enumerate() {
            let row = Row { combination, index, run: None };
            if options.all_seeds {
                let runs = combination.runs.iter();
                table.rows.extend(runs.map(|run| Row { run: Some(run), ..row }));
            } else {
                table.rows.push(row);
            }
        }
        if let Some(name) = &options.sort {
            let field = table.find(name, options)?;
            // A stable sort: equals stay as they are ranked.
            table.rows.sort_by(|left, right| compare(comparison, field, left, right));
        }
        table.fields = if options.columns.is_empty() {
            all_fields(comparison, options)
        } else {
            let names = options.columns.iter();
            names.map(|name| table.find(name, options)).collect::<Result<_>>()?
        };
        Ok(table)
    }

    pub(crate) fn heading(&self, field: Field) -> &str {
        heading(self.comparison, field)
    }

    /// A setting's value in a row.
    pub(crate) fn setting(&self, field: Field, row: &Row<'_>) -> Option<&str> {
        setting(self.comparison, field, row.index)
    }

    fn find(&self, name: &str, options: &TableOptions) -> Result<Field> {
        let comparison = self.comparison;
        let wanted = plain(name);
        let shown = all_fields(comparison, options);
        if let Some(field) =
            shown.iter().find(|field| plain(heading(comparison, **field)) == wanted)
        {
            return Ok(*field);
        }
        match columns::find(name, &comparison.columns, &comparison.shared) {
            Ok(Place::Column(index)) => Ok(Field::Setting(index)),
            Ok(Place::Shared(index)) => Ok(Field::Shared(index)),
            Err(KeyError::Unknown { .. }) => Err(self.unknown(name, &shown)),
            Err(KeyError::Ambiguous(keys)) => {
                let problem = columns::ambiguous(name, &keys);
                Err(CompareError::Request(control(&problem).into_owned()))
            }
        }
    }

    fn unknown(&self, name: &str, shown: &[Field]) -> CompareError {
        let headings: Vec<_> = shown.iter().map(|field| heading(self.comparison, *field)).collect();
        let problem = if matches!(name, "seed" | "run") {
            format!("there is a column `{name}` only with one row a run (--all-seeds)")
        } else {
            format!(
                "there is no column `{name}`: choose from {}, or any setting of the runs",
                headings.join(", ")
            )
        };
        CompareError::Request(control(&problem).into_owned())
    }
}

/// The columns that are shown where none are asked for.
fn all_fields(comparison: &Comparison, options: &TableOptions) -> Vec<Field> {
    let mut fields: Vec<Field> = (0..comparison.columns.len()).map(Field::Setting).collect();
    if options.all_seeds {
        fields.extend([Field::Seed, Field::Run]);
    }
    fields.extend(METRICS.map(Field::Metric));
    fields.push(Field::Status);
    let has_verdicts = comparison.baseline.is_some_and(|baseline| baseline.comparisons > 0);
    if has_verdicts && !options.all_seeds {
        fields.push(Field::Verdict);
    }
    fields
}

fn heading(comparison: &Comparison, field: Field) -> &str {
    match field {
        Field::Setting(index) => &comparison.columns[index].label,
        Field::Shared(index) => &comparison.shared[index].column.label,
        Field::Seed => "seed",
        Field::Run => "run",
        Field::Metric(metric) => metric.heading(),
        Field::Status => "status",
        Field::Verdict => "verdict",
    }
}

fn setting(comparison: &Comparison, field: Field, combination: usize) -> Option<&str> {
    match field {
        Field::Setting(index) => comparison.combinations[combination].settings[index].as_deref(),
        Field::Shared(index) => Some(&comparison.shared[index].value),
        _ => None,
    }
}

/// A heading as it may be typed: `test_accuracy` is `test accuracy`.
fn plain(heading: &str) -> String {
    heading.trim().to_lowercase().replace(' ', "_")
}

fn compare(comparison: &Comparison, field: Field, left: &Row<'_>, right: &Row<'_>) -> Ordering {
    let rows = [left, right];
    match field {
        Field::Metric(metric) => {
            let [left, right] = rows.map(|row| row.metric(metric).map(|spread| spread.mean));
            if metric.is_better_higher() { descending(left, right) } else { ascending(left, right) }
        }
        Field::Setting(_) | Field::Shared(_) => {
            let values = rows.map(|row| setting(comparison, field, row.index));
            compare_values(values[0], values[1])
        }
        Field::Seed => left.run.map(|run| run.seed).cmp(&right.run.map(|run| run.seed)),
        Field::Run => left.run.map(|run| &run.id).cmp(&right.run.map(|run| &run.id)),
        Field::Status => left.status().cmp(&right.status()),
        Field::Verdict => {
            let [left, right] =
                rows.map(|row| row.combination.verdict.map(|verdict| verdict.difference));
            descending(left, right)
        }
    }
}
