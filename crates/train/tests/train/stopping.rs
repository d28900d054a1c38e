//! Early stopping and the choice of weights, in runs with a predictable loss.

use kiln_store::{Direction, EpochRow, Status, TestedWeights};

use crate::common::{World, declaration};

/// A rate so small that f32 weights do not change. The validation loss is the same in every epoch.
const STANDING_STILL: &str = "learning_rate=1e-300";

#[test]
fn a_run_without_improvement_stops_when_patience_runs_out() {
    let world = World::new();
    let overrides = [STANDING_STILL, "epochs=9", "early_stopping.patience=2"];
    let (run, outcome) = world.run(&overrides);
    // The first epoch is the best; the second and third do not improve on it.
    assert_eq!(run.read_history().unwrap().rows.len(), 3);
    assert_eq!(outcome.status, Status::Finished);
    assert_eq!(outcome.reason, "early stopping: val_loss did not improve for 2 epochs");
    assert_eq!(run.read_record().unwrap().stop_reason, Some(outcome.reason));
}

#[test]
fn patience_0_stops_at_the_first_epoch_without_improvement() {
    let world = World::new();
    let (run, _) = world.run(&[STANDING_STILL, "epochs=9", "early_stopping={}"]);
    assert_eq!(run.read_history().unwrap().rows.len(), 2);
}

#[test]
fn an_improvement_below_min_delta_does_not_count() {
    let world = World::new();
    let improving = ["epochs=6", "early_stopping.patience=1"];
    let (run, outcome) = world.run(&improving);
    let history = run.read_history().unwrap();
    assert!(history.rows.is_sorted_by(|a, b| val_loss(a) > val_loss(b)), "the run improves");
    assert_eq!((history.rows.len(), outcome.reason.as_str()), (6, "all epochs done"));

    let (run, _) = world.run(&[improving.as_slice(), &["min_delta=100"]].concat());
    assert_eq!(run.read_history().unwrap().rows.len(), 2);
}

fn val_loss(row: &EpochRow) -> f64 {
    row.metric("val_loss").unwrap()
}

#[test]
fn a_lower_loss_is_better_and_a_higher_value_of_every_other_metric() {
    for (metric, better) in [
        ("loss", Direction::Lower),
        ("val_loss", Direction::Lower),
        ("accuracy", Direction::Higher),
        ("val_accuracy", Direction::Higher),
        ("val_top_2_accuracy", Direction::Higher),
        ("macro_f1", Direction::Higher),
        ("val_balanced_accuracy", Direction::Higher),
    ] {
        let monitor = format!("training.monitor={metric}");
        let monitor = declaration(&["top_k=[2]", &monitor]).experiment.training.monitor;
        assert_eq!((monitor.to_string().as_str(), monitor.better()), (metric, better));
    }
}

/// The epoch with the best value of the monitored metric is the one whose weights are tested.
#[test]
fn any_metric_can_choose_the_best_weights() {
    let world = World::new();
    for metric in ["val_macro_f1", "balanced_accuracy", "val_top_2_accuracy", "train_loss"] {
        let monitor = format!("training.monitor={metric}");
        let computed = ["weights=best", "top_k=[2]", "evaluate_training_set=true"];
        let (run, outcome) = world.run(&[&ROUGH[..], &computed, &[&monitor]].concat());
        let history = run.read_history().unwrap();
        let better = run.read_record().unwrap().direction(metric);
        let (best, _) = history.best_by(metric, better).unwrap();
        assert_eq!(outcome.report.unwrap().epoch, best.epoch, "{metric}");
    }
}

/// A learning rate so large that the validation loss goes up and down.
const ROUGH: [&str; 3] = ["learning_rate=2", "batch_size=4", "epochs=12"];

#[test]
fn the_best_weights_are_those_of_the_epoch_with_the_lowest_validation_loss() {
    let world = World::new();
    let (run, outcome) = world.run(&[ROUGH.as_slice(), &["training.weights=best"]].concat());
    let rows = run.read_history().unwrap().rows;
    let best = rows.iter().min_by(|a, b| val_loss(a).total_cmp(&val_loss(b))).unwrap();
    assert!(best.epoch < rows.len(), "the last epoch is not the best, or nothing is tested here");
    let report = outcome.report.unwrap();
    assert_eq!((report.weights, report.epoch), (TestedWeights::Best, best.epoch));

    // A run that ends with the best epoch has the same weights.
    let short = format!("epochs={}", best.epoch);
    let (short, _) = world.run(&[ROUGH.as_slice(), &[&short]].concat());
    let weights = |run: &kiln_store::RunDirectory| std::fs::read(run.model_path()).unwrap();
    assert!(weights(&run) == weights(&short), "the weights of epoch {}", best.epoch);
}

#[test]
fn restore_best_keeps_the_best_weights_of_a_run_that_stops_early() {
    let overrides = ["early_stopping={patience=3, restore_best=true}"];
    let world = World::new();
    let (run, outcome) = world.run(&[ROUGH.as_slice(), &overrides].concat());
    let rows = run.read_history().unwrap().rows;
    let best = rows.iter().min_by(|a, b| val_loss(a).total_cmp(&val_loss(b))).unwrap();
    let report = outcome.report.unwrap();
    assert_eq!((report.weights, report.epoch), (TestedWeights::Best, best.epoch));
    assert_eq!(rows.len(), best.epoch + 3, "stopped by patience: {}", outcome.reason);
}

#[test]
fn the_last_weights_are_kept_by_default() {
    let report = World::new().run(&ROUGH).1.report.unwrap();
    assert_eq!((report.weights, report.epoch), (TestedWeights::Last, 12));
}

#[test]
fn the_average_of_the_weights_is_evaluated_kept_and_tested() {
    let world = World::new();
    for engine in ["engine=fused", "engine=generic"] {
        let average = ["weights=average", "average_decay=0.9", engine];
        let (run, outcome) = world.run(&[ROUGH.as_slice(), &average].concat());
        let report = outcome.report.unwrap();
        assert_eq!((report.weights, report.epoch), (TestedWeights::Average, 12));
        // Training itself is the same as without an average.
        let (plain, _) = world.run(&[ROUGH.as_slice(), &[engine]].concat());
        let [averaged, plain] = [&run, &plain].map(|run| run.read_history().unwrap().rows);
        for (averaged, plain) in averaged.iter().zip(&plain) {
            assert_eq!(averaged.metric("loss"), plain.metric("loss"));
            assert_ne!(averaged.metric("val_loss"), plain.metric("val_loss"));
        }
        // Without decay, the average is the weights.
        let none = ["weights=average", "average_decay=0", engine];
        let (none, _) = world.run(&[ROUGH.as_slice(), &none].concat());
        for (average, plain) in none.read_history().unwrap().rows.iter().zip(&plain) {
            assert_eq!(average.metric("val_loss"), plain.metric("val_loss"));
        }
    }
}

#[test]
fn restore_best_keeps_the_average_of_the_best_epoch() {
    let world = World::new();
    let best = ["early_stopping={patience=99, restore_best=true}"];
    let average = ["weights=average", "average_decay=0.5"];
    let (run, outcome) = world.run(&[ROUGH.as_slice(), &average, &best].concat());
    let rows = run.read_history().unwrap().rows;
    let best = rows.iter().min_by(|a, b| val_loss(a).total_cmp(&val_loss(b))).unwrap();
    assert!(best.epoch < rows.len(), "the last epoch is not the best, or nothing is tested here");
    let report = outcome.report.unwrap();
    assert_eq!((report.weights, report.epoch), (TestedWeights::BestAverage, best.epoch));

    let short = format!("epochs={}", best.epoch);
    let (short, _) = world.run(&[ROUGH.as_slice(), &average, &[&short]].concat());
    let weights = |run: &kiln_store::RunDirectory| std::fs::read(run.model_path()).unwrap();
    assert!(weights(&run) == weights(&short), "the average after epoch {}", best.epoch);
}

#[test]
fn a_decay_without_an_average_is_an_error() {
    let text = crate::columns::EXPERIMENT;
    let error = |overrides: &[&str]| {
        let overrides: Vec<String> = overrides.iter().map(|text| (*text).to_owned()).collect();
        kiln_train::Declaration::parse("columns.toml", text, &overrides).unwrap_err().to_string()
    };
    let unused = error(&["average_decay=0.9"]);
    assert!(unused.contains("`average_decay` needs weights = \"average\""), "{unused}");
    let too_large = error(&["weights=average", "average_decay=1"]);
    assert!(too_large.contains("a number from 0 to below 1"), "{too_large}");
}
