use kiln_store::escape::control;
use unicode_width::UnicodeWidthStr;

use crate::short_names::short_names;
use crate::terminal::Terminal;

use super::extent::Extent;
use super::heatmap::{Heatmap, HeatmapCell};
use super::palette::Rgb;

/// Longer names are cut to this many characters.
const LONGEST_NAME: usize = 40;
/// The width of the legend's color bar, in characters.
const LEGEND: usize = 24;
/// Follows the number of the best cell.
const BEST: &str = "*";
/// Follows the numbers of the other cells that may be the best.
const POSSIBLE: &str = "+";

/// Formats the heatmap for a terminal. With colors, cells have the [`heatmap_chart`](super::heatmap_chart)'s 24-bit
/// colors; without, the numbers are aligned in columns. Columns that do not fit the width follow in further blocks
/// below.
#[must_use]
pub fn heatmap_text(heatmap: &Heatmap, terminal: Terminal) -> String {
    let extent = heatmap.extent();
    let rows = names_of(&heatmap.rows);
    let head = control(&heatmap.row_label).into_owned();
    let left = rows.iter().chain([&head]).map(|name| name.width()).max().unwrap_or(0);
    let columns: Vec<Column<'_>> = names_of(&heatmap.columns)
        .into_iter()
        .enumerate()
        .map(|(column, name)| Column::new(heatmap, column, name))
        .collect();
    let mut text = format!("{}\n", bold(&control(&heatmap.title), terminal));
    if !heatmap.note.is_empty() {
        text.push_str(&format!("{}\n", control(&heatmap.note)));
    }
    for block in blocks(&columns, usize::from(terminal.width).saturating_sub(left)) {
        text.push('\n');
        if !heatmap.column_label.is_empty() {
            text.push_str(&format!("{:left$}  {}\n", "", control(&heatmap.column_label)));
        }
        let names = block.iter().map(|column| padded(&column.name, column.width, 1));
        text.push_str(&line(&to_left(&head, left), names));
        for (row, name) in rows.iter().enumerate() {
            let cells = block.iter().map(|column| column.block(heatmap, extent, row, terminal));
            text.push_str(&line(&to_left(name, left), cells));
        }
    }
    if let Some(extent) = extent {
        text.push_str(&format!("\n{}\n", legend(heatmap, &extent, terminal)));
    }
    let has = |wanted: &str| heatmap.cells.iter().flatten().any(|cell| sign(cell) == wanted);
    let signs = [(BEST, "best by validation"), (POSSIBLE, "another possible winner")];
    let signs: Vec<_> = signs
        .into_iter()
        .filter(|(sign, _)| has(sign))
        .map(|(sign, words)| format!("{sign} {words}"))
        .collect();
    if !signs.is_empty() {
        text.push_str(&format!("{}\n", signs.join(", ")));
    }
    text
}

/// A column of the heatmap.
struct Column<'a> {
    name: String,
    cells: Vec<Option<&'a HeatmapCell>>,
    /// The width of its longest text in characters, without the spaces around it.
    width: usize,
}

impl<'a> Column<'a> {
    fn new(heatmap: &'a Heatmap, column: usize, name: String) -> Self {
        let rows = 0..heatmap.rows.len();
        let cells: Vec<_> =
            rows.map(|row| heatmap.cells.get(row).and_then(|cells| cells.get(column))).collect();
        let contents = cells.iter().flatten().map(|cell| content(heatmap, cell).width());
        let width = contents.fold(name.width(), usize::max);
        Self { name, cells, width }
    }

    fn block(
        &self,
        heatmap: &Heatmap,
        extent: Option<Extent>,
        row: usize,
        terminal: Terminal,
    ) -> String {
        let Some(cell) = self.cells[row] else { return padded("", self.width, 1) };
        let text = padded(&content(heatmap, cell), self.width, usize::from(sign(cell).is_empty()));
        match (extent, cell.value) {
            (Some(extent), Some(value)) if terminal.color && value.is_finite() => {
                block(&text, heatmap.color(&extent, value))
            }
            _ => text,
        }
    }
}

/// The text of a cell: its number, its mark, or both.
fn content(heatmap: &Heatmap, cell: &HeatmapCell) -> String {
    let mark = cell.mark.as_deref().map(control).unwrap_or_default();
    let number = heatmap.number(cell);
    let gap = if number.is_empty() || mark.is_empty() { "" } else { " " };
    // The sign takes the space after the cell, so that the numbers stay aligned.
    format!("{mark}{gap}{number}{}", sign(cell))
}

fn sign(cell: &HeatmapCell) -> &'static str {
    match cell {
        HeatmapCell { best: true, .. } => BEST,
        HeatmapCell { may_be_best: true, .. } => POSSIBLE,
        _ => "",
    }
}

/// Aligns the text to the right, with one space before it and `after` spaces after it.
fn padded(text: &str, width: usize, after: usize) -> String {
    let missing = (width + 1).saturating_sub(text.width() + after);
    format!(" {}{text}{}", " ".repeat(missing), " ".repeat(after))
}

fn to_left(text: &str, width: usize) -> String {
    format!("{text}{}", " ".repeat(width.saturating_sub(text.width())))
}

fn line(name: &str, cells: impl Iterator<Item = String>) -> String {
    let cells: String = cells.collect();
    format!("{name} {cells}").trim_end().to_owned() + "\n"
}

/// Splits the columns into blocks that fit the width; a block has at least one column.
fn blocks<'a, 'b>(columns: &'b [Column<'a>], width: usize) -> Vec<&'b [Column<'a>]> {
    let mut blocks = Vec::new();
    let mut rest = columns;
    while !rest.is_empty() {
        let mut used = 1;
        let fits = rest.iter().take_while(|column| {
            used += column.width + 2;
            used <= width
        });
        let (block, remaining) = rest.split_at(fits.count().max(1));
        blocks.push(block);
        rest = remaining;
    }
    blocks
}

fn legend(heatmap: &Heatmap, extent: &Extent, terminal: Terminal) -> String {
    let [low, high] = heatmap.ends(extent);
    let value = control(&heatmap.value);
    if !terminal.color {
        return format!("{value} from {low} to {high}");
    }
    let bar: String = (0..LEGEND)
        .map(|index| {
            let share = index as f64 / (LEGEND - 1) as f64;
            let value = extent.low + share * (extent.high - extent.low);
            block(" ", heatmap.color(extent, value))
        })
        .collect();
    format!("{low} {bar} {high}  {value}")
}

fn block(text: &str, ground: Rgb) -> String {
    let [[red, green, blue], [ink_red, ink_green, ink_blue]] = [ground.0, ground.ink().0];
    format!(
        "\u{1b}[48;2;{red};{green};{blue}m\u{1b}[38;2;{ink_red};{ink_green};{ink_blue}m{text}\u{1b}[0m"
    )
}

fn bold(text: &str, terminal: Terminal) -> String {
    if terminal.color { format!("\u{1b}[1m{text}\u{1b}[0m") } else { text.to_owned() }
}

fn names_of(names: &[String]) -> Vec<String> {
    let short = short_names(names, LONGEST_NAME);
    short.iter().map(|name| control(name).into_owned()).collect()
}
