use kiln_model::{LayerType, PlannedLayer};

use super::{Graph, window_attributes};
use crate::ExportError;
use crate::onnx::messages::int;

/// Padding is no maximum, and does not count in a mean.
pub(super) fn translate(
    layer: &PlannedLayer,
    x: String,
    graph: &mut Graph<'_>,
) -> Result<String, ExportError> {
    let global = |operator: &str, graph: &mut Graph<'_>| {
        let pooled = graph.node(operator, &[&x], vec![]);
        graph.node("Flatten", &[&pooled], vec![])
    };
    Ok(match &layer.kind {
        LayerType::GlobalAveragePooling2d(_) => global("GlobalAveragePool", graph),
        LayerType::GlobalMaxPooling2d(_) => global("GlobalMaxPool", graph),
        LayerType::MaxPooling2d(config) => {
            let attributes = window_attributes(config.window.window(), layer.input);
            graph.node("MaxPool", &[&x], attributes)
        }
        LayerType::AveragePooling2d(config) => {
            let mut attributes = window_attributes(config.window.window(), layer.input);
            attributes.push(int("count_include_pad", 0));
            graph.node("AveragePool", &[&x], attributes)
        }
        _ => x,
    })
}
