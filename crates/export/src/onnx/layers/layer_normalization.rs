use kiln_model::{LayerType, PlannedLayer, Shape};

use super::{Graph, scale_and_offset};
use crate::ExportError;
use crate::onnx::messages::{float, int, ints};

/// Over the features, or over the channels of each pixel. The operator normalizes the last dimensions.
pub(super) fn translate(
    layer: &PlannedLayer,
    x: String,
    graph: &mut Graph<'_>,
) -> Result<String, ExportError> {
    let LayerType::LayerNormalization(config) = &layer.kind else { return Ok(x) };
    let [scale, offset] = scale_and_offset(layer, graph);
    let transpose = |x: &str, order: &[i64], graph: &mut Graph<'_>| {
        graph.node("Transpose", &[x], vec![ints("perm", order)])
    };
    let is_image = matches!(layer.input, Shape::Image { .. });
    let x = if is_image { transpose(&x, &[0, 2, 3, 1], graph) } else { x };
    let attributes = vec![int("axis", -1), float("epsilon", config.epsilon)];
    let normalized = graph.node("LayerNormalization", &[&x, &scale, &offset], attributes);
    Ok(if is_image { transpose(&normalized, &[0, 3, 1, 2], graph) } else { normalized })
}
