use std::fmt::Write;

use crate::escape;

/// Colours come twice, for light and dark themes, as plain values and not as CSS variables, which viewers other than
/// browsers do not know. The chart paints its own background, so its text is legible on a page of either theme.
const STYLE: &str = "
.kiln-chart{max-width:100%;height:auto;font:13px system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif;font-variant-numeric:tabular-nums}
.kiln-chart text{fill:#1f2328}
.kiln-chart .surface{fill:#fff}
.kiln-chart .title{font-size:16px;font-weight:600}
.kiln-chart .muted{fill:#59636e}
.kiln-chart .grid{stroke:#e3e6ea;fill:none}
.kiln-chart .axis{stroke:#8c959f;fill:none}
.kiln-chart .line{fill:none;stroke-width:2;stroke-linejoin:round;stroke-linecap:round}
.kiln-chart .validation{stroke-dasharray:6 5}
.kiln-chart .loss{stroke:#d55e00}
.kiln-chart .accuracy{stroke:#0072b2}
.kiln-chart .point{stroke-width:2;stroke-dasharray:none}
.kiln-chart .point.loss{fill:#d55e00}
.kiln-chart .point.accuracy{fill:#0072b2}
.kiln-chart .point.validation{fill:#fff}
.kiln-chart .band{fill:#1f2328;fill-opacity:0}
.kiln-chart .band:hover{fill-opacity:.06}
.kiln-chart .cell{fill:#084594;shape-rendering:crispEdges}
.kiln-chart .strong{fill:#fff}
.kiln-chart .zero{fill:#a8b0b9}
@media (prefers-color-scheme:dark){
.kiln-chart text{fill:#e6e8eb}
.kiln-chart .surface{fill:#16191d}
.kiln-chart .muted{fill:#9aa4af}
.kiln-chart .grid{stroke:#2c323a}
.kiln-chart .axis{stroke:#6b7580}
.kiln-chart .loss{stroke:#f0883e}
.kiln-chart .accuracy{stroke:#56b4e9}
.kiln-chart .point.loss{fill:#f0883e}
.kiln-chart .point.accuracy{fill:#56b4e9}
.kiln-chart .point.validation{fill:#16191d}
.kiln-chart .band{fill:#e6e8eb}
.kiln-chart .cell{fill:#56b4e9}
.kiln-chart .strong{fill:#0d1117}
.kiln-chart .zero{fill:#5b6570}
}
";

/// An SVG picture under construction. Lengths are pixels, y grows downwards.
pub(super) struct Svg {
    text: String,
}

/// Which end of a text its position is.
#[derive(Clone, Copy)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

impl Svg {
    /// A picture with its background painted; `description` is what a screen reader says.
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

    /// A line through points; each run of points is joined, and between two runs is a gap.
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

    /// A circle around a point.
    pub(super) fn circle(&mut self, class: &str, (x, y): (f64, f64), radius: f64) {
        let (x, y, radius) = (Pixels(x), Pixels(y), Pixels(radius));
        self.push(format_args!(
            "<circle class=\"{class}\" cx=\"{x}\" cy=\"{y}\" r=\"{radius}\"/>\n"
        ));
    }

    /// A rectangle; `title` shows on hovering.
    pub(super) fn rect(&mut self, rect: &Rect<'_>) {
        let Rect { class, x, y, width, height, opacity, title } = rect;
        let (x, y, width, height) = (Pixels(*x), Pixels(*y), Pixels(*width), Pixels(*height));
        self.push(format_args!(
            "<rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\""
        ));
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

    /// A line of text whose baseline begins, is centred or ends at a point.
    pub(super) fn text(&mut self, class: &str, at: (f64, f64), anchor: Anchor, text: &str) {
        self.label(&Label { class, at, anchor, size: None, turned: 0.0, text });
    }

    /// A line of text with its own size or direction.
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
            // A style and not an attribute, which the stylesheet's `font` would override.
            self.push(format_args!(" style=\"font-size:{}px\"", Pixels(*size)));
        }
        if *turned != 0.0 {
            self.push(format_args!(" transform=\"rotate({} {x} {y})\"", Pixels(*turned)));
        }
        self.push(format_args!(">{}</text>\n", escape::xml(text)));
    }

    /// The picture's text.
    pub(super) fn finish(mut self) -> String {
        self.text.push_str("</svg>\n");
        self.text
    }

    fn push(&mut self, markup: std::fmt::Arguments<'_>) {
        // Writing to a String does not fail.
        let _ = self.text.write_fmt(markup);
    }
}

/// A rectangle of a picture.
#[derive(Default)]
pub(super) struct Rect<'a> {
    pub(super) class: &'a str,
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) width: f64,
    pub(super) height: f64,
    pub(super) opacity: Option<f64>,
    pub(super) title: Option<String>,
}

/// A line of text of a picture.
pub(super) struct Label<'a> {
    pub(super) class: &'a str,
    pub(super) at: (f64, f64),
    pub(super) anchor: Anchor,
    /// The font's size in pixels; the chart's own where there is none.
    pub(super) size: Option<f64>,
    /// Degrees clockwise around `at`.
    pub(super) turned: f64,
    pub(super) text: &'a str,
}

/// A length with at most two decimals.
struct Pixels(f64);

impl std::fmt::Display for Pixels {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Adding zero turns a negative zero, which would be written with its sign, into zero.
        write!(formatter, "{}", (self.0 * 100.0).round() / 100.0 + 0.0)
    }
}

/// How wide a text is at most in common sans-serif fonts, in pixels: there is no font at hand to ask.
pub(super) fn text_width(text: &str, size: f64) -> f64 {
    let em = |character: char| match character {
        'i' | 'j' | 'l' | 'I' | '.' | ',' | ':' | ';' | '\'' | '|' | '!' | ' ' => 0.33,
        'm' | 'w' | 'M' | 'W' | '@' | '%' => 0.92,
        'A'..='Z' => 0.70,
        // Chinese, Japanese, Korean and emoji are as wide as they are high.
        '\u{1100}'.. => 1.0,
        _ => 0.59,
    };
    text.chars().map(em).sum::<f64>() * size
}
