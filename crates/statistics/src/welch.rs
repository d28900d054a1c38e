use crate::difference::{AccuracyDifference, Family};
use crate::spread::Spread;
use crate::student;

/// Welch's t test: the difference of two means whose variances need not be equal.
///
/// With sample variances s², the standard error is √(s₁²/n₁ + s₂²/n₂) and the degrees of freedom are those of Welch and
/// Satterthwaite, (s₁²/n₁ + s₂²/n₂)² / ((s₁²/n₁)²/(n₁ − 1) + (s₂²/n₂)²/(n₂ − 1)). B. L. Welch, "The generalization of
/// 'Student's' problem when several different population variances are involved", Biometrika 34 (1947), 28–35.
///
/// An accuracy is a count divided by a number of images, and `resolution` is 1 divided by that number. If neither side
/// varies, the values are still known only up to such a step: each is treated as uniformly distributed over it, with the
/// variance resolution² / 12 (Sheppard's correction).
///
/// `None` if a side has fewer than two values, or if neither varies and `resolution` is 0.
#[must_use]
pub fn welch(
    first: &Spread,
    second: &Spread,
    resolution: f64,
    family: Family,
) -> Option<AccuracyDifference> {
    let (mut first_error, mut second_error) = (squared_error(first)?, squared_error(second)?);
    if first_error + second_error == 0.0 {
        let variance = resolution * resolution / 12.0;
        (first_error, second_error) =
            (variance / first.count as f64, variance / second.count as f64);
    }
    let squared = first_error + second_error;
    // Computed from shares, because the squares of the squares of tiny deviations would underflow to zero.
    let (first_share, second_share) = (first_error / squared, second_error / squared);
    let freedom = 1.0
        / (first_share.powi(2) / (first.count - 1) as f64
            + second_share.powi(2) / (second.count - 1) as f64);
    let (error, difference) = (squared.sqrt(), first.mean - second.mean);
    if error == 0.0 || !freedom.is_finite() {
        return None;
    }
    let p_value = student::two_sided(difference / error, freedom);
    let margin = error * student::quantile_above(family.level_of_each() / 2.0, freedom);
    let interval = (difference - margin, difference + margin);
    Some(AccuracyDifference {
        difference,
        interval: Some(interval),
        p_value: family.corrected(p_value),
    })
}

/// The squared standard error of the mean.
fn squared_error(spread: &Spread) -> Option<f64> {
    spread.deviation.map(|deviation| deviation * deviation / spread.count as f64)
}
