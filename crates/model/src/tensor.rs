use burn::tensor::TensorData;

/// The values of one parameter, in host memory.
#[derive(Debug, Clone, PartialEq)]
pub struct WeightTensor {
    /// The name in the weights file, such as `layers.0.weight`.
    pub name: String,
    /// The dimensions, outermost first.
    pub shape: Vec<usize>,
    /// The values, row-major.
    pub values: Vec<f32>,
}

impl WeightTensor {
    pub(crate) fn data(&self) -> TensorData {
        TensorData::new(self.values.clone(), self.shape.clone())
    }
}
