/// The range of values that a chart shows.
///
/// A single run that diverged or learned nothing must not compress all others into one color or line. Outliers are
/// shown at the end of the scale, and a note says so.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Extent {
    pub(super) low: f64,
    pub(super) high: f64,
    /// Whether there are values below `low`.
    pub(super) cut_low: bool,
    /// Whether there are values above `high`.
    pub(super) cut_high: bool,
}

/// With fewer values than this, none counts as an outlier.
const LEAST: usize = 8;

impl Extent {
    /// The lowest and highest values within Tukey's outer fences (Exploratory Data Analysis, 1977): at most three
    /// interquartile ranges below the lower or above the upper quartile. `None` if no value is finite.
    pub(super) fn of(values: impl Iterator<Item = f64>) -> Option<Self> {
        // Larger values would overflow the arithmetic of a chart.
        let mut sorted: Vec<f64> = values.filter(|value| value.abs() < 1e100).collect();
        sorted.sort_by(f64::total_cmp);
        let (least, greatest) = (*sorted.first()?, *sorted.last()?);
        let (lower, upper) = (quantile(&sorted, 0.25), quantile(&sorted, 0.75));
        let reach = 3.0 * (upper - lower);
        let whole = sorted.len() < LEAST || reach <= 0.0;
        let is_inside = |value: &f64| whole || (lower - reach..=upper + reach).contains(value);
        let low = sorted.iter().copied().find(is_inside).unwrap_or(least);
        let high = sorted.iter().rev().copied().find(is_inside).unwrap_or(greatest);
        Some(Self { low, high, cut_low: least < low, cut_high: greatest > high })
    }

    /// The same range. An end is marked as cut if one of these values is beyond it.
    pub(super) fn with_cuts_for(self, values: impl Iterator<Item = f64>) -> Self {
        values.fold(self, |extent, value| Self {
            cut_low: extent.cut_low || value < extent.low,
            cut_high: extent.cut_high || value > extent.high,
            ..extent
        })
    }

    /// The position of a value, from 0 at the low end to 1 at the high end; 0.5 if both ends are equal.
    pub(super) fn share(&self, value: f64) -> f64 {
        if self.high > self.low {
            ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0)
        } else {
            0.5
        }
    }

    /// The value, limited to the range.
    pub(super) fn within(&self, value: f64) -> f64 {
        value.clamp(self.low, self.high)
    }

    /// A note about values outside of the range, if there are any.
    pub(super) fn words(&self) -> Option<&'static str> {
        match (self.cut_low, self.cut_high) {
            (false, false) => None,
            (true, false) => Some("far lower values are shown at the end of the scale"),
            (false, true) => Some("far higher values are shown at the end of the scale"),
            (true, true) => Some("far lower and higher values are shown at the ends of the scale"),
        }
    }
}

/// A quantile of sorted values with linear interpolation (type 7 of Hyndman and Fan, the default of R and NumPy).
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = share * (sorted.len() - 1) as f64;
    let below = place as usize;
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (place - below as f64) * (sorted[above] - sorted[below])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extent(values: &[f64]) -> Extent {
        Extent::of(values.iter().copied()).expect("values")
    }

    #[test]
    fn quantiles_are_those_of_numpy() {
        // numpy.quantile([1, 2, 4, 8, 16], [0.25, 0.75, 0.4]): 2, 8, 3.2.
        let sorted = [1.0, 2.0, 4.0, 8.0, 16.0];
        let [lower, upper, other] = [0.25, 0.75, 0.4].map(|share| quantile(&sorted, share));
        assert_eq!((lower, upper), (2.0, 8.0));
        assert!((other - 3.2).abs() < 1e-12);
    }

    #[test]
    fn one_that_learned_nothing_is_beyond_the_scale() {
        let learned = [0.85, 0.86, 0.87, 0.88, 0.85, 0.86, 0.87, 0.88];
        assert_eq!(
            extent(&learned),
            Extent { low: 0.85, high: 0.88, cut_low: false, cut_high: false }
        );
        let with_one = extent(&[&learned[..], &[0.1]].concat());
        assert_eq!((with_one.low, with_one.cut_low, with_one.cut_high), (0.85, true, false));
        assert_eq!(with_one.share(0.1), 0.0);
        assert_eq!(with_one.words(), Some("far lower values are shown at the end of the scale"));
        // Among few values, none counts as an outlier.
        assert_eq!(extent(&[0.1, 0.87, 0.88]).low, 0.1);
    }

    #[test]
    fn equal_values_stand_in_the_middle_and_none_have_no_extent() {
        assert_eq!(extent(&[0.5, 0.5]).share(0.5), 0.5);
        assert_eq!(Extent::of([f64::NAN, f64::INFINITY, f64::MAX].into_iter()), None);
    }
}
