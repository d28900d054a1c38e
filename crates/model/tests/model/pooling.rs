//! Pooling of values that are not finite. `layers.rs` and `windows.rs` compare the others with PyTorch and Keras.

use std::iter::zip;

use kiln_model::{Mode, Network, Shape, images};

use crate::common::{backends, generator, single, single_weights, values};

/// A NaN under a window is the maximum, as in PyTorch. Otherwise, training could diverge unnoticed.
#[test]
fn a_maximum_is_nan_if_a_value_is() {
    let (nan, low) = (f32::NAN, f32::NEG_INFINITY);
    let samples = [
        [nan, 1.0, 2.0, 3.0],
        [1.0, nan, 2.0, 3.0],
        [3.0, 2.0, 1.0, nan],
        [nan; 4],
        [low, nan, low, low],
        [-3.0, -1.0, -2.0, -4.0],
        [low; 4],
        [low, -5.0, low, low],
        [f32::INFINITY, 1.0, 2.0, 3.0],
    ];
    let expected = [nan, nan, nan, nan, nan, -1.0, low, -5.0, f32::INFINITY];
    let input = Shape::Image { channels: 1, height: 2, width: 2 };
    for layer in [
        r#"{ type = "max_pooling2d" }"#,
        r#"{ type = "max_pooling2d", pool_size = 3, padding = "same" }"#,
        r#"{ type = "max_pooling2d", pool_size = [2, 5], strides = 2, padding = "same" }"#,
        r#"{ type = "global_max_pooling2d" }"#,
    ] {
        let architecture = single(layer, input).expect("a valid layer");
        let weights = single_weights(&architecture, &[]);
        for (backend, device) in backends() {
            let device = device.autodiff();
            let network = Network::new(&architecture, &weights, &device).expect("its own weights");
            let x = images(samples.concat(), input, &device).require_grad();
            let y = network.forward(x.clone(), &mut Mode::Training(&mut generator(0)));
            let found = values(y.clone());
            for (sample, (found, expected)) in zip(&found, expected).enumerate() {
                let is_same = *found == expected || found.is_nan() && expected.is_nan();
                assert!(is_same, "{backend}, sample {sample} of {layer}: {found}, not {expected}");
            }
            // The gradient of a finite maximum is not affected.
            let gradients = y.sum().backward();
            let dx = values(x.grad(&gradients).expect("requested"));
            assert_eq!(dx[5 * 4..6 * 4], [0.0, 1.0, 0.0, 0.0], "{backend}, {layer}");
            assert_eq!(dx[7 * 4..8 * 4], [0.0, 1.0, 0.0, 0.0], "{backend}, {layer}");
        }
    }
}
