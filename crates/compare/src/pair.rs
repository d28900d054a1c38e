use std::borrow::Cow;
use std::fs;
use std::path::Path;

use kiln_statistics::{AccuracyDifference, Discordant, Family, mcnemar};
use kiln_store::Outcomes;

use crate::column::Column;
use crate::columns::SettingsTable;
use crate::combination::RunSummary;
use crate::comparison::Comparison;
use crate::read::read_config;

/// Two runs in detail: the settings that differ, and the test images that they classify differently.
#[derive(Debug, Clone, PartialEq)]
pub struct Pair {
    /// The first run, in the order of the paths that were given.
    pub first: RunSummary,
    /// The second run.
    pub second: RunSummary,
    /// The settings that differ, in the order of the configuration files, and the seed at the end if it differs.
    pub settings: Vec<SettingDifference>,
    /// How often their predictions agree, by class; empty if there are no predictions to compare.
    pub classes: Vec<ClassAgreement>,
    /// The second run's accuracy on the test images minus the first's, by McNemar's test. It is about these two networks
    /// and not about their settings: two seeds of one setting often differ significantly.
    pub difference: Option<AccuracyDifference>,
    /// The significance level of `difference`.
    pub level: f64,
    /// Sentences that say what is missing and why.
    pub notes: Vec<String>,
}

/// A setting that differs between two runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingDifference {
    /// Its path and its label.
    pub column: Column,
    /// The value in the first run; `None` if it does not have the setting.
    pub first: Option<String>,
    /// The value in the second run; `None` if it does not have the setting.
    pub second: Option<String>,
}

/// How two runs classified the test images of one class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassAgreement {
    /// The name of the class.
    pub class: String,
    /// Images that both classified correctly.
    pub both_right: usize,
    /// Images that only the first classified correctly.
    pub only_first: usize,
    /// Images that only the second classified correctly.
    pub only_second: usize,
    /// Images that both classified incorrectly.
    pub both_wrong: usize,
}

impl ClassAgreement {
    fn new(class: &str) -> Self {
        let class = class.to_owned();
        Self { class, both_right: 0, only_first: 0, only_second: 0, both_wrong: 0 }
    }

    /// The number of test images of the class.
    #[must_use]
    pub fn support(&self) -> usize {
        self.both_right + self.only_first + self.only_second + self.both_wrong
    }

    /// The first run's recall on the class; `None` if the class has no image.
    #[must_use]
    pub fn first_recall(&self) -> Option<f64> {
        let support = self.support();
        (support > 0).then(|| (self.both_right + self.only_first) as f64 / support as f64)
    }

    /// The second run's recall on the class; `None` if the class has no image.
    #[must_use]
    pub fn second_recall(&self) -> Option<f64> {
        let support = self.support();
        (support > 0).then(|| (self.both_right + self.only_second) as f64 / support as f64)
    }
}

impl Pair {
    /// The runs of a comparison of exactly two runs, in the order in which `paths` name them; `None` for any other number.
    /// If files cannot be read, [`Pair::notes`] says so.
    #[must_use]
    pub fn of(comparison: &Comparison, paths: &[impl AsRef<Path>]) -> Option<Self> {
        let datasets = comparison.other_data.iter().chain([comparison]);
        let combinations = datasets.flat_map(|one| &one.combinations);
        let runs: Vec<&RunSummary> =
            combinations.flat_map(|one| one.runs.iter().chain(&one.copies)).collect();
        let [mut first, mut second] = runs.try_into().ok()?;
        let resolved = |path: &Path| fs::canonicalize(path).ok();
        let place = |run: &RunSummary| {
            let own = resolved(run.directory.path())?;
            paths.iter().position(|path| resolved(path.as_ref()).as_ref() == Some(&own))
        };
        let order = |run| (place(run).unwrap_or(paths.len()), run.directory.path().to_owned());
        if order(second) < order(first) {
            std::mem::swap(&mut first, &mut second);
        }
        let mut pair = Self {
            first: first.clone(),
            second: second.clone(),
            settings: Vec::new(),
            classes: Vec::new(),
            difference: None,
            level: comparison.level,
            notes: Vec::new(),
        };
        pair.read_settings();
        pair.read_predictions();
        Some(pair)
    }

    /// The sum over all classes.
    #[must_use]
    pub fn total(&self) -> ClassAgreement {
        let mut total = ClassAgreement::new("all");
        for class in &self.classes {
            total.both_right += class.both_right;
            total.only_first += class.only_first;
            total.only_second += class.only_second;
            total.both_wrong += class.both_wrong;
        }
        total
    }

    fn read_settings(&mut self) {
        let configurations =
            match (read_config(&self.first.directory), read_config(&self.second.directory)) {
                (Ok(first), Ok(second)) => [first, second],
                (first, second) => {
                    let problems = [first.err(), second.err()].into_iter().flatten();
                    self.notes.extend(problems.map(|problem| problem.to_string()));
                    return;
                }
            };
        let table = SettingsTable::new(&configurations);
        let [first, second] = table.rows.as_slice() else { return };
        let text = |value: &Option<Cow<'_, str>>| value.as_deref().map(str::to_owned);
        self.settings.extend(table.differing().into_iter().map(|column| SettingDifference {
            column: table.columns[column].clone(),
            first: text(&first[column]),
            second: text(&second[column]),
        }));
        if self.first.seed != self.second.seed {
            self.settings.push(SettingDifference {
                column: Column::new("seed", "seed"),
                first: Some(self.first.seed.to_string()),
                second: Some(self.second.seed.to_string()),
            });
        }
    }

    fn read_predictions(&mut self) {
        for run in [&self.first, &self.second] {
            if run.test.is_none() {
                self.notes.push(format!("{} was not tested ({}).", run.id, run.status_words()));
            }
        }
        if !self.notes.is_empty() {
            return;
        }
        if self.first.fingerprint != self.second.fingerprint {
            self.notes.push(
                "The runs used different datasets, so their tests are not compared.".to_owned(),
            );
            return;
        }
        let read = |run: &RunSummary| Outcomes::read(&run.directory);
        match (read(&self.first), read(&self.second)) {
            (Ok(first), Ok(second)) => self.compare(&first, &second),
            (first, second) => {
                let problems = [first.err(), second.err()].into_iter().flatten();
                self.notes.extend(problems.map(|problem| problem.to_string()));
            }
        }
    }

    fn compare(&mut self, first: &Outcomes, second: &Outcomes) {
        if first.labels != second.labels || first.class_names != second.class_names {
            self.notes.push("The runs were tested on different images.".to_owned());
            return;
        }
        let pairs = || first.right.iter().zip(&second.right);
        let counts = Discordant {
            only_first: pairs().filter(|(first, second)| !**first && **second).count(),
            only_second: pairs().filter(|(first, second)| **first && !**second).count(),
            images: first.labels.len(),
        };
        self.difference = mcnemar(counts, Family { level: self.level, comparisons: 1 });
        self.classes = first.class_names.iter().map(|name| ClassAgreement::new(name)).collect();
        for ((label, first), second) in first.labels.iter().zip(&first.right).zip(&second.right) {
            let Some(class) = self.classes.get_mut(usize::from(*label)) else {
                continue;
            };
            match (first, second) {
                (true, true) => class.both_right += 1,
                (true, false) => class.only_first += 1,
                (false, true) => class.only_second += 1,
                (false, false) => class.both_wrong += 1,
            }
        }
    }
}
