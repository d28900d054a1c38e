use std::collections::HashMap;
use std::path::Path;

use kiln_store::{LeftOut, StoreError, find};

use crate::column::{Column, SharedSetting};
use crate::columns::SettingsTable;
use crate::combination::{Combination, RunSummary};
use crate::error::Result;
use crate::read::Read;
use crate::verdict::{Baseline, BaselineChoice};
use crate::{judge, rank, read};

/// Combinations of settings, ranked, and what is known of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// The settings that differ between the runs, in the order of their configurations.
    pub columns: Vec<Column>,
    /// The settings that are the same in all runs, in the same order.
    pub shared: Vec<SharedSetting>,
    /// The rows. Those whose runs all finished come first, then those of which some did, then the others; each by the
    /// mean of the best `val_accuracy`, descending.
    pub combinations: Vec<Combination>,
    /// What the verdicts are against; `None` where there is nothing to be against.
    pub baseline: Option<Baseline>,
    /// Directories that could not be read, and why.
    pub left_out: Vec<LeftOut>,
    /// In words, which verdicts are missing and why.
    pub notes: Vec<String>,
}

impl Comparison {
    /// Reads the runs that `paths` stand for, as [`find()`](find()) has them, and compares them. `baseline` is a run's directory,
    /// a run's id, or settings such as `learning_rate=0.01,hidden.repeat=2` that a single combination has; without it
    /// the best combination by validation is what the others are held against.
    ///
    /// # Errors
    ///
    /// [`StoreError::NoRuns`] where a path leads to no run or none can be read, [`CompareError::Request`](crate::CompareError::Request) where the
    /// baseline is not one combination among them that was tested.
    pub fn read(paths: &[impl AsRef<Path>], baseline: Option<&str>) -> Result<Self> {
        let mut comparison = Self::ranked(paths)?;
        let baseline = match baseline {
            Some(given) => Some((comparison.find_baseline(given)?, BaselineChoice::Given)),
            None => comparison.default_baseline(),
        };
        if let Some((index, chosen)) = baseline {
            let Self { combinations, columns, .. } = &mut comparison;
            (comparison.baseline, comparison.notes) =
                judge::judge(combinations, columns, index, chosen);
        }
        Ok(comparison)
    }

    /// As [`read`](Self::read), without baseline and verdicts, for which no prediction need be read.
    ///
    /// # Errors
    ///
    /// [`StoreError::NoRuns`] where a path leads to no run or none can be read.
    pub fn ranked(paths: &[impl AsRef<Path>]) -> Result<Self> {
        let found = find(paths)?;
        let mut read = read::read(&found.runs);
        read.left_out.extend(found.left_out);
        read.left_out.sort_by(|left, right| left.path.cmp(&right.path));
        if let (true, Some(first)) = (read.runs.is_empty(), read.left_out.first()) {
            let error = StoreError::NoRuns {
                path: first.path.clone(),
                problem: format!("{}; no run that was given can be read", first.problem),
            };
            return Err(error.into());
        }
        let mut comparison = Self::group(read);
        rank::rank(&mut comparison.combinations);
        Ok(comparison)
    }

    /// The combination to go on with: the best by validation among those whose runs all finished, else among those of
    /// which some did. The test set has no say in it. `None` where no finished run has a `val_accuracy`.
    #[must_use]
    pub fn selected(&self) -> Option<&Combination> {
        self.selected_index().map(|index| &self.combinations[index])
    }

    pub(crate) fn selected_index(&self) -> Option<usize> {
        // The order is already that of the choice.
        self.combinations
            .iter()
            .position(|combination| combination.finished() > 0 && combination.best().is_some())
    }

    /// Whether validation ranks the combinations; where no run has any, their settings order them.
    #[must_use]
    pub fn is_ranked(&self) -> bool {
        rank::is_ranked(&self.combinations)
    }

    /// Puts the runs of equal settings together.
    fn group(mut read: Read) -> Self {
        let configurations: Vec<_> =
            read.runs.iter().map(|(_, configuration)| configuration).collect();
        let table = SettingsTable::new(&configurations, &mut read.words);
        let differing = table.differing();
        let mut groups: HashMap<Vec<Option<u32>>, Vec<RunSummary>> = HashMap::new();
        for ((run, _), row) in read.runs.into_iter().zip(&table.rows) {
            let settings = differing.iter().map(|column| row[*column]).collect();
            groups.entry(settings).or_default().push(run);
        }
        let text = |number: u32| read.words.text(number).to_owned();
        let combination = |(settings, mut runs): (Vec<Option<u32>>, Vec<RunSummary>)| {
            runs.sort_by(|left, right| {
                (left.seed, &left.id, left.directory.path()).cmp(&(
                    right.seed,
                    &right.id,
                    right.directory.path(),
                ))
            });
            let settings = settings.into_iter().map(|value| value.map(text)).collect();
            Combination { settings, runs, verdict: None }
        };
        let combinations = groups.into_iter().map(combination).collect();
        let is_shared = |column: &usize| !differing.contains(column);
        let shared = (0..table.columns.len()).filter(is_shared).filter_map(|column| {
            let value = table.rows.first()?[column].map(text)?;
            Some(SharedSetting { column: table.columns[column].clone(), value })
        });
        Self {
            shared: shared.collect(),
            columns: differing.iter().map(|column| table.columns[*column].clone()).collect(),
            combinations,
            baseline: None,
            left_out: read.left_out,
            notes: Vec::new(),
        }
    }
}
