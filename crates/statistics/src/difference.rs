/// A family of comparisons that share a bound on the probability of any false positive.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Family {
    /// The bound for the whole family, above 0 and below 1.
    pub level: f64,
    /// The number of comparisons in the family.
    pub comparisons: usize,
}

impl Family {
    /// The level of each comparison after Bonferroni's correction. The probability of any false positive is at most the
    /// sum of all levels, also if the comparisons depend on each other.
    #[must_use]
    pub fn level_of_each(&self) -> f64 {
        self.level / self.comparisons.max(1) as f64
    }

    /// The corrected p-value, which is compared with the family's level.
    pub(crate) fn corrected(&self, p_value: f64) -> f64 {
        (p_value * self.comparisons.max(1) as f64).min(1.0)
    }
}

/// An estimated difference of two accuracies.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AccuracyDifference {
    /// The estimate: the first accuracy minus the second.
    pub difference: f64,
    /// The confidence interval at the level of each comparison; `None` if the data do not bound the difference.
    pub interval: Option<(f64, f64)>,
    /// The two-sided p-value times the number of comparisons, at most 1.
    pub p_value: f64,
}
