//! The charts of a comparison.

mod curves;
mod effects;
mod heatmaps;
mod settings;

use kiln_compare::charts::{against_setting, class_recall, metric_curves, setting_grid};
use kiln_compare::{Comparison, Measure};
use kiln_report::Terminal;
use kiln_report::chart::{
    Heatmap, HeatmapCell, Overlay, OverlayCurve, OverlayPoint, SettingChart, SettingLine,
    SettingPoint, heatmap_chart, heatmap_text, overlay_chart, setting_chart,
};
use kiln_store::Status;
use proptest::prelude::*;

use crate::read;
use crate::tree::SampleRun;
use crate::xml::{Element, parse};

const LEARNING_RATE: &str = "optimizer.learning_rate";
const DEPTH: &str = "model.layers.hidden.repeat";
const HOSTILE: &str = "<script>alert(\"&\")</script>'\u{1b}\u{202e}";

/// Three learning rates and two depths. One combination diverged and one is missing. The best is depth 2 with 0.1.
fn sweep() -> (Comparison, tempfile::TempDir) {
    read(&[
        SampleRun::new(0.01, 0, 1).best(0.8),
        SampleRun::new(0.01, 0, 2).best(0.82),
        SampleRun::new(0.1, 0, 1).best(0.85),
        SampleRun::new(0.01, 2, 1).best(0.83),
        SampleRun::new(0.1, 2, 1).best(0.875),
        SampleRun { val_accuracies: vec![], ..SampleRun::new(1.0, 2, 1) }.ended(Status::Diverged),
    ])
}

fn texts(elements: &[Element]) -> Vec<&str> {
    elements.iter().filter(|e| e.name == "text").map(|e| e.text.as_str()).collect()
}

fn measure(key: &str) -> Measure<'static> {
    Measure::find(key).expect("a measure")
}

fn grid(comparison: &Comparison, key: &str) -> Heatmap {
    setting_grid(comparison, DEPTH, Some(LEARNING_RATE), &measure(key)).expect("both are columns")
}

/// The rectangles of a class, in the order of the document.
fn cells<'a>(elements: &'a [Element], class: &str) -> Vec<&'a Element> {
    elements.iter().filter(|e| e.has("rect", class)).collect()
}

/// A chart of curves with the same values.
fn overlay(curves: usize, values: &[Option<f64>]) -> Overlay {
    let point =
        |(epoch, value): (usize, &Option<f64>)| OverlayPoint { epoch, value: *value, range: None };
    let points: Vec<_> = (1..).zip(values).map(point).collect();
    let curve = |index: usize| OverlayCurve {
        name: format!("curve {index}"),
        points: points.clone(),
        ..OverlayCurve::default()
    };
    Overlay { curves: (0..curves).map(curve).collect(), ..Overlay::default() }
}

#[test]
fn hostile_names_are_text_in_every_chart() {
    let name = HOSTILE.to_owned();
    let map = Heatmap {
        title: name.clone(),
        note: name.clone(),
        value: name.clone(),
        rows: vec![name.clone()],
        columns: vec![name.clone()],
        row_label: name.clone(),
        column_label: name.clone(),
        cells: vec![vec![HeatmapCell {
            value: Some(1.0),
            mark: Some(name.clone()),
            best: true,
            may_be_best: true,
            words: name.clone(),
        }]],
        ..Heatmap::default()
    };
    let overlay = Overlay {
        title: name.clone(),
        note: name.clone(),
        metric: name.clone(),
        curves: vec![OverlayCurve {
            name: name.clone(),
            words: name.clone(),
            ..OverlayCurve::default()
        }],
    };
    let point = SettingPoint {
        setting: 1.0,
        words: name.clone(),
        values: vec![0.5],
        ..SettingPoint::default()
    };
    let chart = SettingChart {
        title: name.clone(),
        note: name.clone(),
        metric: name.clone(),
        setting: name.clone(),
        lines: vec![SettingLine { name: name.clone(), points: vec![point], scatter: false }],
    };
    for svg in [heatmap_chart(&map), overlay_chart(&overlay), setting_chart(&chart)] {
        let elements = parse(&svg);
        assert!(elements.iter().all(|e| e.name != "script"));
        let shown = "<script>alert(\"&\")</script>'\u{fffd}\u{fffd}";
        assert!(texts(&elements).contains(&shown));
    }
    let text = heatmap_text(&map, Terminal { width: 80, color: false });
    assert!(!text.contains(['\u{1b}', '\u{202e}']), "{text:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// For any numbers, the charts are well-formed, and their marks are inside the image.
    #[test]
    fn any_numbers_are_drawn_inside_the_image(
        values in prop::collection::vec(prop::option::of(prop::num::f64::ANY), 0..24),
        settings in prop::collection::vec((prop::num::f64::ANY, prop::num::f64::ANY), 0..12),
    ) {
        let cells = values.iter().map(|value| HeatmapCell { value: *value, ..HeatmapCell::default() });
        let map = Heatmap {
            rows: vec!["row".to_owned()],
            columns: vec!["column".to_owned(); values.len()],
            cells: vec![cells.collect()],
            decimals: 4,
            ..Heatmap::default()
        };
        parse(&heatmap_chart(&map));
        let text = heatmap_text(&map, Terminal { width: 40, color: true });
        prop_assert!(!text.contains("NaN"));
        let points = settings.iter().map(|(setting, value)| SettingPoint {
            setting: *setting,
            values: vec![*value],
            stopped: vec![*value],
            may_be_best: true,
            ..SettingPoint::default()
        });
        let line = SettingLine { name: "a".to_owned(), points: points.collect(), scatter: false };
        let chart = SettingChart { lines: vec![line.clone(), line], ..SettingChart::default() };
        for svg in [overlay_chart(&overlay(2, &values)), setting_chart(&chart)] {
            let elements = parse(&svg);
            let (width, height) = (elements[0].number("width"), elements[0].number("height"));
            for circle in elements.iter().filter(|e| e.name == "circle") {
                let (x, y) = (circle.number("cx"), circle.number("cy"));
                prop_assert!((0.0..=width).contains(&x) && (0.0..=height).contains(&y), "{x} {y}");
            }
        }
    }
}
