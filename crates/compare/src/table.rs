//! A comparison as rows and columns, the common form of the terminal's table, CSV, Markdown and JSON.

use std::cmp::Ordering;

use kiln_config::KeyError;
use kiln_store::Direction;
use kiln_store::escape::control;

use crate::columns::{self, Place};
use crate::combination::{Combination, RunSummary};
use crate::comparison::Comparison;
use crate::error::{CompareError, Result};
use crate::measures::{Measure, Shown};
use crate::ranking::{best_first, compare_values};
use kiln_statistics::Spread;

/// Which columns and rows a table has.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TableOptions {
    /// The column to sort by, by its heading or key; without it the rows are in the order of the ranking. Measures sort
    /// the better value first, and the lower one if neither is better. Settings ascend, verdicts descend, the most
    /// likely winners come first, and rows without a value last.
    pub sort: Option<String>,
    /// The columns to show, in this order: headings, keys, or names of settings. If empty, the table has its default
    /// columns.
    pub columns: Vec<String>,
    /// One row per run instead of one per combination.
    pub all_seeds: bool,
}

impl TableOptions {
    /// The same without columns that these runs do not have. The tables of [`Comparison::other_data`] are made with the
    /// options for the first one, and their settings may be others.
    #[must_use]
    pub fn known_to(&self, comparison: &Comparison) -> Self {
        let table = ComparisonTable { comparison, fields: Vec::new(), rows: Vec::new() };
        let is_known = |name: &String| table.find(name, self).is_ok();
        Self {
            sort: self.sort.clone().filter(is_known),
            columns: self.columns.iter().filter(|name| is_known(name)).cloned().collect(),
            all_seeds: self.all_seeds,
        }
    }
}

/// Who reads a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reader {
    /// Tables have the columns that say something about these runs.
    Person,
    /// Tables have all columns, always in the same order.
    Program,
}

/// A column of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Field<'a> {
    /// The setting at this index of [`Comparison::columns`].
    Setting(usize),
    /// The setting at this index of [`Comparison::shared`].
    Shared(usize),
    /// The dataset, if there are several.
    Data,
    /// The names of the runs' experiments. A name is no setting, so this column is shown only on request.
    Name,
    Seed,
    Run,
    Measure(Measure<'a>),
    Status,
    /// Whether the combination may be the best.
    Standing,
    /// Its distance to the best.
    Behind,
    /// The comparison with the given baseline.
    Verdict,
    /// The tags of the runs.
    Tags,
    /// Their notes.
    Note,
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
    pub(crate) fn measure(&self, measure: &Measure<'_>) -> Option<Spread> {
        match self.run {
            Some(run) => Spread::of(measure.of_run(run)),
            None => measure.of(self.combination),
        }
    }

    fn shown_runs(&self) -> &[RunSummary] {
        self.run.map_or(self.combination.runs.as_slice(), std::slice::from_ref)
    }

    /// The tags of the runs, without duplicates.
    pub(crate) fn tags(&self) -> String {
        let runs = self.shown_runs().iter();
        let mut tags: Vec<&str> = runs.flat_map(RunSummary::tags).map(String::as_str).collect();
        tags.sort_unstable();
        tags.dedup();
        tags.join(", ")
    }

    /// The notes of the runs, without duplicates.
    pub(crate) fn note(&self) -> String {
        let mut notes: Vec<&str> = Vec::new();
        for note in self.shown_runs().iter().filter_map(RunSummary::note) {
            if !notes.contains(&note) {
                notes.push(note);
            }
        }
        notes.join("; ")
    }

    /// The names of the runs' experiments, without duplicates.
    pub(crate) fn name(&self) -> String {
        let mut names: Vec<&str> = self.shown_runs().iter().map(|run| run.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        names.join(", ")
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
    pub(crate) fields: Vec<Field<'a>>,
    pub(crate) rows: Vec<Row<'a>>,
}

impl<'a> ComparisonTable<'a> {
    pub(crate) fn new(
        comparison: &'a Comparison,
        options: &TableOptions,
        reader: Reader,
    ) -> Result<Self> {
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
            default_fields(comparison, options, reader)
        } else {
            let names = options.columns.iter();
            names.map(|name| table.find(name, options)).collect::<Result<_>>()?
        };
        Ok(table)
    }

    pub(crate) fn heading(&self, field: Field<'a>) -> &'a str {
        heading(self.comparison, field)
    }

    /// The row's value of a setting.
    pub(crate) fn setting(&self, field: Field<'_>, row: &Row<'_>) -> Option<&'a str> {
        setting(self.comparison, field, row.index)
    }

    fn find(&self, name: &str, options: &TableOptions) -> Result<Field<'a>> {
        let comparison = self.comparison;
        let wanted = plain(name);
        let mut known = default_fields(comparison, options, Reader::Program);
        // Measures that are not shown can still be asked for.
        let measures = comparison.measures().into_iter().map(Field::Measure);
        let hidden: Vec<_> = measures.filter(|measure| !known.contains(measure)).collect();
        known.extend(hidden);
        known.extend([Field::Name, Field::Tags, Field::Note]);
        let is_wanted = |field: &&Field<'_>| {
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

    fn unknown(&self, name: &str, known: &[Field<'_>]) -> CompareError {
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
fn default_fields<'a>(
    comparison: &'a Comparison,
    options: &TableOptions,
    reader: Reader,
) -> Vec<Field<'a>> {
    let mut fields: Vec<Field<'_>> = (0..comparison.columns.len()).map(Field::Setting).collect();
    if options.all_seeds {
        fields.extend([Field::Seed, Field::Run]);
    }
    let measures = comparison.measures().into_iter();
    let measures = measures.filter(|measure| match reader {
        Reader::Person => measure.is_shown(comparison),
        Reader::Program => measure.shown != Shown::IfDifferent || measure.is_shown(comparison),
    });
    let (first, last): (Vec<_>, Vec<_>) = measures.partition(|measure| match reader {
        Reader::Person => measure.shown != Shown::IfDifferent,
        Reader::Program => measure.shown == Shown::Always,
    });
    fields.extend(first.into_iter().map(Field::Measure));
    fields.push(Field::Status);
    // Runs have no verdicts, only combinations have.
    let has_verdicts =
        comparison.baseline.is_some_and(|baseline| baseline.comparisons > 0) && !options.all_seeds;
    let has_answer = comparison.answer.is_some() && !options.all_seeds;
    match reader {
        Reader::Person => {
            fields.extend(has_answer.then_some([Field::Standing, Field::Behind]).iter().flatten());
            fields.extend(has_verdicts.then_some(Field::Verdict));
            fields.extend(last.into_iter().map(Field::Measure));
        }
        Reader::Program => {
            fields.extend((has_verdicts || has_answer).then_some(Field::Verdict));
            fields.extend(last.into_iter().map(Field::Measure));
            fields.extend(has_answer.then_some([Field::Standing, Field::Behind]).iter().flatten());
        }
    }
    // Last, so the positions of the other columns in CSV do not depend on them.
    let any = |has: fn(&RunSummary) -> bool| comparison.runs().any(has);
    fields.extend(any(|run| !run.tags().is_empty()).then_some(Field::Tags));
    fields.extend(any(|run| run.note().is_some()).then_some(Field::Note));
    fields
}

fn heading<'a>(comparison: &'a Comparison, field: Field<'a>) -> &'a str {
    match field {
        Field::Setting(index) => &comparison.columns[index].label,
        Field::Shared(index) => &comparison.shared[index].column.label,
        Field::Data => "data",
        Field::Name => "name",
        Field::Seed => "seed",
        Field::Run => "run",
        Field::Measure(measure) => measure.heading,
        Field::Status => "status",
        Field::Standing => "best?",
        Field::Behind => "behind",
        Field::Verdict => "verdict",
        Field::Tags => "tags",
        Field::Note => "note",
    }
}

fn setting<'a>(
    comparison: &'a Comparison,
    field: Field<'_>,
    combination: usize,
) -> Option<&'a str> {
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

fn compare(comparison: &Comparison, field: Field<'_>, left: &Row<'_>, right: &Row<'_>) -> Ordering {
    let rows = [left, right];
    match field {
        Field::Measure(measure) => {
            let [left, right] = rows.map(|row| row.measure(&measure).map(|spread| spread.mean));
            best_first(measure.direction.unwrap_or(Direction::Lower), left, right)
        }
        Field::Setting(_) | Field::Shared(_) => {
            let values = rows.map(|row| setting(comparison, field, row.index));
            compare_values(values[0], values[1])
        }
        // A table has one dataset.
        Field::Data => Ordering::Equal,
        Field::Name => left.name().cmp(&right.name()),
        Field::Seed => left.run.map(|run| run.seed).cmp(&right.run.map(|run| run.seed)),
        Field::Run => left.run.map(|run| &run.id).cmp(&right.run.map(|run| &run.id)),
        Field::Status => left.status().cmp(&right.status()),
        Field::Tags => texts_first(left.tags(), right.tags()),
        Field::Note => texts_first(left.note(), right.note()),
        Field::Standing | Field::Behind => {
            let p_best = |row: &Row<'_>| row.combination.standing.map(|standing| standing.p_best);
            best_first(Direction::Higher, p_best(left), p_best(right))
        }
        Field::Verdict => {
            let [left, right] =
                rows.map(|row| row.combination.verdict.map(|verdict| verdict.difference));
            best_first(Direction::Higher, left, right)
        }
    }
}

/// The order of texts, with empty ones last.
fn texts_first(left: String, right: String) -> Ordering {
    left.is_empty().cmp(&right.is_empty()).then_with(|| left.cmp(&right))
}
