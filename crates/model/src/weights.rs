use std::collections::{HashMap, HashSet};

use rand_core::Rng;

use crate::architecture::Architecture;
use crate::tensor::WeightTensor;

/// All parameters of a network, in host memory.
#[derive(Debug, Clone, PartialEq)]
pub struct Weights {
    /// One tensor per parameter, in any order; the names identify the parameters.
    pub tensors: Vec<WeightTensor>,
}

impl Architecture {
    /// Draws the initial weights of all layers, in order, from one generator.
    #[must_use]
    pub fn initial_weights(&self, rng: &mut impl Rng) -> Weights {
        let tensors = self
            .named_parameters()
            .map(|(name, parameter)| WeightTensor {
                name,
                shape: parameter.shape.clone(),
                values: parameter.initializer.draw(parameter, rng),
            })
            .collect();
        Weights { tensors }
    }
}

/// The names of tensors after [`Weights::load_matching`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MatchedTensors {
    /// Those that were replaced.
    pub loaded: Vec<String>,
    /// Those of which the source has none with their name and shape. They have not changed.
    pub unmatched: Vec<String>,
    /// Those of the source that were not used.
    pub unused: Vec<String>,
}

impl Weights {
    /// Replaces the values of the tensors that have the same name and the same shape in `source`.
    pub fn load_matching(&mut self, source: &Self) -> MatchedTensors {
        let by_name: HashMap<&str, &WeightTensor> =
            source.tensors.iter().map(|tensor| (tensor.name.as_str(), tensor)).collect();
        let mut matched = MatchedTensors::default();
        let mut used = HashSet::new();
        for tensor in &mut self.tensors {
            let found = by_name.get(tensor.name.as_str());
            match found.filter(|found| found.shape == tensor.shape) {
                Some(found) => {
                    tensor.values.clone_from(&found.values);
                    used.insert(tensor.name.as_str());
                    matched.loaded.push(tensor.name.clone());
                }
                None => matched.unmatched.push(tensor.name.clone()),
            }
        }
        let unused = source.tensors.iter().filter(|tensor| !used.contains(tensor.name.as_str()));
        matched.unused = unused.map(|tensor| tensor.name.clone()).collect();
        matched
    }

    /// Whether every value is finite.
    #[must_use]
    pub fn are_finite(&self) -> bool {
        self.tensors.iter().all(|tensor| tensor.values.iter().all(|value| value.is_finite()))
    }

    /// Checks that the tensors have the names and shapes of the parameters of `architecture`.
    ///
    /// # Errors
    ///
    /// The message reports the first difference.
    pub fn check(&self, architecture: &Architecture) -> Result<(), String> {
        self.in_order_of(architecture).map(|_| ())
    }

    /// The tensors in the order of the parameters of `architecture`.
    ///
    /// # Errors
    ///
    /// The tensors do not have the names and shapes of its parameters. The message reports the first
    /// difference.
    pub fn in_order_of(&self, architecture: &Architecture) -> Result<Vec<&WeightTensor>, String> {
        let mut remaining: HashMap<&str, &WeightTensor> = HashMap::new();
        for tensor in &self.tensors {
            if remaining.insert(&tensor.name, tensor).is_some() {
                return Err(format!("there are two `{}`", tensor.name));
            }
        }
        let in_order = architecture
            .named_parameters()
            .map(|(name, spec)| {
                let tensor = remaining.remove(name.as_str());
                let tensor = tensor.ok_or_else(|| format!("`{name}` is missing"))?;
                if tensor.shape != spec.shape {
                    return Err(format!(
                        "`{name}` has the shape {:?}, but the model needs {:?}",
                        tensor.shape, spec.shape
                    ));
                }
                if tensor.values.len() != spec.len() {
                    return Err(format!(
                        "`{name}` has {} values, but its shape {:?} needs {}",
                        tensor.values.len(),
                        spec.shape,
                        spec.len()
                    ));
                }
                Ok(tensor)
            })
            .collect::<Result<Vec<_>, String>>()?;
        // The smallest name, so that the message does not depend on the order of the hash map.
        match remaining.keys().min() {
            Some(name) => Err(format!("the model has no `{name}`")),
            None => Ok(in_order),
        }
    }
}
