//! A [`Comparison`](crate::Comparison) as the inputs of charts.
//!
//! A comparison does not keep histories and reports. They are read again here, one run at a time. Files that cannot be
//! read are omitted from the chart.

mod classes;
mod effects;
mod histories;
mod labels;
mod relation;
mod setting_grid;

pub use classes::class_recall;
pub use effects::effects;
pub use histories::{MAX_POINTS, metric_curves};
pub use relation::against_setting;
pub use setting_grid::setting_grid;

pub(crate) use labels::{is_selected, may_be_best, number, values};
