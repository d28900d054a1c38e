//! Saves and restores the state of the optimizer: Burn's own record, but with the names of the parameters in its keys
//! instead of their ids, which are different in every process.

use burn::tensor::{Bytes, DType, TensorData};
use burn_pack::{Reader, Scalar, Writer};
use kiln_model::{PlannedParameter, WeightTensor, Weights};

use super::Generic;
use super::groups::identified;
use crate::engine::OptimizerState;

/// A parameter and the id that Burn gave it in this process.
struct Named {
    id: String,
    name: String,
    shape: Vec<usize>,
}

/// The counter in which Burn stores how many dimensions a parameter has.
const RANK: &str = "__rank";

impl Generic {
    pub(in crate::engine) fn optimizer_state(&self) -> Result<OptimizerState, String> {
        let parameters = self.named()?;
        let renamed = |key: &str| {
            let (id, field) = key.split_once('.').unwrap_or((key, ""));
            let parameter = parameters.iter().find(|parameter| parameter.id == id);
            let parameter = parameter
                .ok_or_else(|| format!("`{key}` in the optimizer belongs to no parameter"))?;
            Ok::<String, String>(format!("{}.{field}", parameter.name))
        };
        // Burn offers no other access to the state than its serialized record.
        let bytes = self.optimizer.into_bytes().map_err(error_text)?;
        let reader = Reader::from_bytes(bytes).map_err(error_text)?;
        let mut state = OptimizerState::default();
        for (key, value) in reader.scalars() {
            let count = u64::try_from(*value).map_err(|error| format!("`{key}`: {error}"))?;
            state.counters.insert(renamed(key)?, count);
        }
        for tensor in reader.into_tensors().map_err(error_text)? {
            let (key, dtype, shape, _, bytes) = tensor.into_parts().map_err(error_text)?;
            let shape = shape.to_vec();
            let data = TensorData::from_bytes(bytes, shape.clone(), dtype);
            let values = data.try_to_vec::<f32>().map_err(|error| format!("`{key}`: {error:?}"))?;
            state.tensors.push(WeightTensor { name: renamed(&key)?, shape, values });
        }
        state.tensors.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(state)
    }

    pub(in crate::engine) fn restore(
        &mut self,
        state: &OptimizerState,
        average: Option<&Weights>,
    ) -> Result<(), String> {
        if let (Some(own), Some(weights)) = (&mut self.average, average) {
            own.restore(&self.architecture, weights, &self.device.clone().inner())?;
        }
        let parameters = self.named()?;
        let renamed = |key: &str| {
            let own = parameters.iter().find_map(|parameter| {
                let field = key.strip_prefix(parameter.name.as_str())?.strip_prefix('.')?;
                Some((format!("{}.{field}", parameter.id), parameter))
            });
            own.ok_or_else(|| format!("the model has no parameter for `{key}`"))
        };
        let mut tensors = Vec::new();
        for WeightTensor { name, shape, values } in &state.tensors {
            let (key, parameter) = renamed(name)?;
            // All optimizers keep tensors of the shape of the parameter.
            if *shape != parameter.shape || shape.iter().product::<usize>() != values.len() {
                return Err(format!("`{name}` does not have the shape of its parameter"));
            }
            let id = parameter.id.parse().ok();
            let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            let bytes = Bytes::from_bytes_vec(bytes);
            tensors.push(burn_pack::Tensor::new(key, DType::F32, shape.clone(), id, bytes));
        }
        let mut writer = Writer::new(tensors);
        for (name, count) in &state.counters {
            let (key, parameter) = renamed(name)?;
            if name.ends_with(RANK) && *count != parameter.shape.len() as u64 {
                let rank = parameter.shape.len();
                return Err(format!(
                    "`{name}` is {count}, but the parameter has {rank} dimensions"
                ));
            }
            writer = writer.with_scalar(&key, Scalar::UInt(*count));
        }
        let bytes = writer.into_bytes().map_err(error_text)?;
        self.optimizer = self.optimizer.clone().from_bytes(bytes).map_err(error_text)?;
        // Burn ignores unknown entries and silently resets missing ones. Reading the state back shows both.
        if self.optimizer_state()? != *state {
            return Err("it does not fit this optimizer and these parameters".to_owned());
        }
        Ok(())
    }

    /// The parameters in the order of the weights file.
    fn named(&self) -> Result<Vec<Named>, String> {
        let parameters = identified(&self.architecture, &self.network)?.into_iter();
        let named = parameters.map(|(id, PlannedParameter { name, spec, .. })| Named {
            id: id.val().to_string(),
            name,
            shape: spec.shape.clone(),
        });
        Ok(named.collect())
    }
}

fn error_text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
