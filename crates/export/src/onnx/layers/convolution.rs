use kiln_model::{LayerType, PlannedLayer};

use super::activation::activate;
use super::{Graph, find, integer, window_attributes};
use crate::ExportError;
use crate::onnx::messages::int;

/// A convolution, also of each channel by itself. The kernel is `[out, in / groups, height, width]` in ONNX, too.
pub(super) fn translate(
    layer: &PlannedLayer,
    x: String,
    graph: &mut Graph<'_>,
) -> Result<String, ExportError> {
    let (window, groups) = match &layer.kind {
        LayerType::Conv2d(config) => (config.window(), config.groups),
        LayerType::DepthwiseConv2d(config) => (config.window(), layer.input.channels()),
        _ => return Ok(x),
    };
    let parameters = graph.parameters(layer);
    let mut attributes = window_attributes(window, layer.input);
    attributes.push(int("group", integer(groups)));
    let weight = find(&parameters, "weight");
    let inputs: Vec<&str> =
        std::iter::once(x.as_str()).chain(weight).chain(find(&parameters, "bias")).collect();
    let output = graph.node("Conv", &inputs, attributes);
    Ok(activate(layer.activation, output, graph))
}
