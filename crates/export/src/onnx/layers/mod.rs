//! The layers as ONNX nodes. To support a layer, write its translation and add it to [`translation`].

mod activation;
mod batch_normalization;
mod convolution;
mod dense;
mod group_normalization;
mod layer_normalization;
mod pooling;
mod residual;
mod zero_padding2d;

use kiln_model::{LayerType, PlannedLayer, Shape, Window};

use super::graph::Graph;
use super::messages::{Attribute, ints};
use crate::ExportError;

/// Adds the nodes of a layer with this input to a graph, and returns their output.
type Translation = fn(&PlannedLayer, String, &mut Graph<'_>) -> Result<String, ExportError>;

/// The translation of a layer; `None` if it has none yet.
pub(super) fn translation(layer: &PlannedLayer) -> Option<Translation> {
    const NOTHING: Translation = |_, x, _| Ok(x);
    Some(match &layer.kind {
        LayerType::Flatten(_) => |_, x, graph| Ok(graph.node("Flatten", &[&x], vec![])),
        LayerType::Dense(_) => dense::translate,
        LayerType::Activation(_) => activation::translate,
        LayerType::Dropout(_) | LayerType::SpatialDropout2d(_) => NOTHING,
        LayerType::BatchNormalization(_) => batch_normalization::translate,
        LayerType::Conv2d(_) | LayerType::DepthwiseConv2d(_) => convolution::translate,
        LayerType::MaxPooling2d(_)
        | LayerType::AveragePooling2d(_)
        | LayerType::GlobalAveragePooling2d(_)
        | LayerType::GlobalMaxPooling2d(_) => pooling::translate,
        LayerType::GroupNormalization(_) => group_normalization::translate,
        LayerType::LayerNormalization(_) => layer_normalization::translate,
        LayerType::ZeroPadding2d(_) => zero_padding2d::translate,
        LayerType::Residual(_) => residual::translate,
        _ => return None,
    })
}

/// A size as ONNX stores it.
pub(super) fn integer(size: usize) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

/// The constant of the parameter with this name, if the layer has it.
fn find<'a>(parameters: &'a [(&str, String)], name: &str) -> Option<&'a str> {
    parameters.iter().find(|(own, _)| *own == name).map(|(_, constant)| constant.as_str())
}

/// The attributes of a window that moves over an image.
fn window_attributes(window: Window, input: Shape) -> Vec<Attribute> {
    let [(top, bottom), (left, right)] = window.zeros(input);
    let pair = |[rows, columns]: [usize; 2]| [integer(rows), integer(columns)];
    let mut attributes = vec![
        ints("kernel_shape", &pair(window.size.as_array())),
        ints("strides", &pair(window.strides.as_array())),
        ints("pads", &[top, left, bottom, right].map(integer)),
    ];
    let dilations = pair(window.dilation.as_array());
    // Older operators for pooling have no dilation.
    if dilations != [1, 1] {
        attributes.push(ints("dilations", &dilations));
    }
    attributes
}

/// γ and β of a normalization: the parameters of the layer, or ones and zeros.
fn scale_and_offset(layer: &PlannedLayer, graph: &mut Graph<'_>) -> [String; 2] {
    let parameters = graph.parameters(layer);
    let channels = layer.input.channels();
    [("weight", 1.0), ("bias", 0.0)].map(|(name, default)| match find(&parameters, name) {
        Some(constant) => constant.to_owned(),
        None => graph.floats(&vec![default; channels], &[channels]),
    })
}
