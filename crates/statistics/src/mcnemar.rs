use statrs::function::beta::beta_reg;
use statrs::function::erf::{erfc, erfc_inv};

use crate::beta;
use crate::difference::{AccuracyDifference, Family};

/// The number of images of a test set on which two classifiers differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Discordant {
    /// Images that only the first classified correctly.
    pub only_first: usize,
    /// Images that only the second classified correctly.
    pub only_second: usize,
    /// All images of the test set.
    pub images: usize,
}

/// The exact McNemar test: whether two classifiers of the same images are equally accurate.
///
/// If they are, an image that only one of them classified correctly is equally likely to be the first's or the
/// second's. The p-value is twice the smaller tail of that binomial distribution, at most 1. Q. McNemar, "Note on the sampling error of the
/// difference between correlated proportions or percentages", Psychometrika 12 (1947), 153–157; for classifiers, T. G.
/// Dietterich, "Approximate statistical tests for comparing supervised classification learning algorithms", Neural
/// Computation 10 (1998), 1895–1923.
///
/// That test takes the number of images on which they differ as given. Its interval for the first's share of these
/// images is that of C. J. Clopper and E. S. Pearson, "The use of confidence or fiducial limits illustrated in the case
/// of the binomial", Biometrika 26 (1934), 404–413. As an interval for the difference of the accuracies it is too narrow
/// if the classifiers do differ. So a second interval is computed, the score interval of T. Tango, "Equivalence test and confidence interval for the
/// difference in proportions for the paired-sample design", Statistics in Medicine 17 (1998), 891–908, whose test of no
/// difference is McNemar's with the normal distribution. The result has the hull of the two intervals and the larger
/// of the two p-values, so that the interval excludes 0 exactly if the p-value is below the level.
///
/// If they differ on no image, the difference is 0, the p-value is 1, and there is no interval. `None` if the counts
/// contradict each other or there are no images.
#[must_use]
pub fn mcnemar(counts: Discordant, family: Family) -> Option<AccuracyDifference> {
    let Discordant { only_first, only_second, images } = counts;
    let differing = only_first.checked_add(only_second)?;
    if images == 0 || differing > images {
        return None;
    }
    if differing == 0 {
        return Some(AccuracyDifference { difference: 0.0, interval: None, p_value: 1.0 });
    }
    let (first, second, all) = (only_first as f64, only_second as f64, images as f64);
    let exact = (2.0 * lower_tail(only_first.min(only_second), differing)).min(1.0);
    let score = erfc((first - second).abs() / (2.0 * (first + second)).sqrt());
    let level = family.level_of_each();
    let (given, free) = (conditional(first, second, all, level), tango(first, second, all, level));
    Some(AccuracyDifference {
        difference: (first - second) / all,
        interval: Some((given.0.min(free.0), given.1.max(free.1))),
        p_value: family.corrected(exact.max(score)),
    })
}

/// Clopper and Pearson's interval for the first's share π of the differing images, as a difference of accuracies:
/// (2π − 1) times their share of all images.
fn conditional(first: f64, second: f64, all: f64, level: f64) -> (f64, f64) {
    let tail = level / 2.0;
    let low = if first == 0.0 { 0.0 } else { beta::quantile(tail, first, second + 1.0) };
    // The upper limit is 1 minus the lower limit of the second's share, so that both tails keep all their digits.
    let high = if second == 0.0 { 1.0 } else { 1.0 - beta::quantile(tail, second, first + 1.0) };
    let differing_share = (first + second) / all;
    ((2.0 * low - 1.0) * differing_share, (2.0 * high - 1.0) * differing_share)
}

/// Tango's interval: the differences that the score test at this level does not reject.
fn tango(first: f64, second: f64, all: f64, level: f64) -> (f64, f64) {
    // The score of a difference δ: its distance from the observed difference in standard errors under δ. These use the
    // most likely share q of images that only the second classifies correctly, given δ.
    let score = |delta: f64| {
        let linear = (2.0 * all - first + second) * delta - first - second;
        let constant = second * delta * (1.0 - delta);
        let root = linear.mul_add(linear, 8.0 * all * constant).max(0.0).sqrt();
        let share = (root - linear) / (4.0 * all);
        let variance = all * (2.0 * share + delta * (1.0 - delta));
        (first - second - all * delta) / variance.max(f64::MIN_POSITIVE).sqrt()
    };
    let most = std::f64::consts::SQRT_2 * erfc_inv(level);
    // The score falls as δ rises. After 64 bisections the interval is smaller than the precision of f64.
    let crossing = |bound: f64, (mut low, mut high): (f64, f64)| {
        for _ in 0..64 {
            let middle = f64::midpoint(low, high);
            if score(middle) > bound { low = middle } else { high = middle }
        }
        f64::midpoint(low, high)
    };
    let seen = (first - second) / all;
    (crossing(most, (-1.0, seen)), crossing(-most, (seen, 1.0)))
}

/// P(X ≤ `successes`) for X binomial of `trials` and one half; `successes` < `trials`.
///
/// It is I½(n − k, k + 1): Abramowitz and Stegun, 26.5.24.
fn lower_tail(successes: usize, trials: usize) -> f64 {
    beta_reg((trials - successes) as f64, successes as f64 + 1.0, 0.5)
}
