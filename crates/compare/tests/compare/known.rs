//! Runs that were read before.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use kiln_compare::page::{
    Charts, Choice, Link, LivePage, RowQuery, TableKind, live_page, live_policy, live_rows,
};
use kiln_compare::{Changed, CompareOptions, Comparison, KeptComparison, KnownRuns, Ranking};
use kiln_store::{Annotations, FileLock, RunDirectory, Status, find};

use crate::directory;
use crate::tree::SampleRun;

fn found(sweep: &Path) -> Vec<PathBuf> {
    find(&[sweep]).map_or_else(|_| Vec::new(), |found| found.runs)
}

fn changed(runs: &[&Path]) -> Changed {
    Changed { all: false, runs: runs.iter().map(|run| run.to_path_buf()).collect::<HashSet<_>>() }
}

fn compare(known: &KnownRuns) -> Comparison {
    known.compare(|_, _| true, Vec::new(), &Ranking::default(), 0.05)
}

#[test]
fn comparison_of_known_runs_is_that_of_all_runs() {
    let sweep = directory();
    for (rate, seed) in [(0.1, 1), (0.1, 2), (0.2, 1), (0.2, 2)] {
        SampleRun::new(rate, 1, seed)
            .best(0.8 + rate / 10.0 + 0.001 * seed as f64)
            .write(sweep.path());
    }
    let damaged = SampleRun::new(0.3, 1, 1).write(sweep.path());
    fs::write(damaged.join("run.json"), "{").expect("written");
    let other = SampleRun { fingerprint: "other".to_owned(), ..SampleRun::new(0.4, 1, 1) };
    other.write(sweep.path());
    let read =
        || Comparison::read(&[sweep.path()], &CompareOptions::default()).expect("a comparison");
    let mut known = KnownRuns::default();
    assert!(known.update(&found(sweep.path()), &Changed::default()));
    assert_eq!(compare(&known), read());
    let changes = [
        SampleRun::new(0.2, 1, 1).best(0.99),
        SampleRun::new(0.1, 1, 1).ended(Status::Diverged),
        SampleRun::new(0.5, 1, 1),
        SampleRun::new(0.3, 1, 1),
    ];
    for run in changes {
        let path = run.write(sweep.path());
        assert!(known.update(&found(sweep.path()), &changed(&[&path])), "{}", path.display());
        assert_eq!(compare(&known), read(), "{}", path.display());
    }
    fs::remove_dir_all(sweep.path().join("0.2-1-1")).expect("removed");
    assert!(known.update(&found(sweep.path()), &Changed::default()));
    assert_eq!(compare(&known), read());
}

#[test]
fn only_runs_that_changed_are_read_again() {
    let sweep = directory();
    let first = SampleRun::new(0.1, 1, 1).write(sweep.path());
    let second = SampleRun::new(0.2, 1, 1).write(sweep.path());
    let mut known = KnownRuns::default();
    let runs = found(sweep.path());
    assert!(known.update(&runs, &Changed::default()));
    assert!(!known.update(&runs, &changed(&[&first, &second])), "nothing has changed");
    let all = Changed { all: true, ..Changed::default() };
    assert!(!known.update(&runs, &all));
    // A change that was not reported is found when all runs are checked.
    fs::write(second.join("history.csv"), "nonsense").expect("written");
    assert!(!known.update(&runs, &changed(&[&first])));
    assert!(known.get(&second).expect("a run").summary().is_ok());
    assert!(known.update(&runs, &all));
    assert!(known.get(&second).expect("a run").summary().is_err());
}

#[test]
fn end_of_a_process_is_a_change() {
    let sweep = directory();
    let run = SampleRun::new(0.1, 1, 1).ended(Status::Running).write(sweep.path());
    let lock = FileLock::take(sweep.path(), "0.1-1-1").expect("a lock");
    let mut known = KnownRuns::default();
    let runs = found(sweep.path());
    known.update(&runs, &Changed::default());
    assert!(known.get(&run).expect("a run").is_alive());
    assert_eq!(known.get(&run).expect("a run").planned_epochs(), Some(3));
    drop(lock);
    assert!(known.update(&runs, &Changed::default()));
    assert!(!known.get(&run).expect("a run").is_alive());
    assert!(!known.update(&runs, &Changed::default()));
}

#[test]
fn no_run_and_no_metric_are_no_errors() {
    let known = KnownRuns::default();
    assert_eq!(compare(&known).combinations.len(), 0);
    let sweep = directory();
    let run = SampleRun { val_accuracies: vec![None], ..SampleRun::new(0.1, 1, 1) };
    run.ended(Status::Failed).write(sweep.path());
    let mut known = KnownRuns::default();
    known.update(&found(sweep.path()), &Changed::default());
    let ranking = Ranking::new("val_nonsense", kiln_compare::AtEpoch::Best);
    let comparison = known.compare(|_, _| true, Vec::new(), &ranking, 0.05);
    assert!(!comparison.is_ranked());
}

/// Runs of two datasets with seeds, a copy, an unreadable one and one that is not finished.
fn many(sweep: &Path) {
    for (rate, depth, seed) in (0..24).map(|number| {
        (0.1 * f64::from(1 + number % 4), 1 + number as usize / 4 % 2, number as u64 / 8)
    }) {
        let run = SampleRun::new(rate, depth, seed);
        run.best(0.8 + rate / 10.0 + 0.001 * seed as f64).right(800).write(sweep);
    }
    let copy = SampleRun { id: "copy".to_owned(), ..SampleRun::new(0.1, 1, 1) };
    copy.best(0.1).write(sweep);
    let damaged = SampleRun::new(0.9, 1, 1).write(sweep);
    fs::write(damaged.join("run.json"), "{").expect("written");
    for seed in [1, 2] {
        let other = SampleRun { fingerprint: "other".to_owned(), ..SampleRun::new(0.7, 1, seed) };
        other.write(sweep);
    }
    SampleRun::new(0.2, 1, 7).ended(Status::Running).write(sweep);
}

#[test]
fn kept_comparison_is_that_of_all_runs_after_every_kind_of_change() {
    let sweep = directory();
    many(sweep.path());
    let mut known = KnownRuns::default();
    let mut kept = KeptComparison::default();
    let tagged = |run: SampleRun, tags: &[&str]| {
        let path = run.write(sweep.path());
        let tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
        let annotations = Annotations { note: Some("a note".to_owned()), tags };
        RunDirectory::at(&path).write_annotations(&annotations).expect("written");
    };
    let write = |run: SampleRun| drop(run.write(sweep.path()));
    let grown = |epochs| {
        let values = (0..epochs).map(|epoch| Some(0.5 + 0.1 * epoch as f64)).collect();
        SampleRun { val_accuracies: values, ..SampleRun::new(0.2, 1, 7).ended(Status::Running) }
    };
    type Change<'a> = (&'a str, Box<dyn Fn() + 'a>);
    let changes: Vec<Change<'_>> = vec![
        ("nothing", Box::new(|| {})),
        ("an epoch", Box::new(|| write(grown(4)))),
        ("another epoch", Box::new(|| write(grown(5)))),
        ("a note", Box::new(|| tagged(grown(5), &[]))),
        ("a tag", Box::new(|| tagged(grown(5), &["a"]))),
        ("the end", Box::new(|| write(SampleRun::new(0.2, 1, 7).best(0.99)))),
        ("pruned", Box::new(|| write(SampleRun::new(0.3, 1, 1).ended(Status::Pruned)))),
        ("a better result", Box::new(|| write(SampleRun::new(0.1, 2, 1).best(0.999)))),
        (
            "a copy gets further",
            Box::new(|| {
                let copy = SampleRun { id: "copy".to_owned(), ..SampleRun::new(0.1, 1, 1) };
                write(SampleRun { val_accuracies: vec![Some(0.9); 7], ..copy });
            }),
        ),
        (
            "another dataset",
            Box::new(|| {
                write(
                    SampleRun { fingerprint: "other".to_owned(), ..SampleRun::new(0.7, 1, 1) }
                        .best(0.2),
                );
            }),
        ),
        ("a new run", Box::new(|| write(SampleRun::new(0.5, 1, 1)))),
        (
            "other settings",
            Box::new(|| {
                let run = SampleRun::new(0.5, 1, 1);
                write(SampleRun { config: SampleRun::new(0.6, 1, 1).config, ..run });
            }),
        ),
        (
            "another seed",
            Box::new(|| {
                write(SampleRun { id: "0.5-1-1".to_owned(), ..SampleRun::new(0.5, 1, 8) });
            }),
        ),
        (
            "damage",
            Box::new(|| {
                fs::write(sweep.path().join("0.5-1-1/history.csv"), "nonsense").expect("written");
            }),
        ),
        (
            "removal",
            Box::new(|| {
                fs::remove_dir_all(sweep.path().join("0.1-1-0")).expect("removed");
            }),
        ),
    ];
    let all = Changed { all: true, ..Changed::default() };
    for (name, change) in changes {
        change();
        known.update(&found(sweep.path()), &all);
        let ranking = Ranking::default();
        let now = known.bring_up_to_date(&mut kept, |_, _| true, Vec::new(), &ranking, 0.05);
        let read = Comparison::read(&[sweep.path()], &CompareOptions::default());
        assert_eq!(*now, read.expect("a comparison"), "{name}");
    }
}

#[test]
fn rows_are_selected_sorted_and_cut() {
    let sweep = directory();
    many(sweep.path());
    let note = |id: &str, note: &str, tags: &[&str]| {
        let tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
        let annotations = Annotations { note: Some(note.to_owned()), tags };
        let run = RunDirectory::at(&sweep.path().join(id));
        run.write_annotations(&annotations).expect("written");
    };
    note("0.1-1-1", "<b>first</b>", &["good", "b_w"]);
    note("0.4-2-2", &"long ".repeat(1_000), &["good"]);
    let mut known = KnownRuns::default();
    known.update(&found(sweep.path()), &Changed::default());
    let comparison = compare(&known);
    let live = LivePage { max_rows: 3, ..live(&known) };
    let page = live_page(&comparison, &Charts::none().expect("none"), &live).expect("a page");
    for part in [
        "data-rows=\"/rows?table=runs\" data-shown=\"3\" data-all=\"25\"",
        "data-tags=\"b_w good\"",
        ">tags</th><th scope=\"col\">note</th>",
        "The first 3 of 8 rows. <a href=\"/?rows=all\">",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    let query = RowQuery {
        table: TableKind::Runs,
        words: String::new(),
        tag: None,
        sort: None,
        descending: false,
        from: 0,
    };
    let rows = |query: &RowQuery| live_rows(&comparison, &live, query).expect("rows");
    let first = rows(&query);
    assert!(first.starts_with("<table data-matching=\"25\" data-from=\"0\">"), "{first}");
    assert_eq!(first.matches("<tr").count(), 3);
    // The page has the same rows.
    for row in first.lines().filter(|line| line.starts_with("<td")) {
        assert!(page.contains(row), "{row}");
    }
    let last = rows(&RowQuery { from: 24, ..query.clone() });
    assert_eq!(last.matches("<tr").count(), 1);
    assert_eq!(rows(&RowQuery { from: usize::MAX, ..query.clone() }).matches("<tr").count(), 0);
    let tagged = rows(&RowQuery { tag: Some("good".to_owned()), ..query.clone() });
    assert!(tagged.starts_with("<table data-matching=\"2\""), "{tagged}");
    assert!(tagged.contains("&lt;b&gt;first&lt;/b&gt;") && tagged.contains("long …"), "{tagged}");
    let words = rows(&RowQuery { words: "FIRST  good".to_owned(), ..query.clone() });
    assert!(words.starts_with("<table data-matching=\"1\""), "{words}");
    let sorted = |descending| {
        let sort = Some("learning_rate".to_owned());
        let rows = rows(&RowQuery { sort, descending, ..query.clone() });
        let rates = rows.split("data-sort=\"0.").skip(1);
        rates.filter_map(|rate| rate.chars().next()).collect::<String>()
    };
    assert!(sorted(false).starts_with('1'), "{}", sorted(false));
    assert!(sorted(true).starts_with('4'), "{}", sorted(true));
    let unknown = rows(&RowQuery { sort: Some("nonsense".to_owned()), ..query });
    assert!(unknown.starts_with("<table data-matching=\"25\""));
}

fn live(known: &KnownRuns) -> LivePage<'_> {
    LivePage {
        state: "1-2".to_owned(),
        known,
        address: &|run| Some(format!("/run/{}", run.id)),
        choices: Vec::new(),
        notes: Vec::new(),
        charts_note: None,
        max_rows: 1,
        rows: &|table| format!("/rows?table={}", table.name()),
        all_rows: "/?rows=all".to_owned(),
    }
}

#[test]
fn live_page_has_links_and_runs_in_progress() {
    let sweep = directory();
    SampleRun::new(0.1, 1, 1).write(sweep.path());
    SampleRun::new(0.1, 1, 2).write(sweep.path());
    SampleRun::new(0.2, 1, 1).ended(Status::Running).write(sweep.path());
    let _lock = FileLock::take(sweep.path(), "0.2-1-1").expect("a lock");
    let mut known = KnownRuns::default();
    known.update(&found(sweep.path()), &Changed::default());
    let comparison = compare(&known);
    let link = |text: &str, is_current| Link {
        text: text.to_owned(),
        address: "/?in=1".to_owned(),
        is_current,
    };
    let live = LivePage {
        choices: vec![Choice {
            title: "Directories".to_owned(),
            links: vec![link("<a>", true), link("b", false)],
        }],
        notes: vec!["A note.".to_owned()],
        charts_note: Some("Old charts.".to_owned()),
        ..live(&known)
    };
    let charts = Charts::new(&comparison).expect("charts");
    let page = live_page(&comparison, &charts, &live).expect("a page");
    for part in [
        "data-state=\"1-2\"",
        "<a href=\"/run/0.1-1-1\">seed 1</a>",
        "<a href=\"/run/0.2-1-1\">learning_rate\u{a0}0.2</a>",
        "<progress max=\"3\" value=\"3\">",
        "epoch 3 of 3, val_accuracy 0.6250",
        "&lt;a&gt;</strong>",
        "<a href=\"/?in=1\">b</a>",
        "The first 1 of 2 rows. <a href=\"/?rows=all\">",
        "A note.",
        "id=\"charts-note\">Old charts.<",
        "<script src=\"/live.js\">",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert!(!page.contains("http-equiv"), "the server sends the policy");
    assert!(live_policy().contains("connect-src 'self'"));
}
