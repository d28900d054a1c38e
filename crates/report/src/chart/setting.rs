use crate::escape;
use crate::number::{decimals, significant};

use super::extent::Extent;
use super::legend::Legend;
use super::palette::line_class;
use super::scale::{Axis, Scale};
use super::svg::{Anchor, Svg, text_width};

const WIDTH: f64 = 760.0;
const TOP: f64 = 72.0;
const BOTTOM: f64 = TOP + 320.0;
const RIGHT: f64 = WIDTH - 28.0;
/// Between the outermost values and the edges of the grid.
const INSET: f64 = 28.0;
/// An axis whose values span this factor is logarithmic.
const DECADE: f64 = 10.0;

/// A metric against a numeric setting.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SettingChart {
    /// The picture's head.
    pub title: String,
    /// What else is to be said of the picture; empty where nothing is.
    pub note: String,
    /// What the metric is: `val_accuracy`.
    pub metric: String,
    /// What the setting is: `learning_rate`.
    pub setting: String,
    /// A line for each combination of the other settings, the best first.
    pub lines: Vec<SettingLine>,
}

/// A line of a [`SettingChart`].
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SettingLine {
    /// The other settings, in words; empty where there are none.
    pub name: String,
    /// By the setting, ascending.
    pub points: Vec<SettingPoint>,
}

/// A value of the setting, and the metric of each of its runs.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SettingPoint {
    /// The setting.
    pub setting: f64,
    /// One for each seed.
    pub values: Vec<f64>,
}

/// The metric against the setting: a line through the means over seeds, a bar from the lowest to the highest seed, and
/// a dot for each.
///
/// The horizontal axis is logarithmic where all values of the setting are positive and span a decade. The vertical axis
/// spans the values and need not begin at zero; those far outside the others are drawn at its edge.
#[must_use]
pub fn setting_chart(chart: &SettingChart) -> String {
    let points = || chart.lines.iter().flat_map(|line| &line.points);
    let extent = Extent::of(points().flat_map(|point| point.values.iter().copied()));
    let settings = Settings::new(points().map(|point| point.setting));
    let axis = extent.map(|extent| Axis::between(extent.low, extent.high));
    let labels: Vec<String> =
        axis.iter().flat_map(|axis| axis.ticks.iter().map(|tick| axis.label(*tick))).collect();
    let left = 34.0 + labels.iter().map(|label| text_width(label, 13.0)).fold(0.0, f64::max);
    let names: Vec<String> = chart.lines.iter().map(|line| line.name.clone()).collect();
    let legend =
        Legend::new(if names.iter().all(String::is_empty) { &[] } else { &names }, (left, RIGHT));
    let mut svg = Svg::new(
        WIDTH,
        BOTTOM + 56.0 + legend.height,
        &format!("{} against {}: {}", chart.metric, chart.setting, chart.title),
    );
    svg.text("title", (24.0, 32.0), Anchor::Start, &escape::shorten(&chart.title, 72));
    let mut note = "line: mean over seeds, bar: lowest to highest, dots: runs".to_owned();
    let cut = extent.and_then(|extent| extent.words()).unwrap_or_default();
    for more in [chart.note.as_str(), cut].into_iter().filter(|more| !more.is_empty()) {
        note.push_str(&format!("; {more}"));
    }
    svg.text("muted", (24.0, 54.0), Anchor::Start, &note);
    let x = Scale { domain: settings.domain, range: (left + INSET, RIGHT - INSET) };
    for (place, label) in settings.ticks(x) {
        svg.line("grid", (x.at(place), TOP), (x.at(place), BOTTOM));
        svg.text("muted", (x.at(place), BOTTOM + 20.0), Anchor::Middle, &label);
    }
    let scale = if settings.logarithmic { " (logarithmic)" } else { "" };
    let label = format!("{}{scale}", escape::shorten(&chart.setting, 60));
    svg.text("", ((left + RIGHT) / 2.0, BOTTOM + 40.0), Anchor::Middle, &label);
    if let (Some(extent), Some(axis)) = (extent, axis) {
        let y = Scale { domain: axis.domain, range: (BOTTOM, TOP) };
        for (tick, label) in axis.ticks.iter().zip(&labels) {
            svg.line("grid", (left, y.at(*tick)), (RIGHT, y.at(*tick)));
            svg.text("muted", (left - 10.0, y.at(*tick) + 4.5), Anchor::End, label);
        }
        // The last drawn lies on top.
        for index in (0..chart.lines.len()).rev() {
            let to_x = |setting| x.at(settings.place(setting));
            line(&mut svg, chart, index, to_x, |value| y.at(extent.within(value)));
        }
    }
    svg.line("axis", (left, BOTTOM), (RIGHT, BOTTOM));
    legend.draw(&mut svg, BOTTOM + 50.0);
    svg.finish()
}

fn line(
    svg: &mut Svg,
    chart: &SettingChart,
    index: usize,
    x: impl Fn(f64) -> f64,
    y: impl Fn(f64) -> f64,
) {
    let SettingLine { name, points } = &chart.lines[index];
    let class = line_class(index, chart.lines.len());
    svg.open_group("run", &[("data-line", index)], "");
    let means: Vec<Measured<'_>> = points.iter().filter_map(Measured::new).collect();
    let middles = means.iter().map(|point| (x(point.setting), y(point.mean))).collect();
    svg.path(&format!("line {class}"), &[middles]);
    for point in means {
        let at = x(point.setting);
        svg.open_group("point", &[], &point.words(chart, name));
        if point.values.len() > 1 {
            svg.line(&format!("whisker {class}"), (at, y(point.low)), (at, y(point.high)));
        }
        for value in &point.values {
            svg.circle(&format!("dot {class}"), (at, y(*value)), 3.0);
        }
        svg.close_group();
    }
    svg.close_group();
}

/// A point with numbers.
struct Measured<'a> {
    setting: f64,
    values: Vec<f64>,
    mean: f64,
    low: f64,
    high: f64,
    point: &'a SettingPoint,
}

impl<'a> Measured<'a> {
    fn new(point: &'a SettingPoint) -> Option<Self> {
        let values: Vec<f64> = point.values.iter().copied().filter(|v| v.abs() < 1e100).collect();
        let low = values.iter().copied().reduce(f64::min)?;
        let high = values.iter().copied().reduce(f64::max)?;
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let setting = Some(point.setting).filter(|setting| setting.abs() < 1e100)?;
        Some(Self { setting, values, mean, low, high, point })
    }

    fn words(&self, chart: &SettingChart, name: &str) -> String {
        let number = |value| decimals(Some(value), 4);
        let mut words = format!("{} {}", chart.setting, significant(self.point.setting));
        if !name.is_empty() {
            words.push_str(&format!(", {name}"));
        }
        words.push_str(&format!("\n{} {}", chart.metric, number(self.mean)));
        if self.values.len() > 1 {
            let (low, high) = (number(self.low), number(self.high));
            words.push_str(&format!(", {low} to {high} over {} seeds", self.values.len()));
        }
        words
    }
}

/// The horizontal axis.
struct Settings {
    logarithmic: bool,
    /// Each value once, ascending.
    values: Vec<f64>,
    /// The ends of the axis, as places.
    domain: (f64, f64),
}

impl Settings {
    fn new(values: impl Iterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.filter(|value| value.abs() < 1e100).collect();
        values.sort_by(f64::total_cmp);
        values.dedup();
        let (low, high) = match (values.first(), values.last()) {
            (Some(low), Some(high)) => (*low, *high),
            _ => (0.0, 1.0),
        };
        let mut settings =
            Self { logarithmic: low > 0.0 && high >= DECADE * low, values, domain: (0.0, 1.0) };
        let (first, last) = (settings.place(low), settings.place(high));
        // A single value stands in the middle.
        let room = first.abs().max(1.0);
        settings.domain = if first < last { (first, last) } else { (first - room, first + room) };
        settings
    }

    /// Where a value lies on the axis, before it is scaled to pixels.
    fn place(&self, value: f64) -> f64 {
        if self.logarithmic { value.log10() } else { value }
    }

    /// Places with the words there: the values themselves where their words do not touch, otherwise those between which
    /// there is room.
    fn ticks(&self, x: Scale) -> Vec<(f64, String)> {
        let mut ticks = Vec::new();
        let mut free_from = f64::NEG_INFINITY;
        for value in &self.values {
            let (place, label) = (self.place(*value), significant(*value));
            let half = text_width(&label, 13.0) / 2.0;
            if x.at(place) - half >= free_from {
                free_from = x.at(place) + half + 8.0;
                ticks.push((place, label));
            }
        }
        ticks
    }
}
