//! Tables of text whose columns are as wide as their content, so that no number is broken.

use comfy_table::{
    Attribute, Cell, CellAlignment, Color, ContentArrangement, LineStyle, Table as Grid, TableStyle,
};
use kiln_report::Terminal;
use kiln_store::escape::control;
use unicode_width::UnicodeWidthStr;

/// Longer text in a cell is broken into lines.
const MAX_CELL_WIDTH: usize = 56;

/// A column: its heading and cells, broken into lines.
pub(crate) struct TextColumn {
    heading: Vec<String>,
    cells: Vec<TextCell>,
    alignment: CellAlignment,
}

struct TextCell {
    lines: Vec<String>,
    color: Option<Color>,
}

impl TextColumn {
    /// A left-aligned column of text.
    pub(crate) fn words(heading: &str, cells: impl IntoIterator<Item = String>) -> Self {
        let cell = |text: String| TextCell { lines: wrap(&control(&text)), color: None };
        Self {
            heading: vec![control(heading).into_owned()],
            cells: cells.into_iter().map(cell).collect(),
            alignment: CellAlignment::Left,
        }
    }

    /// A right-aligned column of numbers.
    pub(crate) fn numbers(heading: &str, cells: impl IntoIterator<Item = String>) -> Self {
        Self { alignment: CellAlignment::Right, ..Self::words(heading, cells) }
    }

    pub(crate) fn set_color(&mut self, row: usize, color: Color) {
        if let Some(cell) = self.cells.get_mut(row) {
            cell.color = Some(color);
        }
    }

    /// Replaces the text of each cell.
    pub(crate) fn rewrite(&mut self, with: impl Fn(&str) -> String) {
        for cell in &mut self.cells {
            cell.lines = wrap(&with(&cell.lines.concat()));
        }
    }

    /// The text of each cell.
    pub(crate) fn texts(&self) -> impl Iterator<Item = String> {
        self.cells.iter().map(|cell| cell.lines.concat())
    }

    pub(crate) fn extend_heading(&mut self, with: &str) {
        self.heading = vec![self.heading.concat() + with];
    }

    /// Breaks the heading after spaces, so that it is no wider than the cells if possible. Words that are wider than the
    /// cells are broken after dots and underscores.
    pub(crate) fn narrow_heading(&mut self) {
        let heading = self.heading.concat();
        let cells = self.cells_width();
        let pieces: Vec<&str> = heading
            .split_inclusive(' ')
            .flat_map(|word| {
                let is_wide = word.trim_end().width() > cells;
                word.split_inclusive(move |end| is_wide && matches!(end, '.' | '_'))
            })
            .collect();
        let longest = pieces.iter().map(|piece| piece.trim_end().width()).max().unwrap_or(0);
        self.heading = fill(&pieces, cells.max(longest));
    }

    fn width(&self) -> usize {
        lines_width(&self.heading).max(self.cells_width())
    }

    fn cells_width(&self) -> usize {
        self.cells.iter().map(|cell| lines_width(&cell.lines)).max().unwrap_or(0)
    }
}

fn lines_width(lines: &[String]) -> usize {
    lines.iter().map(|line| line.trim_end().width()).max().unwrap_or(0)
}

/// Breaks long text between words, and long words anywhere.
fn wrap(text: &str) -> Vec<String> {
    if text.width() <= MAX_CELL_WIDTH {
        return vec![text.to_owned()];
    }
    let mut pieces = Vec::new();
    for word in text.split_inclusive(' ') {
        let mut start = 0;
        for (place, _) in word.char_indices() {
            if word[start..place].width() >= MAX_CELL_WIDTH - 1 {
                pieces.push(&word[start..place]);
                start = place;
            }
        }
        pieces.push(&word[start..]);
    }
    fill(&pieces, MAX_CELL_WIDTH)
}

/// Joins pieces to lines of at most `room` characters; a longer piece has its own line.
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

/// The width of a table with these columns: each has a space on its left, and another one separates two columns.
pub(crate) fn width<'a>(columns: impl IntoIterator<Item = &'a TextColumn>) -> usize {
    columns.into_iter().map(|column| column.width() + 2).sum::<usize>().saturating_sub(1)
}

/// Lines above and below the table and below the headings, as in the output of `kiln show`.
const LINES: TableStyle = TableStyle::new()
    .top_border(LineStyle::none().fill('─').junction('─'))
    .header_separator(LineStyle::none().fill('─').junction('─'))
    .bottom_border(LineStyle::none().fill('─').junction('─'));

/// The table as lines of text.
pub(crate) fn draw(columns: &[&TextColumn], terminal: Terminal) -> String {
    let mut grid = Grid::new();
    let cell = |lines: &[String], alignment| {
        let lines: Vec<_> = lines.iter().map(|line| line.trim_end()).collect();
        Cell::new(lines.join("\n")).set_alignment(alignment)
    };
    let head = columns
        .iter()
        .map(|column| cell(&column.heading, column.alignment).add_attribute(Attribute::Bold));
    grid.load_style(LINES).set_content_arrangement(ContentArrangement::Disabled).set_header(head);
    let rows = columns.iter().map(|column| column.cells.len()).max().unwrap_or(0);
    for row in 0..rows {
        grid.add_row(columns.iter().filter_map(|column| {
            let text = column.cells.get(row)?;
            let cell = cell(&text.lines, column.alignment);
            Some(match text.color.filter(|_| terminal.color) {
                Some(color) => cell.fg(color),
                None => cell,
            })
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
