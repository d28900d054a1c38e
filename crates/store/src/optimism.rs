use serde::{Deserialize, Serialize};

/// How much too high a run's validation accuracy is because its best epoch was chosen with the same validation images.
///
/// It is measured by cross-fitting. The best epoch by the images at even places of the validation set is evaluated on those
/// at odd places, and the other way round. So each image is classified by weights that were chosen without it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Optimism {
    /// The number of epochs from which the best one was chosen.
    pub epochs: usize,
    /// The `val_accuracy` of the epoch whose weights are kept.
    pub val_accuracy: f64,
    /// The accuracy by cross-fitting.
    pub cross_fitted: f64,
    /// `val_accuracy` − `cross_fitted`. Below 0 by chance if the choice made no difference.
    pub difference: f64,
}
