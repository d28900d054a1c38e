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

/// All parameters of a network, on the host, in the order of the layers.
#[derive(Debug, Clone, PartialEq)]
pub struct Weights {
    /// One a parameter.
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
        let mut specs = architecture.named_parameters();
        for tensor in &self.tensors {
            let Some((name, spec)) = specs.next() else {
                return Err(format!("the model has no `{}`", tensor.name));
            };
            if name != tensor.name {
                return Err(format!("expected `{name}`, found `{}`", tensor.name));
            }
            if spec.shape != tensor.shape || spec.len() != tensor.values.len() {
                return Err(format!(
                    "`{name}` has the shape {:?}, but the model needs {:?}",
                    tensor.shape, spec.shape
                ));
            }
        }
        match specs.next() {
            Some((name, _)) => Err(format!("`{name}` is missing")),
            None => Ok(()),
        }
    }
}

impl WeightTensor {
    pub(crate) fn data(&self) -> TensorData {
        TensorData::new(self.values.clone(), self.shape.clone())
    }
}
