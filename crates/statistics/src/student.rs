//! Student's t distribution, with all digits in its tails.

use statrs::function::erf::erfc_inv;
use statrs::function::gamma::ln_gamma;

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
    beta::tail(freedom / 2.0, 0.5, freedom / (freedom + t * t))
}

/// The t > 0 with P(T > t) = `p`; 0 < `p` < 1/2.
///
/// Newton's method for the logarithm of the tail as a function of ln t. That function is concave and falls, so the
/// iteration converges from every start, also far out in the tails.
pub(crate) fn quantile_above(p: f64, freedom: f64) -> f64 {
    // The quantile of the normal distribution, which is close unless there are few degrees of freedom.
    let mut log_t = (std::f64::consts::SQRT_2 * erfc_inv(2.0 * p)).max(f64::MIN_POSITIVE).ln();
    // The density at t is constant · (1 + t²/ν)^(−(ν + 1)/2).
    let constant = ln_gamma(f64::midpoint(freedom, 1.0))
        - ln_gamma(freedom / 2.0)
        - 0.5 * (freedom * std::f64::consts::PI).ln();
    for _ in 0..MAX_STEPS {
        let t = log_t.exp();
        let tail = upper_tail(t, freedom).max(f64::MIN_POSITIVE);
        let density = (constant - (freedom + 1.0) / 2.0 * (t * t / freedom).ln_1p()).exp();
        let step = (tail / p).ln() * tail / (t * density);
        log_t += step;
        if step.abs() < 1e-14 {
            break;
        }
    }
    log_t.exp()
}

/// Far more steps than Newton's method needs; only a guard against an endless loop by rounding.
const MAX_STEPS: usize = 100;
