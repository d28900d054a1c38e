//! The learning rate and the momentum at each step, compared with the closed form of a schedule or with
//! PyTorch's values.

use std::path::Path;

use kiln_store::EpochRow;
use kiln_train::Declaration;
use kiln_train::schedules::{RunLength, StepSettings};
use serde_json::Value;

use crate::common::{World, error_without_own_validation};

/// 40 steps.
const LENGTH: RunLength = RunLength { epochs: 10, steps_per_epoch: 4 };

fn declaration(optimizer: &str, schedule: &str) -> Result<Declaration, String> {
    let text = format!(
        "name = 'schedules'\n[data]\nsource = 'none'\nvalidation = 10\n[model]\nlayers = []\n\
         [optimizer]\nlearning_rate = 0.1\n{optimizer}\n[schedule]\n{schedule}"
    );
    Declaration::parse("schedules.toml", &text, &[]).map_err(|error| error.to_string())
}

/// Every step of the run, with these epochs as its history.
fn steps(schedule: &str, rows: &[EpochRow]) -> Vec<StepSettings> {
    let declaration = declaration("type = 'sgd'\nmomentum = 0.9", schedule).unwrap();
    let schedule = declaration.experiment.schedule;
    let epochs = 0..LENGTH.epochs;
    let steps = epochs.flat_map(|epoch| {
        let schedule = schedule.after(&rows[..epoch], 0.1, LENGTH);
        (0..LENGTH.steps_per_epoch).map(move |step| schedule.step(step))
    });
    steps.collect()
}

/// Epochs in which validation loss and accuracy have the same value.
fn rows(values: impl IntoIterator<Item = f64>) -> Vec<EpochRow> {
    let row = |(index, value): (usize, f64)| EpochRow {
        epoch: index + 1,
        metrics: vec![("val_loss".into(), value), ("val_accuracy".into(), value)],
        ..EpochRow::default()
    };
    values.into_iter().enumerate().map(row).collect()
}

fn rates(schedule: &str) -> Vec<f64> {
    let steps = steps(schedule, &rows([1.0; 10]));
    assert!(steps.iter().all(|step| step.momentum.is_none()), "only one_cycle sets a momentum");
    steps.iter().map(|step| step.learning_rate).collect()
}

fn assert_close(value: f64, expected: f64) {
    assert!((value - expected).abs() <= 1e-12, "{value}, expected {expected}");
}

#[test]
fn constant_does_not_change_the_rate() {
    assert_eq!(rates("type = 'constant'"), vec![0.1; 40]);
}

#[test]
fn step_drops_at_the_ends_of_its_epochs() {
    let rates = rates("type = 'step'\nevery_epochs = 3\nfactor = 0.5");
    for (steps, rate) in [(0..12, 0.1), (12..24, 0.05), (24..36, 0.025), (36..40, 0.0125)] {
        rates[steps].iter().for_each(|own| assert_close(*own, rate));
    }
}

#[test]
fn exponential_decays_in_every_step() {
    let rates = rates("type = 'exponential'\ndecay_rate = 0.5\ndecay_epochs = 2");
    assert_close(rates[0], 0.1);
    assert_close(rates[4], 0.1 * std::f64::consts::FRAC_1_SQRT_2);
    assert_close(rates[8], 0.05);
    assert_close(rates[39], 0.1 * 0.5_f64.powf(39.0 / 8.0));
}

#[test]
fn cosine_falls_to_its_share() {
    let rates = rates("type = 'cosine'\nalpha = 0.2");
    assert_close(rates[0], 0.1);
    // After a quarter, half and three quarters of the run, (2 + √2)/4, 1/2 and (2 − √2)/4 of 1 − α are left.
    let root = 2.0_f64.sqrt();
    assert_close(rates[10], 0.1 * (0.2 + 0.8 * (2.0 + root) / 4.0));
    assert_close(rates[20], 0.1 * (0.2 + 0.8 * 0.5));
    assert_close(rates[30], 0.1 * (0.2 + 0.8 * (2.0 - root) / 4.0));
    assert!(rates.is_sorted_by(|a, b| a >= b) && rates[39] > 0.1 * 0.2);
}

#[test]
fn the_warm_up_rises_linearly_and_the_schedule_begins_after_it() {
    let rates = rates("type = 'cosine'\nwarmup_epochs = 2");
    for (step, rate) in rates[..8].iter().enumerate() {
        assert_close(*rate, 0.1 * (step as f64 + 1.0) / 8.0);
    }
    assert_close(rates[8], 0.1);
    // Half of the remaining 32 steps.
    assert_close(rates[24], 0.05);
}

#[test]
fn the_warm_up_may_be_a_part_of_an_epoch_or_longer_than_the_run() {
    let half = rates("warmup_epochs = 0.5");
    assert_close(half[0], 0.05);
    assert!(half[1..].iter().all(|rate| *rate == 0.1));
    let long = rates("type = 'step'\nwarmup_epochs = 20");
    assert_close(long[39], 0.05);
}

/// The cases of a schedule in `schedules.json`, which `schedules.py` writes.
fn cases(schedule: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/schedules.json");
    let text = std::fs::read_to_string(path).unwrap();
    let mut content: Value = serde_json::from_str(&text).unwrap();
    serde_json::from_value(content[schedule].take()).unwrap()
}

fn numbers(values: &Value) -> Vec<f64> {
    values.as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect()
}

#[test]
fn one_cycle_has_the_rates_and_the_momenta_of_pytorch() {
    for case in cases("one_cycle") {
        let schedule = case["schedule"].as_str().unwrap();
        let steps = steps(schedule, &rows([1.0; 10]));
        assert_eq!(steps.len(), numbers(&case["rates"]).len());
        for (step, rate) in steps.iter().zip(numbers(&case["rates"])) {
            assert_close(step.learning_rate, rate);
        }
        // Without a cycle PyTorch leaves the optimizer's momentum of 0.9.
        for (step, momentum) in steps.iter().zip(numbers(&case["momenta"])) {
            assert_close(step.momentum.unwrap_or(0.9), momentum);
        }
    }
}

#[test]
fn one_cycle_rises_to_the_peak_and_falls_to_the_end_after_a_warm_up() {
    let rates = rates("type = 'one_cycle'\nwarmup_epochs = 2\npeak = 0.25\nend_factor = 0.5");
    assert_close(rates[7], 0.1);
    assert_close(rates[8], 0.1 * 0.04);
    // The last of the first quarter of the 32 steps.
    assert_close(rates[15], 0.1);
    assert_close(rates[39], 0.05);
}

#[test]
fn one_cycle_of_a_single_step_ends_at_once() {
    for (peak, expected) in [(0.3, 4e-7), (1.0, 0.1)] {
        let schedule = format!("type = 'one_cycle'\npeak = {peak}");
        let declaration = declaration("type = 'sgd'", &schedule).unwrap();
        let length = RunLength { epochs: 1, steps_per_epoch: 1 };
        let only = declaration.experiment.schedule.after(&[], 0.1, length).step(0);
        assert_close(only.learning_rate, expected);
    }
}

#[test]
fn reduce_on_plateau_has_the_rates_of_pytorch() {
    for case in cases("reduce_on_plateau") {
        let schedule = case["schedule"].as_str().unwrap();
        let declaration = declaration("type = 'sgd'", schedule).unwrap();
        let rows = rows(numbers(&case["metrics"]));
        let length = RunLength { epochs: rows.len(), steps_per_epoch: 4 };
        for (epoch, expected) in numbers(&case["rates"]).into_iter().enumerate() {
            let rate = declaration.experiment.schedule.after(&rows[..epoch], 0.1, length);
            assert_eq!(rate.step(0), rate.step(3), "the rate is the same in an epoch");
            assert_close(rate.step(0).learning_rate, expected);
        }
    }
}

#[test]
fn reduce_on_plateau_does_not_count_epochs_that_begin_in_the_warm_up() {
    let schedule = "type = 'reduce_on_plateau'\npatience = 2\nfactor = 0.5\n";
    // The second epoch begins in a warm-up of one and a half epochs.
    for (warm_up, drop) in [(0.0, 3), (1.0, 4), (1.5, 5)] {
        let rates = rates(&format!("{schedule}warmup_epochs = {warm_up}"));
        let drop = drop * LENGTH.steps_per_epoch;
        assert_close(rates[drop - 1], 0.1);
        assert_close(rates[drop], 0.05);
    }
}

#[test]
fn reduce_on_plateau_does_not_raise_a_rate_below_the_lowest() {
    let rates = rates("type = 'reduce_on_plateau'\npatience = 1\nmin_learning_rate = 0.5");
    assert_eq!(rates, vec![0.1; 40]);
}

#[test]
fn the_history_has_the_rate_of_each_epochs_last_step() {
    let world = World::new();
    let plateau =
        "schedule={type='reduce_on_plateau',patience=1,factor=0.5,min_delta=100,warmup_epochs=1}";
    let (run, _) = world.run(&[plateau, "learning_rate=0.1", "validation=40", "epochs=5"]);
    let rows = run.read_history().unwrap().rows;
    let rates: Vec<f64> = rows.iter().map(|row| row.learning_rate).collect();
    assert_eq!(rates, [0.1, 0.1, 0.1, 0.05, 0.025]);
}

#[test]
fn the_metric_that_a_schedule_monitors_is_computed() {
    let world = World::new();
    let plateau = "schedule={type='reduce_on_plateau',monitor='val_macro_f1'}";
    let (run, _) = world.run(&[plateau, "validation=40", "epochs=1"]);
    let rows = run.read_history().unwrap().rows;
    assert!(rows[0].metric("val_macro_f1").is_some(), "{rows:?}");
}

#[test]
fn a_schedule_that_monitors_validation_needs_validation_rows() {
    let text = "name = 'a'\ndata.source = 'none'\nmodel.layers = []\noptimizer.type = 'sgd'\n\
                schedule.type = 'reduce_on_plateau'";
    let error = error_without_own_validation("a.toml", text, &[]);
    assert!(
        error.contains("the schedule uses `val_loss`, which needs validation images"),
        "{error}"
    );
    assert!(error.contains("or set schedule.monitor to \"loss\""), "{error}");
    Declaration::parse("a.toml", text, &["schedule.monitor=loss".to_owned()]).unwrap();
}

#[test]
fn a_cycle_of_momentum_needs_an_optimizer_with_momentum() {
    let schedule = "type = 'one_cycle'\ncycle_momentum = true";
    for optimizer in ["type = 'sgd'", "type = 'rmsprop'", "type = 'adagrad'", "type = 'nadam'"] {
        let error = declaration(optimizer, schedule).unwrap_err();
        assert!(error.contains("has no momentum that a schedule can set"), "{error}");
    }
    for optimizer in ["type = 'sgd'\nmomentum = 0.5", "type = 'adamw'", "type = 'lion'"] {
        declaration(optimizer, schedule).unwrap();
    }
}

#[test]
fn wrong_constants_are_errors() {
    for (schedule, problem) in [
        ("type = 'one_cycle'\npeak = 1.5", "expected a number from 0 to 1"),
        ("type = 'one_cycle'\nmomentum_high = 1", "expected a number above 0 and below 1"),
        ("type = 'one_cycle'\nannealing = 'cos'", "did you mean"),
        ("type = 'reduce_on_plateau'\nfactor = 1.0", "expected a number above 0 and below 1"),
        ("type = 'reduce_on_plateau'\nmonitor = 'val_los'", "did you mean"),
        ("type = 'cosine'\nfactor = 0.5", "factor"),
    ] {
        let error = declaration("type = 'sgd'", schedule).unwrap_err();
        assert!(error.contains(problem), "{error}");
    }
}

/// The identities of runs in sweeps are hashes of this text.
#[test]
fn the_resolved_tables_keep_their_text() {
    for (schedule, text) in [
        ("", "type = \"constant\"\nwarmup_epochs = 0.0\n"),
        (
            "type = 'step'",
            "type = \"step\"\nevery_epochs = 10.0\nfactor = 0.1\nwarmup_epochs = 0.0\n",
        ),
        (
            "type = 'exponential'",
            "type = \"exponential\"\ndecay_rate = 0.9\ndecay_epochs = 1.0\nwarmup_epochs = 0.0\n",
        ),
        ("type = 'cosine'", "type = \"cosine\"\nalpha = 0.0\nwarmup_epochs = 0.0\n"),
        (
            "type = 'one_cycle'",
            "type = \"one_cycle\"\nstart_factor = 0.04\nend_factor = 0.000004\npeak = 0.3\n\
             annealing = \"cosine\"\ncycle_momentum = false\nmomentum_low = 0.85\n\
             momentum_high = 0.95\nwarmup_epochs = 0.0\n",
        ),
        (
            "type = 'reduce_on_plateau'",
            "type = \"reduce_on_plateau\"\nmonitor = \"val_loss\"\nfactor = 0.1\npatience = 10\n\
             min_delta = 0.0001\ncooldown = 0\nmin_learning_rate = 0.0\nwarmup_epochs = 0.0\n",
        ),
    ] {
        let resolved = declaration("type = 'sgd'", schedule).unwrap().experiment.to_toml().unwrap();
        assert!(resolved.contains(&format!("\n[schedule]\n{text}\n[")), "{resolved}");
    }
}
