use kiln_store::escape;

use crate::short_names::short_names;

use super::scale::{Axis, Scale};
use super::svg::{Anchor, Label, Svg, text_width};

const WIDTH: f64 = 760.0;
const RIGHT: f64 = WIDTH - 40.0;
const TOP: f64 = 72.0;
const ROW: f64 = 24.0;
/// The space above the rows of a setting, for its name.
const HEAD: f64 = 30.0;
/// Longer values are cut to this many characters.
const LONGEST_VALUE: usize = 44;
/// Space between the outermost values and the edges of the grid, in pixels.
const INSET: f64 = 14.0;

/// The mean of a metric for each value of the settings of a grid.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct EffectsChart {
    /// The title of the chart.
    pub title: String,
    /// The line below the title.
    pub note: String,
    /// The name of the metric, such as `val_accuracy`.
    pub metric: String,
    /// The settings.
    pub settings: Vec<EffectRows>,
}

/// A setting of an [`EffectsChart`].
#[derive(Debug, Clone, PartialEq, Default)]
pub struct EffectRows {
    /// Its name.
    pub name: String,
    /// Its values.
    pub levels: Vec<EffectRow>,
}

/// A value of a setting.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct EffectRow {
    /// The value as text.
    pub value: String,
    /// The mean of the metric.
    pub mean: f64,
    /// The interval drawn as a bar.
    pub interval: (f64, f64),
    /// Whether the row is marked.
    pub may_be_best: bool,
    /// The text shown on hovering.
    pub words: String,
}

/// Draws a row for each value: a dot at its mean and a bar for its interval. Values that may be the best have a ring and
/// strong text.
#[must_use]
pub fn effects_chart(chart: &EffectsChart) -> String {
    let levels = || chart.settings.iter().flat_map(|setting| &setting.levels);
    let numbers = levels().flat_map(|level| [level.mean, level.interval.0, level.interval.1]);
    let numbers: Vec<f64> = numbers.filter(|number| number.abs() < 1e100).collect();
    let low = numbers.iter().copied().reduce(f64::min).unwrap_or(0.0);
    let high = numbers.iter().copied().reduce(f64::max).unwrap_or(1.0);
    let axis = Axis::between(low, high);
    let names: Vec<Vec<String>> = chart
        .settings
        .iter()
        .map(|setting| {
            let values: Vec<&str> =
                setting.levels.iter().map(|level| level.value.as_str()).collect();
            short_names(&values, LONGEST_VALUE)
        })
        .collect();
    // Strong text is a little wider.
    let widest = names.iter().flatten().map(|name| text_width(name, 13.0) * 1.08);
    let left = (widest.fold(60.0, f64::max) + 44.0).min(WIDTH / 2.0).ceil();
    let x = Scale { domain: axis.domain, range: (left + INSET, RIGHT - INSET) };
    let rows = levels().count() as f64;
    let bottom = TOP + HEAD * chart.settings.len() as f64 + ROW * rows + 8.0;
    let mut svg =
        Svg::new(WIDTH, bottom + 52.0, &format!("Effects on {}: {}", chart.metric, chart.title));
    svg.text("title", (24.0, 32.0), Anchor::Start, &escape::shorten(&chart.title, 72));
    svg.text("muted", (24.0, 54.0), Anchor::Start, &escape::shorten(&chart.note, 120));
    for tick in &axis.ticks {
        let at = x.at(*tick);
        svg.line("grid", (at, TOP), (at, bottom));
        svg.text("muted", (at, bottom + 20.0), Anchor::Middle, &axis.label(*tick));
    }
    svg.line("axis", (left, bottom), (RIGHT, bottom));
    svg.text("", (f64::midpoint(left, RIGHT), bottom + 40.0), Anchor::Middle, &chart.metric);
    let mut y = TOP;
    for (setting, names) in chart.settings.iter().zip(&names) {
        y += HEAD;
        let name = escape::shorten(&setting.name, LONGEST_VALUE);
        svg.text("muted", (24.0, y - 8.0), Anchor::Start, &name);
        for (level, name) in setting.levels.iter().zip(names) {
            row(&mut svg, level, name, (left, y + ROW / 2.0), x);
            y += ROW;
        }
    }
    svg.finish()
}

fn row(svg: &mut Svg, level: &EffectRow, name: &str, (left, y): (f64, f64), x: Scale) {
    let EffectRow { mean, interval, may_be_best, words, .. } = level;
    svg.open_group("point", &[], words);
    svg.label(&Label {
        class: if *may_be_best { "strongest" } else { "" },
        at: (left - 10.0, y + 4.5),
        anchor: Anchor::End,
        size: None,
        turned: 0.0,
        text: name,
    });
    let is_drawable = |number: &f64| number.abs() < 1e100;
    if is_drawable(&interval.0) && is_drawable(&interval.1) {
        svg.line("whisker color0", (x.at(interval.0), y), (x.at(interval.1), y));
        for end in [interval.0, interval.1] {
            svg.line("whisker color0", (x.at(end), y - 4.0), (x.at(end), y + 4.0));
        }
    }
    if is_drawable(mean) {
        svg.circle("mean color0", (x.at(*mean), y), 5.0);
        if *may_be_best {
            svg.circle("winner", (x.at(*mean), y), 8.5);
        }
    }
    svg.close_group();
}
