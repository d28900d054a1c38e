use std::collections::BTreeMap;

use kiln_report::chart::{SettingChart, SettingLine, SettingPoint};
use kiln_store::Status;

use crate::combination::Combination;
use crate::comparison::Comparison;

use super::labels::{column, name, number, setting};

/// The metric that ranks, over a numeric setting given by its key, with a line for each combination of the other
/// settings. `None` if the key is not one of the comparison's columns, or if fewer than two of its values are numbers.
///
/// Runs that diverged or failed are omitted.
#[must_use]
pub fn against_setting(comparison: &Comparison, key: &str) -> Option<SettingChart> {
    let column = column(comparison, key)?;
    // The index in `lines` of each combination of the other settings.
    let mut places: BTreeMap<Vec<Option<&str>>, usize> = BTreeMap::new();
    let mut lines: Vec<SettingLine> = Vec::new();
    for combination in &comparison.combinations {
        let Some(value) = number(setting(combination, column)) else { continue };
        let values = values(comparison, combination);
        if values.is_empty() {
            continue;
        }
        let others = (0..comparison.columns.len()).filter(|other| *other != column);
        let others: Vec<_> = others.map(|other| setting(combination, other)).collect();
        let place = *places.entry(others).or_insert_with(|| {
            lines.push(SettingLine {
                name: others_words(comparison, combination, column),
                points: vec![],
            });
            lines.len() - 1
        });
        lines[place].points.push(SettingPoint { setting: value, values });
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

/// The value of each run that counts: the finished ones, or all if none is finished.
fn values(comparison: &Comparison, combination: &Combination) -> Vec<f64> {
    let any_finished = combination.finished() > 0;
    let counting = combination.runs.iter().filter(|run| match run.status {
        Status::Finished => true,
        status => !any_finished && !is_broken(status),
    });
    counting.filter_map(|run| comparison.ranking.of_run(run)).collect()
}

fn is_broken(status: Status) -> bool {
    matches!(status, Status::Diverged | Status::Failed)
}

fn others_words(comparison: &Comparison, combination: &Combination, column: usize) -> String {
    let others = comparison.columns.iter().enumerate().filter(|(index, _)| *index != column);
    let words = others
        .map(|(index, other)| format!("{} {}", other.label, name(setting(combination, index))));
    words.collect::<Vec<_>>().join(", ")
}
