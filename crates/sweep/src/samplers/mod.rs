//! Samplers: how the next combination of a `[random]` table is drawn.
//!
//! A sampler is a file with a [`Sampler`], and a line in [`SAMPLERS`]. It knows numbers only: a combination is a point with
//! a coordinate for each axis.

mod random;
mod tpe;

use std::fmt::Debug;

/// All samplers. The first one is the default.
pub(crate) static SAMPLERS: [&dyn Sampler; 2] = [&random::Random, &tpe::TreeParzen];

/// Draws combinations.
pub(crate) trait Sampler: Debug + Sync {
    /// The value of the key `sampler`.
    fn name(&self) -> &'static str;

    /// How many combinations are drawn at random, without a look at results; `None` if all are.
    fn startup(&self) -> Option<usize>;

    /// Proposals for the next point, the best one first; at least one. Coordinates are within their dimensions.
    /// `random` returns random numbers in [0, 1).
    fn propose(
        &self,
        space: &[Dimension],
        observations: &[Observation],
        random: &mut dyn FnMut() -> f64,
    ) -> Vec<Vec<f64>>;
}

/// The values of an axis.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Dimension {
    /// Numbers from `low` to `high`.
    Real { low: f64, high: f64, is_log: bool },
    /// Whole numbers from `low` to `high`.
    Integer { low: f64, high: f64, is_log: bool },
    /// So many values, of which the coordinate is the index.
    Choice(usize),
}

/// A combination that was drawn before, and what is known about it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Observation {
    pub(crate) point: Vec<f64>,
    pub(crate) result: SampleResult,
}

/// The result of a combination.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum SampleResult {
    /// It is not done.
    Running,
    /// The metric, negated if lower values are better.
    Value(f64),
    /// It was pruned after so many epochs, with this value; `None` if that is not known.
    Pruned(usize, Option<f64>),
    /// Its loss stopped being a finite number.
    Diverged,
}

impl Dimension {
    /// The coordinate at a share from 0 up to, but not including, 1 of the dimension.
    pub(crate) fn at(self, share: f64) -> f64 {
        match self {
            // The share is below 1, but the product may round up to the length.
            Self::Choice(count) => {
                (share * count as f64).floor().min(count.saturating_sub(1) as f64)
            }
            Self::Integer { low, high, is_log: false } => {
                (share * (high - low + 1.0)).floor() + low
            }
            // The bounds are widened by one half, so that rounding gives each of them the interval of a full unit, like
            // every other integer.
            Self::Integer { low, high, is_log: true } => {
                let (from, to) = ((low - 0.5).ln(), (high + 0.5).ln());
                (from + share * (to - from)).exp().round()
            }
            Self::Real { low, high, is_log: false } => low + share * (high - low),
            Self::Real { low, high, is_log: true } => {
                (low.ln() + share * (high.ln() - low.ln())).exp()
            }
        }
    }
}
