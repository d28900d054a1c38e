use kiln_store::{Direction, EpochRow, History, escape};

use super::scale::{Axis, Scale, epoch_ticks};
use super::svg::{Anchor, Rect, Svg, text_width};

const WIDTH: f64 = 760.0;
const TOP: f64 = 96.0;
/// The height of a panel, and the space between the panels for the heading of the second one.
const PANEL: f64 = 200.0;
const SPACE: f64 = 44.0;
const BOTTOM: f64 = TOP + 2.0 * PANEL + SPACE;
const HEIGHT: f64 = BOTTOM + 54.0;
const RIGHT: f64 = WIDTH - 28.0;
/// Space between the ends of the curves and the edges of the grid, in pixels.
const INSET: f64 = 14.0;

/// Above this number of epochs, points have no marks.
const MAX_MARKED: usize = 40;
/// Above this number of epochs, lines are thin, because they go up and down within a few pixels.
const MAX_BOLD: usize = 200;
/// Above this number of epochs, several epochs share a hover area.
const MAX_BANDS: usize = 400;
/// Above this number of epochs, a curve has the lowest and the highest value of each of [`BINS`] groups of epochs.
const MAX_POINTS: usize = 1400;
const BINS: usize = 350;

/// One of the two parts of the chart.
struct Panel {
    name: &'static str,
    /// Training, then validation. The colors, orange and blue, stay distinguishable in every form of color blindness
    /// (Okabe and Ito, 2008). Validation is dashed with hollow marks.
    curves: [Curve; 2],
    better: Direction,
    /// The lowest and highest possible value.
    limits: (f64, f64),
    top: f64,
}

/// A curve: a column of the history and its style.
struct Curve {
    metric: &'static str,
    class: &'static str,
}

static PANELS: [Panel; 2] = [
    Panel {
        name: "loss",
        curves: [
            Curve { metric: "loss", class: "loss" },
            Curve { metric: "val_loss", class: "loss validation" },
        ],
        better: Direction::Lower,
        limits: (f64::NEG_INFINITY, f64::INFINITY),
        top: TOP,
    },
    Panel {
        name: "accuracy",
        curves: [
            Curve { metric: "accuracy", class: "accuracy" },
            Curve { metric: "val_accuracy", class: "accuracy validation" },
        ],
        better: Direction::Higher,
        limits: (0.0, 1.0),
        top: TOP + PANEL + SPACE,
    },
];

/// `history.svg`: the loss and the accuracy of training and validation over the epochs, in two panels with axes of their
/// own. A circle marks the best epoch of each panel by validation, or without validation by training. A line marks the
/// epoch whose weights are `kept`.
///
/// The vertical axes span the values and need not include zero. An epoch without a value leaves a gap.
#[must_use]
pub fn history_chart(title: &str, history: &History, kept: Option<usize>) -> String {
    let axes = PANELS.each_ref().map(|panel| panel.axis(history));
    let labels = axes.iter().flat_map(|axis| axis.ticks.iter().map(|tick| axis.label(*tick)));
    let widest = labels.map(|label| text_width(&label, 13.0)).fold(0.0, f64::max);
    let left = 34.0 + widest;
    let last = history.rows.len();
    // A single epoch is centered; several reach from edge to edge.
    let domain = if last > 1 { (1.0, last as f64) } else { (0.0, 2.0) };
    let x = Scale { domain, range: (left + INSET, RIGHT - INSET) };
    let kept = kept.filter(|epoch| (1..=last).contains(epoch));

    let epochs = if last == 1 { "epoch" } else { "epochs" };
    let description = format!("Loss and accuracy over {last} {epochs}: {title}");
    let mut svg = Svg::new(WIDTH, HEIGHT, &description);
    svg.text("title", (24.0, 32.0), Anchor::Start, &escape::shorten(title, 72));
    legend(&mut svg, history, kept);
    for (panel, axis) in PANELS.iter().zip(&axes) {
        let (top, bottom) = (panel.top, panel.top + PANEL);
        let y = Scale { domain: axis.domain, range: (bottom, top) };
        for tick in &axis.ticks {
            svg.line("grid", (left, y.at(*tick)), (RIGHT, y.at(*tick)));
            svg.text("muted", (left - 10.0, y.at(*tick) + 4.5), Anchor::End, &axis.label(*tick));
        }
        for epoch in epoch_ticks(last) {
            let at = x.at(epoch as f64);
            svg.line("grid", (at, top), (at, bottom));
        }
        svg.line("axis", (left, bottom), (RIGHT, bottom));
        svg.text("heading", (left, top - 12.0), Anchor::Start, panel.name);
        if let Some(epoch) = kept {
            let at = x.at(epoch as f64);
            svg.line("kept", (at, top), (at, bottom));
        }
        for curve in &panel.curves {
            draw(&mut svg, curve, history, x, y);
        }
        if let Some((metric, row, value)) = panel.best(history) {
            svg.circle("best", (x.at(row.epoch as f64), y.at(value)), 6.5);
            let words = format!("best {metric} {value:.4} in epoch {}", row.epoch);
            svg.text("muted", (RIGHT, top - 12.0), Anchor::End, &words);
        }
    }
    for epoch in epoch_ticks(last) {
        let at = (x.at(epoch as f64), BOTTOM + 20.0);
        svg.text("muted", at, Anchor::Middle, &epoch.to_string());
    }
    svg.text("", ((left + RIGHT) / 2.0, HEIGHT - 14.0), Anchor::Middle, "epoch");
    bands(&mut svg, history, x);
    svg.finish()
}

impl Panel {
    /// The curves that have a value.
    fn drawn(&self, history: &History) -> impl Iterator<Item = &Curve> {
        self.curves.iter().filter(|curve| values(history, curve).any(|(_, value)| value.is_some()))
    }

    /// Round numbers around all values, with some space if the values are almost equal.
    fn axis(&self, history: &History) -> Axis {
        let values = self.curves.iter().flat_map(|curve| values(history, curve));
        let values = values.filter_map(|(_, value)| value);
        let extent = values.fold(None, |extent: Option<(f64, f64)>, value| {
            let (low, high) = extent.unwrap_or((value, value));
            Some((low.min(value), high.max(value)))
        });
        let (low, high) = extent.unwrap_or((0.0, 1.0));
        let room = (0.02 * low.abs().max(high.abs())).max(0.002) - (high - low) / 2.0;
        let room = room.max(0.0);
        // The limits bound the added space; a value beyond them is drawn, too.
        let below = (low - room).max(self.limits.0).min(low);
        let above = (high + room).min(self.limits.1).max(high);
        Axis::between(below, above)
    }

    /// The metric that chooses the best epoch, that epoch, and the value.
    fn best<'a>(&self, history: &'a History) -> Option<(&'static str, &'a EpochRow, f64)> {
        let metric = self.drawn(history).last()?.metric;
        let (row, value) = history.best_by(metric, self.better)?;
        is_drawable(value).then_some((metric, row, value))
    }
}

/// Whether a value would not overflow the arithmetic of a chart.
fn is_drawable(value: f64) -> bool {
    value.abs() < 1e100
}

/// The curve's epochs and values. Values that cannot be drawn count as missing.
fn values(history: &History, curve: &Curve) -> impl Iterator<Item = (f64, Option<f64>)> {
    let value = |row: &EpochRow| row.metric(curve.metric).filter(|value| is_drawable(*value));
    history.rows.iter().map(move |row| (row.epoch as f64, value(row)))
}

fn legend(svg: &mut Svg, history: &History, kept: Option<usize>) {
    const MIDDLE: f64 = 54.0;
    const SAMPLE: f64 = 28.0;
    let mut left = 24.0;
    let mut entry = |svg: &mut Svg, name: &str, sample: &dyn Fn(&mut Svg, f64)| {
        sample(svg, left);
        svg.text("", (left + SAMPLE + 8.0, MIDDLE + 4.5), Anchor::Start, name);
        left += SAMPLE + 8.0 + text_width(name, 13.0) + 20.0;
    };
    for curve in PANELS.iter().flat_map(|panel| panel.drawn(history)) {
        entry(svg, curve.metric, &|svg, left| {
            let style = line_style(curve, history);
            svg.line(&style, (left, MIDDLE), (left + SAMPLE, MIDDLE));
            if history.rows.len() <= MAX_MARKED {
                let point = format!("point {}", curve.class);
                svg.circle(&point, (left + SAMPLE / 2.0, MIDDLE), 3.0);
            }
        });
    }
    if PANELS.iter().any(|panel| panel.best(history).is_some()) {
        let ring = |svg: &mut Svg, left: f64| svg.circle("best", (left + 20.0, MIDDLE), 6.5);
        entry(svg, "best", &ring);
    }
    if let Some(epoch) = kept {
        entry(svg, &format!("kept: epoch {epoch}"), &|svg, left| {
            svg.line("kept", (left + 20.0, MIDDLE - 9.0), (left + 20.0, MIDDLE + 9.0));
        });
    }
}

fn line_style(curve: &Curve, history: &History) -> String {
    let thin = if history.rows.len() > MAX_BOLD { "thin " } else { "" };
    format!("line {thin}{}", curve.class)
}

fn draw(svg: &mut Svg, curve: &Curve, history: &History, x: Scale, y: Scale) {
    let mut runs: Vec<Vec<(f64, f64)>> = Vec::new();
    let mut is_open = false;
    for (epoch, value) in values(history, curve) {
        match (value, runs.last_mut()) {
            (Some(value), Some(run)) if is_open => run.push((epoch, value)),
            (Some(value), _) => runs.push(vec![(epoch, value)]),
            (None, _) => {}
        }
        is_open = value.is_some();
    }
    let step = history.rows.len().div_ceil(BINS);
    let place = |(epoch, value): &(f64, f64)| (x.at(*epoch), y.at(*value));
    let runs: Vec<Vec<(f64, f64)>> = runs
        .iter()
        .map(|run| match history.rows.len() {
            0..=MAX_POINTS => run.iter().map(place).collect(),
            _ => extremes(run, step).iter().map(place).collect(),
        })
        .collect();
    if runs.is_empty() {
        return;
    }
    svg.path(&line_style(curve, history), &runs);
    let point = format!("point {}", curve.class);
    for run in &runs {
        // A value without neighbors makes no line and would be invisible without a dot.
        if history.rows.len() <= MAX_MARKED || run.len() == 1 {
            for at in run {
                svg.circle(&point, *at, 3.0);
            }
        }
    }
}

/// The first and last point, and of each group of `step` points the lowest and the highest, in their order. They look like
/// all points if a group is not wider than a few pixels.
fn extremes(points: &[(f64, f64)], step: usize) -> Vec<(f64, f64)> {
    let mut kept: Vec<usize> = vec![0, points.len() - 1];
    for (group, members) in points.chunks(step).enumerate() {
        let places = || (0..members.len()).map(|place| group * step + place);
        let by_value = |a: &usize, b: &usize| points[*a].1.total_cmp(&points[*b].1);
        kept.extend(places().min_by(by_value));
        kept.extend(places().max_by(by_value));
    }
    kept.sort_unstable();
    kept.dedup();
    kept.into_iter().map(|place| points[place]).collect()
}

/// Vertical strips on top of everything; hovering one shows the numbers of its epochs.
fn bands(svg: &mut Svg, history: &History, x: Scale) {
    let step = history.rows.len().div_ceil(MAX_BANDS).max(1);
    let half = (x.at(1.0 + step as f64) - x.at(1.0)) / 2.0;
    let edges = (x.range.0 - INSET, x.range.1 + INSET);
    for row in history.rows.iter().step_by(step) {
        let middle = x.at(row.epoch as f64);
        let left = (middle - half).max(edges.0);
        svg.rect(&Rect {
            class: "band",
            x: left,
            y: TOP,
            width: (middle + half).min(edges.1) - left,
            height: BOTTOM - TOP,
            fill: None,
            opacity: None,
            title: Some(numbers(row)),
        });
    }
}

fn numbers(row: &EpochRow) -> String {
    let mut text = format!("epoch {}", row.epoch);
    for metric in ["loss", "accuracy", "val_loss", "val_accuracy"] {
        if let Some(value) = row.metric(metric) {
            text.push_str(&format!("\n{metric} {value:.4}"));
        }
    }
    text
}
