//! What stands in the cells of a table for people. Tables for programs have all digits; see `csv` and `json`.

use kiln_store::number::decimals;

use crate::statistics::Spread;
use crate::table::{Field, Metric, Row, Table};
use crate::verdict::{Method, Verdict};

/// What a row says in a column; empty where there is nothing.
pub(crate) fn cell(table: &Table<'_>, field: Field, row: &Row<'_>) -> String {
    match field {
        Field::Setting(_) | Field::Shared(_) => {
            table.setting(field, row).unwrap_or_default().to_owned()
        }
        Field::Seed => row.run.map(|run| run.seed.to_string()).unwrap_or_default(),
        Field::Run => row.run.map(|run| run.id.clone()).unwrap_or_default(),
        Field::Metric(metric) => spread(metric, row),
        Field::Status => row.status(),
        Field::Verdict if is_baseline(table, row) => "baseline".to_owned(),
        Field::Verdict => row.combination.verdict.as_ref().map(verdict).unwrap_or_default(),
    }
}

/// Whether the row is what the verdicts are against.
pub(crate) fn is_baseline(table: &Table<'_>, row: &Row<'_>) -> bool {
    table.comparison.baseline.is_some_and(|baseline| baseline.combination == row.index)
}

/// Mean, deviation and number of runs; the number alone where a row has but one.
fn spread(metric: Metric, row: &Row<'_>) -> String {
    let Some(Spread { mean, deviation, count }) = row.metric(metric) else {
        return String::new();
    };
    let with_decimals = |value, places| decimals(Some(value), places);
    match metric {
        Metric::BestEpoch if count == 1 => with_decimals(mean, 0),
        Metric::BestEpoch | Metric::Seconds => with_decimals(mean, 1),
        _ => {
            let mut text = with_decimals(mean, 4);
            if let Some(deviation) = deviation {
                text.push_str(&format!(" ± {}", with_decimals(deviation, 4)));
            }
            if row.runs() > 1 {
                text.push_str(&format!(" ({count})"));
            }
            text
        }
    }
}

/// `better +0.0123 [0.0011, 0.0234]`, and `by images` behind it where the test was over those.
pub(crate) fn verdict(verdict: &Verdict) -> String {
    let mut words = format!("{} {:+.4}", verdict.outcome.as_str(), verdict.difference);
    if let Some((low, high)) = verdict.interval {
        let [low, high] = outward(low, high);
        words.push_str(&format!(" [{low}, {high}]"));
    }
    if verdict.method == Method::McNemar {
        words.push_str(" by images");
    }
    words
}

/// An interval to four decimals, rounded outwards: an end that is not 0 must not be rounded across, and an interval
/// that is shown covers the one that was computed.
pub(crate) fn outward(low: f64, high: f64) -> [String; 2] {
    let (low, high) = ((low * 1e4).floor() / 1e4, (high * 1e4).ceil() / 1e4);
    // -0.0000 says nothing that 0.0000 does not.
    [low, high].map(|end| format!("{:.4}", if end == 0.0 { 0.0 } else { end }))
}
