//! The effects of the settings of a grid.

use kiln_compare::{TableOptions, effects_text, interactions, json, markdown};
use kiln_report::Terminal;

use crate::tree::SampleRun;
use crate::{compared, directory};

/// A run for each rate, depth and seed; the accuracy has an effect of the rate and of the depth, one of both together, and
/// a small one of everything, which differs between the seeds.
fn grid(together: f64) -> Vec<SampleRun> {
    let mut runs = Vec::new();
    for (row, rate) in [0.1, 0.2, 0.3].into_iter().enumerate() {
        for depth in 0..2 {
            for seed in 1..=3 {
                let noise = ((row * 7 + depth * 5 + seed as usize * 3) % 11) as f64 * 0.0004;
                let effect = 0.02 * row as f64 + 0.001 * depth as f64;
                let both = together * (row * depth) as f64;
                let value = 0.8 + effect - both + noise + 0.01 * seed as f64;
                runs.push(SampleRun::new(rate, depth, seed).best(value));
            }
        }
    }
    runs
}

#[test]
fn effects_are_means_over_the_other_settings() {
    let sweep = directory();
    let comparison = compared(sweep.path(), &grid(0.0));
    let effects = &comparison.effects.settings;
    let labels: Vec<&str> =
        effects.iter().map(|effect| comparison.columns[effect.column].label.as_str()).collect();
    assert_eq!(labels, ["repeat", "learning_rate"]);
    let [_, rates] = effects.as_slice() else { panic!("{effects:?}") };
    assert_eq!((rates.others, rates.blocks), (2, 6), "two depths with three seeds");
    // The mean over both depths and the three seeds, from the runs.
    let of_rate: Vec<f64> = comparison
        .runs()
        .filter(|run| run.id.starts_with("0.3-"))
        .filter_map(|run| comparison.ranking.of_run(run))
        .collect();
    assert_eq!(of_rate.len(), 6);
    let mean = of_rate.iter().sum::<f64>() / 6.0;
    assert!((rates.levels[2].standing.mean - mean).abs() < 1e-12);
    let may_be_best: Vec<_> = rates.levels.iter().map(|level| level.standing.may_be_best).collect();
    assert_eq!(may_be_best, [false, false, true]);
    assert_eq!(interactions(&comparison), Vec::<String>::new());
    insta::assert_snapshot!(effects_text(&comparison, Terminal { width: 80, color: false }), @"
    Effects: kept val_accuracy of each value, as the mean over the values of the
    other settings and the seeds
    ────────────────────────────────────────────────────────────────────
     setting        value  kept val_accuracy  best?     behind
    ────────────────────────────────────────────────────────────────────
     repeat         0                 0.8423  possible  0.0000 to 0.0020
                    1                 0.8428  possible  0.0000 to 0.0009
     learning_rate  0.1               0.8224  worse     0.0376 to 0.0419
                    0.2               0.8430  worse     0.0171 to 0.0212
                    0.3               0.8622  possible  0.0000 to 0.0000
    ────────────────────────────────────────────────────────────────────
    ");
    let text = markdown(&comparison, &TableOptions::default()).expect("Markdown");
    assert!(
        text.contains("| learning\\_rate | 0.1 |") || text.contains("| learning_rate | 0.1 |"),
        "{text}"
    );
    let text = json(&comparison, &TableOptions::default()).expect("JSON");
    let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(json["effects"][1]["setting"], "optimizer.learning_rate");
    assert_eq!(json["effects"][1]["levels"][2]["value"], 0.3);
    assert_eq!(json["effects"][1]["levels"][2]["may_be_best"], true);
}

#[test]
fn interaction_of_two_settings_is_reported() {
    let sweep = directory();
    let comparison = compared(sweep.path(), &grid(0.02));
    let [found] = interactions(&comparison).try_into().expect("one pair");
    assert_eq!(
        found,
        "repeat and learning_rate interact (p < 0.001): what one of them does depends on the other, so read the table of all combinations, too."
    );
}

#[test]
fn effects_need_a_grid_with_two_seeds() {
    let without = |runs: &[SampleRun]| {
        let sweep = directory();
        let comparison = compared(sweep.path(), runs);
        comparison.effects.settings.is_empty()
            && effects_text(&comparison, Terminal { width: 80, color: false }).is_empty()
    };
    let mut one_seed = grid(0.0);
    one_seed.retain(|run| run.seed == 1);
    assert!(without(&one_seed));
    let mut one_depth = grid(0.0);
    one_depth.retain(|run| run.config.contains("repeat = 1"));
    assert!(without(&one_depth), "the table has the same numbers");
    let mut diagonal = grid(0.0);
    diagonal.retain(|run| run.id.starts_with("0.1-0") || run.id.starts_with("0.2-1"));
    assert!(without(&diagonal), "both settings change together");
}

#[test]
fn incomplete_blocks_are_left_out() {
    let sweep = directory();
    let mut runs = grid(0.0);
    runs.retain(|run| run.id != "0.3-1-2");
    let comparison = compared(sweep.path(), &runs);
    let blocks: Vec<usize> =
        comparison.effects.settings.iter().map(|effect| effect.blocks).collect();
    // Of nine blocks of a rate and a seed, and of six of a depth and a seed, one lacks a run.
    assert_eq!(blocks, [8, 5]);
}
