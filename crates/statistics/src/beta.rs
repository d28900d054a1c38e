//! Quantiles of the beta distribution, which both tests use.

use statrs::function::beta::{beta_reg, checked_beta_reg};

/// The log-odds ln(x / (1 − x)) of the x at which the distribution function of Beta(`a`, `b`), the regularized
/// incomplete beta function Iₓ(a, b), is `p`; 0 < `p` < 1 and `a`, `b` > 0.
///
/// Found by bisection. Library inverses use Newton steps from a guess and stop early far out in the tails, where the many
/// comparisons of a large sweep need them. In log-odds, both tails keep all their digits.
pub(crate) fn quantile_log_odds(p: f64, a: f64, b: f64) -> f64 {
    // x from e^-300 to 1 − e^-300. After 64 bisections the interval is smaller than the precision of f64.
    let (mut low, mut high) = (-300.0_f64, 300.0_f64);
    for _ in 0..64 {
        let middle = f64::midpoint(low, high);
        if distribution(middle, a, b) < p {
            low = middle;
        } else {
            high = middle;
        }
    }
    f64::midpoint(low, high)
}

/// The x at which the distribution function of Beta(`a`, `b`) is `p`.
pub(crate) fn quantile(p: f64, a: f64, b: f64) -> f64 {
    logistic(quantile_log_odds(p, a, b))
}

/// A p-value: the distribution function of Beta(`a`, `b`) at `x`. It is 1, no evidence, if there is no such number, so that
/// no input leads to a panic.
pub(crate) fn tail(a: f64, b: f64, x: f64) -> f64 {
    checked_beta_reg(a, b, x).unwrap_or(1.0)
}

fn distribution(log_odds: f64, a: f64, b: f64) -> f64 {
    // Iₓ(a, b) = 1 − I₁₋ₓ(b, a). Near x = 1, only 1 − x has enough digits.
    if log_odds <= 0.0 {
        beta_reg(a, b, logistic(log_odds))
    } else {
        1.0 - beta_reg(b, a, logistic(-log_odds))
    }
}

fn logistic(log_odds: f64) -> f64 {
    1.0 / (1.0 + (-log_odds).exp())
}
