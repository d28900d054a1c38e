use std::collections::BTreeMap;

use kiln_store::escape;
use kiln_store::number::{decimals, significant};

use super::extent::Extent;
use super::frame::{Frame, Words};
use super::palette::{line_class, line_shape};
use super::scale::{Axis, Scale};
use super::svg::{Svg, text_width};

/// Space between the outermost values and the edges of the grid, in pixels.
const INSET: f64 = 28.0;
/// The largest distance between the points of two neighboring lines with the same setting, in pixels.
const MAX_STEP: f64 = 11.0;
/// With more values than this, an axis has round numbers.
const MAX_NAMED: usize = 8;
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
    /// Whether the points are not joined, because they differ in more than the setting.
    pub scatter: bool,
    /// The points by ascending setting.
    pub points: Vec<SettingPoint>,
}

/// A value of the setting, with the metric of each run.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SettingPoint {
    /// The value of the setting.
    pub setting: f64,
    /// Further words for the text shown on hovering, or an empty text.
    pub words: String,
    /// One value per seed.
    pub values: Vec<f64>,
    /// The last values of runs that were stopped early. They are no part of the mean.
    pub stopped: Vec<f64>,
    /// Whether the point has a ring.
    pub may_be_best: bool,
}

/// Draws the metric against the setting: a line through the means over seeds, a bar from the lowest to the highest
/// seed, and a dot per run. The points of several lines are side by side. Runs that were stopped early are crosses.
///
/// The horizontal axis is logarithmic if all values of the setting are positive and span a decade. The vertical axis
/// spans the values and need not include zero; outliers are drawn at its edge.
#[must_use]
pub fn setting_chart(chart: &SettingChart) -> String {
    let points = || chart.lines.iter().flat_map(|line| &line.points);
    let extent =
        Extent::of(points().flat_map(|point| point.values.iter().chain(&point.stopped).copied()));
    let settings = Settings::new(points().map(|point| point.setting));
    let mut names: Vec<String> = chart.lines.iter().map(|line| line.name.clone()).collect();
    if names.iter().all(String::is_empty) {
        // A single line needs no legend.
        names.clear();
    }
    let frame = Frame::new(extent, &names);
    let x = frame.x(settings.domain, INSET);
    let scale = if settings.logarithmic { " (logarithmic)" } else { "" };
    let words = Words {
        description: format!("{} against {}: {}", chart.metric, chart.setting, chart.title),
        title: &chart.title,
        note: note(chart),
        below: format!("{}{scale}", escape::shorten(&chart.setting, 60)),
    };
    let mut svg = frame.begin(&words, &settings.ticks(x));
    let beside = Beside::new(chart);
    let step = settings.step(x, beside.most());
    // Lines drawn later are on top.
    for index in (0..chart.lines.len()).rev() {
        let place = |setting| x.at(settings.place(setting)) + step * beside.steps(index, setting);
        line(&mut svg, chart, index, &frame, place);
    }
    frame.end(svg)
}

/// The legend of the marks of the chart.
fn note(chart: &SettingChart) -> String {
    let points = || chart.lines.iter().flat_map(|line| &line.points);
    let mut notes = Vec::new();
    if points().any(|point| point.values.len() > 1) {
        notes.push("line: mean over seeds, bar: lowest to highest");
    }
    if points().any(|point| point.may_be_best) {
        notes.push("ring: possible winner");
    }
    if points().any(|point| !point.stopped.is_empty()) {
        notes.push("cross: pruned run");
    }
    notes.extend((!chart.note.is_empty()).then_some(chart.note.as_str()));
    notes.join("; ")
}

/// A chart with more points than this shows neither the values of single runs nor a text on hovering: the points are too close
/// together to be told apart, and these details would be most of the file.
const MAX_DETAILS: usize = 500;

fn line(svg: &mut Svg, chart: &SettingChart, index: usize, frame: &Frame, x: impl Fn(f64) -> f64) {
    let SettingLine { points, scatter, .. } = &chart.lines[index];
    let is_dense = chart.lines.iter().map(|line| line.points.len()).sum::<usize>() > MAX_DETAILS;
    let class = line_class(index, chart.lines.len());
    svg.open_group("run", &[("data-line", index)], "");
    let at = |setting: f64, value: f64| Some((x(setting), frame.y(value)?));
    for point in points.iter().filter(|point| point.setting.abs() < 1e100) {
        for stopped in point.stopped.iter().filter_map(|value| at(point.setting, *value)) {
            svg.cross("stopped", stopped, 3.0);
        }
    }
    let means: Vec<Measured<'_>> = points.iter().filter_map(Measured::new).collect();
    if !scatter {
        let middles = means.iter().filter_map(|point| at(point.setting, point.mean)).collect();
        svg.path(&format!("line {class}"), &[middles]);
    }
    for point in means {
        let words = if is_dense { String::new() } else { point.words(chart) };
        svg.open_group("point", &[], &words);
        let (low, high) = (at(point.setting, point.low), at(point.setting, point.high));
        if let (Some(low), Some(high), 2..) = (low, high, point.values.len()) {
            svg.line(&format!("whisker {class}"), low, high);
        }
        let dots = point.values.iter().filter(|_| !is_dense);
        for dot in dots.filter_map(|value| at(point.setting, *value)) {
            svg.circle(&format!("dot {class}"), dot, 2.5);
        }
        if let Some(mean) = at(point.setting, point.mean) {
            svg.mark(&format!("mean {class}"), mean, 4.5, line_shape(index));
            if point.point.may_be_best {
                svg.circle("winner", mean, 7.5);
            }
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

    fn words(&self, chart: &SettingChart) -> String {
        let number = |value| decimals(Some(value), 4);
        let mut words = format!("{} {}", chart.setting, significant(self.point.setting));
        if !self.point.words.is_empty() {
            words.push_str(&format!(", {}", self.point.words));
        }
        words.push_str(&format!("\n{} {}", chart.metric, number(self.mean)));
        if self.values.len() > 1 {
            let (low, high) = (number(self.low), number(self.high));
            words.push_str(&format!(", {low} to {high} over {} seeds", self.values.len()));
        }
        if self.point.may_be_best {
            words.push_str("\npossible winner");
        }
        words
    }
}

/// The lines that have a point at each value of the setting, which are drawn side by side.
struct Beside(BTreeMap<u64, Vec<usize>>);

impl Beside {
    fn new(chart: &SettingChart) -> Self {
        let mut lines: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
        for (index, line) in chart.lines.iter().enumerate() {
            for point in &line.points {
                let known = lines.entry(point.setting.to_bits()).or_default();
                if known.last() != Some(&index) {
                    known.push(index);
                }
            }
        }
        Self(lines)
    }

    /// The largest number of lines at one value.
    fn most(&self) -> usize {
        self.0.values().map(Vec::len).max().unwrap_or(0)
    }

    /// How many steps the line is right of the value.
    fn steps(&self, line: usize, setting: f64) -> f64 {
        let Some(lines) = self.0.get(&setting.to_bits()) else { return 0.0 };
        let place = lines.iter().position(|known| *known == line).unwrap_or(0);
        place as f64 - (lines.len() - 1) as f64 / 2.0
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

    /// Positions in pixels with their labels: the values if they are few, otherwise round numbers. A logarithmic axis has
    /// its decades in both cases.
    fn ticks(&self, x: Scale) -> Vec<(f64, String)> {
        let label = |value: &f64| (x.at(self.place(*value)), significant(*value));
        let values: Vec<_> = self.values.iter().map(label).collect();
        if self.logarithmic {
            let (low, high) = (self.domain.0.ceil() as i32, self.domain.1.floor() as i32);
            let decades: Vec<f64> = (low..=high).map(|power| 10_f64.powi(power)).collect();
            let is_inside = |value: &f64| (self.domain.0..=self.domain.1).contains(&value.log10());
            let between =
                (low - 1..=high).flat_map(|power| [2.0, 5.0].map(|m| m * 10_f64.powi(power)));
            let between: Vec<f64> = between.filter(is_inside).collect();
            let further = if values.len() <= MAX_NAMED { &self.values } else { &between };
            return with_room(decades.iter().chain(further).map(label));
        }
        let shown = with_room(values.iter().cloned());
        if shown.len() == values.len() {
            return shown;
        }
        let axis = Axis::between(self.domain.0, self.domain.1);
        let inside = |tick: &&f64| (self.domain.0..=self.domain.1).contains(*tick);
        let ticks = axis.ticks.iter().filter(inside);
        with_room(ticks.map(|tick| (x.at(*tick), axis.label(*tick))))
    }

    /// The distance in pixels between the points of two neighboring lines: as much as leaves a gap between two values.
    fn step(&self, x: Scale, lines: usize) -> f64 {
        let at = |value: &f64| x.at(self.place(*value));
        let gaps = self.values.windows(2).map(|two| at(&two[1]) - at(&two[0]));
        let gap = gaps.fold(2.0 * INSET, f64::min).max(0.0);
        (0.7 * gap / lines.max(1) as f64).min(MAX_STEP)
    }
}

/// The ticks whose labels have room next to those before them in the list, from left to right.
fn with_room(ticks: impl Iterator<Item = (f64, String)>) -> Vec<(f64, String)> {
    let mut shown: Vec<(f64, String)> = Vec::new();
    for (at, label) in ticks {
        let half = |label: &str| text_width(label, 13.0) / 2.0 + 4.0;
        let has_room =
            shown.iter().all(|(other, known)| (at - other).abs() >= half(&label) + half(known));
        if has_room {
            shown.push((at, label));
        }
    }
    shown.sort_by(|left, right| left.0.total_cmp(&right.0));
    shown
}
