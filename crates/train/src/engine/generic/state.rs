//! Reading and restoring the optimizer's state: Burn's record of it, with the names of parameters in its
//! keys instead of the ids that they have in this process.

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Bytes, DType, Tensor, TensorData};
use burn_pack::{Reader, Scalar, Writer};
use kiln_model::WeightTensor;

use super::Generic;
use crate::engine::OptimizerState;

/// A parameter, and what Burn calls it in this process.
struct Named {
    id: String,
    name: String,
    shape: Vec<usize>,
}

/// The counter under which Burn keeps the number of a parameter's dimensions.
const RANK: &str = "__rank";

impl Generic {
    pub(in crate::engine) fn optimizer_state(&self) -> Result<OptimizerState, String> {
        let parameters = self.named()?;
        let renamed = |key: &str| {
            let (id, field) = key.split_once('.').unwrap_or((key, ""));
            let parameter = parameters.iter().find(|parameter| parameter.id == id);
            let parameter = parameter
                .ok_or_else(|| format!("the optimizer has a state `{key}` of no parameter"))?;
            Ok::<String, String>(format!("{}.{field}", parameter.name))
        };
        let bytes = self.optimizer.into_bytes().map_err(in_words)?;
        let reader = Reader::from_bytes(bytes).map_err(in_words)?;
        let mut state = OptimizerState::default();
        for (key, value) in reader.scalars() {
            let count = u64::try_from(*value).map_err(|error| format!("`{key}`: {error}"))?;
            state.counters.insert(renamed(key)?, count);
        }
        for tensor in reader.into_tensors().map_err(in_words)? {
            let (key, dtype, shape, _, bytes) = tensor.into_parts().map_err(in_words)?;
            let shape = shape.to_vec();
            let data = TensorData::from_bytes(bytes, shape.clone(), dtype);
            let values = data.try_to_vec::<f32>().map_err(|error| format!("`{key}`: {error:?}"))?;
            state.tensors.push(WeightTensor { name: renamed(&key)?, shape, values });
        }
        state.tensors.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(state)
    }

    pub(in crate::engine) fn restore(&mut self, state: &OptimizerState) -> Result<(), String> {
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
            // Every tensor of an optimizer's state has the shape of its parameter.
            if *shape != parameter.shape || shape.iter().product::<usize>() != values.len() {
                return Err(format!("`{name}` has not the shape of its parameter"));
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
                return Err(format!("`{name}` is {count}, which its parameter has not"));
            }
            writer = writer.with_scalar(&key, Scalar::UInt(*count));
        }
        let bytes = writer.into_bytes().map_err(in_words)?;
        self.optimizer = self.optimizer.clone().from_bytes(bytes).map_err(in_words)?;
        // Burn ignores unknown entries, and starts from scratch if one is missing.
        if self.optimizer_state()? != *state {
            return Err("it is not a state of this optimizer for these parameters".to_owned());
        }
        Ok(())
    }

    /// The parameters in the order of the weights file, which is that of the network's layers.
    fn named(&self) -> Result<Vec<Named>, String> {
        struct Visitor(Vec<(String, Vec<usize>)>);
        impl ModuleVisitor for Visitor {
            fn visit_float<const D: usize>(&mut self, parameter: &Param<Tensor<D>>) {
                self.0.push((parameter.id.val().to_string(), parameter.val().dims().to_vec()));
            }
        }
        let mut found = Visitor(Vec::new());
        self.network.visit(&mut found);
        let mut found = found.0.into_iter();
        let mut named = Vec::new();
        for (name, spec) in self.architecture.named_parameters() {
            match found.next() {
                Some((id, shape)) if shape == spec.shape => {
                    named.push(Named { id, name, shape });
                }
                _ => return Err(format!("`{name}` is not where the network has it")),
            }
        }
        Ok(named)
    }
}

fn in_words(error: impl std::fmt::Display) -> String {
    error.to_string()
}
