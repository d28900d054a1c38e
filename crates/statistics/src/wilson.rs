use statrs::function::erf::erfc_inv;

/// Wilson's score interval for a share: a 1 − `level` confidence interval for the probability of a success, from
/// `successes` in `trials` independent trials. `None` without trials, or if the counts contradict each other.
///
/// E. B. Wilson, "Probable inference, the law of succession, and statistical inference", Journal of the American
/// Statistical Association 22 (1927), 209–212; without a continuity correction.
#[must_use]
pub fn wilson(successes: usize, trials: usize, level: f64) -> Option<(f64, f64)> {
    if trials == 0 || successes > trials {
        return None;
    }
    let (hits, all) = (successes as f64, trials as f64);
    let misses = all - hits;
    // The standard normal quantile of 1 − level/2, squared.
    let z2 = 2.0 * erfc_inv(level).powi(2);
    let center = hits + z2 / 2.0;
    let margin = (z2 * (hits * misses / all + z2 / 4.0)).sqrt();
    // With no successes the lower limit is exactly 0, which rounding could miss; likewise the upper one.
    let low = if successes == 0 { 0.0 } else { (center - margin) / (all + z2) };
    let high = if successes == trials { 1.0 } else { (center + margin) / (all + z2) };
    Some((low, high))
}
