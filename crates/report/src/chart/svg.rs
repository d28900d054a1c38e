use std::fmt::Write;

use kiln_store::escape;

use super::palette::Rgb;

/// Colors are given twice, for light and dark themes, as plain values: viewers other than browsers do not support CSS
/// variables. The chart paints its own background, so its text is legible on a page with either theme.
pub(super) const STYLE: &str = include_str!("style.css");

/// An SVG chart under construction. Lengths are in pixels; y increases downward.
pub(super) struct Svg {
    text: String,
}

/// The number of shapes of [`Svg::mark`].
pub(super) const SHAPES: usize = 7;

/// The point of a text that its position refers to.
#[derive(Clone, Copy)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

impl Svg {
    /// A chart with a painted background; `description` is for screen readers.
    pub(super) fn new(width: f64, height: f64, description: &str) -> Self {
        let (width, height) = (Pixels(width), Pixels(height));
        let label = escape::xml(description);
        let mut svg = Self { text: String::new() };
        svg.push(format_args!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"kiln-chart\" role=\"img\" aria-label=\"{label}\" \
             width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\">\n<style>{STYLE}</style>\n\
             <rect class=\"surface\" width=\"{width}\" height=\"{height}\"/>\n"
        ));
        svg
    }

    /// A straight line.
    pub(super) fn line(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        self.push(format_args!(
            "<line class=\"{class}\" x1=\"{}\" y1=\"{}\" x2=\"{}\" y2=\"{}\"/>\n",
            Pixels(from.0),
            Pixels(from.1),
            Pixels(to.0),
            Pixels(to.1)
        ));
    }

    /// Lines through points. The points of each run are joined; runs are separated by gaps.
    pub(super) fn path(&mut self, class: &str, runs: &[Vec<(f64, f64)>]) {
        self.push(format_args!("<path class=\"{class}\" d=\""));
        for run in runs {
            for (index, (x, y)) in run.iter().enumerate() {
                let command = if index == 0 { 'M' } else { 'L' };
                self.push(format_args!("{command}{} {}", Pixels(*x), Pixels(*y)));
            }
        }
        self.push(format_args!("\"/>\n"));
    }

    /// The area between two lines with the same number of points.
    pub(super) fn area(&mut self, class: &str, upper: &[(f64, f64)], lower: &[(f64, f64)]) {
        self.push(format_args!("<path class=\"{class}\" d=\""));
        for (index, (x, y)) in upper.iter().chain(lower.iter().rev()).enumerate() {
            let command = if index == 0 { 'M' } else { 'L' };
            self.push(format_args!("{command}{} {}", Pixels(*x), Pixels(*y)));
        }
        self.push(format_args!("Z\"/>\n"));
    }

    /// A mark around a point. `shape` counts the shapes, so that lines differ in more than their color.
    pub(super) fn mark(&mut self, class: &str, at: (f64, f64), size: f64, shape: usize) {
        let corners: &[(f64, f64)] = match shape % SHAPES {
            0 => return self.circle(class, at, size),
            1 => &[(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)],
            2 => &[(0.0, -1.3), (1.3, 0.0), (0.0, 1.3), (-1.3, 0.0)],
            3 => &[(0.0, -1.25), (1.2, 0.9), (-1.2, 0.9)],
            4 => &[(0.0, 1.25), (1.2, -0.9), (-1.2, -0.9)],
            5 => &[(-1.2, -0.7), (1.2, -0.7), (1.2, 0.7), (-1.2, 0.7)],
            _ => &[(-0.7, -1.2), (0.7, -1.2), (0.7, 1.2), (-0.7, 1.2)],
        };
        let corners: Vec<_> =
            corners.iter().map(|(x, y)| (at.0 + x * size, at.1 + y * size)).collect();
        self.area(class, &corners, &[]);
    }

    /// Two crossed strokes at a point.
    pub(super) fn cross(&mut self, class: &str, (x, y): (f64, f64), size: f64) {
        let strokes = [
            vec![(x - size, y - size), (x + size, y + size)],
            vec![(x - size, y + size), (x + size, y - size)],
        ];
        self.path(class, &strokes);
    }

    /// A circle around a point.
    pub(super) fn circle(&mut self, class: &str, (x, y): (f64, f64), radius: f64) {
        let (x, y, radius) = (Pixels(x), Pixels(y), Pixels(radius));
        self.push(format_args!(
            "<circle class=\"{class}\" cx=\"{x}\" cy=\"{y}\" r=\"{radius}\"/>\n"
        ));
    }

    /// Opens a group of elements with further attributes; `title` is shown on hovering any of them.
    pub(super) fn open_group(&mut self, class: &str, attributes: &[(&str, usize)], title: &str) {
        self.push(format_args!("<g class=\"{class}\""));
        for (name, value) in attributes {
            self.push(format_args!(" {name}=\"{value}\""));
        }
        self.push(format_args!(">\n"));
        if !title.is_empty() {
            self.push(format_args!("<title>{}</title>\n", escape::xml_lines(title)));
        }
    }

    /// Closes the group that was opened last.
    pub(super) fn close_group(&mut self) {
        self.push(format_args!("</g>\n"));
    }

    /// A rectangle; `title` is shown on hovering.
    pub(super) fn rect(&mut self, rect: &Rect<'_>) {
        let Rect { class, x, y, width, height, fill, opacity, title } = rect;
        let (x, y, width, height) = (Pixels(*x), Pixels(*y), Pixels(*width), Pixels(*height));
        self.push(format_args!(
            "<rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\""
        ));
        if let Some(fill) = fill {
            // This is a style because the stylesheet's `fill` would override an attribute.
            self.push(format_args!(" style=\"fill:{fill}\""));
        }
        if let Some(opacity) = opacity {
            self.push(format_args!(" fill-opacity=\"{opacity:.3}\""));
        }
        match title {
            Some(title) => {
                self.push(format_args!("><title>{}</title></rect>\n", escape::xml_lines(title)));
            }
            None => self.push(format_args!("/>\n")),
        }
    }

    /// A line of text whose baseline starts, is centered or ends at a point.
    pub(super) fn text(&mut self, class: &str, at: (f64, f64), anchor: Anchor, text: &str) {
        self.label(&Label { class, at, anchor, size: None, turned: 0.0, text });
    }

    /// A line of text with its own font size or rotation.
    pub(super) fn label(&mut self, label: &Label<'_>) {
        let Label { class, at: (x, y), anchor, size, turned, text } = label;
        let (x, y) = (Pixels(*x), Pixels(*y));
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        self.push(format_args!(
            "<text class=\"{class}\" x=\"{x}\" y=\"{y}\" text-anchor=\"{anchor}\""
        ));
        if let Some(size) = size {
            // This is a style because the stylesheet's `font` would override an attribute.
            self.push(format_args!(" style=\"font-size:{}px\"", Pixels(*size)));
        }
        if *turned != 0.0 {
            self.push(format_args!(" transform=\"rotate({} {x} {y})\"", Pixels(*turned)));
        }
        self.push(format_args!(">{}</text>\n", escape::xml(text)));
    }

    /// The text of the chart.
    pub(super) fn finish(mut self) -> String {
        self.text.push_str("</svg>\n");
        self.text
    }

    fn push(&mut self, markup: std::fmt::Arguments<'_>) {
        // Writing to a String cannot fail.
        let _ = self.text.write_fmt(markup);
    }
}

/// A rectangle.
#[derive(Default)]
pub(super) struct Rect<'a> {
    pub(super) class: &'a str,
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) width: f64,
    pub(super) height: f64,
    /// Replaces the color of the class.
    pub(super) fill: Option<Rgb>,
    pub(super) opacity: Option<f64>,
    pub(super) title: Option<String>,
}

/// A line of text.
pub(super) struct Label<'a> {
    pub(super) class: &'a str,
    pub(super) at: (f64, f64),
    pub(super) anchor: Anchor,
    /// The font size in pixels; the chart's default if `None`.
    pub(super) size: Option<f64>,
    /// Clockwise rotation around `at`, in degrees.
    pub(super) turned: f64,
    pub(super) text: &'a str,
}

/// A length with at most two decimals.
struct Pixels(f64);

impl std::fmt::Display for Pixels {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Adding zero turns negative zero, which would print its sign, into zero.
        write!(formatter, "{}", (self.0 * 100.0).round() / 100.0 + 0.0)
    }
}

/// An upper bound of the width of a text in common sans-serif fonts, in pixels. No font is available to measure with.
pub(super) fn text_width(text: &str, size: f64) -> f64 {
    let em = |character: char| match character {
        'i' | 'j' | 'l' | 'I' | '.' | ',' | ':' | ';' | '\'' | '|' | '!' | ' ' => 0.33,
        'm' | 'w' | 'M' | 'W' | '@' | '%' => 0.92,
        'A'..='Z' => 0.70,
        // Chinese, Japanese, Korean and emoji characters are as wide as they are high.
        '\u{1100}'.. => 1.0,
        _ => 0.59,
    };
    text.chars().map(em).sum::<f64>() * size
}
