use kiln_report::chart::{Heatmap, HeatmapCell};
use kiln_store::{MAX_MATRIX_CLASSES, TestReport};

use crate::combination::Combination;
use crate::comparison::Comparison;
use crate::measures::Format;
use kiln_statistics::Spread;

use super::labels::{short_labels, spread_words};

/// The largest number of characters of a row's name.
const LONGEST_NAME: usize = 56;

/// The number of columns if there are more than [`MAX_MATRIX_CLASSES`] classes.
const MAX_CLASSES: usize = 40;

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
    let all_classes = classes.len();
    if let Some((.., reports)) = tested.first().filter(|_| all_classes > MAX_MATRIX_CLASSES) {
        let recall = |class: &String| {
            let spread = Spread::of(recalls(class, reports));
            spread.map_or(f64::INFINITY, |spread| spread.mean)
        };
        // The sort is stable: classes with equal recall stay in order.
        let mut by_recall: Vec<(f64, String)> =
            classes.into_iter().map(|class| (recall(&class), class)).collect();
        by_recall.sort_by(|a, b| a.0.total_cmp(&b.0));
        classes = by_recall.into_iter().take(MAX_CLASSES).map(|(_, class)| class).collect();
    }
    let all = comparison.combinations.iter().filter(|all| all.is_tested()).count();
    let mut note = if tested.len() < all {
        format!(
            "share of each class's test images classified correctly; the {} best of {all} combinations by validation",
            tested.len()
        )
    } else {
        "share of each class's test images classified correctly; means over seeds".to_owned()
    };
    if classes.len() < all_classes {
        note.push_str(&format!(
            "; the {} of {all_classes} classes with the lowest share in the first row",
            classes.len()
        ));
    }
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

/// The recall of a class in each report that has it.
fn recalls(class: &str, reports: &[TestReport]) -> impl Iterator<Item = f64> {
    reports.iter().filter_map(move |report| {
        report.per_class.iter().find(|candidate| candidate.class == class)?.recall
    })
}

fn cell(label: &str, class: &str, reports: &[TestReport]) -> HeatmapCell {
    let Some(spread) = Spread::of(recalls(class, reports)) else { return HeatmapCell::default() };
    HeatmapCell {
        value: Some(spread.mean),
        words: format!("{class}: {}\n{label}", spread_words(spread, Format::Decimal)),
        ..HeatmapCell::default()
    }
}
