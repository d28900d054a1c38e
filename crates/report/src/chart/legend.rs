use crate::short_names::short_names;

use super::palette::{EMPHASIZED, MAX_COLORED, line_class, line_shape};
use super::svg::{Anchor, Svg, text_width};

/// Longer names are cut to this many characters.
const LONGEST_NAME: usize = 84;
const LINE_HEIGHT: f64 = 22.0;
const SAMPLE: f64 = 26.0;

/// The legend below a chart: the names of its lines.
pub(super) struct Legend {
    entries: Vec<Entry>,
    pub(super) height: f64,
}

struct Entry {
    /// The index of the first line that the entry names.
    line: usize,
    class: String,
    /// The shape of the marks; `None` for the lines that share an entry.
    shape: Option<usize>,
    name: String,
    /// The name without cuts.
    title: String,
    at: (f64, f64),
}

impl Legend {
    /// Lays out the names of the lines in columns between two edges. All gray lines share one entry.
    pub(super) fn new(names: &[String], (left, right): (f64, f64)) -> Self {
        let all = names.len();
        let shown = if all > MAX_COLORED { EMPHASIZED } else { all };
        // All names are cut in the same way, so that they keep what distinguishes them.
        let mut texts = short_names(&names[..shown], LONGEST_NAME);
        let mut titles = names[..shown].to_vec();
        if shown < all {
            texts.push(format!("{} others", all - shown));
            titles.push(String::new());
        }
        let widest = texts.iter().map(|text| text_width(text, 13.0)).fold(0.0, f64::max);
        let step = SAMPLE + 8.0 + widest + 22.0;
        let columns = (((right - left) / step).floor() as usize).max(1);
        let height = texts.len().div_ceil(columns) as f64 * LINE_HEIGHT;
        let entry = |(line, (name, title)): (usize, (String, String))| Entry {
            line,
            class: line_class(line, all),
            shape: (line < shown).then(|| line_shape(line)),
            title: if title == name { String::new() } else { title },
            name,
            at: (left + (line % columns) as f64 * step, (line / columns) as f64 * LINE_HEIGHT),
        };
        Self { entries: texts.into_iter().zip(titles).enumerate().map(entry).collect(), height }
    }

    pub(super) fn draw(&self, svg: &mut Svg, top: f64) {
        for Entry { line, class, shape, name, title, at: (x, y) } in &self.entries {
            let middle = top + y + LINE_HEIGHT / 2.0;
            svg.open_group("key", &[("data-line", *line)], title);
            svg.line(&format!("line {class}"), (*x, middle), (x + SAMPLE, middle));
            if let Some(shape) = shape {
                svg.mark(&format!("mean {class}"), (x + SAMPLE / 2.0, middle), 4.0, *shape);
            }
            svg.text("", (x + SAMPLE + 8.0, middle + 4.5), Anchor::Start, name);
            svg.close_group();
        }
    }
}
