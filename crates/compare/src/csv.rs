use kiln_store::escape::control;

use crate::cells::is_baseline;
use crate::comparison::Comparison;
use crate::error::{CompareError, Result};
use crate::table::{ComparisonTable, Field, Row, TableOptions};
use crate::verdict::Verdict;

/// The comparison as CSV: one row per combination, or per run with [`TableOptions::all_seeds`].
///
/// Each setting has a column. A measure has columns for its mean, its sample standard deviation and its number of runs
/// (`test_accuracy_mean`, `test_accuracy_sd`, `test_accuracy_n`), or one column if rows are runs (`test_accuracy`). The
/// verdict has the columns `verdict` (`baseline` for the baseline), `difference`, `interval_low`, `interval_high`,
/// `p_value`, `method` and `verdict_on` (`val_accuracy` or `test_accuracy`). Numbers have as many digits as the same
/// `f64` needs, and missing values are empty. Text that a spreadsheet could take for a formula gets a leading `'`, and
/// control characters are written as `\u{…}`.
///
/// # Errors
///
/// [`CompareError::Request`] if a requested column does not exist.
pub fn csv(comparison: &Comparison, options: &TableOptions) -> Result<String> {
    let table = ComparisonTable::new(comparison, options)?;
    let mut writer = ::csv::Writer::from_writer(Vec::new());
    let failed = |error: ::csv::Error| {
        CompareError::Inconsistent(format!("the comparison cannot be written as CSV: {error}"))
    };
    let head = table.fields.iter().flat_map(|field| headings(&table, *field, options.all_seeds));
    writer.write_record(head).map_err(failed)?;
    for row in &table.rows {
        let cells = table.fields.iter().flat_map(|field| cells(&table, *field, row));
        writer.write_record(cells).map_err(failed)?;
    }
    let bytes = writer.into_inner().map_err(|error| failed(error.into_error().into()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn headings(table: &ComparisonTable<'_>, field: Field, all_seeds: bool) -> Vec<String> {
    let heading = table.heading(field);
    match field {
        Field::Measure(_) if all_seeds => vec![heading.replace(' ', "_")],
        Field::Measure(_) => {
            let name = heading.replace(' ', "_");
            ["mean", "sd", "n"].map(|of| format!("{name}_{of}")).into()
        }
        Field::Verdict => [
            "verdict",
            "difference",
            "interval_low",
            "interval_high",
            "p_value",
            "method",
            "verdict_on",
        ]
        .map(str::to_owned)
        .into(),
        _ => vec![text(heading)],
    }
}

fn cells(table: &ComparisonTable<'_>, field: Field, row: &Row<'_>) -> Vec<String> {
    match field {
        Field::Setting(_) | Field::Shared(_) => {
            vec![text(table.setting(field, row).unwrap_or_default())]
        }
        Field::Seed => vec![row.run.map(|run| run.seed.to_string()).unwrap_or_default()],
        Field::Run => vec![text(row.run.map(|run| run.id.as_str()).unwrap_or_default())],
        Field::Measure(measure) => {
            let spread = row.measure(measure);
            let mean = number(spread.map(|spread| spread.mean));
            if row.run.is_some() {
                return vec![mean];
            }
            let count = spread.map_or(0, |spread| spread.count);
            vec![mean, number(spread.and_then(|spread| spread.deviation)), count.to_string()]
        }
        Field::Status => vec![text(&row.status())],
        Field::Verdict if is_baseline(table, row) => {
            let mut cells = vec!["baseline".to_owned()];
            cells.resize(7, String::new());
            cells
        }
        Field::Verdict => verdict(row.combination.verdict.as_ref()),
    }
}

fn verdict(verdict: Option<&Verdict>) -> Vec<String> {
    let Some(verdict) = verdict else {
        return vec![String::new(); 7];
    };
    vec![
        verdict.outcome.as_str().to_owned(),
        number(Some(verdict.difference)),
        number(verdict.interval.map(|(low, _)| low)),
        number(verdict.interval.map(|(_, high)| high)),
        number(Some(verdict.p_value)),
        verdict.method.as_str().to_owned(),
        verdict.accuracy.as_str().to_owned(),
    ]
}

fn number(value: Option<f64>) -> String {
    // Both forms are the shortest that read back as the same f64. Without an exponent, a tiny p-value would have
    // hundreds of zeros.
    value.map_or_else(String::new, |value| {
        if value != 0.0 && value.abs() < 1e-5 { format!("{value:e}") } else { value.to_string() }
    })
}

/// Text that no spreadsheet takes for a formula. Numbers stay numbers, also negative ones.
fn text(text: &str) -> String {
    let is_number = text.parse::<f64>().is_ok_and(f64::is_finite);
    let escaped = control(text);
    if !is_number && text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        format!("'{escaped}")
    } else {
        escaped.into_owned()
    }
}
