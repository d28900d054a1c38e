use kiln_store::escape;

use super::extent::Extent;
use super::legend::Legend;
use super::scale::{Axis, Scale};
use super::svg::{Anchor, Svg, text_width};

const WIDTH: f64 = 760.0;
const TOP: f64 = 72.0;
const BOTTOM: f64 = TOP + 340.0;
const RIGHT: f64 = WIDTH - 28.0;

/// Everything around the lines of a chart that compares runs: title, grid, axes and legend.
pub(super) struct Frame {
    left: f64,
    /// The range of the values, if there are any.
    vertical: Option<Vertical>,
    legend: Legend,
}

struct Vertical {
    extent: Extent,
    scale: Scale,
    /// The value and the text of each tick.
    ticks: Vec<(f64, String)>,
}

/// The texts around the lines.
pub(super) struct Words<'a> {
    /// The description for screen readers.
    pub(super) description: String,
    pub(super) title: &'a str,
    /// The line below the title. A note about outliers is appended.
    pub(super) note: String,
    /// The label of the horizontal axis.
    pub(super) below: String,
}

impl Frame {
    /// Makes a frame for this range of values and for lines with these names.
    pub(super) fn new(extent: Option<Extent>, names: &[String]) -> Self {
        let vertical = extent.map(|extent| {
            let axis = Axis::between(extent.low, extent.high);
            let ticks = axis.ticks.iter().map(|tick| (*tick, axis.label(*tick))).collect();
            Vertical { extent, scale: Scale { domain: axis.domain, range: (BOTTOM, TOP) }, ticks }
        });
        let ticks = vertical.iter().flat_map(|vertical| &vertical.ticks);
        let widest = ticks.map(|(_, label)| text_width(label, 13.0)).fold(0.0, f64::max);
        let left = 34.0 + widest;
        Self { left, vertical, legend: Legend::new(names, (left, RIGHT)) }
    }

    /// Maps a domain to the width of the frame, with an inset on both sides.
    pub(super) fn x(&self, domain: (f64, f64), inset: f64) -> Scale {
        Scale { domain, range: (self.left + inset, RIGHT - inset) }
    }

    /// The vertical position of a value, in pixels. Values beyond the axis are placed at its edge. `None` if the
    /// value is not finite or would overflow the arithmetic of a chart.
    pub(super) fn y(&self, value: f64) -> Option<f64> {
        let Vertical { extent, scale, .. } = self.vertical.as_ref()?;
        (value.abs() < 1e100).then(|| scale.at(extent.within(value)))
    }

    /// The chart with everything below the lines. `ticks` are positions on the horizontal axis, in pixels, with their
    /// labels.
    pub(super) fn begin(&self, words: &Words<'_>, ticks: &[(f64, String)]) -> Svg {
        let mut svg = Svg::new(WIDTH, BOTTOM + 56.0 + self.legend.height, &words.description);
        svg.text("title", (24.0, 32.0), Anchor::Start, &escape::shorten(words.title, 72));
        let cut = self.vertical.as_ref().and_then(|vertical| vertical.extent.words());
        let note = match cut {
            Some(cut) if words.note.is_empty() => cut.to_owned(),
            Some(cut) => format!("{}; {cut}", words.note),
            None => words.note.clone(),
        };
        svg.text("muted", (24.0, 54.0), Anchor::Start, &escape::shorten(&note, 120));
        for (x, label) in ticks {
            svg.line("grid", (*x, TOP), (*x, BOTTOM));
            svg.text("muted", (*x, BOTTOM + 20.0), Anchor::Middle, label);
        }
        let middle = f64::midpoint(self.left, RIGHT);
        svg.text("", (middle, BOTTOM + 40.0), Anchor::Middle, &words.below);
        if let Some(Vertical { scale, ticks, .. }) = &self.vertical {
            for (tick, label) in ticks {
                let y = scale.at(*tick);
                svg.line("grid", (self.left, y), (RIGHT, y));
                svg.text("muted", (self.left - 10.0, y + 4.5), Anchor::End, label);
            }
        }
        svg
    }

    /// The text of the chart, with everything above the lines and below the frame.
    pub(super) fn end(&self, mut svg: Svg) -> String {
        svg.line("axis", (self.left, BOTTOM), (RIGHT, BOTTOM));
        self.legend.draw(&mut svg, BOTTOM + 50.0);
        svg.finish()
    }
}
