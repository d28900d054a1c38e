use std::collections::BTreeMap;

use kiln_report::chart::{Heatmap, HeatmapCell};

use crate::combination::Combination;
use crate::comparison::Comparison;
use crate::statistics::Spread;

use super::labels::{column, is_selected, name, setting, spread_words, unfinished, values};

/// What a combination is shown by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// The best epoch's `val_accuracy`.
    BestValidation,
    /// The last epoch's `val_accuracy`.
    LastValidation,
    /// Accuracy on the test set.
    TestAccuracy,
    /// Mean loss on the test set.
    TestLoss,
    /// Seconds spent in training and validation.
    TrainingSeconds,
}

impl Measure {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::BestValidation,
        Self::LastValidation,
        Self::TestAccuracy,
        Self::TestLoss,
        Self::TrainingSeconds,
    ];

    /// In words: "best val_accuracy".
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::BestValidation => "best val_accuracy",
            Self::LastValidation => "last val_accuracy",
            Self::TestAccuracy => "test accuracy",
            Self::TestLoss => "test loss",
            Self::TrainingSeconds => "seconds of training",
        }
    }

    /// A combination's value, over its seeds.
    #[must_use]
    pub fn of(self, combination: &Combination) -> Option<Spread> {
        match self {
            Self::BestValidation => combination.best(),
            Self::LastValidation => combination.last(),
            Self::TestAccuracy => combination.test_accuracy(),
            Self::TestLoss => combination.test_loss(),
            Self::TrainingSeconds => combination.training_seconds(),
        }
    }

    /// The digits behind the point that people read it with.
    #[must_use]
    pub fn decimals(self) -> usize {
        if self == Self::TrainingSeconds { 1 } else { 4 }
    }

    /// Whether less of it is better.
    #[must_use]
    pub fn lower_is_better(self) -> bool {
        matches!(self, Self::TestLoss | Self::TrainingSeconds)
    }
}

/// A measure by two settings, or by one (then there is one column), given by their keys. `None` where a key is not one
/// of the comparison's columns.
///
/// Where combinations differ in other settings too, a cell shows the best of its combinations: the best by validation,
/// whatever the measure, for the test set does not choose.
#[must_use]
pub fn setting_grid(
    comparison: &Comparison,
    row_key: &str,
    column_key: Option<&str>,
    measure: Measure,
) -> Option<Heatmap> {
    let row_column = column(comparison, row_key)?;
    let column_column = match column_key {
        Some(key) => Some(column(comparison, key)?),
        None => None,
    };
    let rows = values(comparison, row_column);
    let columns = column_column.map_or_else(|| vec![None], |column| values(comparison, column));
    let mut cells: BTreeMap<_, Vec<usize>> = BTreeMap::new();
    for (index, combination) in comparison.combinations.iter().enumerate() {
        let place = (
            setting(combination, row_column),
            column_column.and_then(|column| setting(combination, column)),
        );
        cells.entry(place).or_default().push(index);
    }
    let shared = cells.values().any(|cell| cell.len() > 1);
    let cell = |row, column| {
        let places = cells.get(&(row, column)).map(Vec::as_slice).unwrap_or_default();
        cell(comparison, places, measure)
    };
    let label = |column: usize| comparison.columns[column].label.clone();
    Some(Heatmap {
        title: match column_column {
            Some(column) => {
                format!("{} by {} and {}", measure.name(), label(row_column), label(column))
            }
            None => format!("{} by {}", measure.name(), label(row_column)),
        },
        note: note(comparison, shared),
        value: measure.name().to_owned(),
        decimals: measure.decimals(),
        lower_is_better: measure.lower_is_better(),
        row_label: label(row_column),
        rows: rows.iter().map(|value| name(*value)).collect(),
        column_label: column_column.map(label).unwrap_or_default(),
        columns: match column_column {
            Some(_) => columns.iter().map(|value| name(*value)).collect(),
            // The legend names the only column.
            None => vec![String::new()],
        },
        cells: rows
            .iter()
            .map(|row| columns.iter().map(|column| cell(*row, *column)).collect())
            .collect(),
    })
}

/// The cell of the combinations at these places, which are in the order of validation.
fn cell(comparison: &Comparison, places: &[usize], measure: Measure) -> HeatmapCell {
    let Some(first) = places.first() else { return HeatmapCell::default() };
    let combination = &comparison.combinations[*first];
    let spread = measure.of(combination);
    let mut words = combination.label(&comparison.columns);
    if let Some(spread) = spread {
        words.push_str(&format!(
            "\n{} {}",
            measure.name(),
            spread_words(spread, measure.decimals())
        ));
    }
    words.push_str(&format!("\n{}", combination.status()));
    if places.len() > 1 {
        words.push_str(&format!("\nthe best of {} combinations", places.len()));
    }
    HeatmapCell {
        value: spread.map(|spread| spread.mean),
        mark: unfinished(combination),
        best: is_selected(comparison, *first),
        words,
    }
}

/// How a cell's number came about, where it is not just a run's.
fn note(comparison: &Comparison, shared: bool) -> String {
    let has_seeds = comparison.combinations.iter().any(|combination| combination.runs.len() > 1);
    let notes = [
        has_seeds.then_some("means over seeds"),
        shared.then_some("each cell shows its best combination by validation"),
    ];
    notes.into_iter().flatten().collect::<Vec<_>>().join("; ")
}
