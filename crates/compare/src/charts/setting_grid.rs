use std::collections::BTreeMap;

use kiln_report::chart::{Heatmap, HeatmapCell};
use kiln_store::Direction;

use crate::comparison::Comparison;
use crate::measures::Measure;

use super::labels::{
    column, is_selected, may_be_best, name, setting, spread_words, unfinished, values,
};

/// A measure over two settings, given by their keys, or over one, which makes a single column. `None` if a key is not
/// one of the comparison's columns.
///
/// If combinations differ in further settings, several share a cell. It shows the one that is best by validation,
/// whatever the measure is: choosing by test results would be selection on the test set.
#[must_use]
pub fn setting_grid(
    comparison: &Comparison,
    row_key: &str,
    column_key: Option<&str>,
    measure: &Measure<'_>,
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
                format!("{} by {} and {}", measure.heading, label(row_column), label(column))
            }
            None => format!("{} by {}", measure.heading, label(row_column)),
        },
        note: note(comparison, shared),
        value: measure.heading.to_owned(),
        decimals: measure.format.decimals(),
        lower_is_better: measure.direction == Some(Direction::Lower),
        row_label: label(row_column),
        rows: rows.iter().map(|value| name(*value)).collect(),
        column_label: column_column.map(label).unwrap_or_default(),
        columns: match column_column {
            Some(_) => columns.iter().map(|value| name(*value)).collect(),
            // A single column needs no name: the legend has the measure's.
            None => vec![String::new()],
        },
        cells: rows
            .iter()
            .map(|row| columns.iter().map(|column| cell(*row, *column)).collect())
            .collect(),
    })
}

/// The cell of the combinations at these places, which are in the order of the ranking.
fn cell(comparison: &Comparison, places: &[usize], measure: &Measure<'_>) -> HeatmapCell {
    let Some(first) = places.first() else { return HeatmapCell::default() };
    let combination = &comparison.combinations[*first];
    let spread = measure.of(combination);
    let mut words = combination.label(&comparison.columns);
    if let Some(spread) = spread {
        words.push_str(&format!("\n{} {}", measure.heading, spread_words(spread, measure.format)));
    }
    words.push_str(&format!("\n{}", combination.status()));
    // A cell with several combinations has the answer of the best one.
    let possible = may_be_best(comparison, *first);
    if possible {
        words.push_str("\npossible winner");
    }
    if places.len() > 1 {
        words.push_str(&format!("\nthe best of {} combinations", places.len()));
    }
    HeatmapCell {
        value: spread.map(|spread| spread.mean),
        mark: unfinished(combination),
        best: is_selected(comparison, *first),
        may_be_best: possible,
        words,
    }
}

/// How the values were computed, if they are not those of single runs.
fn note(comparison: &Comparison, shared: bool) -> String {
    let has_seeds = comparison.combinations.iter().any(|combination| combination.runs.len() > 1);
    let has_winners =
        (0..comparison.combinations.len()).any(|index| may_be_best(comparison, index));
    let notes = [
        has_seeds.then_some("means over seeds"),
        shared.then_some("each cell shows its best combination by validation"),
        // In a picture by frames, in text by signs.
        has_winners.then_some("marked: possible winners"),
    ];
    notes.into_iter().flatten().collect::<Vec<_>>().join("; ")
}
