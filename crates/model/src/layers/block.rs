//! Layers that are repeated together.

use kiln_config::{ConfigError, Table};
use serde::Serialize;

use crate::config::LayerConfig;

/// `{ type = "block", repeat = 3, layers = [ … ] }`: layers that are repeated together.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "type", rename = "block")]
pub struct BlockConfig {
    /// The layers of one repetition.
    pub layers: Vec<LayerConfig>,
}

impl BlockConfig {
    pub(crate) fn read(table: &mut Table<'_>) -> Result<Self, ConfigError> {
        Ok(Self { layers: table.required("layers")? })
    }
}
