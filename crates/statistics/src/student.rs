//! Student's t distribution, with all digits in its tails.

use statrs::function::beta::beta_reg;

use crate::beta;

/// P(T > `t`) with `freedom` degrees of freedom; 0 < `freedom` < ∞.
///
/// P(|T| > t) = Iₓ(ν/2, 1/2) at x = ν / (ν + t²); Abramowitz and Stegun, 26.7.1 and 26.5.27.
pub(crate) fn upper_tail(t: f64, freedom: f64) -> f64 {
    let half = 0.5 * two_sided(t, freedom);
    if t < 0.0 { 1.0 - half } else { half }
}

/// P(|T| > |`t`|).
pub(crate) fn two_sided(t: f64, freedom: f64) -> f64 {
    // The square of a huge t is infinite, and ν / ∞ is the right 0.
    beta_reg(freedom / 2.0, 0.5, freedom / (freedom + t * t))
}

/// The t > 0 with P(T > t) = `p`; 0 < `p` < 1/2.
pub(crate) fn quantile_above(p: f64, freedom: f64) -> f64 {
    // The formula of `two_sided`, solved for t: (1 − x) / x = t² / ν.
    let log_odds = beta::quantile_log_odds(2.0 * p, freedom / 2.0, 0.5);
    (freedom * (-log_odds).exp()).sqrt()
}
