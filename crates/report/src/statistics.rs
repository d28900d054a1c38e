//! The statistics behind a comparison: means and deviations, and whether two accuracies differ.

mod spread;

pub use spread::Spread;
