/// The combination that the verdicts compare the others with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Baseline {
    /// The index among the comparison's combinations.
    pub combination: usize,
    /// The number of combinations that are compared with it.
    pub comparisons: usize,
    /// The probability, at most, that a set of combinations which do not differ gets a `better` or `worse`.
    pub level: f64,
}

/// Whether a combination differs from the given baseline in the metric that ranks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Verdict {
    /// Better, worse, or not distinguishable.
    pub outcome: VerdictOutcome,
    /// The combination's mean minus the baseline's.
    pub difference: f64,
    /// The simultaneous confidence interval of the difference.
    pub interval: (f64, f64),
    /// The p-value, corrected for all combinations that are compared with the baseline.
    pub p_value: f64,
}

/// The outcome of a [`Verdict`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VerdictOutcome {
    /// Better than the baseline.
    Better,
    /// Worse than the baseline.
    Worse,
    /// The data do not show which one is better. That does not mean that they are equal.
    NotDistinguishable,
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
