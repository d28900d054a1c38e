/// The combination that the verdicts compare the others with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Baseline {
    /// The index among the comparison's combinations.
    pub combination: usize,
    /// Who chose it.
    pub chosen: BaselineChoice,
    /// The number of comparisons that the level is divided by (Bonferroni): the comparisons with a given baseline, or all
    /// pairs if the baseline is the best, because it was chosen from the results.
    pub comparisons: usize,
    /// The probability, at most, that a set of combinations which do not differ gets a `better` or `worse`: 0.05.
    pub level: f64,
}

/// Who chose the baseline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BaselineChoice {
    /// The user named it.
    Given,
    /// Kiln chose the best by validation.
    Best,
}

/// The accuracy that a [`Verdict`] compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accuracy {
    /// The validation accuracy that ranks the runs. It is compared over seeds.
    Validation,
    /// The test accuracy. It is compared over seeds if not all runs were validated on the same images, and always if
    /// single runs are compared, because a run keeps its predictions only for the test images.
    Test,
}

impl Accuracy {
    /// The name in CSV and JSON: "val_accuracy", "test_accuracy".
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Accuracy::Validation => "val_accuracy",
            Accuracy::Test => "test_accuracy",
        }
    }
}

/// Whether a combination's accuracy differs from the baseline's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Verdict {
    /// Better, worse, or not distinguishable.
    pub outcome: VerdictOutcome,
    /// The combination's accuracy minus the baseline's, over the compared runs.
    pub difference: f64,
    /// The confidence interval of the difference at the corrected level, within −1 to 1; `None` if both classified every
    /// image the same.
    pub interval: Option<(f64, f64)>,
    /// The p-value times the number of comparisons, at most 1.
    pub p_value: f64,
    /// The test that was used.
    pub method: Method,
    /// The accuracy that was compared.
    pub accuracy: Accuracy,
}

/// The outcome of a [`Verdict`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VerdictOutcome {
    /// More accurate than the baseline.
    Better,
    /// Less accurate than the baseline.
    Worse,
    /// The data do not show which one is more accurate. That does not mean that they are equal.
    NotDistinguishable,
}

/// The statistical test of a [`Verdict`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Welch's t test over the seeds of both. It does not cover the choice of the images.
    Welch,
    /// The exact McNemar test over the test images of one run each. It does not cover the variation between seeds.
    McNemar,
}

impl Method {
    /// The name in CSV and JSON: "Welch", "McNemar".
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Method::Welch => "Welch",
            Method::McNemar => "McNemar",
        }
    }
}

impl VerdictOutcome {
    /// The text in tables and files: "better", "worse", "not distinguishable".
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            VerdictOutcome::Better => "better",
            VerdictOutcome::Worse => "worse",
            VerdictOutcome::NotDistinguishable => "not distinguishable",
        }
    }
}
