use kiln_store::{Direction, MetricInfo, RunDirectory, RunRecord};

use crate::samples::{directory, record, running};

#[test]
fn run_json_lists_the_metrics_with_their_directions() {
    let info = |name: &str, better| MetricInfo { name: name.to_owned(), better };
    let metrics = vec![info("val_loss", Direction::Lower), info("val_macro_f1", Direction::Higher)];
    let record = RunRecord { metrics, ..running() };
    let runs = directory();
    let run = RunDirectory::create(runs.path(), "dense", Some("one")).expect("created");
    run.write_record(&record).expect("written");
    let text = std::fs::read_to_string(run.record_path()).expect("read");
    let metrics = text.split_once("\"metrics\": ").expect("the key").1;
    let metrics: String = metrics.split_whitespace().collect();
    let expected =
        r#"[{"name":"val_loss","better":"lower"},{"name":"val_macro_f1","better":"higher"}]"#;
    assert_eq!(metrics.strip_prefix(expected), Some("}"), "{text}");
    assert_eq!(run.read_record().expect("read"), record);
}

#[test]
fn the_direction_is_the_listed_one_and_otherwise_follows_from_the_name() {
    let listed = MetricInfo { name: "perplexity".to_owned(), better: Direction::Lower };
    let record = RunRecord { metrics: vec![listed], ..record() };
    for (name, better) in [
        ("perplexity", Direction::Lower),
        ("val_loss", Direction::Lower),
        ("loss", Direction::Lower),
        ("val_accuracy", Direction::Higher),
        ("val_perplexity", Direction::Higher),
    ] {
        assert_eq!(record.direction(name), better, "{name}");
    }
}

#[test]
fn an_improvement_must_exceed_min_delta() {
    for (better, value, best, min_delta, expected) in [
        (Direction::Lower, 0.4, 0.5, 0.0, true),
        (Direction::Lower, 0.5, 0.5, 0.0, false),
        (Direction::Lower, 0.4, 0.5, 0.25, false),
        (Direction::Higher, 0.5, 0.25, 0.0, true),
        (Direction::Higher, 0.25, 0.25, 0.0, false),
        (Direction::Higher, 0.5, 0.25, 0.25, false),
    ] {
        assert_eq!(better.improves(value, best, min_delta), expected, "{better:?} {value} {best}");
    }
}
