/// What the verdicts are against.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Baseline {
    /// Its index among the combinations.
    pub combination: usize,
    /// Whose choice it was.
    pub chosen: BaselineChoice,
    /// By how many comparisons the level is divided (Bonferroni): those with a given baseline, or, since the best was
    /// picked by looking at the results, all pairs.
    pub comparisons: usize,
    /// How often, at most, a set of combinations that do not differ at all gets a verdict: 0.05.
    pub level: f64,
}

/// Who chose the baseline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BaselineChoice {
    /// The user named it.
    Given,
    /// It is the best by validation.
    Best,
}

/// Which accuracy a [`Verdict`] is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accuracy {
    /// The best `val_accuracy` of each run: what ranks. Compared over seeds.
    Validation,
    /// The test accuracy: compared over seeds where there is no validation, and wherever single runs are compared, for
    /// what a run said of each image is kept of the test images alone.
    Test,
}

impl Accuracy {
    /// Its name in files: "val_accuracy", "test_accuracy".
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
    /// The answer.
    pub outcome: VerdictOutcome,
    /// Its accuracy less the baseline's, over the runs that were compared.
    pub difference: f64,
    /// Where the true difference lies, at the corrected level, from −1 to 1; `None` where no image was classified differently.
    pub interval: Option<(f64, f64)>,
    /// The probability of a difference as large where there is none, times the number of comparisons, at most 1.
    pub p_value: f64,
    /// How it was found.
    pub method: Method,
    /// What it is about.
    pub accuracy: Accuracy,
}

/// The answer of a [`Verdict`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VerdictOutcome {
    /// More accurate than the baseline.
    Better,
    /// Less accurate than the baseline.
    Worse,
    /// The data do not show which is more accurate.
    NotDistinguishable,
}

/// How two combinations were compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Welch's t test over the seeds of both. It does not cover the noise of the images.
    Welch,
    /// The exact McNemar test over the test images of one run each. It does not cover the noise of the seeds.
    McNemar,
}

impl Method {
    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Method::Welch => "Welch",
            Method::McNemar => "McNemar",
        }
    }
}

impl VerdictOutcome {
    /// In words: "better", "worse", "not distinguishable".
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            VerdictOutcome::Better => "better",
            VerdictOutcome::Worse => "worse",
            VerdictOutcome::NotDistinguishable => "not distinguishable",
        }
    }
}
