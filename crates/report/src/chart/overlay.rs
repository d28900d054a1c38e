use kiln_store::number::decimals;

use super::extent::Extent;
use super::frame::{Frame, Words};
use super::palette::{EMPHASIZED, MAX_COLORED, line_class, line_shape};
use super::scale::epoch_ticks;
use super::svg::Svg;

/// Space between the ends of the curves and the edges of the grid, in pixels.
const INSET: f64 = 12.0;
/// Above this number of epochs, some of them have no marks.
const MAX_MARKED: usize = 30;

/// One metric over the epochs, with a curve for each combination of settings.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Overlay {
    /// The title of the chart.
    pub title: String,
    /// The line below the title.
    pub note: String,
    /// The name of the metric for screen readers, such as `val_accuracy`.
    pub metric: String,
    /// The curves, the most important first. With more than twelve, only the first are colored.
    pub curves: Vec<OverlayCurve>,
}

/// A curve of an [`Overlay`]: a run, or the mean of several runs with their range.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct OverlayCurve {
    /// The name in the legend.
    pub name: String,
    /// The text shown on hovering.
    pub words: String,
    /// Whether the run was stopped early: its end is marked.
    pub stopped: bool,
    /// Whether the curve is emphasized.
    pub may_be_best: bool,
    /// The points by ascending epoch. An epoch without a value leaves a gap.
    pub points: Vec<OverlayPoint>,
}

/// One epoch of an [`OverlayCurve`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OverlayPoint {
    /// The epoch, counted from 1.
    pub epoch: usize,
    /// The value, or the mean over the runs; `None` if the epoch has no finite value.
    pub value: Option<f64>,
    /// The lowest and the highest value if there are several runs.
    pub range: Option<(f64, f64)>,
}

/// Draws the curves in one chart, the first on top. The range of several runs is a band around their mean.
///
/// The vertical axis spans the values and need not include zero. Outliers are drawn at its edge.
#[must_use]
pub fn overlay_chart(overlay: &Overlay) -> String {
    let Overlay { title, note, metric, curves } = overlay;
    let names: Vec<String> = curves.iter().map(|curve| curve.name.clone()).collect();
    let frame = Frame::new(extent(overlay), &names);
    let last = curves.iter().flat_map(|curve| &curve.points).map(|point| point.epoch).max();
    let last = last.unwrap_or(1);
    // A single epoch is centered; several reach from edge to edge.
    let domain = if last > 1 { (1.0, last as f64) } else { (0.0, 2.0) };
    let x = frame.x(domain, INSET);
    let ticks = epoch_ticks(last).into_iter().map(|epoch| (x.at(epoch as f64), epoch.to_string()));
    let words = Words {
        description: format!("{} curves of {metric}: {title}", curves.len()),
        title,
        note: note.clone(),
        below: "epoch".to_owned(),
    };
    let mut svg = frame.begin(&words, &ticks.collect::<Vec<_>>());
    let place = |epoch: usize, value: f64| Some((x.at(epoch as f64), frame.y(value)?));
    // Curves drawn later are on top, and all curves are on top of the bands. With more curves than colors, only the first
    // are colored and have bands: many bands would hide each other.
    let colored = if curves.len() > MAX_COLORED { EMPHASIZED } else { curves.len() };
    for index in (0..colored).rev() {
        band(&mut svg, overlay, index, place);
    }
    for index in (0..curves.len()).rev() {
        // The shapes of the marks tell the colored curves apart.
        let every = (index < colored).then(|| last.div_ceil(MAX_MARKED));
        curve(&mut svg, overlay, index, place, every);
    }
    frame.end(svg)
}

/// The range from the lowest to the highest point, without curves that are far outside of the others. Each curve
/// counts once, by its ends: most of its points are near its end, so its first epochs are no outliers.
fn extent(overlay: &Overlay) -> Option<Extent> {
    let ends = |of: fn(f64, f64) -> f64| {
        let points = overlay.curves.iter().map(|curve| curve.points.iter());
        points.filter_map(move |points| {
            points
                .flat_map(|point| {
                    let (low, high) = point.range.unzip();
                    [point.value, low, high]
                })
                .flatten()
                .filter(|value| value.abs() < 1e100)
                .reduce(of)
        })
    };
    let (lowest, highest) = (Extent::of(ends(f64::min))?, Extent::of(ends(f64::max))?);
    let high = highest.high.max(lowest.high);
    Some(
        Extent { low: lowest.low, high, cut_low: false, cut_high: false }
            .with_cuts_for(ends(f64::min).chain(ends(f64::max))),
    )
}

/// Splits points at those without a position.
fn parts<T>(points: impl Iterator<Item = Option<T>>) -> Vec<Vec<T>> {
    let mut parts: Vec<Vec<T>> = Vec::new();
    let mut open = false;
    for point in points {
        match (point, parts.last_mut()) {
            (Some(at), Some(part)) if open => part.push(at),
            (Some(at), _) => {
                parts.push(vec![at]);
                open = true;
            }
            (None, _) => open = false,
        }
    }
    parts
}

fn band(
    svg: &mut Svg,
    overlay: &Overlay,
    index: usize,
    place: impl Fn(usize, f64) -> Option<(f64, f64)>,
) {
    let curve = &overlay.curves[index];
    let edges = curve.points.iter().map(|point| {
        let (low, high) = point.range?;
        Some((place(point.epoch, high)?, place(point.epoch, low)?))
    });
    let parts = parts(edges);
    if parts.is_empty() {
        return;
    }
    svg.open_group("run", &[("data-line", index)], "");
    for part in parts {
        let (upper, lower): (Vec<_>, Vec<_>) = part.into_iter().unzip();
        svg.area(&format!("range {}", line_class(index, overlay.curves.len())), &upper, &lower);
    }
    svg.close_group();
}

fn curve(
    svg: &mut Svg,
    overlay: &Overlay,
    index: usize,
    place: impl Fn(usize, f64) -> Option<(f64, f64)>,
    every: Option<usize>,
) {
    let curve = &overlay.curves[index];
    let class = line_class(index, overlay.curves.len());
    let width = if curve.may_be_best { "" } else { "thin " };
    let parts = parts(curve.points.iter().map(|point| place(point.epoch, point.value?)));
    svg.open_group("run", &[("data-line", index), ("data-run", index)], &words(curve));
    svg.path(&format!("line {width}{class}"), &parts);
    if let Some(end) = parts.last().and_then(|part| part.last()).filter(|_| curve.stopped) {
        svg.cross("stopped", *end, 3.0);
    }
    for part in parts {
        // A value without neighbors makes no line and would be invisible without a mark.
        let every = every.or_else(|| (part.len() == 1).then_some(1));
        if let Some(every) = every {
            for at in part.into_iter().step_by(every) {
                svg.mark(&format!("mean {class}"), at, 3.0, line_shape(index));
            }
        }
    }
    svg.close_group();
}

fn words(curve: &OverlayCurve) -> String {
    let last = curve.points.iter().rev().find(|point| point.value.is_some());
    let last = last.map(|point| {
        let number = |value| decimals(Some(value), 4);
        let range = point
            .range
            .map(|(low, high)| format!(", {} to {}", number(low), number(high)))
            .unwrap_or_default();
        format!("\nepoch {}: {}{range}", point.epoch, decimals(point.value, 4))
    });
    format!("{}{}", curve.words, last.unwrap_or_default())
}
