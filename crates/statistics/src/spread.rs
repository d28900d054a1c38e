/// Mean and standard deviation over runs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// The mean.
    pub mean: f64,
    /// The sample standard deviation (n − 1 in the denominator); `None` for a single value.
    pub deviation: Option<f64>,
    /// The number of values, at least 1.
    pub count: usize,
}

impl Spread {
    /// Computes mean and deviation of the finite values; `None` if there are none.
    #[must_use]
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let values: Vec<f64> = values.into_iter().filter(|value| value.is_finite()).collect();
        let count = values.len();
        let first = *values.first()?;
        // Sums are relative to the first value, so that equal values have a deviation of exactly 0.
        let offset = values.iter().map(|value| value - first).sum::<f64>() / count as f64;
        let squares: f64 = values.iter().map(|value| (value - first - offset).powi(2)).sum();
        let deviation = (count > 1).then(|| (squares / (count - 1) as f64).sqrt());
        let spread = Self { mean: first + offset, deviation, count };
        // Sums of values near the limits of f64 overflow.
        (spread.mean.is_finite() && spread.deviation.is_none_or(f64::is_finite)).then_some(spread)
    }
}
