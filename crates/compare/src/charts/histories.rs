use std::collections::BTreeMap;

use kiln_report::chart::{Overlay, OverlayCurve, OverlayPoint};
use kiln_store::{History, Status, grouped};

use crate::combination::{Combination, RunSummary};
use crate::comparison::Comparison;

use super::labels::{may_be_best, run_words, short_labels};

/// A curve with more epochs than this shows every n-th epoch and the last one.
pub const MAX_POINTS: usize = 200;
/// The largest number of characters of a name in the legend.
const LONGEST_NAME: usize = 84;

/// Metrics of the combinations over the epochs, with one chart for each metric that a run has. A combination with several
/// seeds has the mean of its runs and their range. At most `most` combinations are drawn; the notes say so if there are
/// more.
#[must_use]
pub fn metric_curves(comparison: &Comparison, metrics: &[&str], most: usize) -> Vec<Overlay> {
    let names = short_labels(comparison, LONGEST_NAME);
    let mut overlays: Vec<Vec<OverlayCurve>> = vec![Vec::new(); metrics.len()];
    let (mut drawn, mut without, mut several, mut any_stopped) = (0, 0, false, false);
    let shown = comparison.combinations.iter().zip(&names).enumerate().take(most);
    for (index, (combination, name)) in shown {
        let runs: Vec<&RunSummary> = counting(combination).collect();
        let histories = runs.iter().map(|run| run.directory.read_history().unwrap_or_default());
        let histories: Vec<History> =
            histories.filter(|history| !history.rows.is_empty()).collect();
        if histories.is_empty() {
            without += 1;
            continue;
        }
        drawn += 1;
        several |= histories.len() > 1;
        let stopped = runs.iter().all(|run| run.status == Status::Pruned);
        any_stopped |= stopped;
        let words = match runs.as_slice() {
            [run] => run_words(comparison, combination, run),
            _ => format!(
                "{}, mean of {} runs",
                combination.label(&comparison.columns),
                histories.len()
            ),
        };
        for (metric, curves) in metrics.iter().zip(&mut overlays) {
            let points = points(&histories, metric);
            if !points.is_empty() {
                curves.push(OverlayCurve {
                    name: name.clone(),
                    words: words.clone(),
                    may_be_best: may_be_best(comparison, index),
                    stopped,
                    points,
                });
            }
        }
    }
    let all = comparison.combinations.len();
    let mut notes = Vec::new();
    if all > most {
        notes.push(format!("the {drawn} best of {} combinations", grouped(all as u64)));
    }
    notes.push(if several {
        "line: mean over seeds, band: lowest to highest".to_owned()
    } else {
        "one line per run".to_owned()
    });
    if (0..all.min(most)).any(|index| may_be_best(comparison, index)) {
        notes.push("thick: possible winner".to_owned());
    }
    if any_stopped {
        notes.push("cross: pruned run".to_owned());
    }
    if without > 0 {
        notes.push(format!("{without} without a completed epoch"));
    }
    let overlay = |(metric, curves): (&&str, Vec<OverlayCurve>)| Overlay {
        title: format!("{metric} over the epochs"),
        note: notes.join("; "),
        metric: (*metric).to_owned(),
        curves,
    };
    let with_curves = metrics.iter().zip(overlays).filter(|(_, curves)| !curves.is_empty());
    with_curves.map(overlay).collect()
}

/// The runs that count: the finished ones, or all if none is finished. Two runs with the same seed are identical.
fn counting(combination: &Combination) -> impl Iterator<Item = &RunSummary> {
    let any_finished = combination.finished() > 0;
    let mut seeds = std::collections::BTreeSet::new();
    combination.runs.iter().filter(move |run| {
        (!any_finished || run.status == Status::Finished) && seeds.insert(run.seed)
    })
}

/// The mean and the range of a metric over the runs at each epoch; empty if no epoch has a value. The curve ends where
/// half of the runs or fewer have values, because a mean over fewer runs would jump.
fn points(histories: &[History], metric: &str) -> Vec<OverlayPoint> {
    let mut values: BTreeMap<usize, Vec<f64>> = BTreeMap::new();
    let mut epochs: BTreeMap<usize, usize> = BTreeMap::new();
    for row in histories.iter().flat_map(|history| &history.rows) {
        *epochs.entry(row.epoch).or_default() += 1;
        let values = values.entry(row.epoch).or_default();
        values.extend(row.metric(metric).filter(|value| value.is_finite()));
    }
    values.retain(|epoch, _| 2 * epochs[epoch] > histories.len());
    if values.values().all(Vec::is_empty) {
        return Vec::new();
    }
    let step = values.len().div_ceil(MAX_POINTS).max(1);
    let last = values.len().saturating_sub(1);
    values
        .into_iter()
        .enumerate()
        .filter(|(index, _)| index % step == 0 || *index == last)
        .map(|(_, (epoch, values))| {
            let several = values.len() > 1;
            let low = values.iter().copied().reduce(f64::min).filter(|_| several);
            let high = values.iter().copied().reduce(f64::max).filter(|_| several);
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            OverlayPoint {
                epoch,
                value: Some(mean).filter(|mean| mean.is_finite()),
                range: low.zip(high),
            }
        })
        .collect()
}
