//! A comparison of two runs, one of which has an untrusted file.

use std::cell::RefCell;
use std::fs;
use std::path::Path;

use kiln_compare::charts::{against_setting, class_recall, metric_curves, setting_grid};
use kiln_compare::page::page;
use kiln_compare::{CompareOptions, Comparison, MEASURES, Pair, TableOptions, show_pair};
use kiln_report::chart::{heatmap_chart, heatmap_text, overlay_chart, setting_chart};
use kiln_report::{Terminal, show};
use kiln_store::RunDirectory;
use tempfile::TempDir;

use crate::{assert_has_message, assert_printable, assert_valid_svg};

/// The files of a run that a comparison reads, with valid contents.
const FILES: [(&str, &[u8]); 5] = [
    ("config.toml", include_bytes!("../corpus/experiment_toml/resolved.toml")),
    ("run.json", include_bytes!("../corpus/run_json/finished.json")),
    ("history.csv", include_bytes!("../corpus/history_csv/three.csv")),
    ("report.json", include_bytes!("../corpus/report_json/three-classes.json")),
    ("predictions.csv", include_bytes!("../corpus/predictions_csv/three-classes.csv")),
];

thread_local! {
    static RUNS: RefCell<Option<TempDir>> = const { RefCell::new(None) };
}

/// Compares a valid run with a run in which one file has the content of the input. The first byte of the input chooses the
/// file. The comparison must succeed, and every output format must be valid.
pub fn comparison(bytes: &[u8]) {
    let Some((which, content)) = bytes.split_first() else { return };
    let (name, valid) = FILES[usize::from(*which) % FILES.len()];
    RUNS.with_borrow_mut(|runs| {
        let runs = runs.get_or_insert_with(two_runs).path();
        let path = runs.join("second").join(name);
        fs::write(&path, content).expect("a writable directory");
        compare(runs);
        fs::write(&path, valid).expect("a writable directory");
    });
}

fn two_runs() -> TempDir {
    let runs = tempfile::tempdir().expect("a temporary directory");
    for run in ["first", "second"] {
        fs::create_dir(runs.path().join(run)).expect("a writable directory");
        for (name, content) in FILES {
            fs::write(runs.path().join(run).join(name), content).expect("a writable directory");
        }
    }
    runs
}

fn compare(runs: &Path) {
    let terminal = Terminal { width: 80, color: false };
    match RunDirectory::open(runs.join("second"))
        .map_err(Into::into)
        .and_then(|run| show(&run, terminal))
    {
        Ok(shown) => assert_printable(&shown.text),
        Err(error) => assert_has_message(&error),
    }
    let comparison =
        Comparison::read(&[runs], &CompareOptions::default()).expect("the first run is valid");
    let options = TableOptions { all_seeds: true, ..TableOptions::default() };
    let formats = [kiln_compare::csv, kiln_compare::json, kiln_compare::markdown];
    for text in
        formats.map(|format| format(&comparison, &options).expect("no column was asked for"))
    {
        assert_printable(&text);
    }
    let table = kiln_compare::terminal(&comparison, &TableOptions::default(), terminal);
    assert_printable(&table.expect("no column was asked for"));
    assert_printable(&kiln_compare::notes(&comparison));
    if let Some(pair) = Pair::of(&comparison, &[runs]) {
        assert_printable(&show_pair(&pair, terminal));
    }
    let page = page(&comparison).expect("a page");
    assert!(page.trim_end().ends_with("</html>"));
    if let Some(map) = class_recall(&comparison, 10) {
        assert_valid_svg(&heatmap_chart(&map));
    }
    for overlay in metric_curves(&comparison, &["val_accuracy", "loss"], 10) {
        assert_valid_svg(&overlay_chart(&overlay));
    }
    for column in comparison.columns.iter().take(3) {
        if let Some(chart) = against_setting(&comparison, &column.key) {
            assert_valid_svg(&setting_chart(&chart));
        }
        for measure in &MEASURES {
            if let Some(map) = setting_grid(&comparison, &column.key, None, measure) {
                assert_valid_svg(&heatmap_chart(&map));
                assert_printable(&heatmap_text(&map, terminal));
            }
        }
    }
}
