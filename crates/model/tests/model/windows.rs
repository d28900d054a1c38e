//! Windows of convolutions and pooling layers at the borders of an image, compared with Keras: `fixtures/windows.json`.

use crate::common::{backends, single, single_weights, values};
use kiln_model::{Mode, Network, Shape, images};
use rand_chacha::ChaCha8Rng;

/// Type, one column of pixels, size, stride, dilation, padding, and the output of Keras: none if the window does not fit.
type Case = (String, Vec<f32>, usize, usize, usize, String, Option<Vec<f32>>);

#[test]
fn same_and_valid_padding_are_those_of_keras() {
    let cases: Vec<Case> =
        serde_json::from_str(include_str!("../fixtures/windows.json")).expect("valid JSON");
    assert!(cases.len() > 1_000);
    for case in cases {
        let (kind, pixels, size, stride, dilation, padding, expected) = &case;
        let input = Shape::Image { channels: 1, height: pixels.len(), width: 1 };
        let (size_key, keys) = match kind.as_str() {
            "conv2d" => (
                "kernel_size",
                format!("filters = 1, dilation_rate = [{dilation}, 1], use_bias = false, "),
            ),
            _ => ("pool_size", String::new()),
        };
        let layer = format!(
            r#"{{ type = "{kind}", {keys}{size_key} = [{size}, 1], strides = [{stride}, 1], padding = "{padding}" }}"#
        );
        let planned = single(&layer, input);
        // Keras' pooling layers return empty images instead of an error.
        let Some(expected) = expected.as_ref().filter(|expected| !expected.is_empty()) else {
            let error = planned.expect_err("the window does not fit");
            assert!(error.message.contains("does not fit into its input"), "{error}");
            continue;
        };
        let architecture = planned.unwrap_or_else(|error| panic!("{case:?}: {error}"));
        let kernel: Vec<f32> = (0..*size).map(|tap| 10_f32.powi(tap as i32)).collect();
        let own = if kind == "conv2d" { vec![kernel] } else { Vec::new() };
        let weights = single_weights(&architecture, &own);
        for (backend, device) in backends() {
            let network = Network::new(&architecture, &weights, &device).expect("its own weights");
            let x = images(pixels.clone(), input, &device);
            let found = values(network.forward(x, &mut Mode::<ChaCha8Rng>::Inference));
            assert_eq!(found.len(), expected.len(), "{backend}, {case:?}: {found:?}");
            for (found, expected) in found.iter().zip(expected) {
                let is_close = (found - expected).abs() <= 1e-6 * expected.abs();
                assert!(is_close, "{backend}, {case:?}: {found} instead of {expected}");
            }
        }
    }
}
