use kiln_store::{EpochRow, History, escape};

use super::scale::{Axis, Scale, epoch_ticks};
use super::svg::{Anchor, Label, Rect, Svg, text_width};

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 460.0;
const TOP: f64 = 78.0;
const BOTTOM: f64 = HEIGHT - 58.0;
const RIGHT: f64 = WIDTH - 28.0;
/// Space between the ends of the curves and the edges of the grid, in pixels.
const INSET: f64 = 14.0;

/// Above this number of epochs, points have no marks.
const MAX_MARKED: usize = 40;
/// Above this number of epochs, several epochs share a hover area.
const MAX_BANDS: usize = 400;

/// A curve: a column of the history and its style. Losses are orange and accuracies blue, two colors that stay
/// distinguishable in every form of color blindness (Okabe and Ito, 2008). Validation is dashed with hollow marks.
struct Curve {
    metric: &'static str,
    class: &'static str,
}

const CURVES: [Curve; 4] = [
    Curve { metric: "loss", class: "loss" },
    Curve { metric: "accuracy", class: "accuracy" },
    Curve { metric: "val_loss", class: "loss validation" },
    Curve { metric: "val_accuracy", class: "accuracy validation" },
];

/// `history.svg`: loss and accuracy of training and validation over the epochs.
///
/// The vertical axis goes from 0 to 1 if all values are in that range. An epoch without a value leaves a gap.
#[must_use]
pub fn history_chart(title: &str, history: &History) -> String {
    let curves: Vec<&Curve> = CURVES
        .iter()
        .filter(|curve| values(history, curve).any(|(_, value)| value.is_some()))
        .collect();
    let drawn =
        curves.iter().flat_map(|curve| values(history, curve)).filter_map(|(_, value)| value);
    let axis = Axis::around(drawn);
    let tick_labels: Vec<String> = axis.ticks.iter().map(|tick| axis.label(*tick)).collect();
    let widest = tick_labels.iter().map(|label| text_width(label, 13.0)).fold(0.0, f64::max);
    let left = 50.0 + widest;
    let last = history.rows.len();
    // A single epoch is centered; several reach from edge to edge.
    let domain = if last > 1 { (1.0, last as f64) } else { (0.0, 2.0) };
    let x = Scale { domain, range: (left + INSET, RIGHT - INSET) };
    let y = Scale { domain: axis.domain, range: (BOTTOM, TOP) };

    let epochs = if last == 1 { "epoch" } else { "epochs" };
    let description = format!("Loss and accuracy over {last} {epochs}: {title}");
    let mut svg = Svg::new(WIDTH, HEIGHT, &description);
    svg.text("title", (24.0, 32.0), Anchor::Start, &escape::shorten(title, 72));
    legend(&mut svg, &curves, last <= MAX_MARKED);
    for (tick, label) in axis.ticks.iter().zip(&tick_labels) {
        svg.line("grid", (left, y.at(*tick)), (RIGHT, y.at(*tick)));
        svg.text("muted", (left - 10.0, y.at(*tick) + 4.5), Anchor::End, label);
    }
    for epoch in epoch_ticks(last) {
        let at = x.at(epoch as f64);
        svg.line("grid", (at, TOP), (at, BOTTOM));
        svg.text("muted", (at, BOTTOM + 20.0), Anchor::Middle, &epoch.to_string());
    }
    svg.line("axis", (left, BOTTOM), (RIGHT, BOTTOM));
    svg.text("", ((left + RIGHT) / 2.0, HEIGHT - 16.0), Anchor::Middle, "epoch");
    svg.label(&Label {
        class: "",
        at: (28.0, (TOP + BOTTOM) / 2.0),
        anchor: Anchor::Middle,
        size: None,
        turned: -90.0,
        text: "loss and accuracy",
    });
    for curve in &curves {
        draw(&mut svg, curve, history, x, y);
    }
    bands(&mut svg, history, x);
    svg.finish()
}

/// The curve's epochs and values. Values that would overflow the arithmetic of a chart count as missing.
fn values(history: &History, curve: &Curve) -> impl Iterator<Item = (f64, Option<f64>)> {
    history
        .rows
        .iter()
        .map(|row| (row.epoch as f64, row.metric(curve.metric).filter(|value| value.abs() < 1e100)))
}

fn legend(svg: &mut Svg, curves: &[&Curve], marked: bool) {
    let mut left = 24.0;
    for curve in curves {
        let middle = 54.0;
        svg.line(&format!("line {}", curve.class), (left, middle), (left + 28.0, middle));
        if marked {
            svg.circle(&format!("point {}", curve.class), (left + 14.0, middle), 3.0);
        }
        svg.text("", (left + 36.0, middle + 4.5), Anchor::Start, curve.metric);
        left += 36.0 + text_width(curve.metric, 13.0) + 24.0;
    }
}

fn draw(svg: &mut Svg, curve: &Curve, history: &History, x: Scale, y: Scale) {
    let mut runs: Vec<Vec<(f64, f64)>> = vec![vec![]];
    for (epoch, value) in values(history, curve) {
        match (value, runs.last_mut()) {
            (Some(value), Some(run)) => run.push((x.at(epoch), y.at(value))),
            _ => runs.push(vec![]),
        }
    }
    svg.path(&format!("line {}", curve.class), &runs);
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
    for curve in &CURVES {
        if let Some(value) = row.metric(curve.metric) {
            text.push_str(&format!("\n{} {value:.4}", curve.metric));
        }
    }
    text
}
