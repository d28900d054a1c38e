//! The statistics behind a comparison: means and deviations, and whether two accuracies differ.
//!
//! A [`Difference`] holds an interval and a p-value that are two views of one test: the interval leaves out 0 exactly
//! where the p-value is below the level.

mod beta;
mod difference;
mod mcnemar;
mod spread;
mod welch;

pub use difference::{Difference, Family};
pub use mcnemar::{Discordant, mcnemar};
pub use spread::Spread;
pub use welch::welch;
