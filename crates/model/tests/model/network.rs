//! Complete networks.

use crate::common::{
    assert_close, generator, identity, infer, known_generator, plan, row, trainable, values,
};
use burn::module::Module;
use burn::tensor::Device;
use kiln_model::{Mode, Network, Shape, Weights, images};

const TWO_LAYERS: &str = r#"{ type = "flatten" },
    { type = "dense", units = 2, activation = "relu" },
    { type = "dense", units = "classes", activation = "softmax" }"#;

/// x·W + b with W `[in, out]`, computed by hand.
#[test]
fn dense_layers_compute_their_product() {
    let architecture = plan(TWO_LAYERS, row(3), 2).expect("valid");
    let mut weights = architecture.initial_weights(&mut generator(0));
    weights.tensors[0].values = vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
    weights.tensors[1].values = vec![0.5, -100.0];
    weights.tensors[2].values = vec![1.0, -1.0, 10.0, 20.0];
    weights.tensors[3].values = vec![0.0, 0.25];
    // First sample: 1·1 + 0·3 − 2·5 + 0.5 = −8.5 and 1·2 + 0·4 − 2·6 − 100 < 0; ReLU makes both 0.
    // Second sample: 1·1 + 1·3 + 1·5 + 0.5 = 9.5 and 1·2 + 1·4 + 1·6 − 100 < 0.
    let logits = infer(&architecture, &weights, &[1.0, 0.0, -2.0, 1.0, 1.0, 1.0]);
    assert_eq!(logits, [0.0, 0.25, 9.5, -9.25]);
}

#[test]
fn images_are_flattened_by_channel_row_and_column() {
    let layers = r#"{ type = "flatten" }, { type = "dense", units = "classes" }"#;
    let shape = Shape::Image { channels: 2, height: 2, width: 3 };
    let architecture = plan(layers, shape, 12).expect("valid");
    let pixels: Vec<f32> = (0..12_u8).map(f32::from).collect();
    assert_eq!(infer(&architecture, &identity(&architecture), &pixels), pixels);

    let x = images(pixels, Shape::Image { channels: 2, height: 1, width: 2 }, &Device::flex());
    assert_eq!(x.dims(), [3, 2, 1, 2]);
}

#[test]
fn training_and_inference_agree_without_random_layers() {
    let architecture = plan(TWO_LAYERS, row(3), 2).expect("valid");
    let weights = architecture.initial_weights(&mut generator(4));
    let (network, device) = trainable(&architecture, &weights);
    let x = [0.1, -0.2, 0.3];
    let mut rng = known_generator();
    let trained =
        network.forward(images(x.to_vec(), row(3), &device), &mut Mode::Training(&mut rng));
    let expected: Vec<f64> =
        infer(&architecture, &weights, &x).into_iter().map(f64::from).collect();
    assert_close(&values(trained), &expected);
    assert_eq!(rng, known_generator(), "the generator was used");
}

#[test]
fn weights_are_read_back_from_the_device() {
    let layers = r#"{ type = "batch_normalization" }, { type = "flatten" },
                    { type = "dense", units = 4, use_bias = false }, { type = "dropout", rate = 0.5 },
                    { type = "dense", units = "classes" }"#;
    let architecture = plan(layers, row(3), 2).expect("valid");
    let weights = architecture.initial_weights(&mut generator(4));
    let names: Vec<&str> = weights.tensors.iter().map(|tensor| tensor.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "layers.0.weight",
            "layers.0.bias",
            "layers.0.running_mean",
            "layers.0.running_var",
            "layers.1.weight",
            "layers.2.weight",
            "layers.2.bias",
        ]
    );
    let (network, _) = trainable(&architecture, &weights);
    assert_eq!(network.weights(&architecture), weights);
    assert_eq!(network.valid().weights(&architecture), weights);
}

#[test]
fn weights_of_another_architecture_are_an_error() {
    let architecture = plan(TWO_LAYERS, row(3), 2).expect("valid");
    let weights = architecture.initial_weights(&mut generator(0));
    let error = |change: &dyn Fn(&mut Weights)| {
        let mut changed = weights.clone();
        change(&mut changed);
        Network::new(&architecture, &changed, &Device::flex()).expect_err("wrong weights")
    };
    for (message, expected) in [
        (error(&|weights| weights.tensors.truncate(3)), "`layers.1.bias` is missing"),
        (
            error(&|weights| weights.tensors.push(weights.tensors[0].clone())),
            "there are two `layers.0.weight`",
        ),
        (
            error(&|weights| weights.tensors[0].name = "layers.0.kernel".to_owned()),
            "`layers.0.weight` is missing",
        ),
        (
            error(&|weights| {
                weights.tensors.push(weights.tensors[0].clone());
                weights.tensors[4].name = "layers.2.weight".to_owned();
            }),
            "the model has no `layers.2.weight`",
        ),
        (
            error(&|weights| weights.tensors[0].shape = vec![2, 3]),
            "`layers.0.weight` has the shape [2, 3], but the model needs [3, 2]",
        ),
        (
            error(&|weights| weights.tensors[3].values.truncate(1)),
            "`layers.1.bias` has 1 values, but its shape [2] needs 2",
        ),
    ] {
        assert_eq!(message, expected);
    }
}
