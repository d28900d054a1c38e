//! A [`Comparison`](crate::Comparison) as the inputs of charts.
//!
//! A comparison keeps neither histories nor reports. They are read again here, one run at a time; what is damaged is
//! left out of the picture.

mod classes;
mod grid;
mod histories;
mod labels;
mod relation;

pub use classes::class_recall;
pub use grid::setting_grid;
pub use histories::{MOST_POINTS, metric_curves};
pub use relation::against_setting;

pub(crate) use labels::{is_selected, number, values};
