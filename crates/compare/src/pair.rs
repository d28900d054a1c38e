use kiln_store::Outcomes;

use crate::column::Column;
use crate::combination::RunSummary;
use crate::comparison::Comparison;
use crate::judge;
use crate::verdict::Verdict;
use kiln_statistics::Family;

/// Two runs in detail: the settings that differ, and the test images that they classify differently.
#[derive(Debug, Clone, PartialEq)]
pub struct Pair {
    /// The run that the second one is compared with.
    pub first: RunSummary,
    /// The second run.
    pub second: RunSummary,
    /// The settings that differ, in the order of the configuration files, and the seed at the end if it differs.
    pub settings: Vec<SettingDifference>,
    /// How often their predictions agree, by class; empty if there are no predictions to compare.
    pub classes: Vec<ClassAgreement>,
    /// Whether the second run's accuracy differs from the first's.
    pub verdict: Option<Verdict>,
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
    /// The runs of a comparison with exactly two runs, the baseline first if one of them is it; `None` otherwise. If
    /// predictions cannot be read, [`Pair::notes`] says so.
    #[must_use]
    pub fn of(comparison: &Comparison) -> Option<Self> {
        let mut runs: Vec<(usize, &RunSummary)> = Vec::new();
        for (index, combination) in comparison.combinations.iter().enumerate() {
            runs.extend(combination.runs.iter().map(|run| (index, run)));
        }
        let [mut first, mut second] = runs.try_into().ok()?;
        let baseline = comparison.baseline.map(|baseline| baseline.combination);
        if baseline == Some(second.0) && baseline != Some(first.0) {
            std::mem::swap(&mut first, &mut second);
        }
        let mut pair = Self {
            first: first.1.clone(),
            second: second.1.clone(),
            settings: differences(comparison, first, second),
            classes: Vec::new(),
            verdict: None,
            notes: Vec::new(),
        };
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
        let family = Family { level: judge::LEVEL, comparisons: 1 };
        let verdict = judge::by_images(second, first, family);
        if verdict.is_none() {
            self.notes.push("The runs were tested on different images.".to_owned());
            return;
        }
        let is_setting =
            |it: &SettingDifference| !matches!(it.column.key.as_str(), "seed" | "name");
        if self.settings.iter().any(is_setting) {
            self.verdict = verdict;
        } else {
            self.notes.push(
                "The runs have the same settings. They differ only by the noise of the seed, so neither is better."
                    .to_owned(),
            );
        }
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

fn differences(
    comparison: &Comparison,
    first: (usize, &RunSummary),
    second: (usize, &RunSummary),
) -> Vec<SettingDifference> {
    let [first_values, second_values] =
        [first.0, second.0].map(|index| &comparison.combinations[index].settings);
    let settings = comparison.columns.iter().zip(first_values.iter().zip(second_values));
    let mut differences: Vec<_> = settings
        .filter(|(_, (first, second))| first != second)
        .map(|(column, (first, second))| SettingDifference {
            column: column.clone(),
            first: first.clone(),
            second: second.clone(),
        })
        .collect();
    if first.1.seed != second.1.seed {
        differences.push(SettingDifference {
            column: Column::new("seed", "seed"),
            first: Some(first.1.seed.to_string()),
            second: Some(second.1.seed.to_string()),
        });
    }
    differences
}
