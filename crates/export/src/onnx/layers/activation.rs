use kiln_model::{Activation, PlannedLayer};

use super::Graph;
use crate::ExportError;
use crate::onnx::messages::{float, int};

pub(super) fn translate(
    layer: &PlannedLayer,
    x: String,
    graph: &mut Graph<'_>,
) -> Result<String, ExportError> {
    Ok(activate(layer.activation, x, graph))
}

/// Adds the nodes of an activation function.
pub(super) fn activate(activation: Activation, x: String, graph: &mut Graph<'_>) -> String {
    match activation {
        Activation::Linear => x,
        Activation::Relu => graph.node("Relu", &[&x], vec![]),
        Activation::LeakyRelu => {
            let slope = float("alpha", Activation::LEAKY_RELU_SLOPE);
            graph.node("LeakyRelu", &[&x], vec![slope])
        }
        Activation::Elu => graph.node("Elu", &[&x], vec![float("alpha", 1.0)]),
        Activation::Selu => {
            let alpha = float("alpha", Activation::SELU_ALPHA);
            let elu = graph.node("Elu", &[&x], vec![alpha]);
            multiply(&elu, Activation::SELU_SCALE, graph)
        }
        Activation::Gelu => {
            // The operator Gelu is newer than the version that is written.
            let scaled = multiply(&x, std::f64::consts::FRAC_1_SQRT_2, graph);
            let erf = graph.node("Erf", &[&scaled], vec![]);
            let one = graph.floats(&[1.0], &[]);
            let twice_phi = graph.node("Add", &[&erf, &one], vec![]);
            let product = graph.node("Mul", &[&x, &twice_phi], vec![]);
            multiply(&product, 0.5, graph)
        }
        Activation::Silu => {
            let sigmoid = graph.node("Sigmoid", &[&x], vec![]);
            graph.node("Mul", &[&x, &sigmoid], vec![])
        }
        Activation::Sigmoid => graph.node("Sigmoid", &[&x], vec![]),
        Activation::Tanh => graph.node("Tanh", &[&x], vec![]),
        Activation::Softmax => graph.node("Softmax", &[&x], vec![int("axis", 1)]),
        Activation::Softplus => graph.node("Softplus", &[&x], vec![]),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the graph computes in f32")]
fn multiply(x: &str, factor: f64, graph: &mut Graph<'_>) -> String {
    let factor = graph.floats(&[factor as f32], &[]);
    graph.node("Mul", &[x, &factor], vec![])
}
