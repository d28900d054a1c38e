use super::{Column, RunSummary, Verdict};

/// Two runs in depth: in what they differ and on which images.
#[derive(Debug, Clone, PartialEq)]
pub struct Pair {
    /// The run that the other is held against.
    pub first: RunSummary,
    /// The other.
    pub second: RunSummary,
    /// The settings that differ, the seed among them, in the order of their configurations.
    pub settings: Vec<SettingDifference>,
    /// Where their predictions agree, by class; empty where there are no predictions to compare.
    pub classes: Vec<ClassAgreement>,
    /// Whether the second differs from the first in test accuracy.
    pub verdict: Option<Verdict>,
    /// In words, what is missing and why.
    pub notes: Vec<String>,
}

/// A setting that differs between two runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingDifference {
    /// Where it is and what it is called.
    pub column: Column,
    /// Its value in the first run; `None` where that has no such setting.
    pub first: Option<String>,
    /// Its value in the second.
    pub second: Option<String>,
}

/// How two runs classified the test images of one class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassAgreement {
    /// The class's name.
    pub class: String,
    /// Images that both classified rightly.
    pub both_right: usize,
    /// Images that only the first classified rightly.
    pub only_first: usize,
    /// Images that only the second classified rightly.
    pub only_second: usize,
    /// Images that both classified wrongly.
    pub both_wrong: usize,
}

impl ClassAgreement {
    /// The test images of the class.
    #[must_use]
    pub fn support(&self) -> usize {
        self.both_right + self.only_first + self.only_second + self.both_wrong
    }

    /// The first run's recall on the class; `None` where it has no image.
    #[must_use]
    pub fn first_recall(&self) -> Option<f64> {
        let support = self.support();
        (support > 0).then(|| (self.both_right + self.only_first) as f64 / support as f64)
    }

    /// The second run's recall on the class; `None` where it has no image.
    #[must_use]
    pub fn second_recall(&self) -> Option<f64> {
        let support = self.support();
        (support > 0).then(|| (self.both_right + self.only_second) as f64 / support as f64)
    }
}
