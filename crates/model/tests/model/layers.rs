//! Outputs and gradients of every layer, compared with PyTorch in float64: `fixtures/layers.json`.

use burn::tensor::{Tensor, TensorData};
use kiln_model::{Mode, Network, Shape, images};
use serde_json::Value;

use crate::common::{
    backends, generator, parameter_gradients, row, single, single_weights, values,
};

fn cases() -> Vec<Value> {
    serde_json::from_str(include_str!("../fixtures/layers.json")).expect("valid JSON")
}

fn usizes(value: &Value) -> Vec<usize> {
    let items = value.as_array().expect("a list").iter();
    items.map(|item| item.as_u64().expect("a whole number") as usize).collect()
}

fn numbers(value: &Value) -> Vec<f64> {
    let items = value.as_array().expect("a list").iter();
    items.map(|item| item.as_f64().expect("a number")).collect()
}

fn floats(value: &Value) -> Vec<f32> {
    numbers(value).into_iter().map(|number| number as f32).collect()
}

#[track_caller]
fn assert_close(subject: &str, found: &[f32], expected: &Value) {
    let expected = numbers(expected);
    assert_eq!(found.len(), expected.len(), "{subject}");
    // Sums of values of this size are rounded to 24 bits.
    let size = expected.iter().fold(1.0, |size: f64, value| size.max(value.abs()));
    for (index, (&found, &expected)) in found.iter().zip(&expected).enumerate() {
        let distance = (f64::from(found) - expected).abs();
        assert!(
            distance <= 2e-6 * size,
            "{subject}: value {index} is {found}, expected {expected}"
        );
    }
}

#[test]
fn outputs_and_gradients_are_those_of_pytorch() {
    for case in cases() {
        let (layer, shape) = (case["layer"].as_str().expect("text"), usizes(&case["shape"]));
        let (input, layers) = match shape[..] {
            [_, channels, height, width] => {
                (Shape::Image { channels, height, width }, layer.to_owned())
            }
            [_, features] => (row(features), format!(r#"{{ type = "flatten" }}, {layer}"#)),
            _ => panic!("two or four dimensions"),
        };
        let architecture =
            single(&layers, input).unwrap_or_else(|error| panic!("{layer}: {error}"));
        let [.., planned, _, _] = architecture.layers() else { panic!("three layers") };
        let output = match planned.output {
            Shape::Image { channels, height, width } => vec![shape[0], channels, height, width],
            Shape::Features(features) => vec![shape[0], features],
        };
        assert_eq!(output, usizes(&case["output_shape"]), "{layer}");

        let parameters = case["parameters"].as_array().expect("a list");
        let parameters: Vec<_> = parameters.iter().map(floats).collect();
        let weights = single_weights(&architecture, &parameters);
        for (backend, device) in backends() {
            let device = device.autodiff();
            let subject = |part| format!("{backend}, {part} of {layer} for {shape:?}");
            let network = Network::new(&architecture, &weights, &device).expect("its own weights");
            let x = images(floats(&case["x"]), input, &device).require_grad();
            let y = network.forward(x.clone(), &mut Mode::Training(&mut generator(0)));
            let g = TensorData::new(floats(&case["gradient"]), y.dims());
            let gradients = (y.clone() * Tensor::from_data(g, &device)).sum().backward();
            assert_close(&subject("output"), &values(y), &case["y"]);
            let dx = values(x.grad(&gradients).expect("requested"));
            assert_close(&subject("input gradient"), &dx, &case["dx"]);

            // The running statistics have no gradient, and the dense layer is last.
            let found = parameter_gradients(&network, &gradients);
            let trainable = architecture.named_parameters().filter(|(_, spec)| spec.trainable);
            assert_eq!(found.len(), trainable.count(), "{}", subject("gradients"));
            let expected = case["dparameters"].as_array().expect("a list");
            for (found, expected) in
                found.split_last().expect("the dense layer").1.iter().zip(expected)
            {
                assert_close(&subject("parameter gradient"), found, expected);
            }
        }
    }
}

/// The first row of a case is a batch of one, and gets the same output.
#[test]
fn a_batch_of_one_gives_the_same_as_a_larger_batch() {
    for case in cases() {
        let (layer, shape) = (case["layer"].as_str().expect("text"), usizes(&case["shape"]));
        let [count, channels, height, width] = shape[..] else { continue };
        if count == 1 || layer.contains("batch_normalization") {
            continue;
        }
        let input = Shape::Image { channels, height, width };
        let architecture = single(layer, input).expect("a valid layer");
        let parameters = case["parameters"].as_array().expect("a list");
        let parameters: Vec<_> = parameters.iter().map(floats).collect();
        let weights = single_weights(&architecture, &parameters);
        let (x, y) = (floats(&case["x"]), numbers(&case["y"]));
        for (backend, device) in backends() {
            let network = Network::new(&architecture, &weights, &device).expect("its own weights");
            for sample in 0..count {
                let pixels = x[sample * input.len()..][..input.len()].to_vec();
                let found = network.forward(
                    images(pixels, input, &device),
                    &mut Mode::Training(&mut generator(0)),
                );
                let expected = &y[sample * y.len() / count..(sample + 1) * y.len() / count];
                let subject = format!("{backend}, sample {sample} of {layer}");
                assert_close(&subject, &values(found), &Value::from(expected.to_vec()));
            }
        }
    }
}
