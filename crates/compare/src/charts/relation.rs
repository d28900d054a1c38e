use std::collections::BTreeMap;

use kiln_report::chart::{SettingChart, SettingLine, SettingPoint};
use kiln_store::Status;

use crate::combination::{Combination, RunSummary};
use crate::comparison::Comparison;

use super::labels::{column, may_be_best, name, number, setting, short_values};

/// The largest number of characters of a setting's value in the legend.
const LONGEST_VALUE: usize = 48;

/// The metric that ranks, over a numeric setting given by its key, with a line for each combination of the other
/// settings. If most lines would have a single point, as in a random search, the points are not joined. `None` if the
/// key is not one of the comparison's columns, or if fewer than two of its values are numbers.
///
/// Runs that diverged or failed are omitted. Runs that were pruned are marked, because their last epoch cannot be compared
/// with that of the others.
#[must_use]
pub fn against_setting(comparison: &Comparison, key: &str) -> Option<SettingChart> {
    let column = column(comparison, key)?;
    let values = short_values(comparison, LONGEST_VALUE);
    // The index in `lines` of each combination of the other settings.
    let mut places: BTreeMap<Vec<Option<&str>>, usize> = BTreeMap::new();
    let mut lines: Vec<SettingLine> = Vec::new();
    for (index, combination) in comparison.combinations.iter().enumerate() {
        let Some(value) = number(setting(combination, column)) else { continue };
        let words = others_words(comparison, &combination.settings, combination, column);
        let point = SettingPoint {
            setting: value,
            words,
            values: counting(comparison, combination),
            stopped: stopped(comparison, combination),
            may_be_best: may_be_best(comparison, index),
        };
        if point.values.is_empty() && point.stopped.is_empty() {
            continue;
        }
        let others = (0..comparison.columns.len()).filter(|other| *other != column);
        let others: Vec<_> = others.map(|other| setting(combination, other)).collect();
        let place = *places.entry(others).or_insert_with(|| {
            let name = others_words(comparison, &values[index], combination, column);
            lines.push(SettingLine { name, scatter: false, points: vec![] });
            lines.len() - 1
        });
        lines[place].points.push(point);
    }
    let points = lines.iter().map(|line| line.points.len()).sum::<usize>();
    if lines.len() > 1 && 2 * lines.len() > points {
        let points = lines.into_iter().flat_map(|line| line.points).collect();
        lines = vec![SettingLine { name: String::new(), scatter: true, points }];
    }
    for line in &mut lines {
        line.points.sort_by(|left, right| left.setting.total_cmp(&right.setting));
    }
    let mut distinct: Vec<f64> =
        lines.iter().flat_map(|line| &line.points).map(|point| point.setting).collect();
    distinct.sort_by(f64::total_cmp);
    distinct.dedup();
    let label = comparison.columns[column].label.clone();
    let metric = comparison.ranking.heading().to_owned();
    let runs = comparison.combinations.iter().flat_map(|combination| &combination.runs);
    let hidden = runs.filter(|run| is_broken(run.status)).count();
    (distinct.len() > 1).then(|| SettingChart {
        title: format!("{metric} against {label}"),
        note: match hidden {
            0 => String::new(),
            1 => "1 run that diverged or failed is not shown".to_owned(),
            _ => format!("{hidden} runs that diverged or failed are not shown"),
        },
        metric,
        setting: label,
        lines,
    })
}

/// The value of each run that counts: the finished ones, or all unfinished ones if none is finished.
fn counting(comparison: &Comparison, combination: &Combination) -> Vec<f64> {
    let any_finished = combination.finished() > 0;
    ranked(comparison, combination, |status| match status {
        Status::Finished => true,
        status => !any_finished && !is_broken(status) && status != Status::Pruned,
    })
}

/// The values of the pruned runs.
fn stopped(comparison: &Comparison, combination: &Combination) -> Vec<f64> {
    ranked(comparison, combination, |status| status == Status::Pruned)
}

fn ranked(
    comparison: &Comparison,
    combination: &Combination,
    is_wanted: impl Fn(Status) -> bool,
) -> Vec<f64> {
    let wanted = |run: &&RunSummary| is_wanted(run.status);
    let runs = combination.runs.iter().filter(wanted);
    runs.filter_map(|run| comparison.ranking.of_run(run)).collect()
}

fn is_broken(status: Status) -> bool {
    matches!(status, Status::Diverged | Status::Failed)
}

/// The other settings and their values, without those that a type implies or that the combination does not have.
fn others_words(
    comparison: &Comparison,
    values: &[Option<String>],
    combination: &Combination,
    column: usize,
) -> String {
    let others = comparison.columns.iter().zip(values).enumerate();
    let words = others
        .filter(|(index, (other, _))| {
            *index != column && !other.is_implied_in(&combination.settings)
        })
        .map(|(_, (other, value))| format!("{} {}", other.label, name(value.as_deref())));
    words.collect::<Vec<_>>().join(", ")
}
