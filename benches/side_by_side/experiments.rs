//! The experiments of the benchmark, in the order of the results.

mod dense;
mod small_cnn;

use crate::setting::Setting;

pub(crate) fn all() -> Vec<Setting> {
    vec![dense::setting(), small_cnn::setting()]
}
