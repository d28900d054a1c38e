use kiln_model::{LayerType, PlannedLayer, Shape};

use super::{Graph, integer, scale_and_offset};
use crate::ExportError;
use crate::onnx::messages::float;

/// As instance normalization of the groups: the operator for groups is newer, and its first version has a scale for each
/// group instead of each channel.
pub(super) fn translate(
    layer: &PlannedLayer,
    x: String,
    graph: &mut Graph<'_>,
) -> Result<String, ExportError> {
    let LayerType::GroupNormalization(config) = &layer.kind else { return Ok(x) };
    let [scale, offset] = scale_and_offset(layer, graph);
    // 0 is the size that the input has, −1 what is left.
    let shape = graph.integers(&[0, integer(config.groups), -1]);
    let groups = graph.node("Reshape", &[&x, &shape], vec![]);
    let ones = graph.floats(&vec![1.0; config.groups], &[config.groups]);
    let zeros = graph.floats(&vec![0.0; config.groups], &[config.groups]);
    let epsilon = float("epsilon", config.epsilon);
    let normalized = graph.node("InstanceNormalization", &[&groups, &ones, &zeros], vec![epsilon]);
    let (sizes, broadcast) = match layer.input {
        Shape::Image { channels, height, width } => {
            ([channels, height, width].map(integer).to_vec(), vec![integer(channels), 1, 1])
        }
        Shape::Features(features) => (vec![integer(features)], vec![integer(features)]),
    };
    let shape: Vec<i64> = std::iter::once(0).chain(sizes).collect();
    let shape = graph.integers(&shape);
    let normalized = graph.node("Reshape", &[&normalized, &shape], vec![]);
    let broadcast = graph.integers(&broadcast);
    let scale = graph.node("Reshape", &[&scale, &broadcast], vec![]);
    let offset = graph.node("Reshape", &[&offset, &broadcast], vec![]);
    let scaled = graph.node("Mul", &[&normalized, &scale], vec![]);
    Ok(graph.node("Add", &[&scaled, &offset], vec![]))
}
