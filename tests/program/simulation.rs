//! The answers of `kiln compare` keep their error rates: sweeps whose settings do not differ are written as run
//! directories and compared by the program.
//!
//! `KILN_SIMULATIONS` sets the number of sweeps.

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

use crate::project::Project;
use crate::tree::SampleRun;

const SETTINGS: usize = 16;
const SEEDS: u64 = 3;
/// The validation images of a sample.
const IMAGES: f64 = 5_000.0;

/// A number between 0 and 1, without both.
fn uniform(random: &mut ChaCha8Rng) -> f64 {
    (f64::from(random.next_u32()) + 0.5) / 4_294_967_296.0
}

/// A number from the standard normal distribution, by the method of Box and Muller.
fn normal(random: &mut ChaCha8Rng) -> f64 {
    let radius = (-2.0 * uniform(random).ln()).sqrt();
    radius * (std::f64::consts::TAU * uniform(random)).cos()
}

#[test]
fn settings_that_do_not_differ_are_rarely_told_apart() {
    let sweeps: usize =
        std::env::var("KILN_SIMULATIONS").ok().and_then(|text| text.parse().ok()).unwrap_or(40);
    let mut random = ChaCha8Rng::seed_from_u64(13);
    let (mut lost, mut called_worse, mut winners) = (0, 0, 0);
    for number in 0..sweeps {
        let project = Project::new();
        let directory = project.path("runs/simulated");
        // A seed has an effect on all settings, and every run varies.
        let of_seeds: Vec<f64> = (0..SEEDS).map(|_| 0.004 * normal(&mut random)).collect();
        for depth in 0..SETTINGS {
            for (seed, of_seed) in (1..).zip(&of_seeds) {
                let accuracy = 0.88 + of_seed + 0.003 * normal(&mut random);
                let accuracy = (accuracy * IMAGES).round() / IMAGES;
                SampleRun::new(0.1, depth, seed).best(accuracy).write(&directory);
            }
        }
        let output = project.kiln(&["compare", "runs/simulated", "--json", "--quiet"]);
        assert_eq!(output.status, 0, "sweep {number}: {}", output.stderr);
        let json = output.json();
        let rows = json["combinations"].as_array().unwrap();
        assert_eq!(rows.len(), SETTINGS);
        let count = |key: &str, value: bool| rows.iter().filter(|row| row[key] == value).count();
        lost += count("may_be_best", false);
        winners += count("may_be_best", true);
        called_worse += usize::from(count("worse", true) > 0);
    }
    let all = SETTINGS * sweeps;
    assert_eq!(lost + winners, all, "every setting is judged");
    let lost = lost as f64 / all as f64;
    let called_worse = called_worse as f64 / sweeps as f64;
    // Each setting is the best one, as good as all others, and is lost with a probability of at most 0.05. The second
    // rate is 0.03 in long simulations; the limit allows for chance in a short one.
    assert!(lost <= 0.05, "{lost} of the settings");
    assert!(called_worse <= 0.1, "{called_worse} of the sweeps");
}
