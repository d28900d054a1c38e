//! The cells of the tables that people read. CSV and JSON have all digits; see `csv` and `json`.

use crate::measures::Measure;
use crate::table::{ComparisonTable, Field, Row};
use crate::verdict::Verdict;
use kiln_statistics::Standing;
use kiln_store::escape::shorten;

/// The most characters of a note in a cell.
const MAX_NOTE: usize = 40;

/// The text of a cell; empty if the row has no value in the column.
pub(crate) fn cell(table: &ComparisonTable<'_>, field: Field<'_>, row: &Row<'_>) -> String {
    match field {
        Field::Setting(_) | Field::Shared(_) => {
            table.setting(field, row).unwrap_or_default().to_owned()
        }
        Field::Data => table.comparison.data_name(),
        Field::Name => row.name(),
        Field::Seed => row.run.map(|run| run.seed.to_string()).unwrap_or_default(),
        Field::Run => row.run.map(|run| run.id.clone()).unwrap_or_default(),
        Field::Measure(found) => measure(&found, row),
        Field::Status => row.status(),
        Field::Tags => row.tags(),
        Field::Note => first_line(&row.note()),
        Field::Standing => row.combination.standing.as_ref().map(standing).unwrap_or_default(),
        Field::Behind => row.combination.standing.as_ref().map(behind).unwrap_or_default(),
        Field::Verdict if is_baseline(table, row) => "baseline".to_owned(),
        Field::Verdict => row.combination.verdict.as_ref().map(verdict).unwrap_or_default(),
    }
}

/// The beginning of a note, for a cell of a table.
pub(crate) fn first_line(note: &str) -> String {
    let line = note.lines().next().unwrap_or_default();
    let shown = shorten(line, MAX_NOTE);
    if line.len() < note.trim_end().len() && !shown.ends_with('…') {
        return format!("{shown} …");
    }
    shown.into_owned()
}

/// Whether the row is the baseline of the verdicts.
pub(crate) fn is_baseline(table: &ComparisonTable<'_>, row: &Row<'_>) -> bool {
    table.comparison.baseline.is_some_and(|baseline| baseline.combination == row.index)
}

/// `possible` for a possible winner, `worse` for a combination that is worse than the best, `no` for another one that is
/// not the best.
pub(crate) fn standing(standing: &Standing) -> String {
    match standing {
        Standing { may_be_best: true, .. } => "possible",
        Standing { worse: true, .. } => "worse",
        _ => "no",
    }
    .to_owned()
}

/// The distance of the combination to the best, as an interval: `0.0012 to 0.0043`.
pub(crate) fn behind(standing: &Standing) -> String {
    let [low, high] = outward(standing.behind.0, standing.behind.1);
    format!("{low} to {high}")
}

/// Mean, deviation and number of runs; the value alone if the row is one run.
fn measure(measure: &Measure<'_>, row: &Row<'_>) -> String {
    let Some(spread) = row.measure(measure) else {
        return String::new();
    };
    let mut text = measure.format.mean(spread.mean, spread.count);
    if measure.format.has_deviation() {
        let deviation = measure.format.deviation(spread);
        if !deviation.is_empty() {
            text.push_str(&format!(" ± {deviation}"));
        }
        if row.runs() > 1 {
            text.push_str(&format!(" ({})", spread.count));
        }
    }
    text
}

/// `better +0.0123 [0.0011, 0.0234]`.
pub(crate) fn verdict(verdict: &Verdict) -> String {
    let [low, high] = outward(verdict.interval.0, verdict.interval.1);
    format!("{} {:+.4} [{low}, {high}]", verdict.outcome.as_str(), verdict.difference)
}

/// An interval with four decimals, rounded outward: it covers the computed one, and an end that is not 0 keeps its
/// sign.
pub(crate) fn outward(low: f64, high: f64) -> [String; 2] {
    let (low, high) = ((low * 1e4).floor() / 1e4, (high * 1e4).ceil() / 1e4);
    // Without this, an end of -0.0 would be written as -0.0000.
    [low, high].map(|end| format!("{:.4}", if end == 0.0 { 0.0 } else { end }))
}
