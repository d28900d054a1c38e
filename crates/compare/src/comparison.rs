use std::collections::HashMap;
use std::path::Path;

use kiln_store::{Skipped, StoreError, find};

use crate::column::{Column, SharedSetting};
use crate::columns::SettingsTable;
use crate::combination::{Combination, RunSummary};
use crate::error::Result;
use crate::ranking::Ranking;
use crate::read::Read;
use crate::verdict::{Baseline, BaselineChoice};
use crate::{implied, judge, read};

/// Runs grouped by their settings and ranked.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// The settings that differ between the runs, in the order of the configuration files.
    pub columns: Vec<Column>,
    /// The settings that are the same in all runs, in the same order.
    pub shared: Vec<SharedSetting>,
    /// What ranks the combinations.
    pub ranking: Ranking,
    /// The rows. Combinations whose runs all finished come first, then those with some finished runs, then the others.
    /// Each group is sorted by the mean of the metric that ranks, the best first.
    pub combinations: Vec<Combination>,
    /// The baseline of the verdicts; `None` if no combination can be one.
    pub baseline: Option<Baseline>,
    /// The directories that could not be read, and why.
    pub left_out: Vec<Skipped>,
    /// Sentences that say which verdicts are missing and why.
    pub notes: Vec<String>,
}

impl Comparison {
    /// Finds the runs below `paths` with [`find()`](find()), reads and compares them. `baseline` is a run's directory,
    /// a run's id, or settings such as `learning_rate=0.01,hidden.repeat=2` that exactly one combination has. Without
    /// it, the baseline is the best combination by validation.
    ///
    /// # Errors
    ///
    /// [`StoreError::NoRuns`] if a path leads to no run or no run can be read,
    /// [`CompareError::Request`](crate::CompareError::Request) if the baseline is not exactly one tested combination.
    pub fn read(paths: &[impl AsRef<Path>], baseline: Option<&str>) -> Result<Self> {
        let mut comparison = Self::ranked(paths)?;
        let baseline = match baseline {
            Some(given) => Some((comparison.find_baseline(given)?, BaselineChoice::Given)),
            None => comparison.default_baseline(),
        };
        if let Some((index, chosen)) = baseline {
            judge::judge(&mut comparison, index, chosen);
        }
        Ok(comparison)
    }

    /// Like [`read`](Self::read), but without baseline and verdicts, so that no predictions are read.
    ///
    /// # Errors
    ///
    /// [`StoreError::NoRuns`] if a path leads to no run or no run can be read.
    pub fn ranked(paths: &[impl AsRef<Path>]) -> Result<Self> {
        let found = find(paths)?;
        let mut read = read::read(&found.runs);
        read.left_out.extend(found.left_out);
        read.left_out.sort_by(|left, right| left.path.cmp(&right.path));
        if let (true, Some(first)) = (read.runs.is_empty(), read.left_out.first()) {
            let error = StoreError::NoRuns {
                path: first.path.clone(),
                problem: format!("{}; none of the given runs can be read", first.problem),
            };
            return Err(error.into());
        }
        let mut comparison = Self::group(read);
        comparison.ranking.sort(&mut comparison.combinations);
        Ok(comparison)
    }

    /// The combination to continue with: the best by validation among those whose runs all finished, else among those
    /// with some finished runs. Test results are not used. `None` if no finished run has the metric that ranks.
    #[must_use]
    pub fn selected(&self) -> Option<&Combination> {
        self.selected_index().map(|index| &self.combinations[index])
    }

    pub(crate) fn selected_index(&self) -> Option<usize> {
        // The combinations are already in the order of the ranking.
        self.combinations.iter().position(|combination| {
            combination.finished() > 0 && self.ranking.of(combination).is_some()
        })
    }

    /// Whether validation ranks the combinations. If no run has been validated, they are ordered by their settings.
    #[must_use]
    pub fn is_ranked(&self) -> bool {
        self.ranking.has_values(&self.combinations)
    }

    /// Groups the runs by their settings.
    fn group(read: Read) -> Self {
        let (runs, configurations): (Vec<_>, Vec<_>) = read.runs.into_iter().unzip();
        let table = SettingsTable::new(&configurations);
        let differing = table.differing();
        let mut groups: HashMap<Vec<Option<&str>>, Vec<RunSummary>> = HashMap::new();
        for (run, row) in runs.into_iter().zip(&table.rows) {
            let settings = differing.iter().map(|column| row[*column].as_deref()).collect();
            groups.entry(settings).or_default().push(run);
        }
        let combination = |(settings, mut runs): (Vec<Option<&str>>, Vec<RunSummary>)| {
            runs.sort_by(|left, right| {
                (left.seed, &left.id, left.directory.path()).cmp(&(
                    right.seed,
                    &right.id,
                    right.directory.path(),
                ))
            });
            let settings = settings.into_iter().map(|value| value.map(str::to_owned)).collect();
            Combination { settings, runs, verdict: None }
        };
        let combinations: Vec<_> = groups.into_iter().map(combination).collect();
        let mut columns: Vec<_> =
            differing.iter().map(|column| table.columns[*column].clone()).collect();
        implied::mark(&mut columns, &combinations);
        let is_shared = |column: &usize| !differing.contains(column);
        let shared = (0..table.columns.len()).filter(is_shared).filter_map(|column| {
            let value = table.rows.first()?[column].as_deref()?.to_owned();
            Some(SharedSetting { column: table.columns[column].clone(), value })
        });
        Self {
            shared: shared.collect(),
            columns,
            ranking: Ranking::default(),
            combinations,
            baseline: None,
            left_out: read.left_out,
            notes: Vec::new(),
        }
    }
}
