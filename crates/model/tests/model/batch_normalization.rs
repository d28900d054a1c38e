//! Batch normalization. The expected outputs are those of PyTorch (`torch.nn.functional.batch_norm`
//! in `f64`); the expected running averages follow Keras' definition.

use crate::common::{assert_close, generator, identity, infer, plan, row, trainable, values};
use burn::module::Module;
use kiln_model::{Architecture, Mode, Shape, Weights, images};
use rand_chacha::ChaCha8Rng;

/// Four samples of three features. The last feature is constant.
#[rustfmt::skip]
const X: [f32; 12] = [
    1.0, -2.0, 0.5,
    2.0, 0.0, 0.5,
    4.0, 6.0, 0.5,
    7.0, -4.0, 0.5,
];

fn architecture() -> Architecture {
    let layers = r#"{ type = "flatten" }, { type = "batch_normalization" },
                    { type = "dense", units = "classes" }"#;
    plan(layers, row(3), 3).expect("valid")
}

/// γ, β, running mean and running variance, and identity weights for the dense layer.
fn weights(architecture: &Architecture) -> Weights {
    let mut weights = identity(architecture);
    let names: Vec<&str> = weights.tensors.iter().map(|tensor| tensor.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "layers.0.weight",
            "layers.0.bias",
            "layers.0.running_mean",
            "layers.0.running_var",
            "layers.1.weight",
            "layers.1.bias",
        ]
    );
    weights.tensors[0].values = vec![1.5, 0.5, 2.0];
    weights.tensors[1].values = vec![0.1, -0.2, 0.3];
    weights.tensors[2].values = vec![0.5, -0.5, 0.0];
    weights.tensors[3].values = vec![2.0, 1.0, 4.0];
    weights
}

/// The output in inference with the running averages of [`weights`].
#[rustfmt::skip]
const INFERRED: [f64; 12] = [
    0.630197553, -0.949625281, 0.799937512,
    1.69059266, 0.0498750937, 0.799937512,
    3.81138287, 3.04837622, 0.799937512,
    6.99256819, -1.94912566, 0.799937512,
];

#[test]
fn initial_values_are_those_of_keras() {
    let weights = architecture().initial_weights(&mut generator(1));
    let expected = [[1.0; 3], [0.0; 3], [0.0; 3], [1.0; 3]];
    for (tensor, expected) in weights.tensors.iter().zip(expected) {
        assert_eq!(tensor.values, expected, "{}", tensor.name);
    }
    assert_eq!(architecture().parameters(), 4 * 3 + 12);
    assert_eq!(architecture().trainable_parameters(), 2 * 3 + 12);
}

#[test]
fn inference_uses_the_running_averages() {
    let architecture = architecture();
    assert_close(&infer(&architecture, &weights(&architecture), &X), &INFERRED);
}

#[test]
fn training_uses_the_batch_and_updates_the_running_averages() {
    let architecture = architecture();
    let (network, device) = trainable(&architecture, &weights(&architecture));
    let forward = |network: &kiln_model::Network, device| {
        let mut generator = generator(0);
        let x = images(X.to_vec(), row(3), device);
        values(network.forward(x, &mut Mode::Training(&mut generator)))
    };

    #[rustfmt::skip]
    let expected = [
        -1.53647833, -0.467251697, 0.3,
        -0.881886997, -0.2, 0.3,
        0.427295666, 0.601755092, 0.3,
        2.39106966, -0.734503395, 0.3,
    ];
    assert_close(&forward(&network, &device), &expected);

    // 0.99 · old + 0.01 · batch. The means of the batch are 3.5, 0 and 0.5, its biased variances 5.25,
    // 14 and 0. The unbiased variances of PyTorch would be 7 and 18.67, and the running ones 2.05 and
    // 1.1767.
    let after = network.weights(&architecture);
    assert_close(&after.tensors[2].values, &[0.53, -0.495, 0.005]);
    assert_close(&after.tensors[3].values, &[2.0325, 1.13, 3.96]);

    // Inference uses the running averages and does not update them.
    let valid = network.valid();
    let x = images(X.to_vec(), row(3), &device.inner());
    let inferred = values(valid.forward(x, &mut Mode::<ChaCha8Rng>::Inference));
    assert_eq!(inferred, infer(&architecture, &after, &X));
    assert_eq!(network.weights(&architecture), after);
}

#[test]
fn a_momentum_of_zero_replaces_the_running_averages() {
    let layers = r#"{ type = "flatten" }, { type = "batch_normalization", momentum = 0.0 },
                    { type = "dense", units = "classes" }"#;
    let architecture = plan(layers, row(3), 3).expect("valid");
    let (network, device) = trainable(&architecture, &weights(&architecture));
    let x = images(X.to_vec(), row(3), &device);
    let _ = network.forward(x, &mut Mode::Training(&mut generator(0)));
    let after = network.weights(&architecture);
    assert_close(&after.tensors[2].values, &[3.5, 0.0, 0.5]);
    assert_close(&after.tensors[3].values, &[5.25, 14.0, 0.0]);
}

/// The statistics are over the batch, rows and columns.
#[test]
fn an_image_is_normalized_per_channel() {
    let layers = r#"{ type = "batch_normalization" }, { type = "flatten" },
                    { type = "dense", units = "classes" }"#;
    let shape = Shape::Image { channels: 2, height: 1, width: 3 };
    let architecture = plan(layers, shape, 6).expect("valid");
    let mut weights = identity(&architecture);
    assert_eq!(weights.tensors[0].shape, [2]);
    weights.tensors[0].values = vec![1.0, 2.0];
    weights.tensors[1].values = vec![0.0, 1.0];
    let (network, device) = trainable(&architecture, &weights);
    let x = vec![1.0, 2.0, 3.0, 0.0, -1.0, 5.0, 4.0, 0.0, -2.0, 2.0, 2.0, 7.0];
    let y = network.forward(images(x, shape, &device), &mut Mode::Training(&mut generator(0)));
    #[rustfmt::skip]
    let expected = [
        -0.169009123, 0.338018245, 0.845045613, -0.815562895, -1.54178805, 2.81556289,
        1.35207298, -0.67603649, -1.69009123, 0.636887421, 0.636887421, 4.26801321,
    ];
    assert_close(&values(y), &expected);
    // The means of six values are 8/6 and 15/6; 0.01 of each.
    let after = network.weights(&architecture);
    assert_close(&after.tensors[2].values, &[0.08 / 6.0, 0.15 / 6.0]);
}
