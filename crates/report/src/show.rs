use comfy_table::{Attribute, Cell, CellAlignment, Color, ContentArrangement, Table, presets};

use crate::escape::control;
use crate::{History, Result, RunDirectory, RunRecord, Status, TestReport, summary};

/// How a report is laid out in a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terminal {
    /// Characters in a line.
    pub width: u16,
    /// Whether colours and bold text are understood.
    pub color: bool,
}

/// One run's report as text for a terminal: what it was, its history, its test and its files.
///
/// A run that is not finished shows what there is and says what is missing; so does one with a damaged file.
///
/// # Errors
///
/// [`ReportError::Io`](crate::ReportError::Io), [`Malformed`](crate::ReportError::Malformed) or
/// [`NewerFormat`](crate::ReportError::NewerFormat) where `run.json` cannot be read.
pub fn show(run: &RunDirectory, terminal: Terminal) -> Result<String> {
    let record = run.read_record()?;
    let mut text = head(&record, terminal);
    text.push_str(&heading("History", terminal));
    match run.read_history() {
        Ok(history) => text.push_str(&show_history(&history, terminal)),
        Err(error) => text.push_str(&format!("{error}\n")),
    }
    text.push_str(&heading("Test", terminal));
    match run.read_report() {
        Ok(Some(report)) => text.push_str(&show_test(&report, terminal)),
        Ok(None) => text.push_str("The run did not come to the end of its test.\n"),
        Err(error) => text.push_str(&format!("{error}\n")),
    }
    text.push_str(&heading("Files", terminal));
    text.push_str(&show_files(run, terminal));
    Ok(text)
}

fn head(record: &RunRecord, terminal: Terminal) -> String {
    let color = match record.status {
        Status::Finished => "\u{1b}[32m",
        Status::Running | Status::Interrupted => "\u{1b}[33m",
        Status::Failed | Status::Diverged => "\u{1b}[31m",
    };
    let name = styled("\u{1b}[1m", &format!("{} {}", record.name, record.id), terminal);
    let mut text = format!("{name}  {}\n\n", styled(color, &summary::ending(record), terminal));
    for fact in summary::facts(record) {
        text.push_str(&format!("{:<12} {}\n", fact.label, control(&fact.text)));
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

fn show_history(history: &History, terminal: Terminal) -> String {
    let mut text = String::new();
    if history.rows.is_empty() {
        text.push_str("No epoch was completed.\n");
    } else {
        let columns = summary::epoch_columns(history);
        let rows = history.selection(summary::MOST_EPOCHS);
        let best = history.best().map(|row| row.epoch);
        let mut table = table(&columns, terminal);
        for row in &rows {
            let cells = summary::epoch_cells(row, &columns).into_iter();
            // The epoch that validation likes best stands out.
            let emphasis = Some(row.epoch) == best && row.val_loss.is_some();
            table.add_row(cells.map(|cell| {
                let cell = Cell::new(control(&cell)).set_alignment(CellAlignment::Right);
                if emphasis { cell.fg(Color::Cyan) } else { cell }
            }));
        }
        push_table(&mut text, &table);
        text.extend(summary::left_out(history, rows.len()).map(|note| note + "\n"));
    }
    if history.cut {
        text.push_str("The last line of history.csv was cut off and is left out.\n");
    }
    text
}

fn show_test(report: &TestReport, terminal: Terminal) -> String {
    let mut text = format!("{}\n\n", summary::result(report));
    let mut table = table(&summary::CLASS_COLUMNS, terminal);
    for row in summary::class_rows(report) {
        table.add_row(row.iter().enumerate().map(|(column, cell)| {
            let alignment = if column == 0 { CellAlignment::Left } else { CellAlignment::Right };
            Cell::new(control(cell)).set_alignment(alignment)
        }));
    }
    push_table(&mut text, &table);
    for note in &report.notes {
        text.push_str(&format!("{}\n", control(note)));
    }
    let pairs = report.confused_pairs();
    if !pairs.is_empty() {
        text.push_str("\nMost often confused:\n");
        for pair in pairs.into_iter().take(summary::MOST_PAIRS) {
            text.push_str(&format!("  {}\n", control(&summary::confused(report, pair))));
        }
    }
    text
}

fn show_files(run: &RunDirectory, _terminal: Terminal) -> String {
    let mut text = format!("{}\n", control(&run.path().to_string_lossy()));
    let mut missing = Vec::new();
    for file in RunDirectory::FILES {
        if run.path().join(file.name).exists() {
            text.push_str(&format!("  {:<20} {}\n", file.name, file.holds));
        } else if !file.optional {
            missing.push(file.name);
        }
    }
    if !missing.is_empty() {
        text.push_str(&format!("  not there: {}\n", missing.join(", ")));
    }
    text
}

fn table(head: &[&str], terminal: Terminal) -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::UTF8_HORIZONTAL_ONLY)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(terminal.width)
        .set_header(head.iter().map(|cell| {
            let alignment = match *cell {
                "class" => CellAlignment::Left,
                _ => CellAlignment::Right,
            };
            Cell::new(control(cell)).set_alignment(alignment).add_attribute(Attribute::Bold)
        }));
    if terminal.color {
        table.enforce_styling();
    } else {
        table.force_no_tty();
    }
    table
}

fn push_table(text: &mut String, table: &Table) {
    for line in table.lines() {
        text.push_str(line.trim_end());
        text.push('\n');
    }
}
