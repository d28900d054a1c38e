//! Readers of keys that several optimizers share.

use kiln_config::{ConfigError, Table};

/// A share such as β₁ or the momentum: at least 0 and less than 1.
pub(super) fn share(
    table: &mut Table<'_>,
    key: &'static str,
    default: f64,
) -> Result<f64, ConfigError> {
    // The backends compute in f32. The largest f64 below 1 rounds to 1 there.
    table.checked(key, default, "a number from 0 to below 1", |share| {
        (0.0..1.0).contains(&(*share as f32))
    })
}

/// `weight_decay`.
pub(super) fn weight_decay(table: &mut Table<'_>, default: f64) -> Result<f64, ConfigError> {
    table.checked("weight_decay", default, "a number, 0 or more", |decay| {
        (0.0..=f32::MAX).contains(&(*decay as f32))
    })
}

/// `epsilon`. The default is Keras'; that of PyTorch is 1e-8.
pub(super) fn epsilon(table: &mut Table<'_>) -> Result<f64, ConfigError> {
    let expected = "a number above 0 that 32 bits can hold";
    table.checked("epsilon", 1e-7, expected, |epsilon| (*epsilon as f32).is_normal())
}
