use kiln_model::PlannedLayer;

use super::Graph;
use super::activation::activate;
use crate::ExportError;

/// activation(layers(x) + shortcut(x))
pub(super) fn translate(
    layer: &PlannedLayer,
    x: String,
    graph: &mut Graph<'_>,
) -> Result<String, ExportError> {
    let branches = layer.branches.iter().map(|branch| graph.layers(&branch.layers, x.clone()));
    let branches = branches.collect::<Result<Vec<String>, ExportError>>()?;
    let inputs: Vec<&str> = branches.iter().map(String::as_str).collect();
    let sum = graph.node("Add", &inputs, vec![]);
    Ok(activate(layer.activation, sum, graph))
}
