use kiln_store::escape::control;

use crate::answer::standing_words;
use crate::cells::is_baseline;
use crate::comparison::Comparison;
use crate::error::{CompareError, Result};
use crate::table::{ComparisonTable, Field, Reader, Row, TableOptions};

/// The comparison as CSV: one row per combination, or per run with [`TableOptions::all_seeds`].
///
/// Each setting has a column. A measure has columns for its mean, its sample standard deviation and its number of runs
/// (`test_accuracy_mean`, `test_accuracy_sd`, `test_accuracy_n`), or one column if rows are runs (`test_accuracy`).
/// `may_be_best` and `worse` are `true` or `false`, with the p-values `p_best` and `p_worse`, and `behind_low` and
/// `behind_high` are the interval of how far the combination is behind the best. `verdict` says the same in words
/// (`possible winner`, `not the best`, `worse`) or, if a baseline was given, is `baseline`, `better`, `worse` or
/// `not distinguishable`, with `difference`, `interval_low`, `interval_high` and `p_value`; `verdict_on` is the metric that
/// is compared. Numbers have as many digits as the same `f64` needs, and missing values are empty. Text that a
/// spreadsheet could take for a formula gets a leading `'`, and control characters are written as `\u{…}`.
///
/// If any run has tags or a note, the last columns are `tags` and `note`.
///
/// With [`Comparison::other_data`], the rows of each dataset follow, and the first column is `data`: the name of the
/// dataset and the beginning of its fingerprint.
///
/// # Errors
///
/// [`CompareError::Request`] if a requested column does not exist.
pub fn csv(comparison: &Comparison, options: &TableOptions) -> Result<String> {
    let mut tables = vec![ComparisonTable::new(comparison, options, Reader::Program)?];
    for other in &comparison.other_data {
        tables.push(ComparisonTable::new(other, &options.known_to(other), Reader::Program)?);
    }
    if tables.len() > 1 {
        tables.iter_mut().for_each(|table| table.fields.insert(0, Field::Data));
    }
    let head = merged(tables.iter().map(|table| headings(table, options.all_seeds)));
    let mut writer = ::csv::Writer::from_writer(Vec::new());
    let failed = |error: ::csv::Error| {
        CompareError::Inconsistent(format!("the comparison cannot be written as CSV: {error}"))
    };
    writer.write_record(&head).map_err(failed)?;
    for table in &tables {
        // A setting that differs between the runs on one dataset may be the same for all runs on another one.
        let own = headings(table, options.all_seeds);
        for row in &table.rows {
            let cells = cells(table, row);
            let cell = |heading: &String| match own.iter().position(|own| own == heading) {
                Some(place) => cells[place].clone(),
                None => shared(table, heading),
            };
            writer.write_record(head.iter().map(cell)).map_err(failed)?;
        }
    }
    let bytes = writer.into_inner().map_err(|error| failed(error.into_error().into()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// All headings in one order. A heading that only some tables have comes after the heading that it follows there.
fn merged(tables: impl Iterator<Item = Vec<String>>) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for table in tables {
        let mut place = 0;
        for heading in table {
            match all.iter().position(|known| *known == heading) {
                Some(found) => place = found + 1,
                None => {
                    all.insert(place, heading);
                    place += 1;
                }
            }
        }
    }
    all
}

/// The value of a setting that all runs of the table share.
fn shared(table: &ComparisonTable<'_>, heading: &str) -> String {
    let shared = &table.comparison.shared;
    let found = shared.iter().find(|setting| text(&setting.column.label) == heading);
    found.map(|setting| text(&setting.value)).unwrap_or_default()
}

fn headings(table: &ComparisonTable<'_>, all_seeds: bool) -> Vec<String> {
    table.fields.iter().flat_map(|field| heading(table, *field, all_seeds)).collect()
}

fn heading(table: &ComparisonTable<'_>, field: Field<'_>, all_seeds: bool) -> Vec<String> {
    let heading = table.heading(field);
    let all = |headings: &[&str]| headings.iter().map(|heading| (*heading).to_owned()).collect();
    match field {
        Field::Measure(_) if all_seeds => vec![heading.replace(' ', "_")],
        Field::Measure(_) => {
            let name = heading.replace(' ', "_");
            ["mean", "sd", "n"].map(|of| format!("{name}_{of}")).into()
        }
        Field::Verdict => all(&[
            "verdict",
            "difference",
            "interval_low",
            "interval_high",
            "p_value",
            "verdict_on",
        ]),
        Field::Standing => all(&["may_be_best", "p_best", "worse", "p_worse"]),
        Field::Behind => all(&["behind_low", "behind_high"]),
        _ => vec![text(heading)],
    }
}

fn cells(table: &ComparisonTable<'_>, row: &Row<'_>) -> Vec<String> {
    table.fields.iter().flat_map(|field| field_cells(table, *field, row)).collect()
}

fn field_cells(table: &ComparisonTable<'_>, field: Field<'_>, row: &Row<'_>) -> Vec<String> {
    let standing = row.combination.standing;
    match field {
        Field::Setting(_) | Field::Shared(_) => {
            vec![text(table.setting(field, row).unwrap_or_default())]
        }
        Field::Data => vec![text(&table.comparison.data_name())],
        Field::Name => vec![text(&row.name())],
        Field::Seed => vec![row.run.map(|run| run.seed.to_string()).unwrap_or_default()],
        Field::Run => vec![text(row.run.map(|run| run.id.as_str()).unwrap_or_default())],
        Field::Measure(measure) => {
            let spread = row.measure(&measure);
            let mean = number(spread.map(|spread| spread.mean));
            if row.run.is_some() {
                return vec![mean];
            }
            let count = spread.map_or(0, |spread| spread.count);
            vec![mean, number(spread.and_then(|spread| spread.deviation)), count.to_string()]
        }
        Field::Status => vec![text(&row.status())],
        Field::Tags => vec![text(&row.tags())],
        Field::Note => vec![text(&row.note())],
        Field::Standing => match standing {
            Some(standing) => vec![
                standing.may_be_best.to_string(),
                number(Some(standing.p_best)),
                standing.worse.to_string(),
                number(Some(standing.p_worse)),
            ],
            None => vec![String::new(); 4],
        },
        Field::Behind => {
            let behind = standing.map(|standing| standing.behind);
            vec![number(behind.map(|(low, _)| low)), number(behind.map(|(_, high)| high))]
        }
        Field::Verdict => verdict(table, row),
    }
}

fn verdict(table: &ComparisonTable<'_>, row: &Row<'_>) -> Vec<String> {
    let metric = table.comparison.compared_metric().to_owned();
    let words = |words: &str| {
        let [difference, low, high, p_value] = [const { String::new() }; 4];
        vec![words.to_owned(), difference, low, high, p_value, metric.clone()]
    };
    match (&row.combination.verdict, &row.combination.standing) {
        (Some(verdict), _) => vec![
            verdict.outcome.as_str().to_owned(),
            number(Some(verdict.difference)),
            number(Some(verdict.interval.0)),
            number(Some(verdict.interval.1)),
            number(Some(verdict.p_value)),
            metric,
        ],
        _ if is_baseline(table, row) => words("baseline"),
        (None, Some(standing)) if table.comparison.baseline.is_none() => {
            words(standing_words(standing))
        }
        _ => vec![String::new(); 6],
    }
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
