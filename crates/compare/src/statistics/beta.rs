//! Quantiles of the beta distribution, which both tests stand on.

use statrs::function::beta::beta_reg;

/// The log-odds ln(x / (1 − x)) of the x at which the distribution function of Beta(`a`, `b`), the regularised
/// incomplete beta function Iₓ(a, b), is `p`; 0 < `p` < 1 and `a`, `b` > 0.
///
/// Found by bisection. The ready inverses step by Newton from a guess and end early far out in the tails, where the
/// many comparisons of a large sweep need them; in log-odds neither tail runs out of digits.
pub(super) fn quantile_log_odds(p: f64, a: f64, b: f64) -> f64 {
    // x from e^-300 to 1 − e^-300, and as many halvings as there are digits to win.
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

/// The quantile itself.
pub(super) fn quantile(p: f64, a: f64, b: f64) -> f64 {
    logistic(quantile_log_odds(p, a, b))
}

fn distribution(log_odds: f64, a: f64, b: f64) -> f64 {
    // Iₓ(a, b) = 1 − I₁₋ₓ(b, a): close to 1 it is 1 − x that has the digits.
    if log_odds <= 0.0 {
        beta_reg(a, b, logistic(log_odds))
    } else {
        1.0 - beta_reg(b, a, logistic(-log_odds))
    }
}

fn logistic(log_odds: f64) -> f64 {
    1.0 / (1.0 + (-log_odds).exp())
}
