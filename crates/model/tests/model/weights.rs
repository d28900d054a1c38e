//! Reading and writing weights files, intact and damaged.

use crate::common::{FASHION_MNIST, FIVE_DENSE_LAYERS, generator, plan, read, row};
use burn::tensor::Device;
use kiln_model::{Architecture, Network, Weights, WeightsFileError};
use proptest::prelude::*;

/// A file that `safetensors.numpy.save` of the Python package (0.8) wrote: a `[2, 3]` matrix of 1 to 6
/// and the vector 0.5, -1.5, 0.
const FROM_PYTHON: &[u8] =
    b"\xc0\0\0\0\0\0\0\0{\"__metadata__\":{\"kiln\":\"{\\\"a\\\":1}\",\"other\":\"x\"},\
    \"layers.0.bias\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,12]},\
    \"layers.0.weight\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[12,36]}}      \
    \0\0\0?\0\0\xc0\xbf\0\0\0\0\
    \0\0\x80?\0\0\0@\0\0@@\0\0\x80@\0\0\xa0@\0\0\xc0@";

fn five_dense_layers() -> Architecture {
    read(FIVE_DENSE_LAYERS).expect("valid").architecture(FASHION_MNIST, 10).expect("valid")
}

/// A file that is small enough to damage every byte of it.
fn small_file() -> (Architecture, Vec<u8>) {
    let layers = r#"{ type = "batch_normalization" }, { type = "flatten" },
                    { type = "dense", units = "classes" }"#;
    let architecture = plan(layers, row(3), 2).expect("valid");
    let weights = architecture.initial_weights(&mut generator(1));
    let bytes = weights.to_safetensors("{\"name\":\"small\"}".to_owned()).expect("valid");
    (architecture, bytes)
}

#[test]
fn a_written_file_reads_back_the_same() {
    // More than ten layers, whose alphabetical order differs from the order of the layers.
    let layers = r#"{ type = "flatten" }, { type = "dense", units = 3, repeat = 11 },
                    { type = "batch_normalization" }, { type = "dense", units = "classes" }"#;
    for architecture in [five_dense_layers(), plan(layers, row(5), 2).expect("valid")] {
        let weights = architecture.initial_weights(&mut generator(1));
        let bytes = weights.to_safetensors("{\"normalizer\":1}".to_owned()).expect("valid");
        let (read, metadata) = Weights::from_safetensors(&bytes).expect("just written");
        let network =
            Network::new(&architecture, &read, &Device::flex()).expect("matching weights");
        assert_eq!(network.weights(&architecture), weights);
        assert_eq!(metadata.as_deref(), Some("{\"normalizer\":1}"));
        let again = read.to_safetensors("{\"normalizer\":1}".to_owned()).expect("valid");
        assert_eq!(again, bytes, "the same weights give the same bytes");
    }
}

/// The layout that other programs rely on: an 8-byte length, a JSON header, then little-endian
/// floats; dense weights as `[in, out]`.
#[test]
fn the_layout_is_that_of_safetensors() {
    let weights = five_dense_layers().initial_weights(&mut generator(1));
    let bytes = weights.to_safetensors("{}".to_owned()).expect("valid");
    let length = u64::from_le_bytes(bytes[..8].try_into().expect("8 bytes")) as usize;
    let header: serde_json::Value =
        serde_json::from_slice(&bytes[8..8 + length]).expect("a JSON header");
    let header = header.as_object().expect("a table");

    assert_eq!(header["__metadata__"], serde_json::json!({ "kiln": "{}" }));
    let shapes = [(784, 300), (300, 100), (100, 100), (100, 100), (100, 10)];
    assert_eq!(header.len(), 1 + 2 * shapes.len());
    for (layer, (inputs, outputs)) in shapes.into_iter().enumerate() {
        let entry = &header[&format!("layers.{layer}.weight")];
        assert_eq!(entry["dtype"], "F32");
        assert_eq!(entry["shape"], serde_json::json!([inputs, outputs]));
        assert_eq!(header[&format!("layers.{layer}.bias")]["shape"], serde_json::json!([outputs]));

        let start = 8 + length + entry["data_offsets"][0].as_u64().expect("a number") as usize;
        let found = bytes[start..]
            .chunks_exact(4)
            .map(|b| f32::from_le_bytes(b.try_into().expect("4 bytes")));
        let expected = &weights.tensors[2 * layer];
        assert!(found.take(inputs * outputs).eq(expected.values.iter().copied()), "{layer}");
    }
}

#[test]
fn a_file_from_python_is_read() {
    let (weights, metadata) = Weights::from_safetensors(FROM_PYTHON).expect("an intact file");
    assert_eq!(metadata.as_deref(), Some("{\"a\":1}"));
    let [bias, weight] = weights.tensors.as_slice() else { panic!("two tensors") };
    assert_eq!((weight.name.as_str(), bias.name.as_str()), ("layers.0.weight", "layers.0.bias"));
    assert_eq!(
        (weight.shape.as_slice(), bias.shape.as_slice()),
        ([2, 3].as_slice(), [3].as_slice())
    );
    assert_eq!(weight.values, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    assert_eq!(bias.values, [0.5, -1.5, 0.0]);
}

#[test]
fn other_types_than_f32_are_an_error() {
    let doubles = b"H\0\0\0\0\0\0\0{\"layers.0.weight\":{\"dtype\":\"F64\",\"shape\":[1,2],\
        \"data_offsets\":[0,16]}} \0\0\0\0\0\0\xf0?\0\0\0\0\0\0\0@";
    let error = Weights::from_safetensors(doubles).expect_err("doubles");
    assert!(matches!(error, WeightsFileError::Type { .. }), "{error}");
    assert_eq!(error.to_string(), "tensor `layers.0.weight` is F64, expected F32");
}

#[test]
fn are_finite_detects_nan() {
    let mut weights = five_dense_layers().initial_weights(&mut generator(1));
    assert!(weights.are_finite());
    weights.tensors[3].values[7] = f32::NAN;
    assert!(!weights.are_finite());
    let bytes = weights.to_safetensors(String::new()).expect("valid shapes");
    let (read, _) = Weights::from_safetensors(&bytes).expect("an intact file");
    assert!(!read.are_finite());
}

#[test]
fn a_tensor_whose_values_do_not_fit_its_shape_is_an_error() {
    let mut weights = five_dense_layers().initial_weights(&mut generator(1));
    weights.tensors[0].values.pop();
    weights.to_safetensors(String::new()).expect_err("a value is missing");
}

#[test]
fn every_truncation_is_an_error() {
    let (_, complete) = small_file();
    for length in 0..complete.len() {
        let error = Weights::from_safetensors(&complete[..length]).expect_err("truncated");
        assert!(error.to_string().starts_with("not an intact safetensors file"), "{error}");
    }
    let longer = [complete.as_slice(), b"more"].concat();
    Weights::from_safetensors(&longer).expect_err("trailing bytes");
}

#[test]
fn other_files_are_an_error() {
    let length = |length: u64| length.to_le_bytes().to_vec();
    for bytes in [
        b"<!DOCTYPE html><html></html>".to_vec(),
        vec![0; 100],
        vec![0xff; 100],
        length(u64::MAX),
        [length(1 << 62), b"{}".to_vec()].concat(),
        [length(2), b"[]".to_vec()].concat(),
        // Offsets and shapes that overflow or are outside the file.
        with_header(
            r#"{"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}}"#,
        ),
        with_header(r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8000000000]}}"#),
        with_header(r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}"#),
        with_header(r#"{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,8]}}"#),
    ] {
        Weights::from_safetensors(&bytes).expect_err("not a weights file");
    }
}

fn with_header(header: &str) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &[0; 8]].concat()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// Changing bytes, most often in the header, results in an error or in other weights, which are
    /// checked before a network is built. It never panics.
    #[test]
    fn a_damaged_file_is_an_error_or_other_weights(
        changes in prop::collection::vec((0.0..1.0_f64, any::<u8>()), 1..4),
        in_header: bool,
    ) {
        let (architecture, mut bytes) = small_file();
        let header = 8 + u64::from_le_bytes(bytes[..8].try_into().expect("8 bytes")) as usize;
        let end = if in_header { header } else { bytes.len() };
        for (place, byte) in changes {
            bytes[(place * end as f64) as usize] = byte;
        }
        if let Ok((weights, _)) = Weights::from_safetensors(&bytes)
            && weights.check(&architecture).is_ok()
        {
            let values: usize = weights.tensors.iter().map(|tensor| tensor.values.len()).sum();
            prop_assert_eq!(values, architecture.parameters());
        }
    }
}
