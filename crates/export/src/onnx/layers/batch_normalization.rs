use kiln_model::{LayerType, PlannedLayer};

use super::{Graph, find};
use crate::ExportError;
use crate::onnx::messages::float;

pub(super) fn translate(
    layer: &PlannedLayer,
    x: String,
    graph: &mut Graph<'_>,
) -> Result<String, ExportError> {
    let LayerType::BatchNormalization(config) = &layer.kind else { return Ok(x) };
    let parameters = graph.parameters(layer);
    let channels = layer.input.channels();
    // The running statistics always exist.
    let defaults = [("weight", 1.0), ("bias", 0.0), ("running_mean", 0.0), ("running_var", 1.0)];
    let [scale, offset, mean, variance] =
        defaults.map(|(name, default)| match find(&parameters, name) {
            Some(constant) => constant.to_owned(),
            None => graph.floats(&vec![default; channels], &[channels]),
        });
    let inputs = [&x, &scale, &offset, &mean, &variance].map(String::as_str);
    Ok(graph.node("BatchNormalization", &inputs, vec![float("epsilon", config.epsilon)]))
}
