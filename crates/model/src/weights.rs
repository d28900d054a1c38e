use std::collections::HashMap;

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

impl Weights {
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
