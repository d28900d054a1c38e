use std::collections::HashMap;

use burn::tensor::TensorData;
use rand_core::Rng;

use crate::architecture::Architecture;

/// The values of one parameter, on the host.
#[derive(Debug, Clone, PartialEq)]
pub struct WeightTensor {
    /// `layers.<n>.weight` and so on.
    pub name: String,
    /// Dimensions, outermost first.
    pub shape: Vec<usize>,
    /// Values, the last dimension running fastest.
    pub values: Vec<f32>,
}

/// All parameters of a network, on the host.
#[derive(Debug, Clone, PartialEq)]
pub struct Weights {
    /// One a parameter; what the name says, not the order, makes it that parameter's.
    pub tensors: Vec<WeightTensor>,
}

impl Architecture {
    /// Draws the weights that training starts from, layer after layer from one generator.
    #[must_use]
    pub fn initial_weights(&self, rng: &mut impl Rng) -> Weights {
        let tensors = self
            .named_parameters()
            .map(|(name, parameter)| WeightTensor {
                name,
                shape: parameter.shape.clone(),
                values: parameter.initializer.draw(
                    parameter.len(),
                    parameter.fan_in,
                    parameter.fan_out,
                    rng,
                ),
            })
            .collect();
        Weights { tensors }
    }
}

impl Weights {
    /// Whether every value is a finite number.
    #[must_use]
    pub fn are_finite(&self) -> bool {
        self.tensors.iter().all(|tensor| tensor.values.iter().all(|value| value.is_finite()))
    }

    /// Checks that these are the parameters of `architecture`, by name and shape.
    ///
    /// # Errors
    ///
    /// What differs first.
    pub fn check(&self, architecture: &Architecture) -> Result<(), String> {
        self.in_order_of(architecture).map(|_| ())
    }

    /// The tensors as the architecture lists its parameters, whatever their order is here.
    ///
    /// # Errors
    ///
    /// They are not its parameters, by name and shape; what differs first.
    pub fn in_order_of(&self, architecture: &Architecture) -> Result<Vec<&WeightTensor>, String> {
        let mut rest: HashMap<&str, &WeightTensor> = HashMap::new();
        for tensor in &self.tensors {
            if rest.insert(&tensor.name, tensor).is_some() {
                return Err(format!("there are two `{}`", tensor.name));
            }
        }
        let in_order = architecture
            .named_parameters()
            .map(|(name, spec)| {
                let tensor = rest.remove(name.as_str());
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
        match rest.keys().min() {
            Some(name) => Err(format!("the model has no `{name}`")),
            None => Ok(in_order),
        }
    }
}

impl WeightTensor {
    pub(crate) fn data(&self) -> TensorData {
        TensorData::new(self.values.clone(), self.shape.clone())
    }
}
