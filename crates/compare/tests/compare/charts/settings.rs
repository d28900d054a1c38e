use super::*;

fn line(name: &str, points: &[(f64, &[f64])]) -> SettingLine {
    let point = |(setting, values): &(f64, &[f64])| SettingPoint {
        setting: *setting,
        values: values.to_vec(),
        words: name.to_owned(),
        ..SettingPoint::default()
    };
    SettingLine {
        name: name.to_owned(),
        points: points.iter().map(point).collect(),
        scatter: false,
    }
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

#[test]
fn points_of_several_lines_are_side_by_side() {
    let chart = SettingChart {
        lines: vec![
            line("a", &[(1.0, &[0.5]), (2.0, &[0.5])]),
            line("b", &[(1.0, &[0.5]), (2.0, &[0.5])]),
            line("c", &[(2.0, &[0.5])]),
        ],
        ..SettingChart::default()
    };
    let elements = parse(&setting_chart(&chart));
    let at = |class: &str| -> Vec<f64> {
        elements.iter().filter(|e| e.has("circle", class)).map(|e| e.number("cx")).collect()
    };
    let [a, b, c] = ["dot color0", "dot color1", "dot color2"].map(at);
    assert!(b[0] - a[0] > 4.0, "{a:?} {b:?}");
    // The middle of the lines that have a point is at the value.
    assert!(((a[1] + c[0]) / 2.0 - b[1]).abs() < 0.02, "{a:?} {b:?} {c:?}");
    let domain = [f64::midpoint(a[0], b[0]), b[1]];
    let ticks: Vec<f64> = elements
        .iter()
        .filter(|e| e.has("text", "muted") && (e.text == "1" || e.text == "2"))
        .map(|e| e.number("x"))
        .collect();
    assert!(domain.iter().zip(&ticks).all(|(at, tick)| (at - tick).abs() < 0.02), "{ticks:?}");
}

#[test]
fn logarithmic_axes_have_decades() {
    let values: Vec<f64> = (0..40).map(|index| 0.00123 * 1.15_f64.powi(index)).collect();
    let points: Vec<_> = values.iter().map(|value| (*value, &[0.5][..])).collect();
    let chart = SettingChart { lines: vec![line("", &points)], ..SettingChart::default() };
    let elements = parse(&setting_chart(&chart));
    let texts = texts(&elements);
    assert!(texts.contains(&"0.01") && texts.contains(&"0.1"), "{texts:?}");
}

#[test]
fn pruned_runs_are_crosses_and_possible_winners_have_rings() {
    let mut chart = SettingChart {
        lines: vec![line("", &[(1.0, &[0.5]), (2.0, &[0.6]), (3.0, &[])])],
        ..SettingChart::default()
    };
    chart.lines[0].points[1].may_be_best = true;
    chart.lines[0].points[2].stopped = vec![0.4];
    let elements = parse(&setting_chart(&chart));
    let count = |name: &str, class: &str| elements.iter().filter(|e| e.has(name, class)).count();
    assert_eq!((count("circle", "winner"), count("path", "stopped")), (1, 1));
    let path = elements.iter().find(|e| e.has("path", "line color0")).expect("a line");
    assert_eq!(path.attributes["d"].split('L').count(), 2, "pruned runs are not joined");
    assert!(texts(&elements).contains(&"ring: possible winner; cross: pruned run"));
}

#[test]
fn draws_of_a_random_search_are_not_joined() {
    let run = |rate: f64, depth| SampleRun::new(rate, depth, 1);
    let (comparison, _sweep) = read(&[
        run(0.01, 1),
        run(0.013, 2),
        run(0.02, 3),
        run(0.05, 4),
        SampleRun::new(0.06, 2, 1).best(0.6).ended(Status::Pruned),
    ]);
    let chart = against_setting(&comparison, LEARNING_RATE).expect("numbers");
    assert_eq!(chart.lines.len(), 1);
    assert!(chart.lines[0].scatter);
    let point = &chart.lines[0].points[4];
    assert_eq!((point.values.len(), &point.stopped[..]), (0, &[0.625][..]));
    let elements = parse(&setting_chart(&chart));
    assert!(
        !elements.iter().any(|e| e.name == "path" && e.attributes["class"].starts_with("line"))
    );
    assert!(elements.iter().any(|e| e.text.starts_with("learning_rate 0.05, repeat 4\n")));
}
