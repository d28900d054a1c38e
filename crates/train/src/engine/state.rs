use std::collections::BTreeMap;

use kiln_model::WeightTensor;

/// The state of an optimizer between two steps. Each engine has its own names.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct OptimizerState {
    /// One tensor per parameter and quantity, named `<parameter>.<quantity>`, sorted by name.
    pub tensors: Vec<WeightTensor>,
    /// Counters, such as the number of steps.
    pub counters: BTreeMap<String, u64>,
}
