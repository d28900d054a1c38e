use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use kiln_report::chart::{
    self, Overlay, effects_chart, heatmap_chart, overlay_chart, setting_chart,
};

use crate::charts::{
    against_setting, class_recall, effects, metric_curves, number, setting_grid, values,
};
use crate::column::Column;
use crate::comparison::Comparison;
use crate::effects_text::interactions;
use crate::measures::Measure;

use super::data::Curve;

/// The largest number of combinations whose curves are drawn.
pub const MAX_CURVES: usize = 100;
/// The largest number of combinations whose classes are shown.
pub const MAX_CLASS_ROWS: usize = 30;
/// The largest size of a section's charts in the page, in bytes, in addition to the first chart.
pub const MAX_FIGURE_BYTES: usize = 600_000;
/// The largest number of values on an axis of a heatmap.
const MAX_AXIS_VALUES: usize = 40;

/// A section with charts, of which the reader chooses one.
pub(super) struct FigureGroup {
    pub(super) id: &'static str,
    pub(super) title: &'static str,
    pub(super) notes: Vec<String>,
    /// The first one is shown until the reader chooses another one.
    pub(super) figures: Vec<Figure>,
    /// The heading of the other charts if the browser runs no scripts.
    pub(super) others: &'static str,
}

/// A chart and the choices that show it.
pub(super) struct Figure {
    pub(super) svg: String,
    /// Names and values of the choices as a JSON object: `{"axes":"…","value":"…"}`.
    pub(super) choices: String,
}

impl Figure {
    fn new(svg: &str, choices: &[(&str, &str)]) -> Self {
        let choices = choices.iter().map(|(name, value)| ((*name).to_owned(), (*value).into()));
        let choices = serde_json::Value::Object(choices.collect());
        Self { svg: chart::inline(svg), choices: choices.to_string() }
    }
}

/// The sections with content, and the values of the curves.
pub(super) fn all(comparison: &Comparison) -> (Vec<FigureGroup>, BTreeMap<String, Vec<Curve>>) {
    let overlays = metric_curves(comparison, &["val_accuracy", "val_loss", "loss"], MAX_CURVES);
    let numbers =
        overlays.iter().map(|overlay| (overlay.metric.clone(), curves(overlay))).collect();
    let groups = [
        effects_of_settings(comparison),
        heatmaps(comparison),
        histories(&overlays),
        relations(comparison),
        classes(comparison),
    ];
    let shown = |group: &FigureGroup| !group.figures.is_empty() || !group.notes.is_empty();
    (groups.into_iter().filter(shown).collect(), numbers)
}

fn effects_of_settings(comparison: &Comparison) -> FigureGroup {
    let chart = effects(comparison);
    FigureGroup {
        id: "effects",
        title: "Effects of the settings",
        notes: interactions(comparison),
        figures: chart.iter().map(|chart| Figure::new(&effects_chart(chart), &[])).collect(),
        others: "",
    }
}

fn heatmaps(comparison: &Comparison) -> FigureGroup {
    let mut notes = Vec::new();
    let mut axes = Vec::new();
    for (index, column) in comparison.columns.iter().enumerate() {
        let count = values(comparison, index).len();
        if count > MAX_AXIS_VALUES {
            notes.push(format!(
                "{} has {} values, which are too many for an axis of a heatmap.",
                column.label,
                kiln_store::number::grouped(count as u64)
            ));
        } else if count > 1 && !column.is_implied() {
            axes.push(column);
        }
    }
    let mut pairs: Vec<_> = (0..axes.len())
        .flat_map(|first| (first + 1..axes.len()).map(move |second| (first, Some(second))))
        .collect();
    if axes.len() == 1 {
        pairs.push((0, None));
    }
    // The first heatmap is the one that is shown first. Those of a type, which the other settings depend on, and of the
    // learning rate are the most interesting; those of values that were drawn at random have hardly any cells.
    let is_main = |column: &Column| column.key.ends_with(".type") || is_learning_rate(column);
    pairs.sort_by_cached_key(|(first, second)| {
        let axes = [Some(axes[*first]), second.map(|second| axes[second])];
        let main = axes.iter().flatten().filter(|column| is_main(column)).count();
        (is_sparse(comparison, axes), Reverse(main))
    });
    // A heatmap is for finding the best cell, so a measure needs a direction.
    let has_heatmap = |measure: &Measure<'_>| {
        measure.direction.is_some()
            && comparison.combinations.iter().any(|combination| measure.of(combination).is_some())
    };
    let measures: Vec<_> = comparison.shown_measures().into_iter().filter(has_heatmap).collect();
    let mut figures = Vec::new();
    let (mut bytes, mut missing) = (0, 0);
    for (first, second) in pairs {
        let column = second.map(|second| axes[second]);
        let names = match column {
            Some(column) => format!("{} × {}", axes[first].label, column.label),
            None => axes[first].label.clone(),
        };
        for measure in &measures {
            let key = column.map(|column| column.key.as_str());
            let Some(map) = setting_grid(comparison, &axes[first].key, key, measure) else {
                continue;
            };
            let svg = heatmap_chart(&map);
            if !figures.is_empty() && bytes + svg.len() > MAX_FIGURE_BYTES {
                missing += 1;
                continue;
            }
            bytes += svg.len();
            figures.push(Figure::new(&svg, &[("value", measure.heading), ("axes", &names)]));
        }
    }
    if missing > 0 {
        notes.push(format!("{missing} more heatmaps are omitted to keep this file small."));
    }
    FigureGroup {
        id: "heatmap",
        title: "Heatmap of the settings",
        notes,
        figures,
        others: "Other values and axes",
    }
}

fn histories(overlays: &[Overlay]) -> FigureGroup {
    let figures = overlays
        .iter()
        .map(|overlay| Figure::new(&overlay_chart(overlay), &[("metric", &overlay.metric)]));
    FigureGroup {
        id: "curves",
        title: "Curves",
        notes: vec![],
        figures: figures.collect(),
        others: "Other metrics",
    }
}

/// The values at the points of the curves' paths.
fn curves(overlay: &Overlay) -> Vec<Curve> {
    let curve = |curve: &chart::OverlayCurve| {
        let points = || curve.points.iter().filter_map(|p| Some((p.epoch, p.value?, p.range)));
        // The page shows four decimals. All digits would double the size of the file.
        let rounded_range = |(low, high)| [rounded(low), rounded(high)];
        let ranges: Vec<_> = points().map(|(.., range)| range.map(rounded_range)).collect();
        Curve {
            words: curve.words.clone(),
            epochs: points().map(|(epoch, ..)| epoch).collect(),
            values: points().map(|(_, value, _)| rounded(value)).collect(),
            ranges: if ranges.iter().any(Option::is_some) { ranges } else { Vec::new() },
        }
    };
    overlay.curves.iter().map(curve).collect()
}

fn rounded(value: f64) -> f64 {
    format!("{value:.5e}").parse().unwrap_or(value)
}

/// Whether most cells of a heatmap would be empty.
fn is_sparse(comparison: &Comparison, axes: [Option<&Column>; 2]) -> bool {
    let places = axes.map(|axis| comparison.columns.iter().position(|own| Some(own) == axis));
    let cells: BTreeSet<_> = comparison
        .combinations
        .iter()
        .map(|it| places.map(|place| it.settings.get(place?)?.as_deref()))
        .collect();
    let lengths = places.map(|place| place.map_or(1, |place| values(comparison, place).len()));
    2 * cells.len() < lengths.iter().product()
}

fn is_learning_rate(column: &Column) -> bool {
    column.key.ends_with("learning_rate")
}

fn relations(comparison: &Comparison) -> FigureGroup {
    let columns = comparison.columns.iter().enumerate();
    let mut keys: Vec<_> = columns
        .filter(|(index, column)| {
            let numbers = values(comparison, *index).into_iter().filter_map(number);
            !column.is_implied() && numbers.count() > 1
        })
        .map(|(_, column)| column)
        .collect();
    // Readers look for the learning rate first.
    keys.sort_by_key(|column| !is_learning_rate(column));
    let mut figures: Vec<Figure> = Vec::new();
    let mut bytes = 0;
    for column in keys {
        let Some(chart) = against_setting(comparison, &column.key) else { continue };
        let svg = setting_chart(&chart);
        if figures.is_empty() || bytes + svg.len() <= MAX_FIGURE_BYTES {
            bytes += svg.len();
            figures.push(Figure::new(&svg, &[("setting", &column.label)]));
        }
    }
    FigureGroup {
        id: "relation",
        title: "Validation over a setting",
        notes: vec![],
        figures,
        others: "Other settings",
    }
}

fn classes(comparison: &Comparison) -> FigureGroup {
    let heatmap = class_recall(comparison, MAX_CLASS_ROWS);
    let figures = heatmap.iter().map(|heatmap| Figure::new(&heatmap_chart(heatmap), &[]));
    FigureGroup {
        id: "classes",
        title: "Accuracy by class",
        notes: vec![],
        figures: figures.collect(),
        others: "",
    }
}
