//! The statistics of a comparison: means and deviations, and which differences are significant.
//!
//! This crate knows numbers only, neither runs nor experiments, so that the report of one run, the comparison of many
//! and a sweep can use the same procedures.
//!
//! An [`AccuracyDifference`] has an interval and a p-value of the same test: the interval excludes 0 exactly if the
//! p-value is below the level.

mod best;
mod beta;
mod difference;
mod interaction;
mod mcnemar;
mod moderation;
mod normal;
mod spread;
mod student;
mod welch;
mod wilson;

pub use best::{
    BaselineDifference, BestComparison, Observation, Standing, compare_levels_with_best,
    compare_with_baseline, compare_with_best, detectable_difference,
};
pub use difference::{AccuracyDifference, Family};
pub use interaction::{Interaction, interaction};
pub use mcnemar::{Discordant, mcnemar};
pub use normal::{log_normal_mass, normal_probability, normal_quantile};
pub use spread::Spread;
pub use welch::welch;
pub use wilson::wilson;
