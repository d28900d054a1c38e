use std::fmt::Write;

use kiln_store::escape::markdown as escaped;
use kiln_store::{History, RunRecord, TestReport};

use crate::filters::Filters;
use crate::summary;

/// The text of `report.md`. For a run without a test report, it says that there are no test results.
#[must_use]
pub fn markdown(
    record: &RunRecord,
    history: &History,
    report: Option<&TestReport>,
    filters: Option<&Filters<'_>>,
) -> String {
    let mut text = format!("# {}\n\n", escaped(&record.name));
    paragraph(&mut text, &format!("Run {}, {}.", record.id, summary::ending(record)));
    match report {
        Some(report) => {
            paragraph(&mut text, &format!("Test: {}.", summary::result(report)));
            if let Some(most_frequent) = summary::most_frequent(report) {
                paragraph(&mut text, &most_frequent);
            }
        }
        None => paragraph(&mut text, summary::UNTESTED),
    }
    let facts =
        summary::facts(record).into_iter().map(|fact| vec![fact.label.to_owned(), fact.text]);
    table(&mut text, &["", ""], 2, facts);
    write_history(&mut text, record, history);
    if let Some(report) = report {
        write_test(&mut text, report);
    }
    if let Some(filters) = filters {
        text.push_str("## Filters\n\n");
        paragraph(&mut text, &filters.caption());
        text.push_str("![The filters of the first convolution](filters.png)\n\n");
    }
    text.push_str("## Retrain this run\n\n`config.toml` in this directory is the full configuration, with every value explicit. To train a new run with it:\n\n");
    text.push_str("```\nkiln run RUN/config.toml\n```\n\n");
    text.push_str(
        "Run the command in the directory where this run was started. RUN is the path of this directory.\n",
    );
    text
}

fn write_history(text: &mut String, record: &RunRecord, history: &History) {
    text.push_str("## History\n\n");
    if history.rows.is_empty() {
        paragraph(text, "No epoch was completed.");
        return;
    }
    text.push_str("![Loss and accuracy over the epochs](history.svg)\n\n");
    let columns = summary::epoch_columns(history);
    let rows = history.selection(summary::MAX_EPOCHS);
    if let Some(note) = summary::left_out(history, rows.len()) {
        paragraph(text, &note);
    }
    table(text, &columns, 0, rows.iter().map(|row| summary::epoch_cells(row, &columns)));
    let notes = [summary::best_epoch(history), summary::optimism(record)];
    for note in notes.into_iter().flatten() {
        paragraph(text, &note);
    }
}

pub(crate) fn write_test(text: &mut String, report: &TestReport) {
    text.push_str("## Test\n\n");
    let rows = summary::class_rows_with_intervals(report);
    table(text, &summary::INTERVAL_COLUMNS, 1, rows);
    if let Some(note) = summary::classes_left_out(report) {
        paragraph(text, &note);
    }
    paragraph(text, summary::INTERVAL_NOTE);
    for note in &report.notes {
        paragraph(text, &format!("Note: {note}."));
    }
    text.push_str("![Confusion matrix](confusion.svg)\n\n");
    let pairs = report.confused_pairs();
    if !pairs.is_empty() {
        text.push_str("Most often confused:\n\n");
        for pair in pairs.into_iter().take(summary::MAX_PAIRS) {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "- {}", escaped(&summary::confused(report, pair)));
        }
        text.push('\n');
    }
    text.push_str("![The most confident mistakes](mistakes.png)\n\n");
}

fn paragraph(text: &mut String, words: &str) {
    text.push_str(&escaped(words));
    text.push_str("\n\n");
}

/// Appends a table. The first `words` columns are text; the others are numbers, aligned to the right.
fn table(
    text: &mut String,
    head: &[&str],
    words: usize,
    rows: impl IntoIterator<Item = Vec<String>>,
) {
    let alignment = |column| if column < words { "---" } else { "--:" };
    let _ = writeln!(
        text,
        "| {} |\n|{}|",
        head.iter().map(|cell| escaped(cell)).collect::<Vec<_>>().join(" | "),
        (0..head.len()).map(alignment).collect::<Vec<_>>().join("|")
    );
    for row in rows {
        let cells: Vec<_> = row.iter().map(|cell| escaped(cell)).collect();
        let _ = writeln!(text, "| {} |", cells.join(" | "));
    }
    text.push('\n');
}
