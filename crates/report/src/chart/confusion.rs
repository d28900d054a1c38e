use kiln_store::number::percent;
use kiln_store::{escape, grouped};

use crate::short_names::short_names;

use super::svg::{Anchor, Label, Rect, Svg, text_width};

/// With more classes than this, cells have no numbers.
const MAX_NUMBERED: usize = 30;
/// Longer names are cut to this many characters.
const LONGEST_NAME: usize = 26;
/// The opacity above which a cell's number uses the strong text color. The cell colors of both themes are chosen so
/// that the number is legible on either side of this value.
const STRONG: f64 = 0.65;
const TOP: f64 = 78.0;

/// `confusion.svg`: for each true class (rows), how many of its images were predicted as each class (columns). The
/// shade of a cell is its share of the row. Entries without a class or a row are ignored.
#[must_use]
pub fn confusion_chart(title: &str, class_names: &[String], confusion: &[Vec<u64>]) -> String {
    let layout = Layout::new(title, class_names, confusion);
    let classes = class_names.len();
    let mut svg = Svg::new(
        layout.width,
        layout.height,
        &format!("Confusion matrix of {classes} classes: {title}"),
    );
    svg.text("title", (24.0, 32.0), Anchor::Start, &escape::shorten(title, 72));
    svg.text("muted", (24.0, 54.0), Anchor::Start, "test images by true and predicted class");
    labels(&mut svg, &layout);
    svg.rect(&Rect {
        class: "grid",
        x: layout.left - 0.5,
        y: TOP - 0.5,
        width: layout.side + 1.0,
        height: layout.side + 1.0,
        ..Rect::default()
    });
    for (label, (row, name)) in confusion.iter().zip(class_names).enumerate() {
        let all = row.iter().copied().fold(0, u64::saturating_add);
        for (predicted, (count, taken_for)) in row.iter().zip(class_names).enumerate() {
            let share = if all == 0 { 0.0 } else { *count as f64 / all as f64 };
            let words = format!(
                "true {name}, predicted {taken_for}: {} of {} ({})",
                grouped(*count),
                grouped(all),
                percent(share)
            );
            let column = layout.left + predicted as f64 * layout.cell;
            let row = TOP + label as f64 * layout.cell;
            cell(&mut svg, &layout, (column, row), *count, share, words);
        }
    }
    shades(&mut svg, &layout);
    svg.finish()
}

/// How the names of the columns are drawn.
#[derive(Clone, Copy)]
enum Direction {
    /// Horizontal, like the rows' names.
    Level,
    /// Rotated by 45 degrees.
    Slanted,
    /// Vertical, from bottom to top.
    Upright,
}

/// The layout in pixels.
struct Layout {
    names: Vec<String>,
    cell: f64,
    /// The left edge of the matrix and the length of its sides.
    left: f64,
    side: f64,
    width: f64,
    height: f64,
    name_size: f64,
    /// The font size of the numbers in the cells, if they are drawn.
    number_size: Option<f64>,
    column_names: Direction,
}

impl Layout {
    fn new(title: &str, class_names: &[String], confusion: &[Vec<u64>]) -> Self {
        let classes = class_names.len().max(1) as f64;
        let numbered = class_names.len() <= MAX_NUMBERED;
        let cell = if numbered {
            (520.0 / classes).clamp(27.0, 84.0).floor()
        } else {
            (780.0 / classes).clamp(9.0, 24.0).floor()
        };
        let name_size = (cell * 0.85).clamp(6.5, 13.0);
        let names = short_names(class_names, LONGEST_NAME);
        let longest = names.iter().map(|name| text_width(name, name_size)).fold(0.0, f64::max);
        // Names that are too long to fit next to each other are rotated until their lines touch. At 45 degrees, lines
        // that are one cell apart need 0.71 cells.
        let column_names = if longest <= cell - 6.0 {
            Direction::Level
        } else if cell * 0.71 >= name_size * 1.1 {
            Direction::Slanted
        } else {
            Direction::Upright
        };
        let digits = confusion.iter().flatten().max().map_or(1, |most| most.to_string().len());
        let number_size =
            numbered.then(|| ((cell - 6.0) / (digits as f64 * 0.62)).clamp(6.0, 14.0));
        // With a whole number of pixels, all cells have the same width and sharp edges.
        let left = (56.0 + longest).ceil();
        let side = cell * classes;
        let below = match column_names {
            Direction::Level => name_size + 6.0,
            Direction::Slanted => longest * 0.71 + name_size,
            Direction::Upright => longest + name_size,
        };
        let title_width = 48.0 + text_width(&escape::shorten(title, 72), 16.0) * 1.08;
        Self {
            names,
            cell,
            left,
            side,
            width: (left + side + 100.0).max(title_width).max(320.0).ceil(),
            height: (TOP + side + below + 46.0).ceil(),
            name_size,
            number_size,
            column_names,
        }
    }

    fn middle(&self, class: usize) -> f64 {
        (class as f64 + 0.5) * self.cell
    }
}

fn labels(svg: &mut Svg, layout: &Layout) {
    let size = Some(layout.name_size);
    // Capital letters are about 0.7 of the font size high. Half of that below the middle centers them.
    let centered = layout.name_size * 0.35;
    let bottom = TOP + layout.side;
    for (class, name) in layout.names.iter().enumerate() {
        let middle = layout.middle(class);
        let row = (layout.left - 8.0, TOP + middle + centered);
        svg.label(&Label {
            class: "",
            at: row,
            anchor: Anchor::End,
            size,
            turned: 0.0,
            text: name,
        });
        let x = layout.left + middle;
        let y = bottom + 8.0;
        let (at, anchor, turned) = match layout.column_names {
            Direction::Level => ((x, y + 2.0 * centered), Anchor::Middle, 0.0),
            Direction::Slanted => ((x + centered, y + centered), Anchor::End, -45.0),
            Direction::Upright => ((x + centered, y), Anchor::End, -90.0),
        };
        svg.label(&Label { class: "", at, anchor, size, turned, text: name });
    }
    let side = |at, turned, text| Label {
        class: "muted",
        at,
        anchor: Anchor::Middle,
        size: None,
        turned,
        text,
    };
    svg.label(&side((28.0, TOP + layout.side / 2.0), -90.0, "true"));
    svg.label(&side((layout.left + layout.side / 2.0, layout.height - 16.0), 0.0, "predicted"));
}

/// A cell with its upper left corner at a point; the hover text has its numbers.
fn cell(svg: &mut Svg, layout: &Layout, (x, y): (f64, f64), count: u64, share: f64, words: String) {
    let opacity = opacity(share);
    if count > 0 {
        let gap = if layout.number_size.is_some() { 1.0 } else { 0.0 };
        svg.rect(&Rect {
            class: "cell",
            x: x + gap,
            y: y + gap,
            width: layout.cell - 2.0 * gap,
            height: layout.cell - 2.0 * gap,
            fill: None,
            opacity: Some(opacity),
            title: Some(words),
        });
    }
    if let Some(size) = layout.number_size {
        let half = layout.cell / 2.0;
        svg.label(&Label {
            class: match count {
                0 => "zero",
                _ if opacity >= STRONG => "strong",
                _ => "",
            },
            at: (x + half, y + half + size * 0.36),
            anchor: Anchor::Middle,
            size: Some(size),
            turned: 0.0,
            text: &count.to_string(),
        });
    }
}

/// The opacity for a share. Mistakes are small shares next to a diagonal of large ones, so small shares are raised to
/// be visible.
fn opacity(share: f64) -> f64 {
    share.powf(0.6)
}

/// The color bar next to the matrix.
fn shades(svg: &mut Svg, layout: &Layout) {
    const STEPS: usize = 40;
    let x = layout.left + layout.side + 20.0;
    let step = layout.side / STEPS as f64;
    for index in 0..STEPS {
        svg.rect(&Rect {
            class: "cell",
            x,
            y: TOP + index as f64 * step,
            width: 12.0,
            height: step,
            fill: None,
            opacity: Some(opacity(1.0 - (index as f64 + 0.5) / STEPS as f64)),
            title: None,
        });
    }
    for (share, text) in [(0.0, "0%"), (0.5, "50%"), (1.0, "100%")] {
        let y = TOP + (1.0 - share) * layout.side + 4.5;
        svg.text("muted", (x + 18.0, y), Anchor::Start, text);
    }
    svg.label(&Label {
        class: "muted",
        at: (x + 68.0, TOP + layout.side / 2.0),
        anchor: Anchor::Middle,
        size: Some(12.0),
        turned: -90.0,
        text: "share of true class",
    });
}
