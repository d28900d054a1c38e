use std::path::Path;

use kiln_report::chart::compared::{
    Measure, against_setting, class_recall, metric_curves, setting_grid,
};
use kiln_report::chart::{
    Heatmap, HeatmapCell, Overlay, OverlayCurve, OverlayPoint, SettingChart, SettingLine,
    SettingPoint, heatmap_chart, heatmap_text, overlay_chart, setting_chart,
};
use kiln_report::compare::Comparison;
use kiln_report::{Status, Terminal};
use proptest::prelude::*;

use crate::samples::directory;
use crate::tree::SampleRun;
use crate::xml::{Element, parse};

const LEARNING_RATE: &str = "optimizer.learning_rate";
const DEPTH: &str = "model.layers.hidden.repeat";
const HOSTILE: &str = "<script>alert(\"&\")</script>'\u{1b}\u{202e}";

fn read(runs: &[SampleRun]) -> (Comparison, tempfile::TempDir) {
    let sweep = directory();
    for run in runs {
        run.write(sweep.path());
    }
    let paths: &[&Path] = &[sweep.path()];
    (Comparison::read(paths, None).expect("a comparison"), sweep)
}

/// Three learning rates and two depths, of which one diverged and one is missing; 0.1 and 2 are best.
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

fn grid(comparison: &Comparison, measure: Measure) -> Heatmap {
    setting_grid(comparison, DEPTH, Some(LEARNING_RATE), measure).expect("both are columns")
}

/// The cell that a rectangle of a class is, as its column and row counted from the leftmost and uppermost.
fn cells<'a>(elements: &'a [Element], class: &str) -> Vec<&'a Element> {
    elements.iter().filter(|e| e.has("rect", class)).collect()
}

#[test]
fn a_grid_has_numbers_in_order_and_says_what_diverged() {
    let (comparison, _sweep) = sweep();
    let map = grid(&comparison, Measure::BestValidation);
    assert_eq!(map.rows, ["0", "2"]);
    assert_eq!(map.columns, ["0.01", "0.1", "1.0"]);
    let values: Vec<Vec<_>> =
        map.cells.iter().map(|row| row.iter().map(|cell| cell.value).collect()).collect();
    // The mean of the two seeds' 0.80 and 0.82.
    assert!((values[0][0].expect("a value") - 0.81).abs() < 1e-12);
    assert_eq!(values[0][1..], [Some(0.85), None]);
    assert_eq!(values[1], [Some(0.83), Some(0.875), None]);
    assert_eq!(map.cells[1][2].mark.as_deref(), Some("diverged"));
    assert_eq!(map.cells[0][2], HeatmapCell::default(), "no run, no words");
    let best: Vec<Vec<_>> =
        map.cells.iter().map(|row| row.iter().map(|cell| cell.best).collect()).collect();
    assert_eq!(best, [[false, false, false], [false, true, false]]);
}

#[test]
fn a_heatmap_shows_its_numbers_and_outlines_the_best() {
    let (comparison, _sweep) = sweep();
    let elements = parse(&heatmap_chart(&grid(&comparison, Measure::BestValidation)));
    let texts = texts(&elements);
    for number in ["0.8100", "0.8500", "0.8300", "0.8750", "diverged"] {
        assert_eq!(
            texts.iter().filter(|text| **text == number).count(),
            1 + usize::from(number == "0.8100" || number == "0.8750"),
            "{number} in {texts:?}"
        );
    }
    // The four with numbers, and the legend's steps without a gap between them.
    let numbered = cells(&elements, "value").into_iter().filter(|e| e.number("height") > 10.0);
    let numbered: Vec<_> = numbered.collect();
    assert_eq!(numbered.len(), 4);
    assert_eq!(cells(&elements, "empty").len(), 2);
    let best = cells(&elements, "best");
    assert_eq!(best.len(), 1);
    let (x, y) = (best[0].number("x"), best[0].number("y"));
    assert!(
        numbered.iter().any(|e| e.number("x") - 1.0 == x
            && e.number("y") - 1.0 == y
            && e.attributes["style"] == "fill:#fee838"),
        "the lightest is the best"
    );
}

#[test]
fn numbers_are_dark_on_light_cells_and_light_on_dark_ones() {
    let (comparison, _sweep) = sweep();
    let elements = parse(&heatmap_chart(&grid(&comparison, Measure::BestValidation)));
    assert!(elements.iter().any(|e| e.has("text", "on-light") && e.text == "0.8750"));
    assert!(elements.iter().any(|e| e.has("text", "on-dark") && e.text == "0.8100"));
    assert!(elements.iter().any(|e| e.has("text", "muted") && e.text == "diverged"));
}

#[test]
fn names_of_columns_are_turned_so_that_they_fit_and_a_hundred_have_no_numbers() {
    for (columns, name, turned) in
        [(3, "boot", None), (3, "a much longer name", Some("-45")), (100, "boot", Some("-90"))]
    {
        let cell = HeatmapCell { value: Some(0.25), ..HeatmapCell::default() };
        let map = Heatmap {
            rows: vec!["row".to_owned()],
            columns: vec![name.to_owned(); columns],
            cells: vec![vec![cell; columns]],
            decimals: 2,
            ..Heatmap::default()
        };
        let elements = parse(&heatmap_chart(&map));
        let names: Vec<_> =
            elements.iter().filter(|e| e.name == "text" && e.text == name).collect();
        assert_eq!(names.len(), columns);
        let rotation = names[0].attributes.get("transform").map(|rotate| {
            rotate.trim_start_matches("rotate(").split(' ').next().unwrap_or_default()
        });
        assert_eq!(rotation, turned, "{columns} {name}");
        let width = elements[0].number("width");
        assert!(names.iter().all(|name| name.number("x") < width), "within the picture");
        // Once in each cell, and at both ends of the legend.
        let numbers = texts(&elements).iter().filter(|text| **text == "0.25").count();
        assert_eq!(numbers, 2 + if columns == 100 { 0 } else { columns });
    }
}

#[test]
fn the_lower_loss_is_the_lighter() {
    let cell = |value| HeatmapCell { value: Some(value), ..HeatmapCell::default() };
    let mut map = Heatmap {
        rows: vec!["a".to_owned()],
        columns: vec!["b".to_owned(), "c".to_owned()],
        cells: vec![vec![cell(0.25), cell(0.75)]],
        decimals: 2,
        ..Heatmap::default()
    };
    let first = |map: &Heatmap| {
        let elements = parse(&heatmap_chart(map));
        cells(&elements, "value")[0].attributes["style"].clone()
    };
    assert_eq!(first(&map), "fill:#00224e");
    map.lower_is_better = true;
    assert_eq!(first(&map), "fill:#fee838");
}

#[test]
fn a_cell_of_several_combinations_shows_the_best_by_validation_and_not_by_test() {
    let batch = |size: usize, run: SampleRun| SampleRun {
        config: run.config.replace("epochs = 3", &format!("epochs = 3\nbatch_size = {size}")),
        id: format!("{}-{size}", run.id),
        ..run
    };
    let (comparison, _sweep) = read(&[
        batch(32, SampleRun::new(0.1, 0, 1).best(0.9).right(700)),
        batch(64, SampleRun::new(0.1, 0, 1).best(0.8).right(990)),
        batch(32, SampleRun::new(0.1, 2, 1).best(0.7).right(500)),
    ]);
    let map = setting_grid(&comparison, DEPTH, None, Measure::TestAccuracy).expect("a column");
    assert_eq!(map.cells[0][0].value, Some(0.7));
    assert_eq!(map.note, "each cell shows its best combination by validation");
    assert!(map.cells[0][0].words.ends_with("the best of 2 combinations"));
    assert_eq!(setting_grid(&comparison, "no.such", None, Measure::TestLoss), None);
}

#[test]
fn a_terminal_without_colour_has_the_numbers_in_columns() {
    let (comparison, _sweep) = sweep();
    let map = grid(&comparison, Measure::BestValidation);
    let text = heatmap_text(&map, Terminal { width: 80, color: false });
    let expected = "\
best val_accuracy by repeat and learning_rate
means over seeds

        learning_rate
repeat    0.01      0.1       1.0
0       0.8100   0.8500
2       0.8300   0.8750* diverged

best val_accuracy from 0.8100 to 0.8750
* the best by validation
";
    assert_eq!(text, expected);
}

#[test]
fn a_terminal_with_colour_has_the_same_words_on_coloured_blocks() {
    let (comparison, _sweep) = sweep();
    let map = grid(&comparison, Measure::BestValidation);
    let text = heatmap_text(&map, Terminal { width: 80, color: true });
    // Yellow with black, and the darkest blue with white.
    assert!(
        text.contains("\u{1b}[48;2;254;232;56m\u{1b}[38;2;0;0;0m  0.8750*\u{1b}[0m"),
        "{text:?}"
    );
    assert!(
        text.contains("\u{1b}[48;2;0;34;78m\u{1b}[38;2;255;255;255m 0.8100 \u{1b}[0m"),
        "{text:?}"
    );
    let plain = heatmap_text(&map, Terminal { width: 80, color: false });
    let words = |text: &str| text.lines().nth(6).map(strip).expect("a row").trim_end().to_owned();
    assert_eq!(words(&text), words(&plain));
}

/// Without the codes for colours.
fn strip(line: &str) -> String {
    let mut parts = line.split('\u{1b}');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + part.split_once('m').expect("a code").1)
}

#[test]
fn columns_that_do_not_fit_follow_below() {
    let columns: Vec<String> = (0..30).map(|column| format!("c{column}")).collect();
    let cell = |column: usize| HeatmapCell { value: Some(column as f64), ..HeatmapCell::default() };
    let map = Heatmap {
        title: "t".to_owned(),
        row_label: "row".to_owned(),
        rows: vec!["帽子".to_owned()],
        cells: vec![(0..30).map(cell).collect()],
        columns,
        decimals: 1,
        ..Heatmap::default()
    };
    let text = heatmap_text(&map, Terminal { width: 40, color: false });
    assert!(text.lines().all(|line| line.chars().count() <= 40), "{text}");
    // Of 35 characters, 7 columns of 5 fit, then 3 of 5 and 3 of 6, then 5 of 6 at a time.
    assert_eq!(text.lines().filter(|line| line.starts_with("帽子")).count(), 6);
    assert!(text.contains("29.0"));
}

#[test]
fn hostile_names_stay_text_in_every_picture() {
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
            words: name.clone(),
        }]],
        ..Heatmap::default()
    };
    let overlay = Overlay {
        title: name.clone(),
        note: name.clone(),
        metric: name.clone(),
        groups: vec![name.clone()],
        curves: vec![OverlayCurve { group: 0, words: name.clone(), points: vec![] }],
    };
    let point = SettingPoint { setting: 1.0, values: vec![0.5] };
    let chart = SettingChart {
        title: name.clone(),
        note: name.clone(),
        metric: name.clone(),
        setting: name.clone(),
        lines: vec![SettingLine { name: name.clone(), points: vec![point] }],
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

fn overlay(groups: usize, values: &[Option<f64>]) -> Overlay {
    let points: Vec<_> =
        (1..).zip(values).map(|(epoch, value)| OverlayPoint { epoch, value: *value }).collect();
    Overlay {
        groups: (0..groups).map(|group| format!("group {group}")).collect(),
        curves: (0..groups)
            .map(|group| OverlayCurve { group, words: String::new(), points: points.clone() })
            .collect(),
        ..Overlay::default()
    }
}

/// The classes of the curves, in the order of drawing.
fn curve_classes(elements: &[Element]) -> Vec<&str> {
    let paths = elements.iter().filter(|e| e.name == "path");
    paths.map(|path| path.attributes["class"].as_str()).collect()
}

#[test]
fn twelve_combinations_are_coloured_and_of_more_the_best() {
    let elements = parse(&overlay_chart(&overlay(12, &[Some(0.5), Some(0.6)])));
    let classes = curve_classes(&elements);
    assert_eq!(classes[0], "line thin color4 dashed");
    assert_eq!(classes[11], "line thin color0", "the best is drawn last, on top");
    assert!(texts(&elements).contains(&"group 11"));

    let elements = parse(&overlay_chart(&overlay(13, &[Some(0.5), Some(0.6)])));
    let classes = curve_classes(&elements);
    assert_eq!(classes.iter().filter(|class| **class == "line thin other").count(), 8);
    assert_eq!(classes[12], "line thin color0");
    let texts = texts(&elements);
    assert!(texts.contains(&"8 others") && !texts.contains(&"group 5"), "{texts:?}");
}

#[test]
fn missing_epochs_leave_gaps_and_single_ones_are_marked() {
    let values = [Some(0.5), None, Some(0.4), Some(0.3), Some(f64::NAN), Some(0.2)];
    let elements = parse(&overlay_chart(&overlay(1, &values)));
    let path = elements.iter().find(|e| e.name == "path").expect("a curve");
    let lengths: Vec<usize> =
        path.attributes["d"].split('M').skip(1).map(|run| run.split('L').count()).collect();
    assert_eq!(lengths, [1, 2, 1]);
    assert_eq!(elements.iter().filter(|e| e.name == "circle").count(), 4);
}

#[test]
fn the_axis_of_curves_fits_their_values() {
    let elements = parse(&overlay_chart(&overlay(1, &[Some(0.81), Some(0.88)])));
    let texts = texts(&elements);
    assert!(texts.contains(&"0.80") && texts.contains(&"0.88"), "{texts:?}");
    assert!(!texts.contains(&"0.00"));
}

#[test]
fn first_epochs_are_in_the_picture_and_a_run_that_exploded_is_at_its_edge() {
    // Most points are near the end of 0.9: the fences of all points together would cut the beginning.
    let learned: Vec<_> = (0..60).map(|epoch| Some(0.9 - 0.4 * 0.8_f64.powi(epoch))).collect();
    let mut overlay = overlay(9, &learned);
    for (curve, lower) in overlay.curves.iter_mut().zip(0..) {
        for point in &mut curve.points {
            point.value = point.value.map(|value| value - 0.001 * f64::from(lower));
        }
    }
    let texts_of = |overlay: &Overlay| {
        let elements = parse(&overlay_chart(overlay));
        texts(&elements).iter().map(|text| (*text).to_owned()).collect::<Vec<_>>()
    };
    let texts = texts_of(&overlay);
    assert!(texts.contains(&"0.5".to_owned()) && texts[1].is_empty(), "{texts:?}");
    overlay.curves[8].points[5].value = Some(1e9);
    let texts = texts_of(&overlay);
    assert!(texts.contains(&"0.5".to_owned()), "{texts:?}");
    assert!(texts[1].ends_with("far higher values are shown at the end of the scale"), "{texts:?}");
}

#[test]
fn curves_are_read_from_the_histories() {
    let (comparison, _sweep) = sweep();
    let overlays = metric_curves(&comparison, &["val_accuracy", "no_such"], 100);
    assert_eq!(overlays.len(), 1, "a metric that no run has makes no picture");
    let curves = &overlays[0].curves;
    assert_eq!(curves.len(), 5);
    assert_eq!(overlays[0].groups[0], "repeat 2, learning_rate 0.1");
    assert_eq!(curves[0].points[1], OverlayPoint { epoch: 2, value: Some(0.875) });
    assert_eq!(overlays[0].note, "a line a run, a colour a combination; 1 without an epoch");

    let few = metric_curves(&comparison, &["val_accuracy"], 2);
    assert_eq!(few[0].curves.len(), 2);
    assert!(few[0].note.starts_with("the 2 best of 6 runs by validation"), "{}", few[0].note);
}

#[test]
fn a_damaged_history_is_left_out() {
    let (comparison, _sweep) = sweep();
    let path = comparison.combinations[0].runs[0].directory.history_path();
    std::fs::write(path, "no history\n").expect("written");
    let overlays = metric_curves(&comparison, &["val_accuracy"], 100);
    assert_eq!(overlays[0].curves.len(), 4);
    let report = comparison.combinations[0].runs[0].directory.report_path();
    std::fs::write(report, "{").expect("written");
    let classes = class_recall(&comparison, 10).expect("others");
    assert!(!classes.rows.contains(&"repeat 2, learning_rate 0.1".to_owned()));
}

#[test]
fn long_histories_are_thinned_and_keep_their_last_epoch() {
    let values = (0..1_001).map(|epoch| Some(f64::from(epoch) / 1_001.0)).collect();
    let (comparison, _sweep) =
        read(&[SampleRun { val_accuracies: values, ..SampleRun::new(0.1, 1, 1) }]);
    let overlays = metric_curves(&comparison, &["val_accuracy"], 10);
    let points = &overlays[0].curves[0].points;
    assert!(points.len() <= 201, "{}", points.len());
    assert_eq!((points[0].epoch, points[points.len() - 1].epoch), (1, 1_001));
}

fn line(name: &str, points: &[(f64, &[f64])]) -> SettingLine {
    let point = |(setting, values): &(f64, &[f64])| SettingPoint {
        setting: *setting,
        values: values.to_vec(),
    };
    SettingLine { name: name.to_owned(), points: points.iter().map(point).collect() }
}

/// The horizontal places of the first line's points.
fn places(chart: &SettingChart) -> Vec<f64> {
    let elements = parse(&setting_chart(chart));
    let path = &elements.iter().find(|e| e.name == "path").expect("a line").attributes["d"];
    let points = path.trim_start_matches('M').split('L');
    points.map(|at| at.split_once(' ').expect("two").0.parse().expect("a number")).collect()
}

#[test]
fn a_setting_that_spans_a_decade_has_a_logarithmic_axis() {
    let chart = |settings: [f64; 3]| SettingChart {
        setting: "x".to_owned(),
        lines: vec![line("", &settings.map(|setting| (setting, &[0.5][..])))],
        ..SettingChart::default()
    };
    let logarithmic = chart([0.01, 0.1, 1.0]);
    let at = places(&logarithmic);
    assert!((at[2] - at[1] - (at[1] - at[0])).abs() < 0.02, "{at:?}");
    assert!(texts(&parse(&setting_chart(&logarithmic))).contains(&"x (logarithmic)"));
    // Less than a decade, and a zero.
    for (linear, ratio) in [(chart([1.0, 2.0, 4.0]), 2.0), (chart([0.0, 1.0, 100.0]), 99.0)] {
        let at = places(&linear);
        let found = (at[2] - at[1]) / (at[1] - at[0]);
        assert!((found / ratio - 1.0).abs() < 0.01, "{found} and not {ratio}");
        assert!(texts(&parse(&setting_chart(&linear))).contains(&"x"));
    }
}

#[test]
fn seeds_are_dots_on_a_bar_from_the_lowest_to_the_highest() {
    let chart = SettingChart {
        metric: "m".to_owned(),
        setting: "x".to_owned(),
        lines: vec![
            line("a", &[(1.0, &[0.5, 0.7, 0.9]), (2.0, &[0.6])]),
            line("b", &[(1.0, &[0.4])]),
        ],
        ..SettingChart::default()
    };
    let elements = parse(&setting_chart(&chart));
    let dots: Vec<f64> =
        elements.iter().filter(|e| e.has("circle", "dot color0")).map(|e| e.number("cy")).collect();
    assert_eq!(dots.len(), 4);
    let bars: Vec<_> = elements.iter().filter(|e| e.has("line", "whisker color0")).collect();
    assert_eq!(bars.len(), 1, "one seed has no spread");
    assert_eq!((bars[0].number("y1"), bars[0].number("y2")), (dots[0], dots[2]));
    let titles: Vec<_> =
        elements.iter().filter(|e| e.name == "title").map(|e| e.text.as_str()).collect();
    assert!(titles.contains(&"x 1, a\nm 0.7000, 0.5000 to 0.9000 over 3 seeds"), "{titles:?}");
}

#[test]
fn validation_against_the_learning_rate_has_a_line_for_each_depth() {
    let (comparison, _sweep) = sweep();
    let chart = against_setting(&comparison, LEARNING_RATE).expect("numbers");
    let names: Vec<_> = chart.lines.iter().map(|line| line.name.as_str()).collect();
    assert_eq!(names, ["repeat 2", "repeat 0"]);
    let points: Vec<_> =
        chart.lines[1].points.iter().map(|point| (point.setting, &point.values[..])).collect();
    assert_eq!(points, [(0.01, &[0.8, 0.82][..]), (0.1, &[0.85][..])]);
    assert_eq!(chart.note, "a run that diverged or failed is left out");
    assert_eq!(against_setting(&comparison, "name"), None);
}

#[test]
fn recall_by_class_is_the_mean_over_seeds() {
    // Labels are the two classes in turn; of 20 images 15, and of 20 again 20, are right from the first on: of the ten
    // shirts 8 and 10, of the ten boots 7 and 10.
    let (comparison, _sweep) = read(&[
        SampleRun::new(0.1, 0, 1),
        SampleRun { predictions: crate::tree::right(20, 20), ..SampleRun::new(0.1, 0, 2) },
    ]);
    let map = class_recall(&comparison, 10).expect("tested");
    assert_eq!(map.columns, ["shirt", "boot"]);
    let values: Vec<f64> = map.cells[0].iter().filter_map(|cell| cell.value).collect();
    assert!((values[0] - 0.9).abs() < 1e-12 && (values[1] - 0.85).abs() < 1e-12, "{values:?}");
    let none = read(&[SampleRun::new(0.1, 0, 1).ended(Status::Failed)]).0;
    assert_eq!(class_recall(&none, 10), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever the numbers, pictures are well-formed and what they draw lies within them.
    #[test]
    fn any_numbers_are_drawn_within_the_picture(
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
        let points = settings.iter().map(|(setting, value)| SettingPoint { setting: *setting, values: vec![*value] });
        let chart = SettingChart { lines: vec![SettingLine { name: "a".to_owned(), points: points.collect() }], ..SettingChart::default() };
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
