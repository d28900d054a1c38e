use std::path::Path;

use kiln_compare::{CompareOptions, Comparison, Pair, show_pair};
use kiln_report::Terminal;
use kiln_store::Status;

use crate::tree::SampleRun;
use crate::{compared, directory};

const PLAIN: Terminal = Terminal { width: 80, color: false };

fn pair(comparison: &Comparison, sweep: &Path) -> Pair {
    Pair::of(comparison, &[sweep]).expect("two runs")
}

/// Writes two runs, compares exactly these, and returns them in the order in which they are given.
fn typed(sweep: &Path, runs: &[SampleRun; 2]) -> Pair {
    let paths = runs.each_ref().map(|run| run.write(sweep));
    let comparison = Comparison::read(&paths, &CompareOptions::default()).expect("a comparison");
    Pair::of(&comparison, &paths).expect("two runs")
}

#[test]
fn pair_shows_differences_by_setting_and_class() {
    let sweep = directory();
    let mut other = SampleRun::new(0.1, 2, 2).best(0.8).right(1_000);
    // Of the first 21 images, 11 are shirts and 10 are boots.
    other.predictions[..21].iter_mut().for_each(|(_, predicted)| *predicted ^= 1);
    let first = SampleRun::new(0.1, 1, 1).best(0.9).right(970);
    let pair = typed(sweep.path(), &[first, other]);
    assert_eq!((pair.first.id.as_str(), pair.second.id.as_str()), ("0.1-1-1", "0.1-2-2"));
    let total = pair.total();
    let counts = [total.both_right, total.only_first, total.only_second, total.both_wrong];
    assert_eq!((counts, total.support()), ([949, 21, 30, 0], 1_000));
    assert_eq!(pair.classes[0].only_first, 11);
    assert_eq!(
        (pair.classes[0].first_recall(), pair.classes[0].second_recall()),
        (Some(0.97), Some(0.978))
    );
    insta::assert_snapshot!(show_pair(&pair, PLAIN), @"
    first   depth 0.1-1-1, finished, test accuracy 0.9700
    second  depth 0.1-2-2, finished, test accuracy 0.9790
    repeat: 1 in the first, 2 in the second
    seed: 1 in the first, 2 in the second

    ────────────────────────────────────────────────────────────────────
     class  images   both   only    only   both  recall  recall   change
                    right  first  second  wrong   first  second
                           right   right
    ────────────────────────────────────────────────────────────────────
     shirt     500    474     11      15      0  0.9700  0.9780  +0.0080
     boot      500    475     10      15      0  0.9700  0.9800  +0.0100
     all     1,000    949     21      30      0  0.9700  0.9790  +0.0090
    ────────────────────────────────────────────────────────────────────
    The runs disagree on 51 of 1,000 images.
    The accuracies on these images are not distinguishable (p = 0.262, McNemar's exact test): the second run's accuracy minus the first's is +0.0090, interval [-0.0060, 0.0238]. One seed each, so this says nothing about the settings.
    ");
}

#[test]
fn pair_is_in_the_order_in_which_it_is_given() {
    let sweep = directory();
    // The second one is better, and its directory comes first.
    let runs = [SampleRun::new(0.2, 1, 1).best(0.7), SampleRun::new(0.1, 1, 1).best(0.9)];
    let ids = |pair: &Pair| [pair.first.id.clone(), pair.second.id.clone()];
    assert_eq!(ids(&typed(sweep.path(), &runs)), ["0.2-1-1", "0.1-1-1"]);
    let [first, second] = runs;
    assert_eq!(ids(&typed(sweep.path(), &[second, first])), ["0.1-1-1", "0.2-1-1"]);
}

#[test]
fn differing_predictions_say_nothing_about_the_settings() {
    let sweep = directory();
    let different = SampleRun::new(0.1, 2, 1).right(900);
    let pair = typed(sweep.path(), &[SampleRun::new(0.1, 1, 1).right(1_000), different]);
    let shown = show_pair(&pair, PLAIN);
    // SciPy 1.17: scipy.stats.binomtest(0, 100, 0.5).pvalue is 1.6e-30.
    assert!(shown.contains("Predictions differ on these images (p < 0.001, "), "{shown}");
    assert!(shown.contains("One seed each, so this says nothing about the settings."), "{shown}");
    assert!(!shown.contains("better") && !shown.contains("worse"), "{shown}");
}

#[test]
fn copies_and_runs_on_other_data_are_pairs_too() {
    let sweep = directory();
    let run = SampleRun::new(0.1, 1, 1);
    let copy = SampleRun { id: "copy".to_owned(), ..run.clone() };
    let pair = typed(sweep.path(), &[copy, run.clone()]);
    assert_eq!((pair.first.id.as_str(), pair.second.id.as_str()), ("copy", "0.1-1-1"));
    assert_eq!(pair.settings, []);

    let sweep = directory();
    let other = SampleRun { fingerprint: "other".to_owned(), ..SampleRun::new(0.1, 2, 1) };
    let pair = typed(sweep.path(), &[run, other]);
    assert_eq!(pair.settings.len(), 1);
    assert_eq!(pair.difference, None);
    assert!(pair.notes[0].contains("different datasets"), "{:?}", pair.notes);
}

#[test]
fn pair_of_two_seeds_differs_only_in_the_seed() {
    let sweep = directory();
    let comparison = compared(sweep.path(), &[1, 2].map(|seed| SampleRun::new(0.1, 1, seed)));
    let pair = pair(&comparison, sweep.path());
    let settings: Vec<_> =
        pair.settings.iter().map(|setting| setting.column.key.as_str()).collect();
    assert_eq!(settings, ["seed"]);
    assert_eq!(pair.first.seed, 1);
}

#[test]
fn untested_run_is_reported() {
    let sweep = directory();
    let runs = [SampleRun::new(0.1, 1, 1), SampleRun::new(0.1, 2, 1).ended(Status::Diverged)];
    let pair = pair(&compared(sweep.path(), &runs), sweep.path());
    assert_eq!((pair.difference, pair.classes.len()), (None, 0));
    insta::assert_snapshot!(show_pair(&pair, PLAIN), @r"
    first   depth 0.1-1-1, finished, test accuracy 0.7500
    second  depth 0.1-2-1, diverged
    repeat: 1 in the first, 2 in the second
    0.1-2-1 was not tested (diverged).
    ");
}

#[test]
fn one_or_three_runs_are_not_a_pair() {
    let sweep = directory();
    let comparison = compared(sweep.path(), &[SampleRun::new(0.1, 1, 1)]);
    assert_eq!(Pair::of(&comparison, &[sweep.path()]), None);
    let comparison = compared(sweep.path(), &[2, 3].map(|seed| SampleRun::new(0.1, 1, seed)));
    assert_eq!(Pair::of(&comparison, &[sweep.path()]), None);
}
