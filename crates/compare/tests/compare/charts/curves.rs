use super::*;

/// The CSS classes of the curves, in drawing order.
fn curve_classes(elements: &[Element]) -> Vec<&str> {
    let classes = elements.iter().filter(|e| e.name == "path").map(|e| &*e.attributes["class"]);
    classes.filter(|class| class.starts_with("line ")).collect()
}

#[test]
fn at_most_twelve_combinations_are_colored() {
    let elements = parse(&overlay_chart(&overlay(12, &[Some(0.5), Some(0.6)])));
    let classes = curve_classes(&elements);
    assert_eq!(classes[0], "line thin color4 dashed");
    assert_eq!(classes[11], "line thin color0", "the best is drawn last, on top");
    assert!(texts(&elements).contains(&"curve 11"));

    let elements = parse(&overlay_chart(&overlay(13, &[Some(0.5), Some(0.6)])));
    let classes = curve_classes(&elements);
    assert_eq!(classes.iter().filter(|class| **class == "line thin other").count(), 8);
    assert_eq!(classes[12], "line thin color0");
    let texts = texts(&elements);
    assert!(texts.contains(&"8 others") && !texts.contains(&"curve 5"), "{texts:?}");
}

#[test]
fn missing_epochs_are_gaps_and_single_epochs_are_marked() {
    let values = [Some(0.5), None, Some(0.4), Some(0.3), Some(f64::NAN), Some(0.2)];
    let elements = parse(&overlay_chart(&overlay(1, &values)));
    let path = elements.iter().find(|e| e.name == "path").expect("a curve");
    let lengths: Vec<usize> =
        path.attributes["d"].split('M').skip(1).map(|run| run.split('L').count()).collect();
    assert_eq!(lengths, [1, 2, 1]);
    // Four points, and the sample in the legend.
    assert_eq!(elements.iter().filter(|e| e.name == "circle").count(), 5);
}

#[test]
fn axis_fits_the_values_of_the_curves() {
    let elements = parse(&overlay_chart(&overlay(1, &[Some(0.81), Some(0.88)])));
    let texts = texts(&elements);
    assert!(texts.contains(&"0.80") && texts.contains(&"0.88"), "{texts:?}");
    assert!(!texts.contains(&"0.00"));
}

#[test]
fn axis_includes_the_first_epochs_and_excludes_outliers() {
    // Most points are near the final value, 0.9. Outlier limits from all points together would cut off the first epochs.
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
    assert_eq!(overlays.len(), 1, "a metric that no run has gets no chart");
    let curves = &overlays[0].curves;
    assert_eq!(curves.len(), 4);
    assert_eq!(curves[0].name, "repeat 2, learning_rate 0.1");
    assert_eq!(curves[0].words, "repeat 2, learning_rate 0.1, seed 1");
    assert_eq!(curves[0].points[1], OverlayPoint { epoch: 2, value: Some(0.875), range: None });
    // Two seeds with 0.80 and 0.82.
    assert_eq!(curves[3].words, "repeat 0, learning_rate 0.01, mean of 2 runs");
    let point = curves[3].points[1];
    assert!((point.value.expect("a mean") - 0.81).abs() < 1e-12);
    assert_eq!(point.range, Some((0.8, 0.82)));
    let note = "line: mean over seeds, band: lowest to highest; 1 without a completed epoch";
    assert_eq!(overlays[0].note, note);

    let few = metric_curves(&comparison, &["val_accuracy"], 2);
    assert_eq!(few[0].curves.len(), 2);
    assert!(few[0].note.starts_with("the 2 best of 5 combinations"), "{}", few[0].note);
}

#[test]
fn damaged_history_is_skipped() {
    let (comparison, _sweep) = sweep();
    let path = comparison.combinations[0].runs[0].directory.history_path();
    std::fs::write(path, "no history\n").expect("written");
    let overlays = metric_curves(&comparison, &["val_accuracy"], 100);
    assert_eq!(overlays[0].curves.len(), 3);
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

#[test]
fn legends_of_long_settings_keep_what_differs() {
    let (comparison, _sweep) = crate::fit::layers();
    let overlays = metric_curves(&comparison, &["val_accuracy"], 100);
    let elements = parse(&overlay_chart(&overlays[0]));
    let texts = texts(&elements);
    for part in ["dropout 0.25", "30 relu"] {
        assert!(texts.iter().any(|text| text.contains(part)), "{part} in {texts:?}");
    }
    // The whole text is shown on hovering.
    let name = comparison.combinations[0].label(&comparison.columns);
    let titles: Vec<_> = elements.iter().filter(|e| e.name == "title").map(|e| &e.text).collect();
    assert!(titles.iter().any(|title| title.contains(&name)), "{titles:?}");
}
