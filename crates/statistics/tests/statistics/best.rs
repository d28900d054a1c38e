use kiln_statistics::{
    BestComparison, Observation, compare_with_baseline, compare_with_best, detectable_difference,
};
use proptest::prelude::*;
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use serde_json::Value;

/// The cases of `fixtures/more_best.py`, computed with SciPy.
fn cases() -> Vec<Value> {
    let text = include_str!("../fixtures/best.json");
    let mut file: Value = serde_json::from_str(text).expect("JSON");
    serde_json::from_value(file["cases"].take()).expect("a list of cases")
}

fn settings(case: &Value) -> Vec<Vec<Observation>> {
    let of = |setting: &Value| -> Vec<Observation> {
        let seeds = setting["seeds"].as_array().expect("seeds").iter();
        let values = setting["values"].as_array().expect("values").iter();
        seeds
            .zip(values)
            .map(|(seed, value)| Observation {
                seed: seed.as_u64().expect("a seed"),
                value: value.as_f64().expect("a value"),
            })
            .collect()
    };
    case["settings"].as_array().expect("settings").iter().map(of).collect()
}

fn number(value: &Value) -> f64 {
    value.as_f64().expect("a number")
}

/// Checks that two p-values have the same first nine digits, and others the same nine decimals.
fn assert_close(found: f64, expected: &Value, what: &str) {
    let expected = number(expected);
    let is_p = what.contains("p_");
    let tolerance = if is_p { 1e-9 * expected } else { 1e-10 };
    assert!((found - expected).abs() <= tolerance, "{what}: {found:e} instead of {expected:e}");
}

#[test]
fn best_and_worse_agree_with_scipy() {
    for case in cases() {
        let name = case["name"].as_str().expect("a name");
        let (resolution, level) = (number(&case["resolution"]), number(&case["level"]));
        let found = compare_with_best(&settings(&case), resolution, level).expect("a comparison");
        let expected = &case["expected"];
        for (place, standing) in found.settings.iter().enumerate() {
            let what = |key: &str| format!("{name}, setting {place}: {key}");
            assert_close(standing.p_best, &expected["p_best"][place], &what("p_best"));
            assert_close(standing.p_worse, &expected["p_worse"][place], &what("p_worse"));
            let behind = &expected["behind"][place];
            assert_close(standing.behind.0, &behind[0], &what("low"));
            assert_close(standing.behind.1, &behind[1], &what("high"));
            assert_eq!(standing.may_be_best, expected["may_be_best"][place], "{name}, {place}");
            assert_eq!(standing.worse, expected["worse"][place], "{name}, {place}");
        }
    }
}

#[test]
fn differences_from_a_baseline_agree_with_scipy() {
    for case in cases() {
        let name = case["name"].as_str().expect("a name");
        let (resolution, level) = (number(&case["resolution"]), number(&case["level"]));
        let expected = &case["baseline"];
        let baseline = usize::try_from(expected["index"].as_u64().expect("index")).expect("usize");
        let found = compare_with_baseline(&settings(&case), resolution, level, baseline);
        for (place, difference) in found.expect("differences").iter().enumerate() {
            let Some(difference) = difference else {
                assert_eq!(place, baseline, "{name}");
                continue;
            };
            let what = |key: &str| format!("{name}, setting {place}: {key}");
            assert_close(difference.difference, &expected["difference"][place], &what("lead"));
            assert_close(difference.p_value, &expected["p"][place], &what("p_value"));
            let interval = &expected["interval"][place];
            assert_close(difference.interval.0, &interval[0], &what("low"));
            assert_close(difference.interval.1, &interval[1], &what("high"));
        }
    }
}

#[test]
fn too_few_values_have_no_answer() {
    let one = |seed, value| Observation { seed, value };
    let pair = vec![one(1, 0.5), one(2, 0.6)];
    let none: [&[Vec<Observation>]; 5] = [
        &[],
        std::slice::from_ref(&pair),
        &[pair.clone(), vec![one(1, 0.5)]],
        &[pair.clone(), vec![]],
        &[pair.clone(), vec![one(1, 0.5), one(2, f64::NAN)]],
    ];
    for settings in none {
        assert_eq!(compare_with_best(settings, 0.01, 0.05), None);
        assert_eq!(compare_with_baseline(settings, 0.01, 0.05, 0), None);
        assert_eq!(detectable_difference(settings, 0.01, 0.05, 3), None);
    }
    assert_eq!(compare_with_baseline(&[pair.clone(), pair.clone()], 0.01, 0.05, 2), None);
    assert_eq!(detectable_difference(&[pair.clone(), pair], 0.01, 0.05, 1), None);
}

#[test]
fn values_without_spread_and_resolution_can_be_compared() {
    let same = |value| vec![Observation { seed: 1, value }, Observation { seed: 2, value }];
    for tied in [0.0, 0.7] {
        let tie = compare_with_best(&[same(tied), same(tied), same(tied)], 0.0, 0.05);
        assert!(tie.expect("a tie").settings.iter().all(|setting| setting.may_be_best));
    }
    let found = compare_with_best(&[same(0.5), same(0.7)], 0.0, 0.05).expect("a comparison");
    assert_eq!(found.settings.map_may_be_best(), [false, true]);
}

#[test]
fn p_values_below_the_smallest_number_are_no_obstacle() {
    // The values are exact, so that the standard errors are those of rounding, and t is in the millions.
    let setting = |number: usize| -> Vec<Observation> {
        let value = |seed| 0.7 + 1e-5 * number as f64 + 0.01 * seed as f64;
        (0..3).map(|seed| Observation { seed, value: value(seed) }).collect()
    };
    for resolution in [0.0, 1e-6, 1e-5, 1e-4] {
        let settings: Vec<_> = (0..300).map(setting).collect();
        let found = compare_with_best(&settings, resolution, 0.05).expect("a comparison");
        assert!(found.settings[299].may_be_best && found.settings[0].worse, "{resolution}");
        assert!(compare_with_baseline(&settings, resolution, 0.05, 0).is_some());
        assert!(detectable_difference(&settings, resolution, 0.05, 9).is_some());
    }
}

trait MayBeBest {
    fn map_may_be_best(&self) -> Vec<bool>;
}

impl MayBeBest for Vec<kiln_statistics::Standing> {
    fn map_may_be_best(&self) -> Vec<bool> {
        self.iter().map(|setting| setting.may_be_best).collect()
    }
}

/// Normal numbers by the method of Box and Muller.
struct Normal(ChaCha8Rng);

impl Normal {
    fn next(&mut self) -> f64 {
        let mut uniform = || (self.0.next_u64() as f64 + 0.5) / 2.0_f64.powi(64);
        (-2.0 * uniform().ln()).sqrt() * (std::f64::consts::TAU * uniform()).cos()
    }

    /// Sixteen settings with three seeds each, as accuracies on 5,000 images.
    fn sweep(&mut self, behind: &[f64; 16], deviation: f64, of_seed: f64) -> BestComparison {
        let seeds: Vec<f64> = (0..3).map(|_| of_seed * self.next()).collect();
        let settings: Vec<Vec<Observation>> = behind
            .iter()
            .map(|behind| {
                let value = |seed: usize| 0.87 - behind + seeds[seed] + deviation * self.next();
                (0..3)
                    .map(value)
                    .collect::<Vec<f64>>()
                    .iter()
                    .zip(1..)
                    .map(|(value, seed)| Observation {
                        seed,
                        value: (value * 5000.0).round() / 5000.0,
                    })
                    .collect()
            })
            .collect();
        compare_with_best(&settings, 1.0 / 5000.0, 0.05).expect("a comparison")
    }
}

// The expected rates were simulated with SciPy. With 1,000 sweeps, their standard errors are below 0.7 points for the
// error rates and 1.5 points for the power.
#[test]
fn error_rates_are_those_of_the_procedure() {
    let mut normal = Normal(ChaCha8Rng::seed_from_u64(20));
    let (mut lost, mut called_worse) = (0, 0);
    for _ in 0..1000 {
        let found = normal.sweep(&[0.0; 16], 0.003, 0.0);
        lost += usize::from(!found.settings[0].may_be_best);
        called_worse += usize::from(found.settings.iter().any(|setting| setting.worse));
    }
    // 2.5 % and 3 %.
    assert!(lost <= 45, "the best was lost in {lost} of 1000 sweeps");
    assert!(called_worse <= 45, "an equal setting was called worse in {called_worse} of 1000");
}

#[test]
fn power_is_that_of_the_procedure_also_if_the_seed_has_an_effect() {
    let mut behind = [0.0; 16];
    behind[5..].fill(0.01);
    for of_seed in [0.0, 0.02] {
        let mut normal = Normal(ChaCha8Rng::seed_from_u64(21));
        let (mut excluded, mut worse) = (0, 0);
        for _ in 0..200 {
            let found = normal.sweep(&behind, 0.003, of_seed);
            excluded += found.settings[5..].iter().filter(|one| !one.may_be_best).count();
            worse += found.settings[5..].iter().filter(|one| one.worse).count();
        }
        // 93 % and 67 % of 2,200.
        assert!((1950..=2150).contains(&excluded), "{excluded} of 2200 excluded");
        assert!((1300..=1650).contains(&worse), "{worse} of 2200 called worse");
    }
}

#[test]
fn a_detectable_difference_is_detected_in_four_of_five_cases() {
    let mut normal = Normal(ChaCha8Rng::seed_from_u64(22));
    let example: Vec<Vec<Observation>> = (0..16)
        .map(|_| (1..=3).map(|seed| Observation { seed, value: 0.003 * normal.next() }).collect())
        .collect();
    let difference = detectable_difference(&example, 0.0, 0.05, 3).expect("a difference");
    // Against a single best setting, so that the test is against that one.
    let mut behind = [difference; 16];
    behind[0] = 0.0;
    let found: usize = (0..300)
        .map(|_| {
            let standings = normal.sweep(&behind, 0.003, 0.0).settings;
            standings[1..].iter().filter(|setting| !setting.may_be_best).count()
        })
        .sum();
    let share = found as f64 / (300.0 * 15.0);
    assert!((0.72..0.90).contains(&share), "{share}");
    let more = detectable_difference(&example, 0.0, 0.05, 12).expect("a difference");
    assert!(more < difference / 1.9 && more > difference / 3.0, "{difference} {more}");
}

proptest! {
    #[test]
    fn the_answer_is_consistent(
        values in prop::collection::vec(prop::collection::vec(0..=500_u32, 2..5), 2..8),
        level in 0.001..0.2,
    ) {
        let settings: Vec<Vec<Observation>> = values
            .iter()
            .map(|values| {
                values
                    .iter()
                    .zip(1..)
                    .map(|(value, seed)| Observation { seed, value: f64::from(*value) / 500.0 })
                    .collect()
            })
            .collect();
        let found = compare_with_best(&settings, 1.0 / 500.0, level).expect("a comparison");
        prop_assert!(found.settings.iter().any(|setting| setting.may_be_best));
        for setting in &found.settings {
            let (low, high) = setting.behind;
            prop_assert!(0.0 <= low && low <= high);
            prop_assert!((0.0..=1.0).contains(&setting.p_best) && setting.p_worse >= setting.p_best);
            // Verdict, p-value and interval never contradict each other.
            prop_assert_eq!(setting.may_be_best, low == 0.0);
            prop_assert!(!(setting.worse && setting.may_be_best));
        }
    }
}
