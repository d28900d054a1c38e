use kiln_store::number::decimals;

use super::extent::Extent;
use super::frame::{Frame, Words};
use super::palette::{MAX_COLORED, line_class};
use super::scale::epoch_ticks;
use super::svg::Svg;

/// Space between the ends of the curves and the edges of the grid, in pixels.
const INSET: f64 = 12.0;
/// Above this number of epochs, or with more than two dozen curves, points have no marks.
const MAX_MARKED: usize = 30;

/// One metric of several runs over the epochs.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Overlay {
    /// The title of the chart.
    pub title: String,
    /// The line below the title.
    pub note: String,
    /// The name of the metric for screen readers, such as `val_accuracy`.
    pub metric: String,
    /// The meaning of each color, most important first. With more than twelve groups, only the first are colored.
    pub groups: Vec<String>,
    /// The curves.
    pub curves: Vec<OverlayCurve>,
}

/// A curve of an [`Overlay`].
#[derive(Debug, Clone, PartialEq, Default)]
pub struct OverlayCurve {
    /// The index of its group in the overlay.
    pub group: usize,
    /// The text shown on hovering.
    pub words: String,
    /// The points by ascending epoch. An epoch without a value leaves a gap.
    pub points: Vec<OverlayPoint>,
}

/// One epoch of an [`OverlayCurve`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OverlayPoint {
    /// The epoch, counted from 1.
    pub epoch: usize,
    /// The value; `None` if the epoch has no finite value.
    pub value: Option<f64>,
}

/// Draws the curves of several runs in one chart, the first groups on top.
///
/// The vertical axis spans the values and need not include zero. Outliers are drawn at its edge.
#[must_use]
pub fn overlay_chart(overlay: &Overlay) -> String {
    let frame = Frame::new(extent(overlay), &overlay.groups);
    let last = overlay.curves.iter().flat_map(|curve| &curve.points).map(|point| point.epoch).max();
    let last = last.unwrap_or(1);
    // A single epoch is centered; several reach from edge to edge.
    let domain = if last > 1 { (1.0, last as f64) } else { (0.0, 2.0) };
    let x = frame.x(domain, INSET);
    let ticks = epoch_ticks(last).into_iter().map(|epoch| (x.at(epoch as f64), epoch.to_string()));
    let Overlay { title, note, metric, curves, .. } = overlay;
    let words = Words {
        description: format!("{metric} of {} runs over the epochs: {title}", curves.len()),
        title,
        note: note.clone(),
        below: "epoch".to_owned(),
    };
    let mut svg = frame.begin(&words, &ticks.collect::<Vec<_>>());
    // Curves drawn later are on top.
    let mut order: Vec<usize> = (0..curves.len()).collect();
    order.sort_by_key(|index| std::cmp::Reverse(curves[*index].group));
    let marked = last <= MAX_MARKED && curves.len() <= 2 * MAX_COLORED;
    for index in order {
        let place = |point: &OverlayPoint| Some((x.at(point.epoch as f64), frame.y(point.value?)?));
        curve(&mut svg, overlay, index, place, marked);
    }
    frame.end(svg)
}

/// The range from the lowest to the highest point, without curves that are far outside of the others. Each curve
/// counts once, by its median: most of its points are near its end, so its first epochs are no outliers.
fn extent(overlay: &Overlay) -> Option<Extent> {
    let ends = |of: fn(f64, f64) -> f64| {
        let points = overlay.curves.iter().map(|curve| curve.points.iter());
        points.filter_map(move |points| {
            points.filter_map(|point| point.value).filter(|value| value.abs() < 1e100).reduce(of)
        })
    };
    let (lowest, highest) = (Extent::of(ends(f64::min))?, Extent::of(ends(f64::max))?);
    let high = highest.high.max(lowest.high);
    Some(
        Extent { low: lowest.low, high, cut_low: false, cut_high: false }
            .with_cuts_for(ends(f64::min).chain(ends(f64::max))),
    )
}

fn curve(
    svg: &mut Svg,
    overlay: &Overlay,
    index: usize,
    place: impl Fn(&OverlayPoint) -> Option<(f64, f64)>,
    marked: bool,
) {
    let curve = &overlay.curves[index];
    let class = line_class(curve.group, overlay.groups.len());
    let mut runs: Vec<Vec<(f64, f64)>> = Vec::new();
    let mut open = false;
    for point in &curve.points {
        match (place(point), runs.last_mut()) {
            (Some(at), Some(run)) if open => run.push(at),
            (Some(at), _) => {
                runs.push(vec![at]);
                open = true;
            }
            (None, _) => open = false,
        }
    }
    svg.open_group("run", &[("data-line", curve.group), ("data-run", index)], &words(curve));
    svg.path(&format!("line thin {class}"), &runs);
    for run in runs {
        // A value without neighbors makes no line and would be invisible without a dot.
        if marked || run.len() == 1 {
            for at in run {
                svg.circle(&format!("dot {class}"), at, 2.5);
            }
        }
    }
    svg.close_group();
}

fn words(curve: &OverlayCurve) -> String {
    let last = curve.points.iter().rev().find(|point| point.value.is_some());
    let last = last.map(|point| format!("\nepoch {}: {}", point.epoch, decimals(point.value, 4)));
    format!("{}{}", curve.words, last.unwrap_or_default())
}
