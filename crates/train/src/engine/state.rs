use std::collections::BTreeMap;

use kiln_model::WeightTensor;

/// What an optimiser keeps from one step to the next; the names are the engine's own.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct OptimizerState {
    /// `<parameter>.<what is kept>`, in the order of their names.
    pub tensors: Vec<WeightTensor>,
    /// What is counted, such as steps.
    pub counters: BTreeMap<String, u64>,
}
