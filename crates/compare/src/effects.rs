//! The effect of each setting of a grid, over all values of the others.

use std::collections::{BTreeMap, BTreeSet};

use kiln_statistics::{Observation, Standing, compare_levels_with_best, interaction};

use crate::column::Column;
use crate::ranking::compare_values;

/// The effects of the settings, if the combinations are a grid of two or more settings with two or more seeds.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Effects {
    /// One for each setting whose values can be compared, in the order of the columns.
    pub settings: Vec<Effect>,
    /// The pairs of settings that were tested.
    pub interactions: Vec<SettingInteraction>,
}

/// The effect of a setting.
#[derive(Debug, Clone, PartialEq)]
pub struct Effect {
    /// The setting's index among the columns of the comparison.
    pub column: usize,
    /// Its values in ascending order.
    pub levels: Vec<EffectLevel>,
    /// The number of combinations of the other settings.
    pub others: usize,
    /// The number of blocks. A block is one combination of the other settings with one seed, for which there is a run with
    /// each value.
    pub blocks: usize,
}

/// A value of a setting.
#[derive(Debug, Clone, PartialEq)]
pub struct EffectLevel {
    /// The value; `None` if runs do not have the setting.
    pub value: Option<String>,
    /// The mean over all blocks is [`Standing::mean`].
    pub standing: Standing,
}

/// Whether the effect of a setting depends on the value of another one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SettingInteraction {
    /// The settings' indices among the columns of the comparison.
    pub columns: (usize, usize),
    /// The F value of the analysis of variance.
    pub f: f64,
    /// Its degrees of freedom.
    pub freedom: (f64, f64),
    /// The p-value, corrected for all pairs of settings.
    pub p_value: f64,
}

/// The largest number of settings of a grid. Each is compared over all combinations of the others, so the work grows with
/// the square of this number.
const MAX_SETTINGS: usize = 40;

/// The fewest runs for each value of a setting that has an effect: two combinations of the others with two seeds.
const FEWEST_RUNS: usize = 4;

/// A run that counts: the settings of its combination, its seed and its value.
type Run<'a> = (&'a [Option<String>], Observation);

/// Computes the effects of all settings from those of the combinations that were judged and the observations of each. `sign` turns
/// the values into those of the metric.
pub(crate) fn effects(
    settings: &[Vec<Option<String>>],
    observations: &[Vec<Observation>],
    columns: &[Column],
    resolution: f64,
    level: f64,
    sign: f64,
) -> Effects {
    let runs: Vec<Run<'_>> = settings
        .iter()
        .zip(observations)
        .flat_map(|(one, runs)| runs.iter().map(|run| (one.as_slice(), *run)))
        .collect();
    if columns.len() > MAX_SETTINGS {
        return Effects::default();
    }
    let axes: Vec<Axis<'_>> = (0..columns.len())
        // The value of such a setting follows from a type, which has an effect itself.
        .filter(|column| !columns[*column].is_implied())
        .map(|column| Axis::new(column, &runs))
        .filter(|axis| axis.values.len() * FEWEST_RUNS <= runs.len())
        .collect();
    let settings: Vec<Effect> = axes
        .iter()
        .filter_map(|axis| effect(axis, &runs, columns, resolution, level, sign))
        .collect();
    let has_effect = |axis: &&Axis<'_>| settings.iter().any(|effect| effect.column == axis.column);
    let axes: Vec<&Axis<'_>> = axes.iter().filter(has_effect).collect();
    let mut interactions = Vec::new();
    for (place, first) in axes.iter().enumerate() {
        for second in &axes[place + 1..] {
            interactions.extend(interaction_of(first, second, &runs, columns, resolution));
        }
    }
    let pairs = interactions.len() as f64;
    for found in &mut interactions {
        found.p_value = (found.p_value * pairs).min(1.0);
    }
    Effects { settings, interactions }
}

/// A setting with the values that the runs have.
struct Axis<'a> {
    column: usize,
    values: Vec<Option<&'a str>>,
}

impl<'a> Axis<'a> {
    fn new(column: usize, runs: &[Run<'a>]) -> Self {
        let values: BTreeSet<_> =
            runs.iter().map(|(settings, _)| settings[column].as_deref()).collect();
        let mut values: Vec<_> = values.into_iter().collect();
        values.sort_by(|left, right| compare_values(*left, *right));
        Self { column, values }
    }

    fn level(&self, settings: &[Option<String>]) -> usize {
        let own = settings[self.column].as_deref();
        self.values.iter().position(|value| *value == own).unwrap_or_default()
    }
}

/// The settings that are neither these nor implied by them.
fn others<'a>(
    settings: &'a [Option<String>],
    of: &[usize],
    columns: &[Column],
) -> Vec<Option<&'a str>> {
    let is_other = |column: &usize| {
        let implied = columns[*column].implied_by.as_ref().filter(|implied| implied.always);
        !of.contains(column) && implied.is_none_or(|implied| !of.contains(&implied.type_column))
    };
    (0..settings.len()).filter(is_other).map(|column| settings[column].as_deref()).collect()
}

fn effect(
    axis: &Axis<'_>,
    runs: &[Run<'_>],
    columns: &[Column],
    resolution: f64,
    level: f64,
    sign: f64,
) -> Option<Effect> {
    /// The other settings and the seed.
    type Block<'a> = (Vec<Option<&'a str>>, u64);
    let mut blocks: BTreeMap<Block<'_>, BTreeMap<usize, f64>> = BTreeMap::new();
    for (settings, run) in runs {
        let block =
            blocks.entry((others(settings, &[axis.column], columns), run.seed)).or_default();
        block.insert(axis.level(settings), run.value);
    }
    blocks.retain(|_, block| block.len() == axis.values.len());
    let seeds: BTreeSet<u64> = blocks.keys().map(|(_, seed)| *seed).collect();
    let combinations: BTreeSet<&Vec<_>> = blocks.keys().map(|(others, _)| others).collect();
    // With one combination of the others, the effects are the rows of the main table.
    if axis.values.len() < 2 || seeds.len() < 2 || combinations.len() < 2 {
        return None;
    }
    let of_level = |index: usize| -> Vec<Observation> {
        let values = (0..).zip(blocks.values());
        values.map(|(seed, block)| Observation { seed, value: block[&index] }).collect()
    };
    let levels: Vec<_> = (0..axis.values.len()).map(of_level).collect();
    let compared = compare_levels_with_best(&levels, resolution, level)?;
    let levels = axis.values.iter().zip(compared.settings).map(|(value, standing)| EffectLevel {
        value: value.map(str::to_owned),
        standing: Standing { mean: sign * standing.mean, ..standing },
    });
    Some(Effect {
        column: axis.column,
        levels: levels.collect(),
        others: combinations.len(),
        blocks: blocks.len(),
    })
}

fn interaction_of(
    first: &Axis<'_>,
    second: &Axis<'_>,
    runs: &[Run<'_>],
    columns: &[Column],
    resolution: f64,
) -> Option<SettingInteraction> {
    let of = [first.column, second.column];
    type Cells = BTreeMap<(usize, usize), f64>;
    let mut groups: BTreeMap<Vec<Option<&str>>, BTreeMap<u64, Cells>> = BTreeMap::new();
    for (settings, run) in runs {
        let seeds = groups.entry(others(settings, &of, columns)).or_default();
        let cells = seeds.entry(run.seed).or_default();
        cells.insert((first.level(settings), second.level(settings)), run.value);
    }
    let cells = first.values.len() * second.values.len();
    for seeds in groups.values_mut() {
        seeds.retain(|_, found| found.len() == cells);
    }
    groups.retain(|_, seeds| seeds.len() > 1);
    let mut seeds: BTreeSet<u64> = groups.values().next()?.keys().copied().collect();
    for group in groups.values() {
        seeds.retain(|seed| group.contains_key(seed));
    }
    let cell = |row: usize, column: usize| -> Vec<f64> {
        let groups = groups.values();
        groups.flat_map(|group| seeds.iter().map(move |seed| group[seed][&(row, column)])).collect()
    };
    let row = |row| (0..second.values.len()).map(|column| cell(row, column)).collect();
    let values: Vec<Vec<Vec<f64>>> = (0..first.values.len()).map(row).collect();
    let found = interaction(&values, seeds.len(), resolution)?;
    Some(SettingInteraction {
        columns: (first.column, second.column),
        f: found.f,
        freedom: found.freedom,
        p_value: found.p_value,
    })
}
