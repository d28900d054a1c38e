use comfy_table::{
    Attribute, Cell, CellAlignment, Color, ContentArrangement, LineStyle, Table as Grid, TableStyle,
};
use unicode_width::UnicodeWidthStr;

use super::cells::{cell, is_baseline};
use super::table::{Field, Metric, Row, Table, TableOptions};
use super::{Comparison, VerdictOutcome};
use crate::escape::control;
use crate::{Result, Terminal};

/// The widest that text in a cell gets before it is broken into lines.
const WIDEST: usize = 36;

/// What is shown of a verdict that there is none, where room is short.
const UNCLEAR: &str = "unclear";

/// The comparison as a table for a terminal, as wide as that at most.
///
/// Where it would be wider, columns are left out, the least needed first, and a line below says which. Numbers are never
/// broken.
///
/// # Errors
///
/// [`ReportError::Request`](crate::ReportError::Request) for a column that there is not.
pub fn terminal(
    comparison: &Comparison,
    options: &TableOptions,
    terminal: Terminal,
) -> Result<String> {
    let table = Table::new(comparison, options)?;
    let mut columns: Vec<TextColumn> =
        table.fields.iter().map(|field| TextColumn::new(&table, *field)).collect();
    let notes = fit(&mut columns, usize::from(terminal.width));
    let mut text = draw(&table, &columns, terminal);
    for note in notes {
        text.push_str(&format!("{}\n", control(&note)));
    }
    Ok(text)
}

/// A column, its cells as the lines that they are shown in.
struct TextColumn {
    field: Field,
    heading: Vec<String>,
    cells: Vec<Vec<String>>,
}

impl TextColumn {
    fn new(table: &Table<'_>, field: Field) -> Self {
        let cells = table.rows.iter().map(|row| wrap(&control(&cell(table, field, row)))).collect();
        let heading = vec![control(table.heading(field)).into_owned()];
        Self { field, heading, cells }
    }

    fn width(&self) -> usize {
        lines_width(&self.heading).max(self.cells_width())
    }

    fn cells_width(&self) -> usize {
        self.cells.iter().map(|lines| lines_width(lines)).max().unwrap_or(0)
    }

    fn heading_text(&self) -> String {
        self.heading.concat()
    }

    /// Breaks the heading behind spaces, dots and underscores, so that it needs no more room than the cells.
    fn narrow_heading(&mut self) {
        let heading = self.heading_text();
        let pieces: Vec<&str> = heading.split_inclusive([' ', '.', '_']).collect();
        let longest = pieces.iter().map(|piece| piece.trim_end().width()).max().unwrap_or(0);
        let room = self.cells_width().max(longest);
        self.heading = fill(&pieces, room);
    }

    /// Leaves the outcome of a verdict and not its numbers.
    fn shorten_verdict(&mut self) {
        for cell in &mut self.cells {
            let text = cell.concat();
            let outcome = VerdictOutcome::NotDistinguishable.as_str();
            let short = if text.starts_with(outcome) {
                UNCLEAR
            } else {
                text.split(' ').next().unwrap_or_default()
            };
            *cell = vec![short.to_owned()];
        }
    }

    fn says_nothing(&self) -> bool {
        self.cells.iter().all(|cell| *cell == ["finished"])
    }
}

fn lines_width(lines: &[String]) -> usize {
    lines.iter().map(|line| line.trim_end().width()).max().unwrap_or(0)
}

/// Breaks long text between words, and words that are too long anywhere.
fn wrap(text: &str) -> Vec<String> {
    if text.width() <= WIDEST {
        return vec![text.to_owned()];
    }
    let mut pieces = Vec::new();
    for word in text.split_inclusive(' ') {
        let mut start = 0;
        for (place, _) in word.char_indices() {
            if word[start..place].width() >= WIDEST - 1 {
                pieces.push(&word[start..place]);
                start = place;
            }
        }
        pieces.push(&word[start..]);
    }
    fill(&pieces, WIDEST)
}

/// Puts pieces into lines of at most `room` columns.
fn fill(pieces: &[&str], room: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for piece in pieces {
        match lines.last_mut() {
            Some(line) if line.width() + piece.trim_end().width() <= room => line.push_str(piece),
            _ => lines.push((*piece).to_owned()),
        }
    }
    lines
}

/// Makes the columns fit: breaks headings, leaves out columns and shortens verdicts, in this order of loss. Gives what
/// is to be said about it.
fn fit(columns: &mut Vec<TextColumn>, width: usize) -> Vec<String> {
    let mut dropped = Vec::new();
    let mut is_short = false;
    if total(columns) > width {
        columns.iter_mut().for_each(TextColumn::narrow_heading);
    }
    for step in steps(columns) {
        if total(columns) <= width {
            break;
        }
        match step {
            Step::ShortenVerdict => {
                let verdict = columns.iter_mut().find(|column| column.field == Field::Verdict);
                is_short |= verdict.map(TextColumn::shorten_verdict).is_some();
            }
            Step::Drop(field) if columns.len() > 2 => {
                let place = columns.iter().position(|column| column.field == field);
                dropped.extend(place.map(|place| columns.remove(place).heading_text()));
            }
            Step::Drop(_) => {}
        }
    }
    let mut notes = Vec::new();
    if !dropped.is_empty() {
        notes.push(format!(
            "Left out to fit {width} characters: {}. --columns picks others, and --csv, --md and --json have them all.",
            dropped.join(", ")
        ));
    }
    if is_short && columns.iter().any(|column| column.field == Field::Verdict) {
        notes.push(format!(
            "Verdicts are shortened to fit; {UNCLEAR} stands for {}.",
            VerdictOutcome::NotDistinguishable.as_str()
        ));
    }
    notes
}

enum Step {
    Drop(Field),
    ShortenVerdict,
}

/// What can be done without, the first first.
fn steps(columns: &[TextColumn]) -> Vec<Step> {
    let metric = |metric| Step::Drop(Field::Metric(metric));
    let mut steps = vec![metric(Metric::Seconds), metric(Metric::Last), metric(Metric::BestEpoch)];
    if columns.iter().any(|column| column.field == Field::Status && column.says_nothing()) {
        steps.push(Step::Drop(Field::Status));
    }
    steps.extend([metric(Metric::TestLoss), Step::ShortenVerdict, Step::Drop(Field::Run)]);
    steps.extend([metric(Metric::Best), Step::Drop(Field::Status), Step::Drop(Field::Verdict)]);
    // What is left are settings and the result. The first settings of a configuration are no more than the last, but
    // a reader can count on them.
    steps.extend(columns.iter().rev().map(|column| Step::Drop(column.field)));
    steps
}

/// What a table of these columns takes: each has a blank on its left, and one more lies between two.
fn total(columns: &[TextColumn]) -> usize {
    columns.iter().map(|column| column.width() + 2).sum::<usize>().saturating_sub(1)
}

/// Lines above, below the head and below, as in the report of a run.
const LINES: TableStyle = TableStyle::new()
    .top_border(LineStyle::none().fill('─').junction('─'))
    .header_separator(LineStyle::none().fill('─').junction('─'))
    .bottom_border(LineStyle::none().fill('─').junction('─'));

fn draw(table: &Table<'_>, columns: &[TextColumn], terminal: Terminal) -> String {
    let mut grid = Grid::new();
    let head = columns.iter().map(|column| {
        let lines: Vec<_> = column.heading.iter().map(|line| line.trim_end()).collect();
        Cell::new(lines.join("\n"))
            .set_alignment(alignment(column.field))
            .add_attribute(Attribute::Bold)
    });
    grid.load_style(LINES).set_content_arrangement(ContentArrangement::Disabled).set_header(head);
    for (place, row) in table.rows.iter().enumerate() {
        grid.add_row(columns.iter().map(|column| {
            let lines: Vec<_> = column.cells[place].iter().map(|line| line.trim_end()).collect();
            let cell = Cell::new(lines.join("\n")).set_alignment(alignment(column.field));
            match color(table, column.field, row) {
                Some(color) if terminal.color => cell.fg(color),
                _ => cell,
            }
        }));
    }
    for column in grid.column_iter_mut() {
        column.set_padding((1, 0));
    }
    if terminal.color {
        grid.enforce_styling();
    } else {
        grid.force_no_tty();
    }
    grid.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
}

fn alignment(field: Field) -> CellAlignment {
    match field {
        Field::Metric(_) | Field::Seed => CellAlignment::Right,
        _ => CellAlignment::Left,
    }
}

fn color(table: &Table<'_>, field: Field, row: &Row<'_>) -> Option<Color> {
    if field != Field::Verdict || is_baseline(table, row) {
        return None;
    }
    match row.combination.verdict?.outcome {
        VerdictOutcome::Better => Some(Color::Green),
        VerdictOutcome::Worse => Some(Color::Red),
        VerdictOutcome::NotDistinguishable => None,
    }
}
