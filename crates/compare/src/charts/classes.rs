use kiln_report::chart::{Heatmap, HeatmapCell};
use kiln_store::TestReport;

use crate::combination::Combination;
use crate::comparison::Comparison;
use crate::measures::Format;
use kiln_statistics::Spread;

use super::labels::{short_labels, spread_words};

/// The largest number of characters of a row's name.
const LONGEST_NAME: usize = 56;

/// The recall of each class in the first `most` tested combinations, as a mean over their tested runs. `None` if no run
/// was tested.
#[must_use]
pub fn class_recall(comparison: &Comparison, most: usize) -> Option<Heatmap> {
    let mut classes: Vec<String> = Vec::new();
    let mut tested: Vec<(usize, &Combination, Vec<TestReport>)> = Vec::new();
    let names = short_labels(comparison, LONGEST_NAME);
    for (index, combination) in comparison.combinations.iter().enumerate() {
        if tested.len() == most {
            break;
        }
        let runs = combination.runs.iter().filter(|run| run.test.is_some());
        let reports: Vec<TestReport> =
            runs.filter_map(|run| run.directory.read_report().ok().flatten()).collect();
        for class in reports.iter().flat_map(|report| &report.per_class) {
            if !classes.contains(&class.class) {
                classes.push(class.class.clone());
            }
        }
        if !reports.is_empty() {
            tested.push((index, combination, reports));
        }
    }
    let all = comparison.combinations.iter().filter(|all| all.is_tested()).count();
    let note = if tested.len() < all {
        format!(
            "share of each class's test images classified correctly; the {} best of {all} combinations by validation",
            tested.len()
        )
    } else {
        "share of each class's test images classified correctly; means over seeds".to_owned()
    };
    let row =
        |(_, combination, reports): &(usize, &Combination, Vec<TestReport>)| -> Vec<HeatmapCell> {
            let label = combination.label(&comparison.columns);
            classes.iter().map(|class| cell(&label, class, reports)).collect()
        };
    (!tested.is_empty()).then(|| Heatmap {
        title: "accuracy by class".to_owned(),
        note,
        value: "recall".to_owned(),
        decimals: 3,
        rows: tested.iter().map(|(index, ..)| names[*index].clone()).collect(),
        columns: classes.clone(),
        cells: tested.iter().map(row).collect(),
        ..Heatmap::default()
    })
}

fn cell(label: &str, class: &str, reports: &[TestReport]) -> HeatmapCell {
    let own = reports.iter().filter_map(|report| {
        report.per_class.iter().find(|candidate| candidate.class == class)?.recall
    });
    let Some(spread) = Spread::of(own) else { return HeatmapCell::default() };
    HeatmapCell {
        value: Some(spread.mean),
        words: format!("{class}: {}\n{label}", spread_words(spread, Format::Decimal)),
        ..HeatmapCell::default()
    }
}
