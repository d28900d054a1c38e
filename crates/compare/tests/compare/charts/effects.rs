use kiln_compare::charts::effects;
use kiln_report::chart::{EffectRow, EffectRows, EffectsChart, effects_chart};

use super::*;

/// Three learning rates by two depths with three seeds. The learning rate matters, the depth does not.
fn grid_of_seeds() -> (Comparison, tempfile::TempDir) {
    let mut runs = Vec::new();
    for (rate, base) in [(0.1, 0.9), (0.01, 0.85), (0.001, 0.8)] {
        for depth in [1, 2] {
            for seed in 1..=3_u32 {
                let nudge = f64::from((seed * 7 + depth * 3 + (rate * 1000.0) as u32) % 5);
                let run = SampleRun::new(rate, depth as usize, u64::from(seed));
                runs.push(run.best(base + 0.001 * nudge));
            }
        }
    }
    read(&runs)
}

#[test]
fn each_value_has_a_row_with_its_mean_and_interval() {
    let (comparison, _sweep) = grid_of_seeds();
    let chart = effects(&comparison).expect("a grid");
    let names: Vec<_> = chart.settings.iter().map(|setting| setting.name.as_str()).collect();
    assert_eq!(names, ["repeat", "learning_rate"]);
    let rates = &chart.settings[1].levels;
    let values: Vec<_> = rates.iter().map(|row| row.value.as_str()).collect();
    assert_eq!(values, ["0.001", "0.01", "0.1"]);
    let marked: Vec<_> = rates.iter().map(|row| row.may_be_best).collect();
    assert_eq!(marked, [false, false, true]);
    // Both depths may be the best, so marks would say nothing.
    assert!(chart.settings[0].levels.iter().all(|row| !row.may_be_best));
    // The bar of a value begins at the best mean and reaches down to what the value lacks.
    let best = rates[2].mean;
    assert!(rates.iter().all(|row| row.interval.0 <= best && row.interval.1 <= row.interval.0));
    assert!(rates[0].interval.0 < rates[1].interval.1, "{rates:?}");
    let elements = parse(&effects_chart(&chart));
    let count = |name: &str, class: &str| elements.iter().filter(|e| e.has(name, class)).count();
    assert_eq!((count("circle", "mean color0"), count("circle", "winner")), (5, 1));
    let strong: Vec<_> =
        elements.iter().filter(|e| e.has("text", "strongest")).map(|e| e.text.as_str()).collect();
    assert_eq!(strong, ["0.1"]);
}

#[test]
fn combinations_that_are_no_grid_have_no_effects() {
    let (comparison, _sweep) = sweep();
    assert_eq!(effects(&comparison), None);
}

#[test]
fn long_values_are_cut_where_they_are_alike() {
    let row = |value: &str| EffectRow { value: value.to_owned(), ..EffectRow::default() };
    let begin = "flatten, 300 relu, 200 relu, 100 relu, 50 relu";
    let chart = EffectsChart {
        settings: vec![EffectRows {
            name: "layers".to_owned(),
            levels: vec![row(&format!("{begin}, dropout 0.2")), row(&format!("{begin}, 30 tanh"))],
        }],
        ..EffectsChart::default()
    };
    let elements = parse(&effects_chart(&chart));
    let texts = texts(&elements);
    assert!(texts.contains(&"… dropout 0.2") && texts.contains(&"… 30 tanh"), "{texts:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_effects_are_drawn_inside_the_image(
        numbers in prop::collection::vec(prop::array::uniform3(prop::num::f64::ANY), 0..12),
    ) {
        let row = |[mean, low, high]: &[f64; 3]| EffectRow {
            value: HOSTILE.to_owned(),
            mean: *mean,
            interval: (*low, *high),
            may_be_best: true,
            words: HOSTILE.to_owned(),
        };
        let rows = EffectRows { name: HOSTILE.to_owned(), levels: numbers.iter().map(row).collect() };
        let elements = parse(&effects_chart(&EffectsChart { settings: vec![rows], ..EffectsChart::default() }));
        let (width, height) = (elements[0].number("width"), elements[0].number("height"));
        for circle in elements.iter().filter(|e| e.name == "circle") {
            let (x, y) = (circle.number("cx"), circle.number("cy"));
            prop_assert!((0.0..=width).contains(&x) && (0.0..=height).contains(&y), "{x} {y}");
        }
    }
}
