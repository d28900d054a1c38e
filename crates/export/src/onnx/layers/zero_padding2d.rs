use kiln_model::{LayerType, PlannedLayer};

use super::{Graph, integer};
use crate::ExportError;

pub(super) fn translate(
    layer: &PlannedLayer,
    x: String,
    graph: &mut Graph<'_>,
) -> Result<String, ExportError> {
    let LayerType::ZeroPadding2d(config) = &layer.kind else { return Ok(x) };
    let ((top, bottom), (left, right)) = (config.padding.rows, config.padding.columns);
    // The numbers before each dimension, then those after each: images, channels, rows, columns.
    let pads = graph.integers(&[0, 0, top, left, 0, 0, bottom, right].map(integer));
    Ok(graph.node("Pad", &[&x, &pads], vec![]))
}
