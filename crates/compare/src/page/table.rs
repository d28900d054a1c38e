use askama::Template;
use kiln_store::number::decimals;

use crate::charts::{Measure, is_selected, number};
use crate::combination::{Combination, RunSummary};
use crate::comparison::Comparison;
use crate::statistics::Spread;

use super::verdicts;

/// A table that can be sorted by its columns.
#[derive(Template)]
#[template(path = "table.html")]
pub(super) struct Table {
    id: &'static str,
    /// What it is called where it is not seen.
    label: &'static str,
    heads: Vec<Head>,
    rows: Vec<Row>,
}

impl Table {
    /// Without the columns that no row has anything in.
    fn without_empty_columns(mut self) -> Self {
        let columns = 0..self.heads.len();
        let used: Vec<bool> = columns
            .map(|column| self.rows.iter().any(|row| !row.cells[column].text.is_empty()))
            .collect();
        let mut kept = used.iter().copied();
        self.heads.retain(|_| kept.next().unwrap_or(true));
        for row in &mut self.rows {
            let mut kept = used.iter().copied();
            row.cells.retain(|_| kept.next().unwrap_or(true));
        }
        self
    }
}

struct Head {
    text: String,
    numeric: bool,
}

struct Row {
    best: bool,
    cells: Vec<Cell>,
}

#[derive(Default)]
struct Cell {
    text: String,
    /// Over seeds; empty where there is one.
    deviation: String,
    /// What it is sorted by where that is a number; otherwise empty, and it is sorted by its text.
    sort: String,
    numeric: bool,
}

impl Cell {
    fn text(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }

    fn number(value: Option<f64>, digits: usize) -> Self {
        Self {
            text: decimals(value, digits),
            sort: value.map(|value| value.to_string()).unwrap_or_default(),
            numeric: true,
            ..Self::default()
        }
    }

    fn spread(spread: Option<Spread>, digits: usize) -> Self {
        let deviation = decimals(spread.and_then(|spread| spread.deviation), digits);
        Self { deviation, ..Self::number(spread.map(|spread| spread.mean), digits) }
    }

    fn setting(value: Option<&str>, numeric: bool) -> Self {
        let sort = number(value).map(|value| value.to_string()).unwrap_or_default();
        Self { sort, numeric, ..Self::text(value.unwrap_or_default()) }
    }
}

fn head(text: &str, numeric: bool) -> Head {
    Head { text: text.to_owned(), numeric }
}

/// The heads of the settings, and which of them hold numbers alone.
fn settings(comparison: &Comparison) -> Vec<Head> {
    let columns = comparison.columns.iter().enumerate();
    let heads = columns.map(|(index, column)| {
        let mut values =
            comparison.combinations.iter().filter_map(|c| c.settings.get(index)?.as_deref());
        head(&column.label, values.all(|value| number(Some(value)).is_some()))
    });
    heads.collect()
}

fn setting_cells<'a>(
    combination: &'a Combination,
    heads: &'a [Head],
) -> impl Iterator<Item = Cell> + 'a {
    heads.iter().enumerate().map(|(index, head)| {
        Cell::setting(combination.settings.get(index).and_then(Option::as_deref), head.numeric)
    })
}

/// A row a combination, in the order of the comparison.
pub(super) fn ranking(comparison: &Comparison) -> Table {
    let settings = settings(comparison);
    let row = |(index, combination): (usize, &Combination)| {
        let baseline = comparison.baseline.is_some_and(|baseline| baseline.combination == index);
        let spread = |measure: Measure| Cell::spread(measure.of(combination), measure.decimals());
        let mut cells = vec![Cell::number(Some(index as f64 + 1.0), 0)];
        cells.extend(setting_cells(combination, &settings));
        cells.extend([spread(Measure::BestValidation), spread(Measure::TestAccuracy)]);
        cells.extend(verdict_cells(combination, baseline));
        cells.extend([
            Cell::number(Some(combination.runs.len() as f64), 0),
            Cell::text(combination.status()),
            Cell::number(combination.best_epoch().map(|epoch| epoch.mean), 1),
            spread(Measure::LastValidation),
            spread(Measure::TestLoss),
            spread(Measure::TrainingSeconds),
        ]);
        Row { best: is_selected(comparison, index), cells }
    };
    let rows = comparison.combinations.iter().enumerate().map(row).collect();
    let mut heads = vec![head("#", true)];
    heads.extend(settings);
    heads.extend([
        head("best val_accuracy", true),
        head("test accuracy", true),
        head("verdict", false),
        head("difference", true),
        head("interval", true),
        head("p", true),
        head("runs", true),
        head("status", false),
        head("best epoch", true),
        head("last val_accuracy", true),
        head("test loss", true),
        head("seconds", true),
    ]);
    Table { id: "ranking-table", label: "All combinations", heads, rows }.without_empty_columns()
}

fn verdict_cells(combination: &Combination, baseline: bool) -> [Cell; 4] {
    let Some(verdict) = &combination.verdict else {
        let words = if baseline { "baseline" } else { "" };
        let empty = || Cell { numeric: true, ..Cell::default() };
        return [Cell::text(words), empty(), empty(), empty()];
    };
    let (low, high) = match verdict.interval {
        Some((low, high)) => (Some(low), Some(high)),
        None => (None, None),
    };
    let signed = |value: Option<f64>| value.map(verdicts::signed).unwrap_or_default();
    let interval = match (low, high) {
        (Some(_), Some(_)) => format!("{} to {}", signed(low), signed(high)),
        _ => String::new(),
    };
    let difference = Some(verdict.difference);
    let p_value = verdicts::p_value(verdict.p_value);
    let p_value = p_value.trim_start_matches("p = ").trim_start_matches("p ");
    [
        Cell::text(verdicts::short(verdict)),
        Cell { text: signed(difference), ..Cell::number(difference, 4) },
        Cell { text: interval, ..Cell::number(low, 4) },
        Cell { text: p_value.to_owned(), ..Cell::number(Some(verdict.p_value), 4) },
    ]
}

/// A row a run, in the order of their combinations.
pub(super) fn runs(comparison: &Comparison) -> Table {
    let settings = settings(comparison);
    let mut rows = Vec::new();
    for (index, combination) in comparison.combinations.iter().enumerate() {
        for run in &combination.runs {
            let mut cells = vec![Cell::number(Some(index as f64 + 1.0), 0)];
            cells.extend(setting_cells(combination, &settings));
            cells.extend(run_cells(run));
            rows.push(Row { best: false, cells });
        }
    }
    let mut heads = vec![head("#", true)];
    heads.extend(settings);
    heads.extend([
        head("seed", true),
        head("best val_accuracy", true),
        head("best epoch", true),
        head("last val_accuracy", true),
        head("test accuracy", true),
        head("test loss", true),
        head("seconds", true),
        head("status", false),
        head("directory", false),
    ]);
    Table { id: "runs-table", label: "Every run", heads, rows }.without_empty_columns()
}

fn run_cells(run: &RunSummary) -> [Cell; 9] {
    let status = match &run.stop_reason {
        Some(reason) if run.status != kiln_store::Status::Finished => {
            format!("{}: {reason}", run.status_words())
        }
        _ => run.status_words(),
    };
    [
        Cell { text: run.seed.to_string(), ..Cell::number(Some(run.seed as f64), 0) },
        Cell::number(run.best.map(|best| best.value), 4),
        Cell::number(run.best.map(|best| best.epoch as f64), 0),
        Cell::number(run.last.map(|last| last.value), 4),
        Cell::number(run.test.map(|test| test.accuracy), 4),
        Cell::number(run.test.and_then(|test| test.loss), 4),
        Cell::number(run.training_seconds, 1),
        Cell::text(status),
        Cell::text(run.directory.path().to_string_lossy()),
    ]
}
