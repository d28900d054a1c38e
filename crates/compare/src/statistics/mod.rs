//! The statistics of a comparison: means and deviations, and whether two accuracies differ.
//!
//! An [`AccuracyDifference`] has an interval and a p-value of the same test: the interval excludes 0 exactly if the
//! p-value is below the level.

mod beta;
mod difference;
mod mcnemar;
mod spread;
mod welch;

pub use difference::{AccuracyDifference, Family};
pub use mcnemar::{Discordant, mcnemar};
pub use spread::Spread;
pub use welch::welch;
