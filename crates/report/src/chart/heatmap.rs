use kiln_store::escape;
use kiln_store::number::decimals;

use crate::short_names::short_names;

use super::extent::Extent;
use super::palette::Rgb;
use super::svg::{Anchor, Label, Rect, Svg, text_width};

/// With more columns than this, cells have no numbers.
const MAX_NUMBERED: usize = 40;
/// Longer names are cut to this many characters.
const LONGEST_ROW: usize = 56;
const LONGEST_COLUMN: usize = 26;
const NUMBER_SIZE: f64 = 13.0;
const MARK_SIZE: f64 = 11.0;
const LEGEND_WIDTH: f64 = 180.0;

/// Values by two settings, or by any two lists of names, shown as colors with their numbers.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Heatmap {
    /// The title of the chart.
    pub title: String,
    /// The line below the title: what a cell shows.
    pub note: String,
    /// The name of the metric, such as `val_accuracy`.
    pub value: String,
    /// The number of decimals.
    pub decimals: usize,
    /// Whether lower values are better, as for losses. Better cells are lighter.
    pub lower_is_better: bool,
    /// The setting of the rows.
    pub row_label: String,
    /// The names of the rows.
    pub rows: Vec<String>,
    /// The setting of the columns.
    pub column_label: String,
    /// The names of the columns.
    pub columns: Vec<String>,
    /// `[rows][columns]`.
    pub cells: Vec<Vec<HeatmapCell>>,
}

/// A cell of a [`Heatmap`]. A cell without value and mark is empty.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct HeatmapCell {
    /// The number, if there is one.
    pub value: Option<f64>,
    /// A word next to or instead of the number, such as `diverged`.
    pub mark: Option<String>,
    /// Whether the cell has a thick frame.
    pub best: bool,
    /// Whether the cell has a frame.
    pub may_be_best: bool,
    /// The text shown on hovering.
    pub words: String,
}

impl Heatmap {
    /// The range of the colors; `None` if no cell has a value. Marked cells, such as those of diverged runs, do not
    /// stretch the scale of the others.
    pub(super) fn extent(&self) -> Option<Extent> {
        let cells = || self.cells.iter().flatten();
        let sound = Extent::of(cells().filter(|cell| cell.mark.is_none()).filter_map(|c| c.value));
        let all = cells().filter_map(|cell| cell.value);
        sound.map(|extent| extent.with_cuts_for(all.clone())).or_else(|| Extent::of(all))
    }

    pub(super) fn color(&self, extent: &Extent, value: f64) -> Rgb {
        let share = extent.share(value);
        Rgb::ramp(if self.lower_is_better { 1.0 - share } else { share })
    }

    /// The texts at the low and the high end of the color bar.
    pub(super) fn ends(&self, extent: &Extent) -> [String; 2] {
        let end = |value, sign: &str| format!("{sign}{}", decimals(Some(value), self.decimals));
        [
            end(extent.low, if extent.cut_low { "≤ " } else { "" }),
            end(extent.high, if extent.cut_high { "≥ " } else { "" }),
        ]
    }

    /// The number in a cell, or an empty text.
    pub(super) fn number(&self, cell: &HeatmapCell) -> String {
        decimals(cell.value.filter(|value| value.is_finite()), self.decimals)
    }
}

/// Draws a heatmap in the colors of cividis, which are legible for color-blind readers. Lighter is better. Each cell
/// shows its number unless there are too many columns. Cells that may be the best have a frame, and the best one a thick
/// one; an empty cell is an empty frame.
#[must_use]
pub fn heatmap_chart(heatmap: &Heatmap) -> String {
    let layout = Layout::new(heatmap);
    let mut svg = Svg::new(
        layout.width,
        layout.height,
        &format!("Heatmap of {}: {}", heatmap.value, heatmap.title),
    );
    svg.text("title", (24.0, 32.0), Anchor::Start, &escape::shorten(&heatmap.title, 72));
    svg.text("muted", (24.0, 54.0), Anchor::Start, &escape::shorten(&heatmap.note, 110));
    names(&mut svg, heatmap, &layout);
    let extent = heatmap.extent();
    let mut frames = Vec::new();
    for (row, cells) in heatmap.cells.iter().take(heatmap.rows.len()).enumerate() {
        for (column, content) in cells.iter().take(heatmap.columns.len()).enumerate() {
            let at = (layout.x(column), layout.y(row));
            cell(&mut svg, heatmap, &layout, extent.as_ref(), at, content);
            match content {
                HeatmapCell { best: true, .. } => frames.push((at, "best")),
                HeatmapCell { may_be_best: true, .. } => frames.insert(0, (at, "winner")),
                _ => {}
            }
        }
    }
    // The frames are drawn last, so that no neighbor covers a part of them, and the best one on top.
    for ((x, y), class) in frames {
        let inset = if class == "best" { 0.0 } else { 1.5 };
        let (width, height) = (layout.cell_width - 2.0 * inset, layout.cell_height - 2.0 * inset);
        let frame =
            |class| Rect { class, x: x + inset, y: y + inset, width, height, ..Rect::default() };
        // The frame has an edge of its own, so that it is visible on every color.
        svg.rect(&frame("halo"));
        svg.rect(&frame(class));
    }
    if let Some(extent) = extent {
        legend(&mut svg, heatmap, &layout, &extent);
    }
    svg.finish()
}

/// The layout in pixels.
struct Layout {
    rows: Vec<String>,
    columns: Vec<String>,
    numbered: bool,
    /// The rotation of the columns' names in degrees, chosen so that they fit.
    turned: f64,
    cell_width: f64,
    cell_height: f64,
    left: f64,
    top: f64,
    width: f64,
    height: f64,
}

impl Layout {
    fn new(heatmap: &Heatmap) -> Self {
        let widest = |names: &[String]| {
            names.iter().map(|name| text_width(name, NUMBER_SIZE)).fold(0.0, f64::max)
        };
        let rows = short_names(&heatmap.rows, LONGEST_ROW);
        let columns = short_names(&heatmap.columns, LONGEST_COLUMN);
        let cells = heatmap.cells.iter().flatten();
        let marked = cells.clone().any(|cell| cell.value.is_some() && cell.mark.is_some());
        let contents = cells.flat_map(|cell| {
            let mark = cell.mark.as_deref().map_or(0.0, |mark| text_width(mark, MARK_SIZE));
            [text_width(&heatmap.number(cell), NUMBER_SIZE), mark]
        });
        let content = contents.fold(0.0, f64::max);
        let numbered = columns.len() <= MAX_NUMBERED;
        let (cell_width, cell_height) = if numbered {
            let roomy = if rows.len() <= 12 { 40.0 } else { 26.0 };
            let height: f64 = if marked { 40.0 } else { roomy };
            // If the names nearly fit, the columns are widened instead of rotating the names.
            let width = (content + 14.0).max(52.0).max(widest(&columns).min(84.0) + 8.0);
            (width.ceil(), height)
        } else {
            ((780.0 / columns.len() as f64).floor().clamp(6.0, 20.0), 18.0)
        };
        let longest = widest(&columns) * column_size(cell_width) / NUMBER_SIZE;
        // At 45 degrees, lines that are one cell apart need 0.71 cells.
        let turned = if longest <= cell_width - 6.0 {
            0.0
        } else if cell_width * 0.71 >= column_size(cell_width) {
            -45.0
        } else {
            -90.0
        };
        let left = (40.0 + widest(&rows).max(text_width(&heatmap.row_label, NUMBER_SIZE))).ceil();
        let above = match turned {
            0.0 => 20.0,
            -90.0 => longest + 14.0,
            _ => longest * 0.71 + 14.0,
        };
        let top = (84.0 + above).ceil();
        let (right, bottom) =
            (left + cell_width * columns.len() as f64, top + cell_height * rows.len() as f64);
        let overhang = if turned == -45.0 { longest * 0.71 } else { 0.0 };
        let least = [
            text_width(&escape::shorten(&heatmap.title, 72), 16.0) * 1.08 + 24.0,
            text_width(&escape::shorten(&heatmap.note, 110), NUMBER_SIZE) + 24.0,
            left + text_width(&heatmap.column_label, NUMBER_SIZE),
            left + LEGEND_WIDTH + 160.0,
        ];
        let width = least.into_iter().fold(right + overhang, f64::max) + 24.0;
        Self {
            rows,
            columns,
            numbered,
            turned,
            cell_width,
            cell_height,
            left,
            top,
            width: width.ceil(),
            height: bottom + 66.0,
        }
    }

    fn x(&self, column: usize) -> f64 {
        self.left + column as f64 * self.cell_width
    }

    fn y(&self, row: usize) -> f64 {
        self.top + row as f64 * self.cell_height
    }
}

fn names(svg: &mut Svg, heatmap: &Heatmap, layout: &Layout) {
    let plain =
        |class, at, anchor, text| Label { class, at, anchor, size: None, turned: 0.0, text };
    let side = layout.left - 10.0;
    svg.label(&plain("muted", (side, layout.top - 8.0), Anchor::End, heatmap.row_label.as_str()));
    svg.label(&plain("muted", (layout.left, 80.0), Anchor::Start, heatmap.column_label.as_str()));
    for (row, name) in layout.rows.iter().enumerate() {
        let middle = layout.y(row) + layout.cell_height / 2.0 + 4.5;
        svg.label(&plain("", (side, middle), Anchor::End, name));
    }
    for (column, name) in layout.columns.iter().enumerate() {
        let middle = layout.x(column) + layout.cell_width / 2.0;
        let at = (middle, layout.top - 8.0);
        let size = column_size(layout.cell_width);
        let (x, anchor) = match layout.turned {
            0.0 => (at.0, Anchor::Middle),
            // Moving a rotated line right by half the height of its letters centers it.
            _ => (at.0 + size * 0.35, Anchor::Start),
        };
        svg.label(&Label {
            class: "",
            at: (x, at.1),
            anchor,
            size: Some(size),
            turned: layout.turned,
            text: name,
        });
    }
}

/// The font size of the columns' names.
fn column_size(cell_width: f64) -> f64 {
    (cell_width * 0.85).clamp(6.5, NUMBER_SIZE)
}

/// A cell with its upper left corner at a point.
fn cell(
    svg: &mut Svg,
    heatmap: &Heatmap,
    layout: &Layout,
    extent: Option<&Extent>,
    (x, y): (f64, f64),
    content: &HeatmapCell,
) {
    let number = heatmap.number(content);
    let ground = match (extent, content.value) {
        (Some(extent), Some(value)) if value.is_finite() => Some(heatmap.color(extent, value)),
        _ => None,
    };
    let gap = if layout.numbered { 1.0 } else { 0.0 };
    svg.rect(&Rect {
        class: if ground.is_some() { "value" } else { "empty" },
        x: x + gap,
        y: y + gap,
        width: layout.cell_width - 2.0 * gap,
        height: layout.cell_height - 2.0 * gap,
        fill: ground,
        opacity: None,
        title: (!content.words.is_empty()).then(|| content.words.clone()),
    });
    if !layout.numbered {
        return;
    }
    let class = match ground.map(Rgb::ink) {
        None => "muted",
        Some(Rgb::BLACK) => "on-light",
        Some(_) => "on-dark",
    };
    let mark = content.mark.as_deref().unwrap_or_default();
    let middle = (x + layout.cell_width / 2.0, y + layout.cell_height / 2.0);
    let mut line = |below, size: f64, text: &str| {
        let at = (middle.0, middle.1 + below + size * 0.35);
        let size = Some(size);
        svg.label(&Label { class, at, anchor: Anchor::Middle, size, turned: 0.0, text });
    };
    match (number.is_empty(), mark.is_empty()) {
        (false, false) => {
            line(-7.0, NUMBER_SIZE, &number);
            line(8.0, MARK_SIZE, mark);
        }
        (false, true) => line(0.0, NUMBER_SIZE, &number),
        (true, false) => line(0.0, MARK_SIZE, mark),
        (true, true) => {}
    }
}

/// The color bar below the heatmap.
fn legend(svg: &mut Svg, heatmap: &Heatmap, layout: &Layout, extent: &Extent) {
    const STEPS: usize = 36;
    let (y, step) = (layout.height - 46.0, LEGEND_WIDTH / STEPS as f64);
    for index in 0..STEPS {
        let share = (index as f64 + 0.5) / STEPS as f64;
        let value = extent.low + share * (extent.high - extent.low);
        svg.rect(&Rect {
            class: "value",
            x: layout.left + index as f64 * step,
            y,
            width: step,
            height: 10.0,
            fill: Some(heatmap.color(extent, value)),
            ..Rect::default()
        });
    }
    let [low, high] = heatmap.ends(extent);
    svg.text("muted", (layout.left, y + 26.0), Anchor::Start, &low);
    svg.text("muted", (layout.left + LEGEND_WIDTH, y + 26.0), Anchor::End, &high);
    svg.text("muted", (layout.left + LEGEND_WIDTH + 12.0, y + 9.5), Anchor::Start, &heatmap.value);
}
