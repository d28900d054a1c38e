use kiln_config::{ConfigError, Table};
use serde::Serialize;

use super::ScheduleRule;

/// η stays.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Constant {}

impl ScheduleRule for Constant {
    fn read(_: &mut Table<'_>) -> Result<Self, ConfigError> {
        Ok(Self {})
    }
}
