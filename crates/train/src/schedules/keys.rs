//! Readers of keys that several schedules share.

use kiln_config::{ConfigError, Table};

/// A number above 0.
pub(super) fn positive(
    table: &mut Table<'_>,
    key: &'static str,
    default: f64,
) -> Result<f64, ConfigError> {
    table.checked(key, default, "a number above 0", |number| *number > 0.0)
}

/// A number from 0 to 1.
pub(super) fn share(
    table: &mut Table<'_>,
    key: &'static str,
    default: f64,
) -> Result<f64, ConfigError> {
    table.checked(key, default, "a number from 0 to 1", |share| (0.0..=1.0).contains(share))
}
