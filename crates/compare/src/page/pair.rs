use kiln_report::chart::{confusion_chart, inline};
use kiln_store::{TestReport, grouped};

use crate::combination::{Combination, RunSummary};
use crate::comparison::Comparison;

use super::data::Run;

/// The largest number of cells of confusion matrices in the page.
pub const MAX_MATRIX_CELLS: usize = 50_000;

/// Two runs next to each other. Without scripts, these are the first tested runs of the two best combinations.
pub(super) struct PairView {
    pub(super) title: &'static str,
    pub(super) note: String,
    pub(super) names: Vec<String>,
    pub(super) differences: Vec<SettingRow>,
    /// Confusion matrices, as inline SVG.
    pub(super) matrices: Vec<String>,
}

/// A row of the table of settings that differ between the two runs.
pub(super) struct SettingRow {
    pub(super) key: String,
    pub(super) values: Vec<String>,
}

impl PairView {
    /// The view, and the runs of which the reader can choose two.
    pub(super) fn new(comparison: &Comparison) -> (Self, Vec<Run>) {
        let tested: usize = comparison
            .combinations
            .iter()
            .flat_map(|combination| &combination.runs)
            .filter(|run| run.test.is_some())
            .count();
        let mut runs: Vec<Run> = Vec::new();
        // The index in `runs` of the first run of each combination.
        let mut firsts = Vec::new();
        let mut cells = 0;
        'all: for combination in &comparison.combinations {
            let before = runs.len();
            for run in combination.runs.iter().filter(|run| run.test.is_some()) {
                let Ok(Some(report)) = run.directory.read_report() else { continue };
                // Of more than 256 classes, there is no matrix.
                if report.confusion.is_empty() {
                    continue;
                }
                cells += report.confusion.iter().map(Vec::len).sum::<usize>();
                // Two runs are always included, so that there is a pair to show.
                if cells > MAX_MATRIX_CELLS && runs.len() >= 2 {
                    break 'all;
                }
                runs.push(page_run(comparison, combination, run, report));
            }
            if runs.len() > before {
                firsts.push(before);
            }
        }
        // With a single combination, show two of its runs.
        if firsts.len() == 1 && runs.len() > 1 {
            firsts.push(1);
        }
        let shown: Vec<&Run> = firsts.iter().take(2).map(|first| &runs[*first]).collect();
        let view = Self {
            title: if runs.len() > 1 { "Two runs side by side" } else { "Confusion matrix" },
            note: note(runs.len(), tested),
            names: shown.iter().map(|run| run.name.clone()).collect(),
            differences: differences(&shown),
            matrices: shown
                .iter()
                .map(|run| inline(&confusion_chart(&run.name, &run.classes, &run.confusion)))
                .collect(),
        };
        // The script shows the first two runs at first: they must be the two that are shown without scripts.
        if let Some(second) = firsts.get(1).copied().filter(|second| *second > 1) {
            let run = runs.remove(second);
            runs.insert(1, run);
        }
        (view, runs)
    }
}

fn page_run(
    comparison: &Comparison,
    combination: &Combination,
    run: &RunSummary,
    report: TestReport,
) -> Run {
    let columns = comparison.columns.iter().zip(&combination.settings);
    let mut settings: Vec<_> =
        columns.map(|(column, value)| (column.key.clone(), value.clone())).collect();
    settings.push(("seed".to_owned(), Some(run.seed.to_string())));
    Run {
        name: format!("{}, seed {}", combination.label(&comparison.columns), run.seed),
        settings,
        classes: report.per_class.into_iter().map(|class| class.class).collect(),
        confusion: report.confusion,
    }
}

fn differences(runs: &[&Run]) -> Vec<SettingRow> {
    let [first, second] = runs else { return Vec::new() };
    let pairs = first.settings.iter().zip(&second.settings);
    let different = pairs.filter(|(first, second)| first.1 != second.1);
    different
        .map(|(first, second)| SettingRow {
            key: first.0.clone(),
            values: [&first.1, &second.1].map(|value| value.clone().unwrap_or_default()).into(),
        })
        .collect()
}

fn note(shown: usize, tested: usize) -> String {
    if shown < 2 && tested < 2 {
        return String::new();
    }
    let mut note = "The differences between their settings and confusion matrices.".to_owned();
    if shown < tested {
        note.push_str(&format!(
            " This file has the matrices of {} of {} tested runs, the best by validation.",
            grouped(shown as u64),
            grouped(tested as u64)
        ));
    }
    note
}
