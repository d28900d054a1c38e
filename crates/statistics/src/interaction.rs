use crate::beta;

/// The F test of an interaction of two factors.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interaction {
    /// The mean square of the interaction divided by that of the residuals.
    pub f: f64,
    /// The degrees of freedom of both.
    pub freedom: (f64, f64),
    /// The probability of a larger F if the factors do not interact.
    pub p_value: f64,
}

/// Tests whether the effect of one factor depends on the level of another one.
///
/// `values[i][j]` are the values at level i of the first factor and level j of the second one: for each combination of the
/// remaining factors, one value for each of the `seeds` seeds, in the same order everywhere. The design is complete. The
/// seeds are blocks: what a seed does to all combinations is no residual. It is the F test of the analysis of variance
/// with the model `value ~ first * second * others + seed`.
///
/// No residual mean square is taken to be smaller than `resolution`² / 12, the variance of rounding; `resolution` is the
/// smallest step between two values.
///
/// `None` if a factor has fewer than two levels, if there are fewer than two seeds, if the design is not complete, or if a
/// value is not finite.
#[must_use]
pub fn interaction(values: &[Vec<Vec<f64>>], seeds: usize, resolution: f64) -> Option<Interaction> {
    let (first, second) = (values.len(), values.first()?.len());
    let size = values.first()?.first()?.len();
    let cells = || values.iter().flatten();
    let is_complete = values.iter().all(|row| row.len() == second)
        && cells().all(|cell| cell.len() == size && cell.iter().all(|value| value.is_finite()));
    if first < 2 || second < 2 || seeds < 2 || size == 0 || size % seeds != 0 || !is_complete {
        return None;
    }
    // Relative to one value, so that a large common part costs no digits.
    let offset = values[0][0][0];
    let mean = |values: &mut dyn Iterator<Item = f64>| {
        let (mut sum, mut count) = (0.0, 0.0);
        for value in values {
            sum += value - offset;
            count += 1.0;
        }
        sum / count
    };
    let grand = mean(&mut cells().flatten().copied());
    let rows: Vec<f64> =
        values.iter().map(|row| mean(&mut row.iter().flatten().copied())).collect();
    let columns: Vec<f64> = (0..second)
        .map(|column| mean(&mut values.iter().flat_map(|row| &row[column]).copied()))
        .collect();
    let of_seed: Vec<f64> = (0..seeds)
        .map(|seed| {
            mean(&mut cells().flat_map(|cell| cell.iter().skip(seed).step_by(seeds)).copied())
        })
        .collect();
    let (mut between, mut within) = (0.0, 0.0);
    for (row, row_mean) in values.iter().zip(&rows) {
        for (cell, column_mean) in row.iter().zip(&columns) {
            let deviation = mean(&mut cell.iter().copied()) - row_mean - column_mean + grand;
            between += size as f64 * deviation * deviation;
            for setting in cell.chunks(seeds) {
                let own = mean(&mut setting.iter().copied());
                for (value, seed_mean) in setting.iter().zip(&of_seed) {
                    within += (value - offset - own - seed_mean + grand).powi(2);
                }
            }
        }
    }
    let settings = (first * second * size / seeds) as f64;
    let freedom = (((first - 1) * (second - 1)) as f64, (settings - 1.0) * (seeds - 1) as f64);
    let precision = ((offset.abs() + grand.abs()) * f64::EPSILON).powi(2).max(f64::MIN_POSITIVE);
    let residual = (within / freedom.1).max(resolution * resolution / 12.0).max(precision);
    let f = between / freedom.0 / residual;
    // P(F > f) = Iₓ(ν₂/2, ν₁/2) at x = ν₂ / (ν₂ + ν₁ f); Abramowitz and Stegun, 26.6.2.
    let at = freedom.1 / (freedom.1 + freedom.0 * f);
    Some(Interaction { f, freedom, p_value: beta::tail(freedom.1 / 2.0, freedom.0 / 2.0, at) })
}
