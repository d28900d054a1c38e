use kiln_store::escape;
use kiln_store::number::{decimals, significant};

use super::extent::Extent;
use super::frame::{Frame, Words};
use super::palette::line_class;
use super::scale::Scale;
use super::svg::{Svg, text_width};

/// Space between the outermost values and the edges of the grid, in pixels.
const INSET: f64 = 28.0;
/// An axis is logarithmic if its values span at least this factor.
const DECADE: f64 = 10.0;

/// A metric plotted against a numeric setting.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SettingChart {
    /// The title of the chart.
    pub title: String,
    /// A note below the title, or an empty text.
    pub note: String,
    /// The name of the metric, such as `val_accuracy`.
    pub metric: String,
    /// The name of the setting, such as `learning_rate`.
    pub setting: String,
    /// A line for each combination of the other settings, the best first.
    pub lines: Vec<SettingLine>,
}

/// A line of a [`SettingChart`].
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SettingLine {
    /// The other settings as text, or an empty text.
    pub name: String,
    /// The points by ascending setting.
    pub points: Vec<SettingPoint>,
}

/// A value of the setting, with the metric of each run.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SettingPoint {
    /// The value of the setting.
    pub setting: f64,
    /// One value per seed.
    pub values: Vec<f64>,
}

/// Draws the metric against the setting: a line through the means over seeds, a bar from the lowest to the highest
/// seed, and a dot per run.
///
/// The horizontal axis is logarithmic if all values of the setting are positive and span a decade. The vertical axis
/// spans the values and need not include zero; outliers are drawn at its edge.
#[must_use]
pub fn setting_chart(chart: &SettingChart) -> String {
    let points = || chart.lines.iter().flat_map(|line| &line.points);
    let extent = Extent::of(points().flat_map(|point| point.values.iter().copied()));
    let settings = Settings::new(points().map(|point| point.setting));
    let mut names: Vec<String> = chart.lines.iter().map(|line| line.name.clone()).collect();
    if names.iter().all(String::is_empty) {
        // A single line needs no legend.
        names.clear();
    }
    let frame = Frame::new(extent, &names);
    let x = frame.x(settings.domain, INSET);
    let mut note = "line: mean over seeds, bar: lowest to highest, dots: runs".to_owned();
    if !chart.note.is_empty() {
        note.push_str(&format!("; {}", chart.note));
    }
    let scale = if settings.logarithmic { " (logarithmic)" } else { "" };
    let words = Words {
        description: format!("{} against {}: {}", chart.metric, chart.setting, chart.title),
        title: &chart.title,
        note,
        below: format!("{}{scale}", escape::shorten(&chart.setting, 60)),
    };
    let mut svg = frame.begin(&words, &settings.ticks(x));
    // Lines drawn later are on top.
    for index in (0..chart.lines.len()).rev() {
        line(&mut svg, chart, index, &frame, |setting| x.at(settings.place(setting)));
    }
    frame.end(svg)
}

fn line(svg: &mut Svg, chart: &SettingChart, index: usize, frame: &Frame, x: impl Fn(f64) -> f64) {
    let SettingLine { name, points } = &chart.lines[index];
    let class = line_class(index, chart.lines.len());
    svg.open_group("run", &[("data-line", index)], "");
    let means: Vec<Measured<'_>> = points.iter().filter_map(Measured::new).collect();
    let at = |setting: f64, value: f64| Some((x(setting), frame.y(value)?));
    let middles = means.iter().filter_map(|point| at(point.setting, point.mean)).collect();
    svg.path(&format!("line {class}"), &[middles]);
    for point in means {
        svg.open_group("point", &[], &point.words(chart, name));
        let (low, high) = (at(point.setting, point.low), at(point.setting, point.high));
        if let (Some(low), Some(high), 2..) = (low, high, point.values.len()) {
            svg.line(&format!("whisker {class}"), low, high);
        }
        for dot in point.values.iter().filter_map(|value| at(point.setting, *value)) {
            svg.circle(&format!("dot {class}"), dot, 3.0);
        }
        svg.close_group();
    }
    svg.close_group();
}

/// A point with its values.
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
    /// The ends of the axis, as positions before scaling.
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
        // A single value is centered.
        let room = first.abs().max(1.0);
        settings.domain = if first < last { (first, last) } else { (first - room, first + room) };
        settings
    }

    /// The position of a value on the axis before it is scaled to pixels.
    fn place(&self, value: f64) -> f64 {
        if self.logarithmic { value.log10() } else { value }
    }

    /// Positions in pixels with their labels: the values themselves if their labels do not overlap, otherwise those
    /// that fit.
    fn ticks(&self, x: Scale) -> Vec<(f64, String)> {
        let mut ticks = Vec::new();
        let mut free_from = f64::NEG_INFINITY;
        for value in &self.values {
            let (at, label) = (x.at(self.place(*value)), significant(*value));
            let half = text_width(&label, 13.0) / 2.0;
            if at - half >= free_from {
                free_from = at + half + 8.0;
                ticks.push((at, label));
            }
        }
        ticks
    }
}
