/// How often, at most, the data of a family of comparisons may speak of a difference where there is none.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Family {
    /// That probability for the whole family, above 0 and below 1.
    pub level: f64,
    /// How many comparisons it has.
    pub comparisons: usize,
}

impl Family {
    /// The level of each comparison, divided among them after Bonferroni: whatever depends on whatever, the
    /// probability that any errs is at most the sum of theirs.
    #[must_use]
    pub fn level_of_each(&self) -> f64 {
        self.level / self.comparisons.max(1) as f64
    }

    /// The p-value to be held against the family's level.
    pub(super) fn corrected(&self, p_value: f64) -> f64 {
        (p_value * self.comparisons.max(1) as f64).min(1.0)
    }
}

/// An estimated difference of two accuracies.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Difference {
    /// The estimate: the first less the second.
    pub difference: f64,
    /// Where the true difference lies, at the level of each comparison; `None` where the data bound it nowhere.
    pub interval: Option<(f64, f64)>,
    /// The two-sided p-value times the number of comparisons, at most 1.
    pub p_value: f64,
}
