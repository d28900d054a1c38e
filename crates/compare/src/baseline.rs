//! Finds the combination that is the baseline of the verdicts.

use std::fs;
use std::path::Path;

use kiln_config::KeyError;

use crate::columns::{self, Place};
use crate::combination::{Combination, RunSummary};
use crate::comparison::Comparison;
use crate::error::{CompareError, Result};
use crate::ranking::DEFAULT_METRIC;

impl Comparison {
    /// Finds the combination that `given` names: by a run's directory, a run's id, or settings such as
    /// `learning_rate=0.01,hidden.repeat=2` that exactly one combination has. Returns its index.
    pub(crate) fn find_baseline(&self, given: &str) -> Result<usize> {
        // A path can contain `=`, too.
        let by_settings = given.contains('=') && !Path::new(given).exists();
        let found: Vec<usize> =
            if by_settings { self.by_settings(given)? } else { self.by_run(given) };
        match found.as_slice() {
            [combination] => self.finished(*combination, given),
            [] if by_settings => {
                Err(request_error(format!("no combination has the settings {given}")))
            }
            [] => Err(request_error(format!(
                "the baseline {given} is not one of the compared runs: give the directory or the id of one of them, or settings such as KEY=VALUE,KEY=VALUE"
            ))),
            several => Err(request_error(self.ambiguous(given, several))),
        }
    }

    /// Returns the combination if one of its runs finished: unfinished runs have no result to compare with.
    fn finished(&self, combination: usize, given: &str) -> Result<usize> {
        if self.combinations[combination].finished() > 0 {
            return Ok(combination);
        }
        Err(request_error(format!(
            "the baseline {given} did not finish ({}): choose a combination that finished",
            self.combinations[combination].status()
        )))
    }

    fn by_run(&self, given: &str) -> Vec<usize> {
        let directory = fs::canonicalize(given).ok();
        let by_directory = directory.map(|directory| {
            self.with_run(|run| {
                fs::canonicalize(run.directory.path()).is_ok_and(|path| path == directory)
            })
        });
        match by_directory {
            Some(found) if !found.is_empty() => found,
            _ => self.with_run(|run| run.id == given || run.directory.id() == given),
        }
    }

    fn with_run(&self, matches: impl Fn(&RunSummary) -> bool) -> Vec<usize> {
        self.indices(|one| one.runs.iter().chain(&one.copies).any(&matches))
    }

    fn indices(&self, matches: impl Fn(&Combination) -> bool) -> Vec<usize> {
        let combinations = self.combinations.iter().enumerate();
        combinations
            .filter(|(_, combination)| matches(combination))
            .map(|(index, _)| index)
            .collect()
    }

    fn by_settings(&self, given: &str) -> Result<Vec<usize>> {
        let mut wanted: Vec<(&str, String)> = Vec::new();
        for part in given.split(',') {
            match (part.split_once('='), wanted.last_mut()) {
                (Some((name, value)), _) => wanted.push((name.trim(), value.trim().to_owned())),
                // A value can contain commas: `layers=flatten, 300 relu`.
                (None, Some((_, value))) => *value = format!("{value},{part}"),
                (None, None) => return Err(request_error(format!("`{part}` is not KEY=VALUE"))),
            }
        }
        let mut left = self.indices(|_| true);
        for (name, value) in wanted {
            let place = self.place(name)?;
            left.retain(|index| {
                let has = self.value(*index, place);
                has.is_some_and(|has| is_same(has, &value))
            });
        }
        Ok(left)
    }

    /// Finds the setting with this name.
    fn place(&self, name: &str) -> Result<Place> {
        match columns::find(name, &self.columns, &self.shared) {
            Ok(place) => Ok(place),
            Err(KeyError::Unknown { .. }) => {
                let known: Vec<_> =
                    self.columns.iter().map(|column| column.label.as_str()).collect();
                let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                Err(request_error(format!(
                    "the runs have no setting `{name}`; they differ in: {known}"
                )))
            }
            Err(KeyError::Ambiguous(keys)) => Err(request_error(columns::ambiguous(name, &keys))),
        }
    }

    fn value(&self, combination: usize, place: Place) -> Option<&str> {
        match place {
            Place::Column(column) => self.combinations[combination].settings[column].as_deref(),
            Place::Shared(index) => Some(&self.shared[index].value),
        }
    }

    fn ambiguous(&self, given: &str, several: &[usize]) -> String {
        let labels =
            several.iter().take(4).map(|index| self.combinations[*index].label(&self.columns));
        let mut labels: Vec<_> = labels.collect();
        if several.len() > 4 {
            labels.push("…".to_owned());
        }
        format!(
            "the baseline {given} matches {} combinations ({}): give more settings",
            several.len(),
            labels.join("; ")
        )
    }

    /// Checks that some run has the metric that ranks, unless it is the default one.
    pub(crate) fn check_metric(&self) -> Result<()> {
        let wanted = self.ranking.metric();
        let mut known: Vec<&str> = Vec::new();
        let all = self.other_data.iter().chain([self]).flat_map(Comparison::runs);
        for metric in all.flat_map(|run| &run.metrics) {
            // Ranking by results on the training images would choose the run that overfits most.
            if metric.name.starts_with("val_") && !known.contains(&metric.name.as_str()) {
                known.push(&metric.name);
            }
        }
        if wanted == DEFAULT_METRIC || known.contains(&wanted) {
            return Ok(());
        }
        Err(request_error(format!(
            "cannot rank by `{wanted}`: choose a validation metric of the runs, {}",
            known.join(" or ")
        )))
    }
}

fn request_error(problem: String) -> CompareError {
    CompareError::Request(kiln_store::escape::control(&problem).into_owned())
}

/// Whether two values are equal as text or as numbers, such as 1e-2 and 0.01.
fn is_same(has: &str, wanted: &str) -> bool {
    let number = |text: &str| text.parse::<f64>().ok();
    has == wanted || number(has).is_some_and(|has| Some(has) == number(wanted))
}
