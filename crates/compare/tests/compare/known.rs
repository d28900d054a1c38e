//! Runs that were read before.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use kiln_compare::page::{Choice, Link, LivePage, live_page, live_policy};
use kiln_compare::{Changed, CompareOptions, Comparison, KnownRuns, Ranking};
use kiln_store::{FileLock, Status, find};

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
        state: "1-2".to_owned(),
        known: &known,
        address: &|run| Some(format!("/run/{}", run.id)),
        choices: vec![Choice {
            title: "Directories".to_owned(),
            links: vec![link("<a>", true), link("b", false)],
        }],
        notes: vec!["A note.".to_owned()],
        max_rows: 1,
        all_rows: "/?rows=all".to_owned(),
    };
    let page = live_page(&comparison, &live).expect("a page");
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
        "<script src=\"/live.js\">",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert!(!page.contains("http-equiv"), "the server sends the policy");
    assert!(live_policy().contains("connect-src 'self'"));
}
