//! The measures of a comparison, and the metrics of the history that they are made of.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use kiln_compare::page::page;
use kiln_compare::{
    AtEpoch, CompareOptions, Comparison, MEASURES, Ranking, TableOptions, csv, json, markdown,
    terminal,
};
use kiln_report::Terminal;

use crate::tree::SampleRun;
use crate::{compared, directory};

/// Replaces a part of a file of the run.
fn edit(run: &Path, file: &str, from: &str, to: &str) {
    let path = run.join(file);
    let text = fs::read_to_string(&path).expect("a text");
    assert!(text.contains(from), "{text}");
    fs::write(path, text.replace(from, to)).expect("written");
}

#[test]
fn keys_and_headings_are_unique() {
    let keys: HashSet<_> = MEASURES.iter().map(|measure| measure.key).collect();
    let headings: HashSet<_> = MEASURES.iter().map(|measure| measure.heading).collect();
    assert_eq!((keys.len(), headings.len()), (MEASURES.len(), MEASURES.len()));
}

#[test]
fn parameters_have_a_column_if_they_differ_or_are_requested() {
    let sweep = directory();
    let same = compared(sweep.path(), &[1, 2].map(|depth| SampleRun::new(0.1, depth, 1)));
    let default = TableOptions::default();
    assert!(!csv(&same, &default).expect("CSV").contains("parameters"));
    assert!(!page(&same).expect("a page").contains("parameters"));
    let requested =
        TableOptions { columns: vec!["repeat".into(), "parameters".into()], ..default.clone() };
    insta::assert_snapshot!(csv(&same, &requested).expect("CSV"), @r"
    repeat,parameters_mean,parameters_sd,parameters_n
    1,286810,,1
    2,286810,,1
    ");

    edit(&sweep.path().join("0.1-2-1"), "run.json", "286810", "2000000");
    let different =
        Comparison::read(&[sweep.path()], &CompareOptions::default()).expect("a comparison");
    let head = csv(&different, &default).expect("CSV").lines().next().map(str::to_owned);
    assert!(head.is_some_and(|head| head.ends_with(",parameters_mean,parameters_sd,parameters_n")));
    let sorted = TableOptions { sort: Some("parameters".into()), ..requested };
    insta::assert_snapshot!(markdown(&different, &sorted).expect("Markdown"), @r"
    | repeat | parameters |
    |---|--:|
    | 1 | 286,810 |
    | 2 | 2,000,000 |
    ");
    let layout = Terminal { width: 200, color: false };
    assert!(terminal(&different, &default, layout).expect("a table").contains("2,000,000"));
    assert!(page(&different).expect("a page").contains("2,000,000"));
    let text = json(&different, &default).expect("JSON");
    let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let combination = &json["combinations"][1];
    assert_eq!(combination["parameters"]["mean"], 2e6);
    assert_eq!(combination["runs"][0]["measures"]["parameters"], 2e6);
}

#[test]
fn every_metric_of_the_history_has_its_best_last_and_kept_epoch() {
    let sweep = directory();
    let run = SampleRun::new(0.1, 1, 1).write(sweep.path());
    // Epoch 1 has the lowest validation loss; the report says that the weights of epoch 2 were kept.
    edit(&run, "history.csv", "1,0.5,0.75,0.5,", "1,0.5,0.75,0.25,");
    edit(&run, "history.csv", "2,0.5,0.75,0.5,", "2,0.5,0.75,0.375,");
    let comparison =
        Comparison::read(&[sweep.path()], &CompareOptions::default()).expect("a comparison");
    let run = &comparison.combinations[0].runs[0];
    let names: Vec<&str> = run.metrics.iter().map(|metric| metric.name.as_str()).collect();
    assert_eq!(names, ["loss", "accuracy", "val_loss", "val_accuracy"]);
    let value = |at| run.metric("val_loss", at).map(|found| (found.epoch, found.value));
    assert_eq!(value(AtEpoch::Best), Some((1, 0.25)), "the lower loss is the better one");
    assert_eq!(value(AtEpoch::Last), Some((3, 0.5)));
    assert_eq!(value(AtEpoch::Kept), Some((2, 0.375)));
    assert_eq!(run.metric("no_such", AtEpoch::Best), None);
    let ranking = Ranking::new("val_loss", AtEpoch::Kept);
    assert_eq!((ranking.of_run(run), ranking.heading()), (Some(0.375), "kept val_loss"));
}

#[test]
fn ranking_uses_the_direction_in_run_json() {
    let sweep = directory();
    let runs = [(0.1, 0.25), (0.2, 0.9)].map(|(rate, best)| SampleRun::new(rate, 1, 1).best(best));
    let first = |comparison: &Comparison| comparison.combinations[0].runs[0].id.clone();
    assert_eq!(first(&compared(sweep.path(), &runs)), "0.2-1-1");
    let metrics = "\"metrics\": [{\"name\": \"val_accuracy\", \"better\": \"lower\"}]";
    for run in &runs {
        let path = sweep.path().join(&run.id).join("run.json");
        let text = fs::read_to_string(&path).expect("a record");
        let (rest, _) = text.rsplit_once('}').expect("an object");
        fs::write(path, format!("{rest}, {metrics}}}")).expect("written");
    }
    let comparison =
        Comparison::read(&[sweep.path()], &CompareOptions::default()).expect("a comparison");
    assert_eq!(
        first(&comparison),
        "0.1-1-1",
        "the best epoch is now the one with the lowest value"
    );
}
