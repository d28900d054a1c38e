use std::fs;

use kiln_compare::{
    Accuracy, BaselineChoice, Comparison, Method, Pair, Verdict, VerdictOutcome, notes,
};
use kiln_store::Status;

use crate::tree::{SampleRun, right};
use crate::{compared, directory};

/// Runs of one depth with the seeds 1, 2, …. Each count is the number of correct images of 1,000, in validation and test.
fn runs(depth: usize, counts: &[usize]) -> Vec<SampleRun> {
    let run = |(seed, count): (u64, &usize)| {
        SampleRun::new(0.1, depth, seed).best(*count as f64 / 1_000.0).right(*count)
    };
    (1..).zip(counts).map(run).collect()
}

fn verdict(comparison: &Comparison, combination: usize) -> Verdict {
    comparison.combinations[combination].verdict.expect("a verdict")
}

fn assert_close(found: f64, expected: f64) {
    assert!((found - expected).abs() < 1e-9, "{found} {expected}");
}

#[test]
fn combinations_with_several_seeds_are_compared_by_welch() {
    let sweep = directory();
    let better = runs(1, &[910, 930, 920]);
    let comparison = compared(sweep.path(), &[better, runs(2, &[880, 900, 890])].concat());
    let baseline = comparison.baseline.expect("a baseline");
    assert_eq!((baseline.combination, baseline.chosen), (0, BaselineChoice::Best));
    assert_eq!((baseline.comparisons, baseline.level), (1, 0.05));
    assert_eq!(comparison.combinations[0].verdict, None);
    // SciPy 1.17: scipy.stats.ttest_ind([.88, .9, .89], [.91, .93, .92], equal_var=False)
    let verdict = verdict(&comparison, 1);
    assert_eq!((verdict.outcome, verdict.method), (VerdictOutcome::Worse, Method::Welch));
    assert_close(verdict.difference, -0.03);
    assert_close(verdict.p_value, 0.021_311_641_128_756_7);
    let (low, high) = verdict.interval.expect("an interval");
    assert_close(low, -0.052_669_579_355_275_2);
    assert_close(high, -0.007_330_420_644_724_8);
}

#[test]
fn verdict_is_on_validation_accuracy_or_on_test_accuracy_without_validation() {
    let sweep = directory();
    // The second combination is worse in validation and better in the test.
    let mut all = runs(1, &[910, 930, 920]);
    all.extend(runs(2, &[880, 900, 890]));
    all[3..].iter_mut().zip([950, 960, 970]).for_each(|(run, count)| {
        *run = run.clone().right(count);
    });
    let comparison = compared(sweep.path(), &all);
    let found = verdict(&comparison, 1);
    assert_eq!((found.accuracy, found.outcome), (Accuracy::Validation, VerdictOutcome::Worse));
    assert!(notes(&comparison).contains("use best val_accuracy"));

    let sweep = directory();
    all[0].val_accuracies.fill(None);
    all.iter().for_each(|run| drop(run.write(sweep.path())));
    let comparison = Comparison::read(&[sweep.path()], Some("hidden.repeat=1")).expect("runs");
    let found = comparison.combinations.iter().find_map(|all| all.verdict).expect("a verdict");
    assert_eq!((found.accuracy, found.outcome), (Accuracy::Test, VerdictOutcome::Better));
    assert!(notes(&comparison).contains("not all runs were validated on the same images"));
}

#[test]
fn combination_with_pruned_seeds_has_no_verdict() {
    let sweep = directory();
    let mut all = [runs(1, &[910, 930, 920]), runs(2, &[880, 900, 890])].concat();
    all[5] = all[5].clone().ended(Status::Pruned);
    let comparison = compared(sweep.path(), &all);
    assert!(comparison.combinations.iter().all(|it| it.verdict.is_none()));
    assert!(
        notes(&comparison).contains("pruning stopped some of its seeds"),
        "{}",
        notes(&comparison)
    );
}

#[test]
fn verdict_is_on_test_accuracy_if_validation_sets_differ() {
    let sweep = directory();
    let validated_on = |rows: usize, run: SampleRun| SampleRun {
        config: format!("{}\n[data]\nvalidation = {rows}\n", run.config),
        ..run
    };
    let small = runs(1, &[910, 930, 920]).into_iter().map(|run| validated_on(100, run));
    let large = runs(2, &[880, 900, 890]).into_iter().map(|run| validated_on(200, run));
    let all: Vec<SampleRun> = small.chain(large).collect();
    let comparison = compared(sweep.path(), &all);
    assert!(comparison.columns.iter().any(|column| column.key == "data.validation"));
    assert_eq!(verdict(&comparison, 1).accuracy, Accuracy::Test);
    assert!(
        notes(&comparison).contains("compares accuracies on different images"),
        "{}",
        notes(&comparison)
    );
}

#[test]
fn single_runs_are_compared_by_mcnemar() {
    let sweep = directory();
    let mut worse = SampleRun::new(0.1, 2, 1).best(0.8).right(1_000);
    // Only the best run misclassifies 15 of the images, and only the other run misclassifies 5.
    worse.predictions[..5].iter_mut().for_each(|(_, predicted)| *predicted ^= 1);
    let comparison =
        compared(sweep.path(), &[SampleRun::new(0.1, 1, 1).best(0.9).right(985), worse]);
    // The expected values are those of `mcnemar_agrees_with_scipy`.
    let verdict = verdict(&comparison, 1);
    assert_eq!((verdict.outcome, verdict.method), (VerdictOutcome::Better, Method::McNemar));
    assert_close(verdict.difference, 0.01);
    assert_close(verdict.p_value, 0.041_389_465_332_031_25);
    let (low, high) = verdict.interval.expect("an interval");
    assert_close(low, 0.000_358_165_131_681_7);
    assert!((high - 0.020_183_809).abs() < 1e-7, "{high}");
}

#[test]
fn equal_accuracies_of_seeds_are_assumed_to_vary_by_one_step() {
    let sweep = directory();
    let mut same = [runs(1, &[900, 900]), runs(2, &[850, 850]), runs(3, &[899, 899])].concat();
    // Half of the step between two accuracies over 5,000 images.
    same[4..].iter_mut().for_each(|run| *run = run.clone().best(0.8999));
    let comparison = compared(sweep.path(), &same);
    let [close, far] = [1, 2].map(|index| verdict(&comparison, index));
    assert_eq!([close.method, far.method], [Method::Welch; 2]);
    assert_eq!(close.outcome, VerdictOutcome::NotDistinguishable);
    assert_eq!(far.outcome, VerdictOutcome::Worse);
}

#[test]
fn runs_with_the_same_settings_have_no_verdict() {
    let sweep = directory();
    let twin = SampleRun { id: "twin".to_owned(), seed: 2, ..SampleRun::new(0.1, 1, 1).right(600) };
    let comparison = compared(sweep.path(), &[SampleRun::new(0.1, 1, 1).right(900), twin]);
    let pair = Pair::of(&comparison).expect("two runs");
    assert_eq!(pair.verdict, None);
    assert!(pair.notes[0].contains("the noise of the seed"), "{:?}", pair.notes);
    assert_eq!(pair.total().only_first, 300);
}

#[test]
fn repeated_run_of_a_seed_counts_once() {
    let sweep = directory();
    let again = |run: &SampleRun| SampleRun { id: format!("{}-again", run.id), ..run.clone() };
    let mut all = [runs(1, &[900, 910]), runs(2, &[880, 885])].concat();
    let comparison = compared(sweep.path(), &all);
    let before = verdict(&comparison, 1);
    all.extend(all.iter().map(again).collect::<Vec<_>>());
    let comparison = compared(sweep.path(), &all);
    assert_eq!(comparison.combinations[1].runs.len(), 4);
    assert_eq!(verdict(&comparison, 1), before);
    assert!(notes(&comparison).contains("several runs with the same seed"));
}

#[test]
fn single_run_is_compared_with_the_run_of_the_same_seed() {
    let sweep = directory();
    // The single run has seed 2. It agrees with seed 2 of the best combination on all images, and not with seed 1.
    let mut single = runs(2, &[0, 900]);
    let single = single.remove(1).best(0.3);
    let comparison = compared(sweep.path(), &[runs(1, &[500, 900]), vec![single]].concat());
    let verdict = verdict(&comparison, 1);
    assert_eq!((verdict.difference, verdict.p_value, verdict.interval), (0.0, 1.0, None));
    assert_eq!(verdict.outcome, VerdictOutcome::NotDistinguishable);
}

#[test]
fn correction_counts_all_pairs_for_the_best_and_the_others_for_a_given_baseline() {
    let sweep = directory();
    let mut all = Vec::new();
    for depth in 1..=4 {
        all.extend(runs(depth, &[900, 905 - depth]));
    }
    all.push(SampleRun::new(0.1, 9, 1).ended(Status::Diverged));
    let best = compared(sweep.path(), &all);
    assert_eq!(best.baseline.map(|baseline| baseline.comparisons), Some(6));
    let given = Comparison::read(&[sweep.path()], Some("hidden.repeat=3")).expect("a comparison");
    let baseline = given.baseline.expect("a baseline");
    assert_eq!((baseline.chosen, baseline.combination), (BaselineChoice::Given, 2));
    assert_eq!(baseline.comparisons, 3);
}

#[test]
fn verdict_interval_and_p_value_are_corrected() {
    let sweep = directory();
    // As in `combinations_with_several_seeds_are_compared_by_welch`, p = 0.0213. A third combination makes three pairs.
    let three = [runs(1, &[910, 930, 920]), runs(2, &[880, 900, 890]), runs(3, &[500, 520, 540])];
    let comparison = compared(sweep.path(), &three.concat());
    let (middle, last) = (verdict(&comparison, 1), verdict(&comparison, 2));
    assert_eq!(middle.outcome, VerdictOutcome::NotDistinguishable);
    assert_close(middle.p_value, 3.0 * 0.021_311_641_128_756_7);
    let (low, high) = middle.interval.expect("an interval");
    assert!(low < 0.0 && high > 0.0);
    assert_eq!(last.outcome, VerdictOutcome::Worse);
}

#[test]
fn tests_on_different_data_have_no_verdict() {
    let sweep = directory();
    let other = SampleRun { fingerprint: "other".to_owned(), ..SampleRun::new(0.1, 2, 1) };
    let fewer = SampleRun { predictions: right(10, 19), ..SampleRun::new(0.1, 3, 1) };
    let comparison = compared(sweep.path(), &[SampleRun::new(0.1, 1, 1).best(0.9), other, fewer]);
    assert!(comparison.combinations.iter().all(|it| it.verdict.is_none()));
    assert_eq!(
        comparison.notes,
        [
            "No verdict for repeat 2: its runs and the baseline's did not all use the same dataset.",
            "No verdict for repeat 3: its test images are not the baseline's.",
        ]
    );
    // The combinations without a verdict do not count as comparisons.
    assert_eq!(comparison.baseline.map(|baseline| baseline.comparisons), Some(1));
}

#[test]
fn unreadable_predictions_are_noted_and_give_no_verdict() {
    let sweep = directory();
    let runs = [SampleRun::new(0.1, 1, 1).best(0.9), SampleRun::new(0.1, 2, 1)];
    let damaged = runs[1].write(sweep.path()).join("predictions.csv");
    runs[0].write(sweep.path());
    let whole = fs::read_to_string(&damaged).expect("predictions");
    let cut = &whole[..whole.len() - 3];
    let cases = [
        (cut.to_owned(), "line 2: the last line is incomplete"),
        (whole.replace("\n1,1,", "\n1,7,"), "line 3: `7` is not the index of one of the 2 classes"),
        (whole.replace("\n1,1,", "\n5,1,"), "line 3: index `5` where 1 comes next"),
        ("no,header\n".to_owned(), "line 1: predictions must begin with the columns"),
    ];
    for (text, expected) in cases {
        fs::write(&damaged, text).expect("written");
        let comparison = Comparison::read(&[sweep.path()], None).expect("a comparison");
        assert_eq!(comparison.combinations[1].verdict, None);
        let notes = notes(&comparison);
        assert!(notes.contains(expected), "{notes}");
    }
}

#[test]
fn missing_predictions_of_many_runs_are_one_note() {
    let sweep = directory();
    for depth in 1..=5 {
        let run = SampleRun::new(0.1, depth, 1).best(1.0 - 0.1 * depth as f64);
        let directory = run.write(sweep.path());
        if depth > 1 {
            fs::remove_file(directory.join("predictions.csv")).expect("removed");
        }
    }
    let comparison = Comparison::read(&[sweep.path()], None).expect("a comparison");
    let [note] = comparison.notes.as_slice() else { panic!("{:?}", comparison.notes) };
    assert!(note.starts_with("No verdict for repeat 2 and 3 more: cannot read "), "{note}");
}
