//! Finds the settings whose values follow from a type: if the optimizers differ, each has constants of its own, which
//! distinguish nothing that the name of the optimizer does not.

use std::collections::BTreeMap;

use crate::column::{Column, ImpliedBy};
use crate::combination::Combination;

/// Fills [`Column::implied_by`] of each setting that is next to a `type`.
pub(crate) fn mark(columns: &mut [Column], combinations: &[Combination]) {
    let keys: Vec<String> = columns.iter().map(|column| column.key.clone()).collect();
    for (index, column) in columns.iter_mut().enumerate() {
        let Some((table, name)) = column.key.rsplit_once('.') else { continue };
        let type_key = format!("{table}.type");
        let type_column = keys.iter().position(|key| *key == type_key);
        // A learning rate is chosen, even where each optimizer has a single one.
        let is_constant = !matches!(name, "type" | "learning_rate");
        if let Some(type_column) = type_column.filter(|_| is_constant) {
            column.implied_by = implied_by(combinations, index, type_column);
        }
    }
}

fn implied_by(
    combinations: &[Combination],
    column: usize,
    type_column: usize,
) -> Option<ImpliedBy> {
    let mut values: BTreeMap<Option<&str>, Vec<Option<&str>>> = BTreeMap::new();
    for combination in combinations {
        let setting = |column: usize| combination.settings.get(column)?.as_deref();
        values.entry(setting(type_column)).or_default().push(setting(column));
    }
    let is_constant = |values: &&Vec<Option<&str>>| values.iter().all(|value| *value == values[0]);
    let always = values.values().all(|values| is_constant(&values));
    // In a random search, a type may have a single combination. Its settings were drawn and not implied.
    let types = values
        .iter()
        .filter(|(_, values)| always || (values.len() > 1 && is_constant(values)))
        .map(|(kind, _)| kind.map(str::to_owned))
        .collect::<Vec<_>>();
    (!types.is_empty()).then_some(ImpliedBy { type_column, types, always })
}
