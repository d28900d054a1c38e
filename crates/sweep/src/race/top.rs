//! The combinations that `--top` races.

use std::collections::{HashMap, HashSet};

use kiln_config::ConfigError;

use crate::declaration::SweepPoint;
use crate::race::{RaceResult, check_validation, without_seed};

/// The `top` best combinations of a search by their mean validation accuracy, identified by [`without_seed`].
/// Combinations with a pruned or diverged run are not among them. `results` holds the result of each run.
///
/// # Errors
///
/// A run of the search is not done, since then its result could change the choice later.
pub(crate) fn best_combinations(
    search: &[SweepPoint],
    results: &[RaceResult],
    top: usize,
) -> Result<HashSet<String>, ConfigError> {
    let to_do = results.iter().filter(|result| **result == RaceResult::Pending).count();
    let mut combinations: Vec<(String, Vec<RaceResult>)> = Vec::new();
    let mut indices: HashMap<String, usize> = HashMap::new();
    for (SweepPoint { declaration, .. }, result) in search.iter().zip(results) {
        check_validation(declaration)?;
        let identity = without_seed(&declaration.experiment)?;
        let index = *indices.entry(identity.clone()).or_insert(combinations.len());
        match combinations.get_mut(index) {
            Some((_, results)) => results.push(*result),
            None => combinations.push((identity, vec![*result])),
        }
    }
    if to_do > 0 {
        let message = format!(
            "`--top` chooses by the results of this sweep, but {to_do} of its {} runs are not done",
            search.len()
        );
        return Err(ConfigError::new(message).help("first run the sweep without --race and --top"));
    }
    let mut means: Vec<(f64, String)> = Vec::new();
    for (identity, results) in combinations {
        let values: Vec<f64> = results
            .iter()
            .filter_map(|result| match result {
                RaceResult::Value(value) => Some(*value),
                RaceResult::Pending | RaceResult::Out => None,
            })
            .collect();
        if values.len() == results.len() {
            means.push((values.iter().sum::<f64>() / values.len() as f64, identity));
        }
    }
    // The sort is stable, so of equal combinations the first ones are chosen.
    means.sort_by(|(left, _), (right, _)| right.total_cmp(left));
    if means.len() < 2 {
        let message =
            format!("a race needs at least two combinations, and {} finished", means.len());
        return Err(ConfigError::new(message));
    }
    Ok(means.into_iter().take(top).map(|(_, identity)| identity).collect())
}
