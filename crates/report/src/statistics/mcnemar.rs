use statrs::function::beta::beta_reg;

use super::{Difference, Family, beta};

/// On which images of one test set two classifiers differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Discordant {
    /// Images that only the first classified rightly.
    pub only_first: usize,
    /// Images that only the second classified rightly.
    pub only_second: usize,
    /// All images of the test set.
    pub images: usize,
}

/// The exact McNemar test: whether two classifiers of the same images are equally accurate.
///
/// Where they are, each image that only one of them got right is as likely to be the one's as the other's. The p-value
/// is twice the smaller tail of that binomial distribution, at most 1. Q. McNemar, "Note on the sampling error of the
/// difference between correlated proportions or percentages", Psychometrika 12 (1947), 153–157; for classifiers, T. G.
/// Dietterich, "Approximate statistical tests for comparing supervised classification learning algorithms", Neural
/// Computation 10 (1998), 1895–1923.
///
/// The interval is that of C. J. Clopper and E. S. Pearson, "The use of confidence or fiducial limits illustrated in the
/// case of the binomial", Biometrika 26 (1934), 404–413, for the first's share π of those images, brought to accuracies
/// as (2π − 1) times the images on which they differ over all images. It takes the number of images on which they
/// differ as given, as the test does, and so leaves out 0 exactly where the test rejects.
///
/// Without such an image the difference is 0, the p-value 1, and there is no interval. `None` where the numbers do not
/// fit together or there are no images.
#[must_use]
pub fn mcnemar(counts: Discordant, family: Family) -> Option<Difference> {
    let Discordant { only_first, only_second, images } = counts;
    let differing = only_first.checked_add(only_second)?;
    if images == 0 || differing > images {
        return None;
    }
    if differing == 0 {
        return Some(Difference { difference: 0.0, interval: None, p_value: 1.0 });
    }
    let (first, second, all) = (only_first as f64, only_second as f64, images as f64);
    let p_value = (2.0 * lower_tail(only_first.min(only_second), differing)).min(1.0);
    let tail = family.level_of_each() / 2.0;
    let low = if only_first == 0 { 0.0 } else { beta::quantile(tail, first, second + 1.0) };
    // The upper limit is the lower one of the other's share: so both tails have all their digits.
    let high = if only_second == 0 { 1.0 } else { 1.0 - beta::quantile(tail, second, first + 1.0) };
    let differing_share = differing as f64 / all;
    Some(Difference {
        difference: (first - second) / all,
        interval: Some(((2.0 * low - 1.0) * differing_share, (2.0 * high - 1.0) * differing_share)),
        p_value: family.corrected(p_value),
    })
}

/// P(X ≤ `successes`) for X binomial of `trials` and one half; `successes` < `trials`.
///
/// It is I½(n − k, k + 1): Abramowitz and Stegun, 26.5.24.
fn lower_tail(successes: usize, trials: usize) -> f64 {
    beta_reg((trials - successes) as f64, successes as f64 + 1.0, 0.5)
}
