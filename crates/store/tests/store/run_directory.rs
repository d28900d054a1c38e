use std::collections::BTreeSet;
use std::path::Path;

use kiln_store::{RunDirectory, StoreError};

use crate::finished;
use crate::samples::{directory, listing, record, running};

#[test]
fn default_id_is_the_time_and_unique() {
    let runs = directory();
    let create = || RunDirectory::create(runs.path(), "dense", None).expect("a run");
    let ids: Vec<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| scope.spawn(move || [create().id(), create().id(), create().id()]))
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("no panic")).collect()
    });
    let distinct: BTreeSet<&String> = ids.iter().collect();
    assert_eq!(distinct.len(), 12, "{ids:?}");
    assert_eq!(listing(&runs.path().join("dense")).len(), 12);
    for id in &ids {
        let (time, number) = (&id[..15], &id[15..]);
        let shape = time.chars().enumerate();
        assert!(shape.into_iter().all(|(at, c)| if at == 8 {
            c == '-'
        } else {
            c.is_ascii_digit()
        }));
        let number =
            number.strip_prefix('-').map(|number| number.parse::<u32>().expect("a number"));
        assert!(number.is_none_or(|number| number >= 2), "{id}");
    }
}

#[test]
fn only_one_of_many_concurrent_creations_succeeds() {
    let runs = directory();
    let results: Vec<_> = std::thread::scope(|scope| {
        let create = || RunDirectory::create(runs.path(), "dense", Some("a1b2"));
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(create)).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    assert_eq!(results.iter().filter(|create| create.is_ok()).count(), 1);
    let taken = results.iter().filter(|create| matches!(create, Err(StoreError::RunExists { .. })));
    assert_eq!(taken.count(), 7);
}

#[test]
fn existing_run_is_never_overwritten() {
    let runs = directory();
    let run = RunDirectory::create(runs.path(), "dense", Some("one")).expect("a run");
    assert_eq!(run.path(), runs.path().join("dense").join("one"));
    run.write_record(&record()).expect("a record");
    let error = RunDirectory::create(runs.path(), "dense", Some("one")).expect_err("taken");
    assert_eq!(
        error.to_string(),
        format!(
            "{} already exists, and Kiln never overwrites runs: choose another name, or move the directory away",
            run.path().display()
        )
    );
    assert_eq!(listing(run.path()), ["run.json"]);
}

#[test]
fn invalid_names_are_refused_before_creating_anything() {
    let parent = directory();
    let runs = parent.path().join("runs");
    for bad in ["", ".", "..", "../escape", "/tmp", "a/b", "a\\b", "-rf", "two words", "\u{1b}[2J"]
    {
        for (name, id, role) in
            [(bad, None, "name"), (bad, Some("id"), "name"), ("name", Some(bad), "id")]
        {
            let error = RunDirectory::create(&runs, name, id).expect_err(bad);
            let matches = matches!(&error, StoreError::Name { role: own, .. } if *own == role);
            assert!(matches, "{bad:?}: {error:?}");
            assert!(!error.to_string().contains('\u{1b}'), "{error}");
        }
    }
    assert_eq!(listing(parent.path()), Vec::<String>::new());

    let error = RunDirectory::create(&runs, "../escape", None).expect_err("a bad name");
    assert_eq!(
        error.to_string(),
        "`../escape` cannot be the name of a run: `/` is not allowed in it; use letters, digits, `.`, `_` and `-`"
    );
}

#[test]
fn directory_that_cannot_be_created_is_named() {
    let runs = directory();
    std::fs::write(runs.path().join("dense"), "a file").expect("written");
    let error = RunDirectory::create(runs.path(), "dense", None).expect_err("a file is there");
    let expected = format!("cannot create the directory {}: ", runs.path().join("dense").display());
    assert!(error.to_string().starts_with(&expected), "{error}");
}

#[test]
fn only_a_run_can_be_opened() {
    let runs = directory();
    let empty = runs.path().join("empty");
    let file = runs.path().join("file");
    std::fs::create_dir(&empty).expect("a directory");
    std::fs::write(&file, "").expect("a file");
    let refused = |path: &Path| match RunDirectory::open(path) {
        Err(StoreError::NotARun { path: own, problem }) if own == path => problem,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(&runs.path().join("missing")), "it does not exist");
    assert_eq!(refused(&file), "it is a file");
    assert_eq!(refused(&empty), "it has no run.json");

    let run = RunDirectory::create(runs.path(), "dense", Some("one")).expect("a run");
    run.write_record(&running()).expect("a record");
    assert_eq!(RunDirectory::open(run.path()).expect("a run"), run);
}

#[test]
fn every_file_has_its_documented_name() {
    let runs = directory();
    let run = finished(runs.path());
    let contract = [
        (run.config_path(), "config.toml"),
        (run.record_path(), "run.json"),
        (run.splits_path(), "splits.csv"),
        (run.history_path(), "history.csv"),
        (run.report_path(), "report.json"),
        (run.markdown_path(), "report.md"),
        (run.predictions_path(), "predictions.csv"),
        (run.model_path(), "model.safetensors"),
        (run.initial_path(), "initial.safetensors"),
        (run.history_chart_path(), "history.svg"),
        (run.confusion_chart_path(), "confusion.svg"),
        (run.mistakes_path(), "mistakes.png"),
        (run.log_path(), "log.jsonl"),
    ];
    for (path, name) in contract {
        assert_eq!(path, run.path().join(name));
    }
}
