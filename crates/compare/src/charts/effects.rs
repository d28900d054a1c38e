use kiln_report::chart::{EffectRow, EffectRows, EffectsChart};
use kiln_statistics::Standing;
use kiln_store::Direction;

use crate::cells;
use crate::comparison::Comparison;
use crate::effects::Effect;

use super::labels::name;

/// The effect of each setting of a grid: the mean of the metric that ranks for each of its values, over the values of the
/// other settings and the seeds. `None` if the combinations are no grid.
#[must_use]
pub fn effects(comparison: &Comparison) -> Option<EffectsChart> {
    let settings = comparison.effects.settings.iter();
    let settings: Vec<EffectRows> = settings.map(|effect| rows(comparison, effect)).collect();
    let has_winners = settings.iter().flat_map(|setting| &setting.levels).any(|it| it.may_be_best);
    let marks = if has_winners { "; ring: may be the best value" } else { "" };
    (!settings.is_empty()).then(|| EffectsChart {
        title: format!("{} of each value", comparison.ranking.heading()),
        note: format!(
            "dot: mean over the other settings, bar: how far it is behind the best value{marks}"
        ),
        metric: comparison.ranking.heading().to_owned(),
        settings,
    })
}

fn rows(comparison: &Comparison, effect: &Effect) -> EffectRows {
    let lower_is_better = comparison.ranking.better() == Direction::Lower;
    // A bar starts at the best mean, and extends to lower values, or to higher ones if lower is better.
    let sign = if lower_is_better { 1.0 } else { -1.0 };
    let means = effect.levels.iter().map(|level| level.standing.mean);
    let best = means.reduce(if lower_is_better { f64::min } else { f64::max }).unwrap_or_default();
    let all_may_be_best = effect.levels.iter().all(|level| level.standing.may_be_best);
    let row = |level: &crate::effects::EffectLevel| {
        let Standing { mean, behind: (low, high), may_be_best, .. } = level.standing;
        let value = name(level.value.as_deref());
        EffectRow {
            mean,
            interval: (best + sign * low, best + sign * high),
            // If all may be the best, a mark says nothing.
            may_be_best: may_be_best && !all_may_be_best,
            words: format!(
                "{value}\n{} {mean:.4}\nbehind the best by {}",
                comparison.ranking.heading(),
                cells::behind(&level.standing)
            ),
            value,
        }
    };
    EffectRows {
        name: comparison.columns.get(effect.column).map(|it| it.label.clone()).unwrap_or_default(),
        levels: effect.levels.iter().map(row).collect(),
    }
}
