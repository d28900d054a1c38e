use std::collections::BTreeMap;

use kiln_model::WeightTensor;

/// The state of an optimizer between two steps. Its names differ between the engines.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct OptimizerState {
    /// Sorted by name, which is `<parameter>.<slot>`.
    pub tensors: Vec<WeightTensor>,
    /// Counters such as the number of steps.
    pub counters: BTreeMap<String, u64>,
}
