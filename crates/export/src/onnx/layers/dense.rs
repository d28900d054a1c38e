use kiln_model::PlannedLayer;

use super::activation::activate;
use super::{Graph, find};
use crate::ExportError;

/// x W + b, with W `[in, out]`.
pub(super) fn translate(
    layer: &PlannedLayer,
    x: String,
    graph: &mut Graph<'_>,
) -> Result<String, ExportError> {
    let parameters = graph.parameters(layer);
    let weight = find(&parameters, "weight");
    let inputs: Vec<&str> =
        std::iter::once(x.as_str()).chain(weight).chain(find(&parameters, "bias")).collect();
    let output = graph.node("Gemm", &inputs, vec![]);
    Ok(activate(layer.activation, output, graph))
}
