//! A comparison as rows and columns, the common form of the terminal's table, CSV, Markdown and JSON.

use std::cmp::Ordering;

use kiln_config::KeyError;
use kiln_store::Direction;
use kiln_store::escape::control;

use crate::columns::{self, Place};
use crate::combination::{Combination, RunSummary};
use crate::comparison::Comparison;
use crate::error::{CompareError, Result};
use crate::measures::{MEASURES, Measure, Shown};
use crate::ranking::{best_first, compare_values};
use kiln_statistics::Spread;

/// Which columns and rows a table has.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TableOptions {
    /// The column to sort by, by its heading or key; without it the rows are in the order of the ranking. Measures sort
    /// the better value first, and the lower one if neither is better. Settings ascend, verdicts descend, and rows
    /// without a value come last.
    pub sort: Option<String>,
    /// The columns to show, in this order: headings, keys, or names of settings. If empty, the table has its default
    /// columns.
    pub columns: Vec<String>,
    /// One row per run instead of one per combination.
    pub all_seeds: bool,
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
    Measure(&'static Measure),
    Status,
    Verdict,
}

/// A row of the table: a combination, or one of its runs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row<'a> {
    pub(crate) combination: &'a Combination,
    /// The combination's index in the comparison.
    pub(crate) index: usize,
    pub(crate) run: Option<&'a RunSummary>,
}

impl Row<'_> {
    pub(crate) fn measure(&self, measure: &Measure) -> Option<Spread> {
        match self.run {
            Some(run) => Spread::of((measure.of_run)(run)),
            None => measure.of(self.combination),
        }
    }

    pub(crate) fn status(&self) -> String {
        self.run.map_or_else(|| self.combination.status(), RunSummary::status_words)
    }

    /// The number of runs that the row summarizes.
    pub(crate) fn runs(&self) -> usize {
        if self.run.is_some() { 1 } else { self.combination.runs.len() }
    }
}

/// The requested rows and columns of a comparison, as values that are not text yet.
pub(crate) struct ComparisonTable<'a> {
    pub(crate) comparison: &'a Comparison,
    pub(crate) fields: Vec<Field>,
    pub(crate) rows: Vec<Row<'a>>,
}

impl<'a> ComparisonTable<'a> {
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
            // The sort is stable, so equal rows stay in the order of the ranking.
            table.rows.sort_by(|left, right| compare(comparison, field, left, right));
        }
        table.fields = if options.columns.is_empty() {
            default_fields(comparison, options)
        } else {
            let names = options.columns.iter();
            names.map(|name| table.find(name, options)).collect::<Result<_>>()?
        };
        Ok(table)
    }

    pub(crate) fn heading(&self, field: Field) -> &str {
        heading(self.comparison, field)
    }

    /// The row's value of a setting.
    pub(crate) fn setting(&self, field: Field, row: &Row<'_>) -> Option<&str> {
        setting(self.comparison, field, row.index)
    }

    fn find(&self, name: &str, options: &TableOptions) -> Result<Field> {
        let comparison = self.comparison;
        let wanted = plain(name);
        let mut known = default_fields(comparison, options);
        // Measures that are not shown can still be asked for.
        let measures = MEASURES.iter().map(Field::Measure);
        let hidden: Vec<_> = measures.filter(|measure| !known.contains(measure)).collect();
        known.extend(hidden);
        let is_wanted = |field: &&Field| {
            let has_key = matches!(field, Field::Measure(measure) if measure.key == wanted);
            has_key || plain(heading(comparison, **field)) == wanted
        };
        if let Some(field) = known.iter().find(is_wanted) {
            return Ok(*field);
        }
        match columns::find(name, &comparison.columns, &comparison.shared) {
            Ok(Place::Column(index)) => Ok(Field::Setting(index)),
            Ok(Place::Shared(index)) => Ok(Field::Shared(index)),
            Err(KeyError::Unknown { .. }) => Err(self.unknown(name, &known)),
            Err(KeyError::Ambiguous(keys)) => {
                let problem = columns::ambiguous(name, &keys);
                Err(CompareError::Request(control(&problem).into_owned()))
            }
        }
    }

    fn unknown(&self, name: &str, known: &[Field]) -> CompareError {
        let headings: Vec<_> = known.iter().map(|field| heading(self.comparison, *field)).collect();
        let problem = if matches!(name, "seed" | "run") {
            format!("the column `{name}` needs one row per run: add --all-seeds")
        } else {
            format!(
                "unknown column `{name}`: choose from {}, or any setting of the runs",
                headings.join(", ")
            )
        };
        CompareError::Request(control(&problem).into_owned())
    }
}

/// The columns of a table for which none are requested.
fn default_fields(comparison: &Comparison, options: &TableOptions) -> Vec<Field> {
    let mut fields: Vec<Field> = (0..comparison.columns.len()).map(Field::Setting).collect();
    if options.all_seeds {
        fields.extend([Field::Seed, Field::Run]);
    }
    let (always, others): (Vec<_>, Vec<_>) = MEASURES
        .iter()
        .filter(|measure| measure.is_shown(comparison))
        .partition(|measure| measure.shown == Shown::Always);
    fields.extend(always.into_iter().map(Field::Measure));
    fields.push(Field::Status);
    let has_verdicts = comparison.baseline.is_some_and(|baseline| baseline.comparisons > 0);
    if has_verdicts && !options.all_seeds {
        fields.push(Field::Verdict);
    }
    fields.extend(others.into_iter().map(Field::Measure));
    fields
}

fn heading(comparison: &Comparison, field: Field) -> &str {
    match field {
        Field::Setting(index) => &comparison.columns[index].label,
        Field::Shared(index) => &comparison.shared[index].column.label,
        Field::Seed => "seed",
        Field::Run => "run",
        Field::Measure(measure) => measure.heading,
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

/// A heading as users may type it: `Test accuracy` is `test_accuracy`.
fn plain(heading: &str) -> String {
    heading.trim().to_lowercase().replace(' ', "_")
}

fn compare(comparison: &Comparison, field: Field, left: &Row<'_>, right: &Row<'_>) -> Ordering {
    let rows = [left, right];
    match field {
        Field::Measure(measure) => {
            let [left, right] = rows.map(|row| row.measure(measure).map(|spread| spread.mean));
            best_first(measure.better.unwrap_or(Direction::Lower), left, right)
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
            best_first(Direction::Higher, left, right)
        }
    }
}
