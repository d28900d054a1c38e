use super::*;

#[test]
fn grid_sorts_numbers_and_marks_diverged_runs() {
    let (comparison, _sweep) = sweep();
    let map = grid(&comparison, "best_val_accuracy");
    assert_eq!(map.rows, ["0", "2"]);
    assert_eq!(map.columns, ["0.01", "0.1", "1.0"]);
    let values: Vec<Vec<_>> =
        map.cells.iter().map(|row| row.iter().map(|cell| cell.value).collect()).collect();
    // The mean over two seeds, 0.80 and 0.82.
    assert!((values[0][0].expect("a value") - 0.81).abs() < 1e-12);
    assert_eq!(values[0][1..], [Some(0.85), None]);
    assert_eq!(values[1], [Some(0.83), Some(0.875), None]);
    assert_eq!(map.cells[1][2].mark.as_deref(), Some("diverged"));
    assert_eq!(map.cells[0][2], HeatmapCell::default(), "a cell without a run has no text");
    let best: Vec<Vec<_>> =
        map.cells.iter().map(|row| row.iter().map(|cell| cell.best).collect()).collect();
    assert_eq!(best, [[false, false, false], [false, true, false]]);
}

#[test]
fn heatmap_shows_numbers_and_outlines_the_best_cell() {
    let (comparison, _sweep) = sweep();
    let elements = parse(&heatmap_chart(&grid(&comparison, "best_val_accuracy")));
    let texts = texts(&elements);
    for number in ["0.8100", "0.8500", "0.8300", "0.8750", "diverged"] {
        assert_eq!(
            texts.iter().filter(|text| **text == number).count(),
            1 + usize::from(number == "0.8100" || number == "0.8750"),
            "{number} in {texts:?}"
        );
    }
    // The steps of the legend have the same class and are only a few pixels high. Four cells have numbers.
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
        "the best cell is the lightest"
    );
}

#[test]
fn text_color_contrasts_with_the_cell() {
    let (comparison, _sweep) = sweep();
    let elements = parse(&heatmap_chart(&grid(&comparison, "best_val_accuracy")));
    assert!(elements.iter().any(|e| e.has("text", "on-light") && e.text == "0.8750"));
    assert!(elements.iter().any(|e| e.has("text", "on-dark") && e.text == "0.8100"));
    assert!(elements.iter().any(|e| e.has("text", "muted") && e.text == "diverged"));
}

#[test]
fn long_column_names_are_rotated_and_a_hundred_columns_have_no_numbers() {
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
        assert!(names.iter().all(|name| name.number("x") < width), "inside the image");
        // Once in each cell, and at both ends of the legend.
        let numbers = texts(&elements).iter().filter(|text| **text == "0.25").count();
        assert_eq!(numbers, 2 + if columns == 100 { 0 } else { columns });
    }
}

#[test]
fn lower_loss_is_lighter() {
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
fn cell_of_several_combinations_shows_the_best_by_validation() {
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
    let map = setting_grid(&comparison, DEPTH, None, &measure("test_accuracy")).expect("a column");
    assert_eq!(map.cells[0][0].value, Some(0.7));
    assert_eq!(map.note, "each cell shows its best combination by validation");
    assert!(map.cells[0][0].words.ends_with("the best of 2 combinations"));
    assert_eq!(setting_grid(&comparison, "no.such", None, &measure("test_loss")), None);
}

#[test]
fn terminal_without_colors_shows_numbers_in_columns() {
    let (comparison, _sweep) = sweep();
    let map = grid(&comparison, "best_val_accuracy");
    let text = heatmap_text(&map, Terminal { width: 80, color: false });
    let expected = "\
best val_accuracy by repeat and learning_rate
means over seeds

        learning_rate
repeat    0.01      0.1       1.0
0       0.8100   0.8500
2       0.8300   0.8750* diverged

best val_accuracy from 0.8100 to 0.8750
* best by validation
";
    assert_eq!(text, expected);
}

#[test]
fn terminal_with_colors_shows_the_same_text() {
    let (comparison, _sweep) = sweep();
    let map = grid(&comparison, "best_val_accuracy");
    let text = heatmap_text(&map, Terminal { width: 80, color: true });
    // Black text on yellow, and white text on the darkest blue.
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

/// Removes the color codes.
fn strip(line: &str) -> String {
    let mut parts = line.split('\u{1b}');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + part.split_once('m').expect("a code").1)
}

#[test]
fn columns_that_do_not_fit_continue_below() {
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
    // 35 characters fit 7 columns of 5 characters, then 3 of 5 and 3 of 6, and then 5 of 6 in each block.
    assert_eq!(text.lines().filter(|line| line.starts_with("帽子")).count(), 6);
    assert!(text.contains("29.0"));
}

#[test]
fn recall_by_class_is_the_mean_over_seeds() {
    // The labels alternate between the two classes. The first run classifies the first 15 of 20 images correctly, so 8 of
    // 10 shirts and 7 of 10 boots. The second run classifies all images correctly.
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

#[test]
fn possible_winners_have_frames_and_signs() {
    let cell = |value, best, may_be_best| HeatmapCell {
        value: Some(value),
        best,
        may_be_best,
        ..HeatmapCell::default()
    };
    let map = Heatmap {
        rows: vec!["row".to_owned()],
        columns: ["a", "b", "c"].map(str::to_owned).into(),
        cells: vec![vec![cell(0.9, true, true), cell(0.8, false, true), cell(0.7, false, false)]],
        decimals: 1,
        ..Heatmap::default()
    };
    let elements = parse(&heatmap_chart(&map));
    let frames = |class| cells(&elements, class).len();
    assert_eq!((frames("best"), frames("winner"), frames("halo")), (1, 1, 2));
    let text = heatmap_text(&map, Terminal { width: 80, color: false });
    assert!(text.contains("0.9*  0.8+ 0.7"), "{text}");
    assert!(text.contains("* best by validation, + another possible winner\n"), "{text}");
}
