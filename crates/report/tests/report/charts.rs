use kiln_report::chart::{confusion_chart, history_chart};
use kiln_store::{EpochRow, History};
use proptest::prelude::*;

use crate::samples;
use crate::xml::{Element, parse};

fn history(rows: impl IntoIterator<Item = [Option<f64>; 4]>) -> History {
    let rows = (1..).zip(rows).map(|(epoch, values)| {
        let names = ["loss", "accuracy", "val_loss", "val_accuracy"].into_iter();
        let values = names.zip(values).filter_map(|(name, value)| Some((name, value?)));
        EpochRow { epoch, metrics: samples::metrics(values), ..EpochRow::default() }
    });
    History { rows: rows.collect(), ..History::default() }
}

fn texts(elements: &[Element]) -> Vec<&str> {
    elements.iter().filter(|e| e.name == "text").map(|e| e.text.as_str()).collect()
}

/// The runs of joined points of a curve, in pixels.
fn curve(elements: &[Element], class: &str) -> Vec<Vec<(f64, f64)>> {
    let path = elements.iter().find(|e| e.has("path", class));
    let path = &path.unwrap_or_else(|| panic!("no curve {class}")).attributes["d"];
    let run = |run: &str| {
        run.split('L')
            .map(|point| point.split_once(' ').expect("two numbers"))
            .map(|(x, y)| (x.parse().expect("a number"), y.parse().expect("a number")))
            .collect()
    };
    path.split('M').skip(1).map(run).collect()
}

/// The position of an axis label, in pixels.
fn label(elements: &[Element], words: &str) -> (f64, f64) {
    let label = elements.iter().find(|e| e.has("text", "muted") && e.text == words);
    let label = label.unwrap_or_else(|| panic!("no label {words}"));
    (label.number("x"), label.number("y"))
}

/// The position of the last axis label with this text, in pixels.
fn last_label(elements: &[Element], words: &str) -> (f64, f64) {
    let label = elements.iter().rfind(|e| e.has("text", "muted") && e.text == words);
    let label = label.unwrap_or_else(|| panic!("no label {words}"));
    (label.number("x"), label.number("y"))
}

fn marks(elements: &[Element], class: &str) -> usize {
    elements.iter().filter(|e| e.has("circle", class)).count()
}

fn class_names(number: usize) -> Vec<String> {
    (0..number).map(|class| format!("class {class}")).collect()
}

/// In every row, 3 images are predicted correctly and 1 as the next class.
fn confusion(classes: usize) -> Vec<Vec<u64>> {
    let mut matrix = vec![vec![0; classes]; classes];
    for (label, row) in matrix.iter_mut().enumerate() {
        row[label] += 3;
        row[(label + 1) % classes] += 1;
    }
    matrix
}

/// The non-empty cells in order, each with its hover text.
fn cells(elements: &[Element]) -> Vec<(&Element, &str)> {
    let pairs = elements.iter().zip(elements.iter().skip(1));
    let cells = pairs.filter(|(cell, title)| cell.has("rect", "cell") && title.name == "title");
    cells.map(|(cell, title)| (cell, title.text.as_str())).collect()
}

#[test]
fn loss_and_accuracy_have_panels_with_their_own_axes() {
    let elements = parse(&history_chart("fashion-mnist", &samples::history(), Some(3)));
    let texts = texts(&elements);
    let legend = ["loss", "val_loss", "accuracy", "val_accuracy", "best", "kept: epoch 3"];
    assert_eq!(texts[0], "fashion-mnist");
    assert_eq!(texts[1..7], legend);
    let loss = ["0.2", "0.3", "0.4", "0.5", "0.6", "0.7", "0.8", "loss"];
    assert_eq!(texts[7..15], loss);
    assert_eq!(texts[15], "best val_loss 0.4000 in epoch 2");
    let accuracy = ["0.5", "0.6", "0.7", "0.8", "0.9", "accuracy"];
    assert_eq!(texts[16..22], accuracy);
    assert_eq!(texts[22], "best val_accuracy 0.8500 in epoch 3");
    assert_eq!(texts[23..], ["1", "2", "3", "epoch"]);
    assert_eq!(
        elements[0].attributes["aria-label"],
        "Loss and accuracy over 3 epochs: fashion-mnist"
    );
}

#[test]
fn values_are_placed_linearly_between_the_labels() {
    let elements = parse(&history_chart("x", &samples::history(), None));
    let (first, third) = (label(&elements, "1").0, label(&elements, "3").0);
    // "0.5" is a label of both axes, and the last one is that of the accuracy.
    for (low, high, curves) in [
        (0.3, 0.4, [("line loss", [0.75, 0.5, 0.25]), ("line loss validation", [0.6, 0.4, 0.45])]),
        (
            0.9,
            0.5,
            [("line accuracy", [0.5, 0.75, 0.875]), ("line accuracy validation", [0.7, 0.8, 0.85])],
        ),
    ] {
        // The label of an axis is 4.5 pixels below its tick.
        let at = |value: f64| last_label(&elements, &value.to_string()).1 - 4.5;
        for (class, values) in curves {
            let runs = curve(&elements, class);
            assert_eq!(runs.len(), 1, "{class}");
            for (index, ((x, y), value)) in runs[0].iter().zip(values).enumerate() {
                let expected = first + (third - first) * index as f64 / 2.0;
                assert!((x - expected).abs() < 0.01, "{class}: {x} and not {expected}");
                let expected = at(low) + (at(high) - at(low)) * (value - low) / (high - low);
                assert!((y - expected).abs() < 0.05, "{class}: {y} and not {expected}");
            }
        }
    }
}

/// The circles and lines of a class that are in the panels, without the one in the legend.
fn in_panels<'a>(elements: &'a [Element], name: &str, class: &str) -> Vec<&'a Element> {
    elements.iter().filter(|e| e.has(name, class)).skip(1).collect()
}

#[test]
fn the_best_epochs_and_the_kept_one_are_marked() {
    let elements = parse(&history_chart("x", &samples::history(), Some(3)));
    let best: Vec<(f64, f64)> = in_panels(&elements, "circle", "best")
        .iter()
        .map(|circle| (circle.number("cx"), circle.number("cy")))
        .collect();
    let point = |class: &str, epoch: usize| curve(&elements, class)[0][epoch - 1];
    assert_eq!(best, [point("line loss validation", 2), point("line accuracy validation", 3)]);
    let kept: Vec<f64> =
        in_panels(&elements, "line", "kept").iter().map(|line| line.number("x1")).collect();
    assert_eq!(kept, [label(&elements, "3").0; 2]);

    // Without validation, training decides; without a kept epoch there is no line.
    let rows = [[Some(2.3), Some(0.1), None, None], [Some(1.2), Some(0.5), None, None]];
    let elements = parse(&history_chart("x", &history(rows), None));
    let texts = texts(&elements);
    assert_eq!(texts[1..4], ["loss", "accuracy", "best"], "no validation, no legend for it");
    assert!(texts.contains(&"best loss 1.2000 in epoch 2"), "{texts:?}");
    assert_eq!(elements.iter().filter(|e| e.has("line", "kept")).count(), 0);
    // An epoch that the history does not have is not drawn.
    for kept in [0, 3] {
        let elements = parse(&history_chart("x", &history(rows), Some(kept)));
        assert_eq!(elements.iter().filter(|e| e.has("line", "kept")).count(), 0);
    }
}

/// The labels of an axis whose values are equal have few digits.
#[test]
fn a_flat_curve_is_in_the_middle_of_an_axis() {
    let rows = [[Some(0.5), Some(1.0), None, None]; 3];
    let elements = parse(&history_chart("x", &history(rows), None));
    let texts = texts(&elements);
    let axis: Vec<&&str> = texts.iter().filter(|text| text.starts_with("0.")).collect();
    assert_eq!(axis[..5], [&"0.490", &"0.495", &"0.500", &"0.505", &"0.510"]);
    // No accuracy is above 1.
    assert!(
        texts.contains(&"1.000")
            && !texts.iter().any(|text| text.starts_with("1.0") && *text > "1.000")
    );
}

#[test]
fn numbers_too_large_for_a_chart_count_as_missing() {
    let numbers = [Some(0.5), Some(f64::MAX), Some(-f64::MAX), Some(f64::INFINITY)];
    let elements =
        parse(&history_chart("x", &history(numbers.map(|n| [n, None, None, None])), None));
    assert_eq!(curve(&elements, "line loss").concat().len(), 1);
    assert!(texts(&elements).contains(&"0.500"), "{:?}", texts(&elements));
}

#[test]
fn missing_numbers_leave_gaps() {
    let numbers = [Some(0.5), None, Some(0.4), Some(0.3), Some(f64::NAN), Some(0.2)];
    let elements =
        parse(&history_chart("x", &history(numbers.map(|n| [n, None, None, None])), None));
    let lengths: Vec<usize> = curve(&elements, "line loss").iter().map(Vec::len).collect();
    assert_eq!(lengths, [1, 2, 1]);
    // One mark per number, and one in the legend.
    assert_eq!(marks(&elements, "point loss"), 4 + 1);
}

#[test]
fn a_single_epoch_is_centered() {
    let elements =
        parse(&history_chart("x", &history([[Some(0.7), Some(0.8), Some(0.5), Some(0.9)]]), None));
    for class in ["loss", "accuracy", "loss validation", "accuracy validation"] {
        assert_eq!(marks(&elements, &format!("point {class}")), 2, "{class}");
    }
    let axis = elements.iter().find(|e| e.has("line", "axis")).expect("an axis");
    let middle = f64::midpoint(axis.number("x1"), axis.number("x2"));
    assert!((label(&elements, "1").0 - middle).abs() < 0.01);
}

#[test]
fn many_epochs_have_no_marks_and_round_labels() {
    let rows = (1..=100).map(|epoch| [Some(2.3 / f64::from(epoch)), Some(0.5), None, None]);
    let elements = parse(&history_chart("x", &history(rows), None));
    assert_eq!(marks(&elements, "point loss"), 0);
    assert_eq!(curve(&elements, "line loss")[0].len(), 100);
    // A number without neighbors makes no line, so it gets a mark.
    let lone = (1..=100).map(|epoch| [(epoch == 50).then_some(0.5), None, None, None]);
    assert_eq!(marks(&parse(&history_chart("x", &history(lone), None)), "point loss"), 1);
    let texts = texts(&elements);
    let epochs = ["1", "10", "20", "30", "40", "50", "60", "70", "80", "90", "100", "epoch"];
    assert!(texts.windows(epochs.len()).any(|window| window == epochs), "{texts:?}");
}

/// Of ten thousand epochs, those are drawn that show how far the curve goes up and down.
#[test]
fn a_very_long_history_has_a_small_chart_with_its_extremes() {
    let rows = (1..=10_000_u32).map(|epoch| {
        let noise = f64::from(epoch * 7919 % 1000) / 5000.0;
        let outlier = if epoch == 6_543 { 3.0 } else { 0.0 };
        [Some(1.0 + noise + outlier), Some(0.5 + noise), Some(1.5 - noise), Some(0.5)]
    });
    let history = history(rows);
    let chart = history_chart("x", &history, Some(10_000));
    assert!(chart.len() < 150_000, "{}", chart.len());
    let elements = parse(&chart);
    let line = curve(&elements, "line thin loss").concat();
    assert!(line.len() <= 702, "{}", line.len());
    assert!(line.windows(2).all(|two| two[0].0 < two[1].0));
    let highest = line.iter().map(|(_, y)| *y).fold(f64::INFINITY, f64::min);
    assert_eq!(line.iter().filter(|(_, y)| *y == highest).count(), 1, "the outlier");
    let (first, last) = (last_label(&elements, "1").0, label(&elements, "10000").0);
    assert_eq!((line[0].0, line.last().expect("points").0), (first, last));
}

#[test]
fn hovering_shows_the_numbers_of_an_epoch() {
    let elements = parse(&history_chart("x", &samples::history(), None));
    let titles: Vec<_> =
        elements.iter().filter(|e| e.name == "title").map(|e| e.text.as_str()).collect();
    assert_eq!(titles.len(), 3);
    assert_eq!(
        titles[1],
        "epoch 2\nloss 0.5000\naccuracy 0.7500\nval_loss 0.4000\nval_accuracy 0.8000"
    );
    let (left, right) = {
        let axis = elements.iter().find(|e| e.has("line", "axis")).expect("an axis");
        (axis.number("x1"), axis.number("x2"))
    };
    for band in elements.iter().filter(|e| e.has("rect", "band")) {
        assert!(band.number("x") >= left - 0.01, "{band:?}");
        assert!(band.number("x") + band.number("width") <= right + 0.01, "{band:?}");
    }
}

#[test]
fn a_history_without_epochs_is_an_empty_chart() {
    let elements = parse(&history_chart("x", &History::default(), None));
    assert_eq!(elements[0].attributes["aria-label"], "Loss and accuracy over 0 epochs: x");
    assert!(elements.iter().all(|e| e.name != "path"));
}

#[test]
fn names_are_escaped_in_the_markup() {
    let hostile = "<script>alert(\"&\")</script>'\u{1b}\0\u{202e}";
    let elements = parse(&history_chart(hostile, &samples::history(), None));
    let shown = "<script>alert(\"&\")</script>'\u{fffd}\u{fffd}\u{fffd}";
    assert_eq!(texts(&elements)[0], shown);
    assert!(elements.iter().all(|e| e.name != "script"));

    let names = [hostile.to_owned(), "b".to_owned()];
    let elements = parse(&confusion_chart(hostile, &names, &[vec![1, 2], vec![3, 4]]));
    assert!(elements.iter().all(|e| e.name != "script"));
    assert_eq!(cells(&elements)[1].1, format!("true {shown}, predicted b: 2 of 3 (67%)"));
}

#[test]
fn a_confusion_matrix_labels_rows_and_columns_and_shows_counts() {
    for classes in [2, 10] {
        let names = class_names(classes);
        let elements = parse(&confusion_chart("title", &names, &confusion(classes)));
        let texts = texts(&elements);
        for name in &names {
            assert_eq!(texts.iter().filter(|text| *text == name).count(), 2, "{name}");
        }
        let count = |number: &str| texts.iter().filter(|text| **text == number).count();
        assert_eq!(count("3"), classes);
        assert_eq!(count("1"), classes);
        assert_eq!(count("0"), classes * classes - 2 * classes);
        assert_eq!(cells(&elements).len(), 2 * classes);
        assert_eq!(
            elements[0].attributes["aria-label"],
            format!("Confusion matrix of {classes} classes: title")
        );
    }
}

#[test]
fn a_hundred_classes_have_no_numbers_but_hover_texts() {
    let names = class_names(100);
    let elements = parse(&confusion_chart("title", &names, &confusion(100)));
    let texts = texts(&elements);
    assert!(names.iter().all(|name| texts.iter().filter(|text| *text == name).count() == 2));
    assert!(!texts.contains(&"3"));
    let cells = cells(&elements);
    assert_eq!(cells.len(), 200);
    assert_eq!(cells[0].1, "true class 0, predicted class 0: 3 of 4 (75%)");
    assert_eq!(cells[1].1, "true class 0, predicted class 1: 1 of 4 (25%)");
    assert_eq!(cells[199].1, "true class 99, predicted class 99: 3 of 4 (75%)");
}

#[test]
fn cells_are_at_true_row_and_predicted_column_with_the_shade_of_their_share() {
    let names = class_names(3);
    let matrix = [vec![8, 1, 1], vec![0, 10, 0], vec![0, 0, 0]];
    let elements = parse(&confusion_chart("title", &names, &matrix));
    let cells = cells(&elements);
    let place = |index: usize| (cells[index].0.number("x"), cells[index].0.number("y"));
    let [(x0, y0), (x1, y1), (x2, y2), (x3, y3)] = [0, 1, 2, 3].map(place);
    assert_eq!(cells.len(), 4, "a class without images has none");
    assert!(y0 == y1 && y1 == y2 && x0 < x1 && x1 < x2);
    assert!(x3 == x1 && y3 - y0 == x1 - x0);
    let [most, few, same, all] = [0, 1, 2, 3].map(|index| cells[index].0.number("fill-opacity"));
    assert!(few < most && most < all);
    assert_eq!((few, all), (same, 1.0));
}

#[test]
fn long_names_are_cut_and_stay_inside_the_chart() {
    let names: Vec<String> = (0..5).map(|class| format!("{} {class}", "W".repeat(60))).collect();
    let elements = parse(&confusion_chart("title", &names, &confusion(5)));
    let is_cut = |text: &str| text.chars().count() == 26 && text.contains('…');
    let labels: Vec<_> = elements.iter().filter(|e| is_cut(&e.text)).collect();
    assert_eq!(labels.len(), 10);
    assert!(labels.iter().any(|label| label.text.ends_with(" 4")), "names keep what differs");
    // A W is at most as wide as the font is high, here 13 pixels. The names of the rows end at x.
    let row_label = labels.iter().find(|label| !label.attributes.contains_key("transform"));
    assert!(row_label.expect("a row").number("x") > 25.0 * 0.9 * 13.0);
}

#[test]
fn entries_without_a_class_name_are_not_drawn() {
    for matrix in [vec![], vec![vec![1; 5]; 5], vec![vec![]], vec![vec![u64::MAX; 2]; 2]] {
        parse(&confusion_chart("title", &class_names(2), &matrix));
        parse(&confusion_chart("title", &[], &matrix));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// For any numbers, the chart is well-formed and its curves are inside.
    #[test]
    fn any_history_is_drawn_within_the_picture(
        rows in prop::collection::vec(prop::array::uniform4(prop::option::of(prop::num::f64::ANY)), 0..20),
    ) {
        let elements = parse(&history_chart("x", &history(rows), None));
        let (width, height) = (elements[0].number("width"), elements[0].number("height"));
        for path in elements.iter().filter(|e| e.name == "path") {
            for (x, y) in curve(&elements, &path.attributes["class"]).concat() {
                prop_assert!((0.0..=width).contains(&x) && (0.0..=height).contains(&y), "{x} {y}");
            }
        }
    }
}
