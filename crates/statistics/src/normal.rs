//! The standard normal distribution, with all digits in its tails.

use std::f64::consts::{PI, SQRT_2};

use statrs::function::erf::{erfc, erfc_inv};

/// P(Z < `x`).
#[must_use]
pub fn normal_probability(x: f64) -> f64 {
    0.5 * erfc(-x / SQRT_2)
}

/// The x with P(Z < x) = `probability`.
#[must_use]
pub fn normal_quantile(probability: f64) -> f64 {
    -SQRT_2 * erfc_inv(2.0 * probability)
}

/// ln P(`low` < Z < `high`); `low` < `high`.
#[must_use]
pub fn log_normal_mass(low: f64, high: f64) -> f64 {
    if low > 0.0 {
        // Probabilities near 1 have no digits left for the difference, and those of the other tail have all.
        return log_normal_mass(-high, -low);
    }
    if high > 0.0 {
        return (-normal_probability(low) - normal_probability(-high)).ln_1p();
    }
    let (low, high) = (log_probability(low), log_probability(high));
    high + (-(low - high).exp()).ln_1p()
}

/// ln P(Z < `x`); `x` ≤ 0.
fn log_probability(x: f64) -> f64 {
    // Farther out, the probability is too small for a number of 64 bits.
    const TAIL: f64 = -20.0;
    if x > TAIL {
        return normal_probability(x).ln();
    }
    // The asymptotic series 1 − 1/x² + 3/x⁴ − 15/x⁶ + …; Abramowitz and Stegun, 26.2.12.
    let square = x * x;
    let (mut sum, mut term) = (1.0, 1.0);
    for factor in (1..40).step_by(2) {
        term *= -f64::from(factor) / square;
        sum += term;
        if term.abs() < f64::EPSILON {
            break;
        }
    }
    -0.5 * square - (-x).ln() - 0.5 * (2.0 * PI).ln() + sum.ln()
}
