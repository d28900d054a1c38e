//! Saves and restores the state of the optimizer.

use std::collections::{BTreeMap, HashMap};

use kiln_model::{WeightTensor, Weights};

use super::{Fused, from_file_order, to_file_order};
use crate::engine::OptimizerState;

/// The counter of completed steps.
const STEPS: &str = "steps";

impl Fused {
    pub(in crate::engine) fn optimizer_state(&self) -> OptimizerState {
        let named = self.architecture.named_parameters().zip(self.operations.parameters());
        let mut tensors: Vec<WeightTensor> = named
            .flat_map(|((parameter, spec), kept)| {
                kept.kept().map(move |(name, values)| WeightTensor {
                    name: format!("{parameter}.{name}"),
                    shape: spec.shape.clone(),
                    values: to_file_order(values, spec),
                })
            })
            .collect();
        // Sorted, as the weights file is read: a restored state can then be compared with this one.
        tensors.sort_by(|a, b| a.name.cmp(&b.name));
        let steps = u64::try_from(self.rule.steps()).unwrap_or(0);
        OptimizerState { tensors, counters: BTreeMap::from([(STEPS.to_owned(), steps)]) }
    }

    pub(in crate::engine) fn restore(
        &mut self,
        state: &OptimizerState,
        average: Option<&Weights>,
    ) -> Result<(), String> {
        self.restore_average(average)?;
        let steps = match (state.counters.get(STEPS), state.counters.len()) {
            // The bias corrections of some optimizers compute β^steps by `powi`, which takes an i32.
            (Some(steps), 1) => i32::try_from(*steps).map_err(|_| "too many steps".to_owned())?,
            _ => return Err(format!("its counters should be `{STEPS}` alone")),
        };
        let mut rest: HashMap<&str, &WeightTensor> =
            state.tensors.iter().map(|tensor| (tensor.name.as_str(), tensor)).collect();
        let architecture = self.architecture.clone();
        for ((parameter, spec), own) in
            architecture.named_parameters().zip(self.operations.parameters_mut())
        {
            for (what, values) in own.kept_mut() {
                let name = format!("{parameter}.{what}");
                let tensor = rest.remove(name.as_str());
                let tensor = tensor.ok_or_else(|| format!("`{name}` is missing"))?;
                if tensor.shape != spec.shape || tensor.values.len() != spec.len() {
                    return Err(format!("`{name}` does not have the shape of its parameter"));
                }
                *values = from_file_order(&tensor.values, spec);
            }
        }
        // A remaining tensor shows that another optimizer wrote the state. Ignoring it would change the result.
        if let Some(name) = rest.keys().min() {
            return Err(format!("this optimizer has no `{name}`"));
        }
        self.rule.set_steps(steps);
        Ok(())
    }

    fn restore_average(&mut self, average: Option<&Weights>) -> Result<(), String> {
        let Some(average) = average.filter(|_| self.rule.averages()) else { return Ok(()) };
        let architecture = self.architecture.clone();
        let tensors = average.in_order_of(&architecture)?;
        let specs = architecture.named_parameters().map(|(_, spec)| spec);
        for ((tensor, spec), own) in
            tensors.into_iter().zip(specs).zip(self.operations.parameters_mut())
        {
            own.average = from_file_order(&tensor.values, spec);
        }
        Ok(())
    }
}
