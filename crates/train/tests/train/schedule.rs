//! The learning rate at each step, against the closed form of each schedule.

use kiln_train::{Declaration, ScheduleConfig};

/// 4 steps an epoch, 10 epochs, a rate of 0.1.
fn rates(schedule: &str) -> Vec<f64> {
    let text = format!(
        "name = 'schedule'\n[data]\nsource = 'none'\n[model]\nlayers = []\n\
         [optimizer]\ntype = 'sgd'\n[schedule]\n{schedule}"
    );
    let schedule: ScheduleConfig =
        Declaration::parse("schedule.toml", &text, &[]).unwrap().experiment.schedule;
    (0..40).map(|step| schedule.rate(0.1, step, 4, 10)).collect()
}

fn assert_close(rate: f64, expected: f64) {
    assert!((rate - expected).abs() <= 1e-12, "{rate}, expected {expected}");
}

#[test]
fn constant_stays() {
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
fn exponential_decays_step_by_step() {
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
    // A quarter, half and three quarters of the way: 1 − α is left to (2 + √2)/4, 1/2, (2 − √2)/4.
    let root = 2.0_f64.sqrt();
    assert_close(rates[10], 0.1 * (0.2 + 0.8 * (2.0 + root) / 4.0));
    assert_close(rates[20], 0.1 * (0.2 + 0.8 * 0.5));
    assert_close(rates[30], 0.1 * (0.2 + 0.8 * (2.0 - root) / 4.0));
    assert!(rates.is_sorted_by(|a, b| a >= b) && rates[39] > 0.1 * 0.2);
}

#[test]
fn warm_up_rises_linearly_and_the_schedule_begins_behind_it() {
    let rates = rates("type = 'cosine'\nwarmup_epochs = 2");
    for (step, rate) in rates[..8].iter().enumerate() {
        assert_close(*rate, 0.1 * (step as f64 + 1.0) / 8.0);
    }
    assert_close(rates[8], 0.1);
    // Half of the 32 steps that are left.
    assert_close(rates[24], 0.05);
}

#[test]
fn warm_up_may_be_a_part_of_an_epoch_or_longer_than_the_run() {
    let half = rates("warmup_epochs = 0.5");
    assert_close(half[0], 0.05);
    assert!(half[1..].iter().all(|rate| *rate == 0.1));
    let long = rates("type = 'step'\nwarmup_epochs = 20");
    assert_close(long[39], 0.05);
}
