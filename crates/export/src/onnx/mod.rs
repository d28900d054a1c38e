//! ONNX, the format of networks that ONNX Runtime, OpenVINO, TensorRT and many others read: <https://onnx.ai>.
//!
//! The graph is the network in inference: batch normalization with its running statistics, no dropout. With
//! `[test] flip`, it also classifies the mirrored images and averages the probabilities, as the test of the run does.
//! Version 17 of the operators is old enough for programs of 2022.
//!
//! To support a layer, write its translation in `layers/` and add it to the list in `layers/mod.rs`.

mod check;
mod graph;
mod layers;
mod messages;

use kiln_data::{ImageShape, NormalizerParameters};
use kiln_store::RunDirectory;
use kiln_train::TrainedNetwork;
use prost::Message;

use crate::ExportError;
use graph::Graph;
use messages::{
    Dimension, ElementType, GraphProto, ModelProto, OperatorSet, StringEntry, ValueInfo,
};

/// Version of the file format that belongs to [`OPERATORS`].
const FORMAT: i64 = 8;
/// Version of the operators.
const OPERATORS: i64 = 17;
/// Limit of Protocol Buffers.
const MAX_BYTES: usize = i32::MAX as usize;
/// The name of the input.
const INPUT: &str = "image";
/// The name of the free dimension of the input and the output.
const BATCH: &str = "n";

/// The input and the output of an exported network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OnnxOptions {
    /// The values of the input `image`, `[n, channels, height, width]`.
    pub input: OnnxInput,
    /// The output, `[n, classes]`.
    pub output: OnnxOutput,
}

/// The values of the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnnxInput {
    /// 32-bit floating-point numbers from 0 to 255, which the graph normalizes.
    Floats,
    /// Bytes, which the graph normalizes.
    Bytes,
    /// 32-bit floating-point numbers that were normalized before.
    Normalized,
}

/// The values of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnnxOutput {
    /// The output `probabilities`.
    Probabilities,
    /// The output `logits`: scores whose softmax are the probabilities.
    Logits,
}

/// An encoded network.
pub struct EncodedNetwork {
    /// The content of the file.
    pub bytes: Vec<u8>,
    /// The shape of the images.
    pub image: ImageShape,
    /// The number of classes.
    pub classes: usize,
}

impl OnnxOutput {
    /// The name of the output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Probabilities => "probabilities",
            Self::Logits => "logits",
        }
    }
}

/// The content of an ONNX file with the network of a run, after computing it and comparing the result with the run's own
/// predictions.
///
/// # Errors
///
/// The run has no network, a layer has no ONNX form, the file would be too large, or its results differ.
pub fn encode(run: &RunDirectory, options: OnnxOptions) -> Result<EncodedNetwork, ExportError> {
    let network = TrainedNetwork::open(run)?;
    let model = model(&network, run, options)?;
    let bytes = model.encoded_len();
    if bytes > MAX_BYTES {
        return Err(ExportError::TooLarge { bytes, limit: MAX_BYTES });
    }
    let (image, classes) = (network.image, network.class_names.len());
    let bytes = model.encode_to_vec();
    check::check(bytes.clone(), network, run, options)?;
    Ok(EncodedNetwork { bytes, image, classes })
}

fn model(
    network: &TrainedNetwork,
    run: &RunDirectory,
    options: OnnxOptions,
) -> Result<ModelProto, ExportError> {
    let error = |message| kiln_train::TrainError::Engine(message);
    let weights = network.weights.in_order_of(&network.architecture).map_err(error)?;
    let mut graph = Graph::new(&weights);
    let flip = network.declaration.experiment.test.flip;

    let mut x = INPUT.to_owned();
    if options.input != OnnxInput::Normalized {
        if options.input == OnnxInput::Bytes {
            x = graph.cast_to_floats(&x);
        }
        x = normalize(&mut graph, &x, network.normalizer.parameters(), network.image);
    }
    if flip {
        x = with_mirrored(&mut graph, &x);
    }
    let mut logits = graph.layers(network.architecture.layers(), x)?;
    if flip {
        logits = mean_of_mirrored(&mut graph, &logits, network.class_names.len());
    }
    match options.output {
        OnnxOutput::Logits => graph.node_as("Identity", &[&logits], vec![], options.output.name()),
        OnnxOutput::Probabilities => {
            let axis = vec![messages::int("axis", 1)];
            graph.node_as("Softmax", &[&logits], axis, options.output.name());
        }
    }

    let ImageShape { channels, height, width } = network.image;
    let batch = Dimension::parameter(BATCH);
    let image = [channels, height, width].map(Dimension::value);
    let classes = Dimension::value(network.class_names.len());
    let input_type = match options.input {
        OnnxInput::Bytes => ElementType::Uint8,
        OnnxInput::Floats | OnnxInput::Normalized => ElementType::Float,
    };
    let shape = std::iter::once(batch.clone()).chain(image).collect();
    let input = ValueInfo::new(INPUT, input_type, shape, input_description(options.input));
    let output =
        ValueInfo::new(options.output.name(), ElementType::Float, vec![batch, classes], "");
    let (nodes, initializers) = graph.finish();
    Ok(ModelProto {
        ir_version: FORMAT,
        opset_import: vec![OperatorSet { domain: String::new(), version: OPERATORS }],
        producer_name: "kiln".to_owned(),
        producer_version: env!("CARGO_PKG_VERSION").to_owned(),
        doc_string: String::new(),
        graph: Some(GraphProto {
            node: nodes,
            name: network.declaration.experiment.name.to_string(),
            initializer: initializers,
            input: vec![input],
            output: vec![output],
        }),
        metadata_props: metadata(network, run),
    })
}

fn input_description(input: OnnxInput) -> &'static str {
    match input {
        OnnxInput::Floats | OnnxInput::Bytes => "pixels from 0 to 255; color as RGB",
        OnnxInput::Normalized => "normalized pixels; color as RGB",
    }
}

/// The metadata by which other programs prepare images and show results.
fn metadata(network: &TrainedNetwork, run: &RunDirectory) -> Vec<StringEntry> {
    let data = &network.declaration.experiment.data;
    let ImageShape { channels, height, width } = network.image;
    let id = run.path().file_name().unwrap_or_default().to_string_lossy().into_owned();
    let entries = [
        ("run", id),
        ("experiment", network.declaration.experiment.name.to_string()),
        ("class_names", serde_json::json!(network.class_names).to_string()),
        ("channels", channels.to_string()),
        ("height", height.to_string()),
        ("width", width.to_string()),
        ("resize", data.resize.as_str().to_owned()),
        ("background", serde_json::json!(data.background.0).to_string()),
        ("normalization", serde_json::json!(network.normalizer).to_string()),
    ];
    let entry = |(key, value): (&str, String)| StringEntry { key: format!("kiln.{key}"), value };
    entries.map(entry).into()
}

/// The normalization of bytes: see [`kiln_data::Normalizer`].
fn normalize(
    graph: &mut Graph<'_>,
    x: &str,
    parameters: &NormalizerParameters,
    image: ImageShape,
) -> String {
    let ImageShape { channels, height, width } = image;
    let (mean, deviation, shape) = match parameters {
        NormalizerParameters::None => return x.to_owned(),
        NormalizerParameters::Unit => {
            let scale = graph.floats(&[255.0], &[]);
            return graph.node("Div", &[x, &scale], vec![]);
        }
        NormalizerParameters::Standardize { mean, standard_deviation } => {
            (vec![*mean], vec![*standard_deviation], vec![])
        }
        NormalizerParameters::StandardizePerChannel { mean, standard_deviation, .. } => {
            (mean.clone(), standard_deviation.clone(), vec![channels, 1, 1])
        }
        NormalizerParameters::StandardizePerPixel { mean, standard_deviation } => {
            (mean.clone(), standard_deviation.clone(), vec![channels, height, width])
        }
    };
    let mean = graph.floats(&to_f32(&mean), &shape);
    let deviation = graph.floats(&to_f32(&deviation), &shape);
    let difference = graph.node("Sub", &[x, &mean], vec![]);
    graph.node("Div", &[&difference, &deviation], vec![])
}

/// The images, and after them the same images mirrored.
fn with_mirrored(graph: &mut Graph<'_>, x: &str) -> String {
    const WIDTH: i64 = 3;
    // From the last column to the first, in steps of −1.
    let [start, end, axis, step] =
        [-1, i64::from(i32::MIN), WIDTH, -1].map(|number| graph.integers(&[number]));
    let mirrored = graph.node("Slice", &[x, &start, &end, &axis, &step], vec![]);
    graph.node("Concat", &[x, &mirrored], vec![messages::int("axis", 0)])
}

/// From the logits of [`with_mirrored`], the logarithms of the mean probabilities of each image and its mirror image.
fn mean_of_mirrored(graph: &mut Graph<'_>, logits: &str, classes: usize) -> String {
    let logarithms = graph.node("LogSoftmax", &[logits], vec![messages::int("axis", 1)]);
    let shape = graph.integers(&[2, -1, layers::integer(classes)]);
    let pairs = graph.node("Reshape", &[&logarithms, &shape], vec![]);
    let attributes = vec![messages::ints("axes", &[0]), messages::int("keepdims", 0)];
    let sum = graph.node("ReduceLogSumExp", &[&pairs], attributes);
    let two = graph.floats(&[std::f32::consts::LN_2], &[]);
    graph.node("Sub", &[&sum, &two], vec![])
}

#[expect(clippy::cast_possible_truncation, reason = "the graph computes in f32")]
fn to_f32(values: &[f64]) -> Vec<f32> {
    values.iter().map(|value| *value as f32).collect()
}
