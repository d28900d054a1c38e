//! Estimates of variances that borrow strength from each other.

use statrs::function::gamma::digamma;

/// Sample variances, each moderated towards the others.
#[derive(Debug, Clone)]
pub(crate) struct Moderated {
    /// The moderated variances, in the order of the sample variances.
    pub(crate) variances: Vec<f64>,
    /// The degrees of freedom that the common variance adds to those of each sample variance; may be infinite.
    pub(crate) prior_freedom: f64,
}

/// Moderates sample variances, each with its degrees of freedom. All are above 0, and there are at least two.
///
/// The model is that of G. K. Smyth, "Linear models and empirical Bayes methods for assessing differential expression in
/// microarray experiments", Statistical Applications in Genetics and Molecular Biology 3 (2004), article 3: the true
/// variances scatter around a common one, s₀², as an inverse χ² distribution with d₀ degrees of freedom. Both follow
/// from the mean and the variance of the logarithms of the sample variances (section 6.2). The estimate for each
/// setting is the weighted mean (d₀ s₀² + d s²) / (d₀ + d), but never less than s² itself: a setting whose results
/// vary widely must not be judged by the narrow spread of the others.
pub(crate) fn moderate(samples: &[(f64, f64)]) -> Moderated {
    let count = samples.len() as f64;
    let logs: Vec<f64> = samples
        .iter()
        .map(|(variance, freedom)| variance.ln() - digamma(freedom / 2.0) + (freedom / 2.0).ln())
        .collect();
    let mean = logs.iter().sum::<f64>() / count;
    // The scatter of the logarithms beyond what chance alone gives.
    let excess = logs
        .iter()
        .zip(samples)
        .map(|(log, (_, freedom))| {
            (log - mean).powi(2) * count / (count - 1.0) - trigamma(freedom / 2.0)
        })
        .sum::<f64>()
        / count;
    let (prior_freedom, common) = if excess > 0.0 {
        let half = trigamma_inverse(excess);
        (2.0 * half, (mean + digamma(half) - half.ln()).exp())
    } else {
        // The variances differ no more than by chance: one common variance.
        let freedom: f64 = samples.iter().map(|(_, freedom)| freedom).sum();
        let squares: f64 = samples.iter().map(|(variance, freedom)| variance * freedom).sum();
        (f64::INFINITY, squares / freedom)
    };
    let variances = samples.iter().map(|(variance, freedom)| {
        let weighted = if prior_freedom.is_finite() {
            (prior_freedom * common + freedom * variance) / (prior_freedom + freedom)
        } else {
            common
        };
        weighted.max(*variance)
    });
    Moderated { variances: variances.collect(), prior_freedom }
}

/// The second derivative of ln Γ(`x`) for `x` > 0: Abramowitz and Stegun, 6.4.6 and 6.4.12.
fn trigamma(x: f64) -> f64 {
    // ψ′(x) = ψ′(x + 1) + 1 / x², until the asymptotic series below has all digits.
    let mut x = x;
    let mut sum = 0.0;
    while x < 12.0 {
        sum += 1.0 / (x * x);
        x += 1.0;
    }
    let inverse = 1.0 / x;
    let square = inverse * inverse;
    // The coefficients are Bernoulli numbers.
    let bernoulli =
        [1.0 / 6.0, -1.0 / 30.0, 1.0 / 42.0, -1.0 / 30.0, 5.0 / 66.0, -691.0 / 2730.0, 7.0 / 6.0];
    let series = bernoulli.iter().rev().fold(0.0, |series, number| series * square + number);
    sum + inverse + square / 2.0 + series * square * inverse
}

/// The `x` with trigamma(x) = `y`, for `y` > 0.
fn trigamma_inverse(y: f64) -> f64 {
    // By bisection of ln x: trigamma falls from ∞ to 0, about 1 / x² for small and 1 / x for large x.
    let (mut low, mut high) = (-700.0_f64, 700.0_f64);
    for _ in 0..80 {
        let middle = f64::midpoint(low, high);
        if trigamma(middle.exp()) > y { low = middle } else { high = middle }
    }
    f64::midpoint(low, high).exp()
}
