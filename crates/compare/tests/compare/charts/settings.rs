use super::*;

fn line(name: &str, points: &[(f64, &[f64])]) -> SettingLine {
    let point = |(setting, values): &(f64, &[f64])| SettingPoint {
        setting: *setting,
        values: values.to_vec(),
    };
    SettingLine { name: name.to_owned(), points: points.iter().map(point).collect() }
}

/// The x coordinates of the points of the first line.
fn x_coordinates(chart: &SettingChart) -> Vec<f64> {
    let elements = parse(&setting_chart(chart));
    let path = &elements.iter().find(|e| e.name == "path").expect("a line").attributes["d"];
    let points = path.trim_start_matches('M').split('L');
    points.map(|at| at.split_once(' ').expect("two").0.parse().expect("a number")).collect()
}

#[test]
fn setting_that_spans_a_decade_has_a_logarithmic_axis() {
    let chart = |settings: [f64; 3]| SettingChart {
        setting: "x".to_owned(),
        lines: vec![line("", &settings.map(|setting| (setting, &[0.5][..])))],
        ..SettingChart::default()
    };
    let logarithmic = chart([0.01, 0.1, 1.0]);
    let at = x_coordinates(&logarithmic);
    assert!((at[2] - at[1] - (at[1] - at[0])).abs() < 0.02, "{at:?}");
    assert!(texts(&parse(&setting_chart(&logarithmic))).contains(&"x (logarithmic)"));
    // A range of less than a decade, or with a zero, has a linear axis.
    for (linear, ratio) in [(chart([1.0, 2.0, 4.0]), 2.0), (chart([0.0, 1.0, 100.0]), 99.0)] {
        let at = x_coordinates(&linear);
        let found = (at[2] - at[1]) / (at[1] - at[0]);
        assert!((found / ratio - 1.0).abs() < 0.01, "{found} and not {ratio}");
        assert!(texts(&parse(&setting_chart(&linear))).contains(&"x"));
    }
}

#[test]
fn seeds_are_dots_on_a_bar_from_lowest_to_highest() {
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
fn chart_against_the_learning_rate_has_a_line_per_depth() {
    let (comparison, _sweep) = sweep();
    let chart = against_setting(&comparison, LEARNING_RATE).expect("numbers");
    let names: Vec<_> = chart.lines.iter().map(|line| line.name.as_str()).collect();
    assert_eq!(names, ["repeat 2", "repeat 0"]);
    let points: Vec<_> =
        chart.lines[1].points.iter().map(|point| (point.setting, &point.values[..])).collect();
    assert_eq!(points, [(0.01, &[0.8, 0.82][..]), (0.1, &[0.85][..])]);
    assert_eq!(chart.note, "1 run that diverged or failed is not shown");
    assert_eq!(against_setting(&comparison, "name"), None);
}
