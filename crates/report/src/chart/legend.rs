use crate::escape;

use super::palette::{EMPHASISED, MOST_COLORED, line_class};
use super::svg::{Anchor, Svg, text_width};

/// Names longer than this are cut, in characters.
const LONGEST_NAME: usize = 60;
const LINE_HEIGHT: f64 = 22.0;
const SAMPLE: f64 = 26.0;

/// What the lines of a chart mean, below it.
pub(super) struct Legend {
    entries: Vec<Entry>,
    pub(super) height: f64,
}

struct Entry {
    /// The first of the lines that it stands for.
    line: usize,
    class: String,
    name: String,
    at: (f64, f64),
}

impl Legend {
    /// Lays out the names of lines in rows between two edges. Grey lines share one entry.
    pub(super) fn new(names: &[String], (left, right): (f64, f64)) -> Self {
        let all = names.len();
        let shown = if all > MOST_COLORED { EMPHASISED } else { all };
        let mut texts: Vec<String> = names[..shown].to_vec();
        if shown < all {
            texts.push(format!("{} others", all - shown));
        }
        let (mut x, mut y) = (left, 0.0);
        let mut entries = Vec::new();
        for (line, text) in texts.into_iter().enumerate() {
            let name = escape::shorten(&text, LONGEST_NAME).into_owned();
            let width = SAMPLE + 8.0 + text_width(&name, 13.0);
            if x > left && x + width > right {
                (x, y) = (left, y + LINE_HEIGHT);
            }
            entries.push(Entry { line, class: line_class(line, all), name, at: (x, y) });
            x += width + 22.0;
        }
        let height = if entries.is_empty() { 0.0 } else { y + LINE_HEIGHT };
        Self { entries, height }
    }

    pub(super) fn draw(&self, svg: &mut Svg, top: f64) {
        for Entry { line, class, name, at: (x, y) } in &self.entries {
            let middle = top + y + LINE_HEIGHT / 2.0;
            svg.open_group("key", &[("data-line", *line)], "");
            svg.line(&format!("line {class}"), (*x, middle), (x + SAMPLE, middle));
            svg.text("", (x + SAMPLE + 8.0, middle + 4.5), Anchor::Start, name);
            svg.close_group();
        }
    }
}
