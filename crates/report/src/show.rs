use comfy_table::{
    Attribute, Cell, CellAlignment, ContentArrangement, LineStyle, Table, TableStyle,
};
use kiln_store::escape::control;
use kiln_store::{Annotations, History, RunDirectory, RunRecord, Status, StoreError, TestReport};

use crate::content::{RunContent, TextTable};
use crate::error::Result;
use crate::settings::settings;
use crate::summary;
use crate::terminal::Terminal;

/// One run's report, formatted for a terminal.
#[derive(Debug)]
pub struct Shown {
    /// The facts, settings, history, test result and list of files.
    pub text: String,
    /// The files that are damaged, so that the text has nothing from them.
    pub damaged: Vec<StoreError>,
}

/// Formats one run's report for a terminal: facts, settings, history, test result and files.
///
/// For an unfinished or damaged run, the text shows what exists and names what is missing. Files are checked against
/// their recorded checksums, and nothing of a damaged file is shown.
///
/// # Errors
///
/// [`ReportError::Store`](crate::error::ReportError::Store) if `run.json` cannot be read.
pub fn show(run: &RunDirectory, terminal: Terminal) -> Result<Shown> {
    let content = RunContent::read(run)?;
    let mut text = head(&content, terminal);
    if !content.settings.is_empty() {
        text.push_str(&heading("Settings", terminal));
        text.push_str(&settings(&content.settings, terminal.width));
    }
    text.push_str(&heading("History", terminal));
    match (&content.history, content.problem("history.csv")) {
        (Some(history), _) => text.push_str(&show_history(&content, history, terminal)),
        (None, problem) => text.push_str(&format!("{}\n", control(&problem.unwrap_or_default()))),
    }
    text.push_str(&heading("Test", terminal));
    match (&content.report, content.problem("report.json")) {
        (Some(report), _) => text.push_str(&show_test(report, terminal)),
        (None, Some(problem)) => text.push_str(&format!("{}\n", control(&problem))),
        (None, None) => text.push_str(&format!("{}\n", summary::UNTESTED)),
    }
    text.push_str(&heading("Files", terminal));
    text.push_str(&show_files(run, &content.record));
    let damaged = content.damaged.into_iter().map(|(_, error)| error).collect();
    Ok(Shown { text, damaged })
}

fn head(content: &RunContent, terminal: Terminal) -> String {
    let record = &content.record;
    let color = match record.status {
        Status::Finished => "\u{1b}[32m",
        Status::Running | Status::Interrupted | Status::Pruned => "\u{1b}[33m",
        Status::Failed | Status::Diverged => "\u{1b}[31m",
    };
    let name = styled("\u{1b}[1m", &format!("{} {}", record.name, record.id), terminal);
    let mut text = format!("{name}  {}\n\n", styled(color, &content.ending, terminal));
    for fact in &content.facts {
        text.push_str(&fact_line(fact));
    }
    text
}

fn fact_line(fact: &summary::Fact) -> String {
    format!("{:<14} {}", fact.label, control(&fact.text)).trim_end().to_owned() + "\n"
}

/// The tags and the note of a run, each line with a line break; empty if there are none.
#[must_use]
pub fn annotations_text(annotations: &Annotations) -> String {
    let mut text = String::new();
    for fact in summary::annotations(annotations) {
        text.push_str(&fact_line(&fact));
    }
    text
}

fn heading(words: &str, terminal: Terminal) -> String {
    format!("\n{}\n", styled("\u{1b}[1m", words, terminal))
}

fn styled(code: &str, text: &str, terminal: Terminal) -> String {
    let text = control(text);
    if terminal.color { format!("{code}{text}\u{1b}[0m") } else { text.into_owned() }
}

fn show_history(content: &RunContent, history: &History, terminal: Terminal) -> String {
    let mut text = String::new();
    match content.epochs() {
        None => text.push_str("No epoch was completed.\n"),
        Some(TextTable { columns, words, rows, notes }) => {
            let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
            text.push_str(&table(&columns, words, rows, terminal));
            text.extend(notes.into_iter().map(|note| note + "\n"));
        }
    }
    if history.cut {
        text.push_str("The last line of history.csv is incomplete and was ignored.\n");
    }
    text
}

pub(crate) fn show_test(report: &TestReport, terminal: Terminal) -> String {
    let mut text = format!("{}\n", summary::result(report));
    if let Some(most_frequent) = summary::most_frequent(report) {
        text.push_str(&format!("{}\n", control(&most_frequent)));
    }
    text.push('\n');
    text.push_str(&table(&summary::CLASS_COLUMNS, 1, summary::class_rows(report), terminal));
    if let Some(note) = summary::classes_left_out(report) {
        text.push_str(&format!("{note}\n"));
    }
    for note in &report.notes {
        text.push_str(&format!("{}\n", control(note)));
    }
    let pairs = report.confused_pairs();
    if !pairs.is_empty() {
        text.push_str("\nMost often confused:\n");
        for pair in pairs.into_iter().take(summary::MAX_PAIRS) {
            text.push_str(&format!("  {}\n", control(&summary::confused(report, pair))));
        }
    }
    text
}

fn show_files(run: &RunDirectory, record: &RunRecord) -> String {
    let mut text = format!("{}\n", control(&run.path().to_string_lossy()));
    let mut missing = Vec::new();
    for file in RunDirectory::FILES {
        if run.path().join(file.name).exists() {
            text.push_str(&format!("  {:<20} {}\n", file.name, file.holds));
        } else if record.removed.contains_key(file.name) {
            text.push_str(&format!("  {:<20} {}, removed by kiln clean\n", file.name, file.holds));
        } else if !file.optional {
            missing.push(file.name);
        }
    }
    if !missing.is_empty() {
        text.push_str(&format!("  missing: {}\n", missing.join(", ")));
    }
    text
}

/// Rules above the heading, below it and at the end. Numbers are compared along columns, so there are no rules
/// between rows.
const LINES: TableStyle = TableStyle::new()
    .top_border(LineStyle::none().fill('─').junction('─'))
    .header_separator(LineStyle::none().fill('─').junction('─'))
    .bottom_border(LineStyle::none().fill('─').junction('─'));

/// Formats a table. The first `words` columns are text; the others are numbers, aligned to the right. Each line ends
/// in a line break and fits the terminal.
#[must_use]
pub fn table(
    head: &[&str],
    words: usize,
    rows: impl IntoIterator<Item = Vec<String>>,
    terminal: Terminal,
) -> String {
    let cell = |(column, text): (usize, &str)| {
        let alignment = if column < words { CellAlignment::Left } else { CellAlignment::Right };
        Cell::new(control(text)).set_alignment(alignment)
    };
    let head = head.iter().copied().enumerate().map(cell);
    let mut table = Table::new();
    table
        .load_style(LINES)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(terminal.width)
        .set_header(head.map(|cell| cell.add_attribute(Attribute::Bold)));
    for row in rows {
        table.add_row(row.iter().map(String::as_str).enumerate().map(cell));
    }
    if terminal.color {
        table.enforce_styling();
    } else {
        table.force_no_tty();
    }
    table.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
}
