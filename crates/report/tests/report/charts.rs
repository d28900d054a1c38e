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
fn loss_and_accuracy_curves_have_a_legend_and_an_axis_from_zero_to_one() {
    let elements = parse(&history_chart("fashion-mnist", &samples::history()));
    assert_eq!(
        texts(&elements),
        [
            "fashion-mnist",
            "loss",
            "accuracy",
            "val_loss",
            "val_accuracy",
            "0.0",
            "0.2",
            "0.4",
            "0.6",
            "0.8",
            "1.0",
            "1",
            "2",
            "3",
            "epoch",
            "loss and accuracy",
        ]
    );
    assert_eq!(
        elements[0].attributes["aria-label"],
        "Loss and accuracy over 3 epochs: fashion-mnist"
    );
}

#[test]
fn values_are_placed_linearly_between_the_labels() {
    let elements = parse(&history_chart("x", &samples::history()));
    let ((_, zero), (_, one)) = (label(&elements, "0.0"), label(&elements, "1.0"));
    let (first, third) = (label(&elements, "1").0, label(&elements, "3").0);
    let axis = elements.iter().find(|e| e.has("line", "axis")).expect("an axis");
    let base = axis.number("y1");
    for (class, values) in [
        ("line loss", [0.75, 0.5, 0.25]),
        ("line accuracy", [0.5, 0.75, 0.875]),
        ("line loss validation", [0.6, 0.4, 0.45]),
        ("line accuracy validation", [0.7, 0.8, 0.85]),
    ] {
        let runs = curve(&elements, class);
        assert_eq!(runs.len(), 1, "{class}");
        for (index, ((x, y), value)) in runs[0].iter().zip(values).enumerate() {
            let expected = first + (third - first) * index as f64 / 2.0;
            assert!((x - expected).abs() < 0.01, "{class}: {x} and not {expected}");
            let expected = base + (one - zero) * value;
            assert!((y - expected).abs() < 0.01, "{class}: {y} and not {expected}");
        }
    }
}

#[test]
fn losses_above_one_extend_the_axis() {
    let elements = parse(&history_chart(
        "x",
        &history([[Some(2.3), Some(0.1), None, None], [Some(1.2), Some(0.5), None, None]]),
    ));
    let texts = texts(&elements);
    assert_eq!(texts[3..9], ["0.0", "0.5", "1.0", "1.5", "2.0", "2.5"]);
    assert_eq!(texts[1..3], ["loss", "accuracy"], "no validation, no legend for it");
}

#[test]
fn rounding_errors_below_zero_do_not_move_the_axis() {
    let elements = parse(&history_chart("x", &history([[Some(-1e-9), Some(1.0), None, None]])));
    assert_eq!(texts(&elements)[3..9], ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
}

#[test]
fn numbers_too_large_for_a_chart_count_as_missing() {
    let numbers = [Some(0.5), Some(f64::MAX), Some(-f64::MAX), Some(f64::INFINITY)];
    let elements = parse(&history_chart("x", &history(numbers.map(|n| [n, None, None, None]))));
    assert_eq!(curve(&elements, "line loss").concat().len(), 1);
    assert_eq!(texts(&elements)[2..8], ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
}

#[test]
fn missing_numbers_leave_gaps() {
    let numbers = [Some(0.5), None, Some(0.4), Some(0.3), Some(f64::NAN), Some(0.2)];
    let elements = parse(&history_chart("x", &history(numbers.map(|n| [n, None, None, None]))));
    let lengths: Vec<usize> = curve(&elements, "line loss").iter().map(Vec::len).collect();
    assert_eq!(lengths, [1, 2, 1]);
    // One mark per number, and one in the legend.
    assert_eq!(marks(&elements, "point loss"), 4 + 1);
}

#[test]
fn a_single_epoch_is_centered() {
    let elements =
        parse(&history_chart("x", &history([[Some(0.7), Some(0.8), Some(0.5), Some(0.9)]])));
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
    let elements = parse(&history_chart("x", &history(rows)));
    assert_eq!(elements.iter().filter(|e| e.name == "circle").count(), 0);
    assert_eq!(curve(&elements, "line loss")[0].len(), 100);
    // A number without neighbors makes no line, so it gets a mark.
    let lone = (1..=100).map(|epoch| [(epoch == 50).then_some(0.5), None, None, None]);
    assert_eq!(marks(&parse(&history_chart("x", &history(lone))), "point loss"), 1);
    let texts = texts(&elements);
    let epochs = ["1", "10", "20", "30", "40", "50", "60", "70", "80", "90", "100", "epoch"];
    assert!(texts.windows(epochs.len()).any(|window| window == epochs), "{texts:?}");
}

#[test]
fn hovering_shows_the_numbers_of_an_epoch() {
    let elements = parse(&history_chart("x", &samples::history()));
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
    let elements = parse(&history_chart("x", &History::default()));
    assert_eq!(elements[0].attributes["aria-label"], "Loss and accuracy over 0 epochs: x");
    assert!(elements.iter().all(|e| e.name != "path"));
}

#[test]
fn names_are_escaped_in_the_markup() {
    let hostile = "<script>alert(\"&\")</script>'\u{1b}\0\u{202e}";
    let elements = parse(&history_chart(hostile, &samples::history()));
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
        let elements = parse(&history_chart("x", &history(rows)));
        let (width, height) = (elements[0].number("width"), elements[0].number("height"));
        for path in elements.iter().filter(|e| e.name == "path") {
            for (x, y) in curve(&elements, &path.attributes["class"]).concat() {
                prop_assert!((0.0..=width).contains(&x) && (0.0..=height).contains(&y), "{x} {y}");
            }
        }
    }
}
