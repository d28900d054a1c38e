/// A mean over runs, and how much they vary.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// The mean.
    pub mean: f64,
    /// The sample standard deviation (n − 1 in the denominator); `None` for a single value.
    pub deviation: Option<f64>,
    /// How many values there are, at least 1.
    pub count: usize,
}

impl Spread {
    /// Of these values; those that are not finite are passed over, and `None` is what remains of none.
    #[must_use]
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let values: Vec<f64> = values.into_iter().filter(|value| value.is_finite()).collect();
        let count = values.len();
        let first = *values.first()?;
        // Around the first value: equal values have a deviation of 0 and not of a rounding error.
        let offset = values.iter().map(|value| value - first).sum::<f64>() / count as f64;
        let squares: f64 = values.iter().map(|value| (value - first - offset).powi(2)).sum();
        let deviation = (count > 1).then(|| (squares / (count - 1) as f64).sqrt());
        let spread = Self { mean: first + offset, deviation, count };
        // Values near the ends of f64 add up to none.
        (spread.mean.is_finite() && spread.deviation.is_none_or(f64::is_finite)).then_some(spread)
    }
}
