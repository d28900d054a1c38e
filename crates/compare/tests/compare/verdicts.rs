//! Which combinations may be the best, which are worse, and verdicts against a given baseline.

use kiln_compare::AtEpoch;
use kiln_compare::{
    CompareOptions, Comparison, Ranking, Standing, Verdict, VerdictOutcome, notes, run_notes,
};
use kiln_store::Status;

use crate::tree::SampleRun;
use crate::{compared, directory, labels};

/// Runs of one depth with the seeds 1, 2, …, and these validation accuracies in thousandths. The tests have the same.
fn runs(depth: usize, counts: &[usize]) -> Vec<SampleRun> {
    let run = |(seed, count): (u64, &usize)| {
        SampleRun::new(0.1, depth, seed).best(*count as f64 / 1_000.0).right(*count)
    };
    (1..).zip(counts).map(run).collect()
}

fn standing(comparison: &Comparison, combination: usize) -> Standing {
    comparison.combinations[combination].standing.expect("a standing")
}

fn verdict(comparison: &Comparison, combination: usize) -> Verdict {
    comparison.combinations[combination].verdict.expect("a verdict")
}

fn against(baseline: &str) -> CompareOptions {
    CompareOptions { baseline: Some(baseline.to_owned()), ..CompareOptions::default() }
}

fn assert_close(found: f64, expected: f64) {
    assert!((found - expected).abs() < 1e-9, "{found} {expected}");
}

fn is_judged(comparison: &Comparison) -> Vec<bool> {
    comparison.combinations.iter().map(|it| it.standing.is_some()).collect()
}

#[test]
fn two_settings_are_compared_by_welch() {
    let sweep = directory();
    let better = runs(1, &[910, 930, 920]);
    let comparison = compared(sweep.path(), &[better, runs(2, &[880, 900, 890])].concat());
    let answer = comparison.answer.as_ref().expect("an answer");
    assert_eq!((answer.judged, answer.possible_winners, answer.worse), (2, 1, 1));
    let [best, other] = [0, 1].map(|index| standing(&comparison, index));
    assert!(best.may_be_best && !other.may_be_best && other.worse);
    // SciPy 1.17: scipy.stats.ttest_ind([.88, .9, .89], [.91, .93, .92], equal_var=False) has p = 0.0213; one-sided,
    // it is half of that, and both orders of the pair make it the same again.
    assert_close(other.p_best, 0.021_311_641_128_756_7 / 2.0);
    assert_close(other.p_worse, 0.021_311_641_128_756_7);
    // The same difference with the other sign is the baseline's verdict.
    assert_eq!(comparison.baseline, None);
    let comparison = Comparison::read(&[sweep.path()], &against("repeat=1")).expect("runs");
    let verdict = verdict(&comparison, 1);
    assert_eq!(verdict.outcome, VerdictOutcome::Worse);
    assert_close(verdict.difference, -0.03);
    assert_close(verdict.p_value, 0.021_311_641_128_756_7);
    assert_close(verdict.interval.0, -0.052_669_579_355_275_2);
    assert_close(verdict.interval.1, -0.007_330_420_644_724_8);
}

#[test]
fn answer_names_the_number_of_possible_winners() {
    let sweep = directory();
    let all = [
        runs(1, &[910, 930, 920]),
        runs(2, &[909, 932, 921]),
        runs(3, &[880, 900, 890]),
        runs(4, &[780, 800, 790]),
    ];
    let comparison = compared(sweep.path(), &all.concat());
    let answer = comparison.answer.as_ref().expect("an answer");
    assert_eq!(
        answer.sentence(),
        "95 % sure: the best setting is among these 2. The other 2 are not better than the best of them."
    );
    assert!(answer.centered);
    let may_be_best: Vec<bool> = (0..4).map(|it| standing(&comparison, it).may_be_best).collect();
    assert_eq!(may_be_best, [true, true, false, false]);
    assert!(notes(&comparison).contains(&answer.sentence()));
    // Without a difference, nothing is said about the best one.
    let sweep = directory();
    let equal = [runs(1, &[910, 930, 920]), runs(2, &[911, 929, 921])];
    let comparison = compared(sweep.path(), &equal.concat());
    let sentence = comparison.answer.expect("an answer").sentence();
    assert!(sentence.starts_with("Each of the 2 settings may be the best"), "{sentence}");
}

#[test]
fn level_can_be_chosen() {
    let sweep = directory();
    let all = [runs(1, &[910, 930, 920]), runs(2, &[890, 915, 902])];
    assert!(standing(&compared(sweep.path(), &all.concat()), 1).may_be_best);
    let strict = CompareOptions { level: 0.2, ..CompareOptions::default() };
    let comparison = Comparison::read(&[sweep.path()], &strict).expect("a comparison");
    assert!(!standing(&comparison, 1).may_be_best);
    let sentence = comparison.answer.expect("an answer").sentence();
    assert!(sentence.starts_with("80 % sure"), "{sentence}");
}

#[test]
fn lower_losses_are_better() {
    let sweep = directory();
    // The sample's loss is the same in all runs, so the direction of the accuracy is reversed in the records.
    let all = [runs(1, &[910, 930, 920]), runs(2, &[880, 900, 890])].concat();
    let metrics = "\"metrics\": [{\"name\": \"val_accuracy\", \"better\": \"lower\"}]";
    for run in &all {
        let path = run.write(sweep.path()).join("run.json");
        let text = std::fs::read_to_string(&path).expect("a record");
        let (rest, _) = text.rsplit_once('}').expect("an object");
        std::fs::write(path, format!("{rest}, {metrics}}}")).expect("written");
    }
    let comparison = Comparison::read(&[sweep.path()], &against("repeat=2")).expect("runs");
    assert_eq!(labels(&comparison), ["repeat 2", "repeat 1"]);
    let [best, other] = [0, 1].map(|index| standing(&comparison, index));
    assert!(best.may_be_best && !other.may_be_best);
    assert_close(best.mean, 0.89);
    assert!(other.behind.0 > 0.0 && other.behind.1 > other.behind.0);
    let verdict = verdict(&comparison, 1);
    assert_eq!(verdict.outcome, VerdictOutcome::Worse);
    assert_close(verdict.difference, 0.03);
    assert_close(verdict.interval.0, 0.007_330_420_644_724_8);
}

#[test]
fn without_validation_only_a_baseline_is_compared_by_test_accuracy() {
    let sweep = directory();
    let mut all = [runs(1, &[910, 930, 920]), runs(2, &[880, 900, 890])].concat();
    all.iter_mut().for_each(|run| run.val_accuracies.fill(None));
    let comparison = compared(sweep.path(), &all);
    assert_eq!((comparison.answer, comparison.baseline), (None, None));
    let comparison = Comparison::read(&[sweep.path()], &against("hidden.repeat=2")).expect("runs");
    let found = comparison.combinations.iter().find_map(|all| all.verdict).expect("a verdict");
    assert_eq!(found.outcome, VerdictOutcome::Better);
    assert_eq!(comparison.answer, None, "test results do not choose");
    assert!(notes(&comparison).contains("the verdicts compare test accuracies"));
}

#[test]
fn combination_with_pruned_seeds_has_no_verdict() {
    let sweep = directory();
    let mut all =
        [runs(1, &[910, 930, 920]), runs(2, &[880, 900, 890]), runs(3, &[870, 880, 875])].concat();
    all[5] = all[5].clone().ended(Status::Pruned);
    let comparison = compared(sweep.path(), &all);
    assert_eq!(labels(&comparison), ["repeat 1", "repeat 3", "repeat 2"]);
    assert_eq!(is_judged(&comparison), [true, true, false]);
    assert_eq!(
        comparison.notes,
        [
            "No verdict for repeat 2: pruning stopped some of its seeds, so the seeds that remain were selected by their results."
        ]
    );
}

#[test]
fn comparable_runs_have_the_same_validation_images() {
    let on = |key: &str, value: &str, fingerprint: &str, run: SampleRun| SampleRun {
        config: format!("{}\n[data]\n{key} = {value}\n", run.config),
        validation_fingerprint: Some(fingerprint.to_owned()),
        ..run
    };
    let two = |key, values: [&str; 2], fingerprints: [&str; 2]| {
        let first = runs(1, &[910, 930, 920]).into_iter();
        let second = runs(2, &[880, 900, 890]).into_iter();
        let first = first.map(|run| on(key, values[0], fingerprints[0], run));
        first.chain(second.map(|run| on(key, values[1], fingerprints[1], run))).collect::<Vec<_>>()
    };
    // Normalization changes the pixels, not which images are in the validation set.
    let sweep = directory();
    let comparison =
        compared(sweep.path(), &two("normalize", ["\"unit\"", "\"none\""], ["a", "a"]));
    assert_eq!(is_judged(&comparison), [true, true]);
    let sweep = directory();
    let comparison = compared(sweep.path(), &two("validation", ["100", "200"], ["a", "b"]));
    assert_eq!(comparison.answer, None);
    assert_eq!(is_judged(&comparison), [false, false]);
    let notes = notes(&comparison);
    assert!(notes.contains("compares values on different images"), "{notes}");
    assert!(
        notes.contains("repeat 2, validation 200: it was validated on other images"),
        "{notes}"
    );
    // Earlier versions of Kiln did not record the images; then the settings of the split decide.
    for (key, values, expected) in
        [("normalize", ["\"unit\"", "\"none\""], true), ("validation", ["100", "200"], false)]
    {
        let mut old = two(key, values, ["", ""]);
        old.iter_mut().for_each(|run| run.validation_fingerprint = None);
        let sweep = directory();
        let comparison = compared(sweep.path(), &old);
        assert_eq!(comparison.answer.is_some(), expected, "{key}");
    }
}

#[test]
fn the_notes_say_whether_the_seeds_have_the_same_validation_images() {
    let said = |images: fn(u64) -> Option<String>| {
        let all = [runs(1, &[910, 930, 920]), runs(2, &[880, 900, 890])].concat();
        let all: Vec<SampleRun> = all
            .into_iter()
            .map(|run| SampleRun { validation_fingerprint: images(run.seed), ..run })
            .collect();
        let sweep = directory();
        notes(&compared(sweep.path(), &all))
    };
    let same = said(|_| Some("a".to_owned()));
    assert!(same.contains("validation images: they are the same for all seeds."), "{same}");
    let drawn = said(|seed| Some(format!("images of {seed}")));
    assert!(drawn.contains("each seed has others, because data.split_seed is not set"), "{drawn}");
    let unknown = said(|_| None);
    assert!(unknown.contains("not the choice of the validation images.\n"), "{unknown}");
}

#[test]
fn single_runs_have_no_verdict() {
    let sweep = directory();
    let worse = SampleRun::new(0.1, 2, 1).best(0.5).right(10);
    let mut all = vec![SampleRun::new(0.1, 1, 1).best(0.9).right(985), worse];
    let comparison = compared(sweep.path(), &all);
    assert_eq!((&comparison.answer, is_judged(&comparison)), (&None, vec![false, false]));
    assert!(comparison.notes[0].starts_with("One seed each: this says nothing about the settings"));
    // A single run next to combinations with several seeds has none either, whatever its predictions are.
    all.extend(runs(3, &[910, 930, 920]));
    all.extend(runs(4, &[911, 929, 921]));
    let comparison = compared(sweep.path(), &all);
    assert_eq!(is_judged(&comparison), [true, true, false, false]);
    let sentence = comparison.answer.as_ref().expect("an answer").sentence();
    assert!(sentence.ends_with(" 2 more settings are not judged."), "{sentence}");
    assert_eq!(
        comparison.notes,
        [
            "No verdict for repeat 1 and 1 more: it has one seed, which says nothing about the setting."
        ]
    );
}

#[test]
fn equal_values_are_assumed_to_vary_by_one_step() {
    let sweep = directory();
    let mut same = [runs(1, &[900, 900]), runs(2, &[850, 850]), runs(3, &[899, 899])].concat();
    // Half of the step between two accuracies over 5,000 images.
    same[4..].iter_mut().for_each(|run| *run = run.clone().best(0.8999));
    let comparison = compared(sweep.path(), &same);
    assert_eq!(labels(&comparison), ["repeat 1", "repeat 3", "repeat 2"]);
    let [close, far] = [1, 2].map(|index| standing(&comparison, index));
    assert!(close.may_be_best && far.worse);
}

#[test]
fn copy_of_a_run_counts_once() {
    let sweep = directory();
    let again = |run: &SampleRun| SampleRun { id: format!("{}-again", run.id), ..run.clone() };
    let mut all = [runs(1, &[900, 910]), runs(2, &[880, 885])].concat();
    let comparison = compared(sweep.path(), &all);
    let before = standing(&comparison, 1);
    all.extend(all.iter().map(again).collect::<Vec<_>>());
    let comparison = compared(sweep.path(), &all);
    let combination = &comparison.combinations[1];
    assert_eq!((combination.runs.len(), combination.copies.len()), (2, 2));
    assert_eq!(standing(&comparison, 1), before);
    assert!(notes(&comparison).contains("4 runs have the settings, seed and data of others"));
    // One of the copies is not what the same settings give.
    let path = sweep.path().join("0.1-2-2-again/history.csv");
    let text = std::fs::read_to_string(&path).expect("a history");
    std::fs::write(path, text.replace("0.885", "0.95")).expect("written");
    let comparison = Comparison::read(&[sweep.path()], &CompareOptions::default()).expect("runs");
    assert!(notes(&comparison).contains("have different results"), "{}", notes(&comparison));
}

#[test]
fn more_seeds_are_proposed_until_the_winner_is_known() {
    let sweep = directory();
    let all = [runs(1, &[910, 930, 920]), runs(2, &[911, 929, 922]), runs(3, &[909, 930, 919])];
    let comparison = compared(sweep.path(), &all.concat());
    let more = comparison.answer.and_then(|answer| answer.more_seeds).expect("a proposal");
    assert_eq!((more.seeds, more.new_seeds.first()), (3, Some(&4)));
    assert!(more.new_difference <= more.difference / 2.0);
    let sweep = directory();
    let clear = [runs(1, &[910, 930, 920]), runs(2, &[410, 430, 420])];
    let comparison = compared(sweep.path(), &clear.concat());
    assert_eq!(comparison.answer.expect("an answer").more_seeds, None);
}

#[test]
fn runs_on_other_data_are_compared_among_themselves() {
    let sweep = directory();
    let mut all = [runs(1, &[910, 930]), runs(2, &[880, 900])].concat();
    let older = all.clone().into_iter().map(|run| SampleRun {
        id: format!("{}-older", run.id),
        fingerprint: "before the labels were corrected".to_owned(),
        ..run.best(0.99)
    });
    let older: Vec<_> = older.collect();
    all.iter_mut().for_each(|run| run.started += std::time::Duration::from_secs(60));
    all.extend(older);
    let comparison = compared(sweep.path(), &all);
    assert_eq!(comparison.combinations.len(), 2);
    assert!(comparison.runs().all(|run| !run.id.ends_with("older")));
    let [other] = comparison.other_data.as_slice() else { panic!("{:?}", comparison.other_data) };
    assert_eq!((other.combinations.len(), other.runs().count()), (2, 4));
    assert!(other.answer.is_some());
    let notes = notes(&comparison);
    assert!(
        notes.contains("Runs on other data are not compared with them: fashion-mnist before t."),
        "{notes}"
    );
}

#[test]
fn kept_weights_rank() {
    let sweep = directory();
    // The best epoch of the first run is better, but it keeps the weights of its last epoch.
    let last = SampleRun {
        config: crate::tree::config(0.1, 1).replace("weights = \"best\"", "weights = \"last\""),
        ..SampleRun::new(0.1, 1, 1).best(0.9)
    };
    let directory = last.write(sweep.path());
    let path = directory.join("report.json");
    let text = std::fs::read_to_string(&path).expect("a report");
    std::fs::write(path, text.replace("\"epoch\":2", "\"epoch\":3")).expect("written");
    let comparison = compared(sweep.path(), &[SampleRun::new(0.1, 2, 1).best(0.8)]);
    let ids = |comparison: &Comparison| -> Vec<String> {
        comparison.runs().map(|run| run.id.clone()).collect()
    };
    assert_eq!(ids(&comparison), ["0.1-2-1", "0.1-1-1"]);
    assert_eq!(comparison.best().map(|run| run.id.as_str()), Some("0.1-2-1"));
    let best = CompareOptions {
        ranking: Ranking::new("val_accuracy", AtEpoch::Best),
        ..CompareOptions::default()
    };
    let comparison = Comparison::read(&[sweep.path()], &best).expect("a comparison");
    assert_eq!(ids(&comparison), ["0.1-1-1", "0.1-2-1"]);
    let unknown = CompareOptions { ranking: Ranking::new("val_f1", AtEpoch::Best), ..best };
    let error = Comparison::read(&[sweep.path()], &unknown).expect_err("no such metric");
    assert_eq!(
        error.to_string(),
        "cannot rank by `val_f1`: choose a validation metric of the runs, val_loss or val_accuracy"
    );
}

#[test]
fn test_accuracy_of_the_selected_setting_has_an_interval() {
    let sweep = directory();
    let all = [runs(1, &[910, 930, 920]), runs(2, &[880, 900, 890])];
    let comparison = compared(sweep.path(), &all.concat());
    let test = comparison.selected_test().expect("a test");
    assert_eq!((test.accuracy, test.images), (0.92, 1_000));
    // statsmodels 0.15: proportion_confint(920, 1000, method="wilson")
    assert_close(test.interval.0, 0.901_533_560_970_497_5);
    assert_close(test.interval.1, 0.935_251_961_901_636_2);
    assert!(notes(&comparison).contains("Its test accuracy is 0.9200, with an interval of 0.90"));
}

#[test]
fn optimism_is_the_mean_over_the_runs() {
    let sweep = directory();
    let all = [runs(1, &[910, 930, 920]), runs(2, &[880, 900, 890])].concat();
    for (run, difference) in all.iter().zip([0.001, 0.002, 0.003, 0.002, 0.001, -0.0005]) {
        let path = run.write(sweep.path()).join("run.json");
        let text = std::fs::read_to_string(&path).expect("a record");
        let (rest, _) = text.rsplit_once('}').expect("an object");
        let optimism = format!(
            "\"optimism\": {{\"epochs\": 3, \"val_accuracy\": 0.9, \"cross_fitted\": 0.899, \"difference\": {difference}}}"
        );
        std::fs::write(path, format!("{rest}, {optimism}}}")).expect("written");
    }
    let comparison = Comparison::read(&[sweep.path()], &CompareOptions::default()).expect("runs");
    let found = comparison.optimism().expect("measured");
    assert_eq!(found.count, 6);
    assert_close(found.mean, 0.0085 / 6.0);
    let shown = notes(&comparison);
    assert!(
        shown.contains("makes kept val_accuracy 0.0014 higher than on other images"),
        "{shown}"
    );
    assert!(!run_notes(&comparison).contains("Choosing"), "a table of runs has no answer");
    let best = CompareOptions {
        ranking: Ranking::new("val_loss", AtEpoch::Kept),
        ..CompareOptions::default()
    };
    let comparison = Comparison::read(&[sweep.path()], &best).expect("runs");
    assert_eq!(comparison.optimism(), None, "it was measured for the accuracy");
}
