use kiln_config::{ConfigError, FromValue, Table, Value};
use kiln_model::{ParameterRole, PlannedParameter};
use serde::{Serialize, Serializer};

/// The treatment of a parameter by a step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct ParameterSettings {
    /// Whether it is updated at all.
    pub(crate) trainable: bool,
    /// Multiplies the learning rate.
    pub(crate) learning_rate_factor: f64,
    /// Whether the weight decay of the optimizer applies to it.
    pub(crate) decays: bool,
}

impl Default for ParameterSettings {
    fn default() -> Self {
        Self { trainable: true, learning_rate_factor: 1.0, decays: true }
    }
}

/// The key `exclude_from_weight_decay` of `[optimizer]`: parameters that are updated without weight decay. It has no effect
/// if the optimizer has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WeightDecayExclusion {
    /// Biases.
    pub bias: bool,
    /// Scales and offsets of normalization.
    pub normalization: bool,
}

const BIAS: &str = "bias";
const NORMALIZATION: &str = "normalization";

/// An item of the list.
struct Excluded(&'static str);

impl FromValue for Excluded {
    fn from_value(value: &Value) -> Result<Self, ConfigError> {
        const NAMES: [&str; 2] = [BIAS, NORMALIZATION];
        Ok(Self(NAMES[value.keyword("kind of parameter", &NAMES)?]))
    }
}

impl WeightDecayExclusion {
    pub(super) fn read(table: &mut Table<'_>) -> Result<Self, ConfigError> {
        let list: Vec<Excluded> = table.default("exclude_from_weight_decay", Vec::new())?;
        let contains = |name| list.iter().any(|Excluded(item)| *item == name);
        Ok(Self { bias: contains(BIAS), normalization: contains(NORMALIZATION) })
    }

    /// Nothing is excluded. Not written then, so that run ids from before this key stay.
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The settings of a parameter.
    pub(crate) fn settings_of(self, parameter: &PlannedParameter<'_>) -> ParameterSettings {
        let is_excluded = match parameter.spec.role {
            ParameterRole::Bias => self.bias,
            ParameterRole::Normalization => self.normalization,
            ParameterRole::Kernel | ParameterRole::Statistic => false,
        };
        ParameterSettings {
            trainable: parameter.spec.trainable,
            learning_rate_factor: parameter.learning_rate_factor,
            decays: !is_excluded,
        }
    }
}

/// Always in the same order, so that equivalent lists have the same run id.
impl Serialize for WeightDecayExclusion {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let all = [(BIAS, self.bias), (NORMALIZATION, self.normalization)];
        let excluded = all.iter().filter(|(_, is_excluded)| *is_excluded);
        serializer.collect_seq(excluded.map(|(name, _)| name))
    }
}
