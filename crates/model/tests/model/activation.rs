//! Compares every activation and its gradient with PyTorch.

use std::collections::HashSet;
use std::f64::consts::LN_2;

use crate::common::{
    assert_close, assert_close_for, generator, identity, infer, plan, row, values,
};
use burn::tensor::Device;
use kiln_model::{Activation, Mode, Network, Shape, images};

const X: [f32; 15] =
    [-500.0, -50.0, -5.0, -2.0, -1.0, -0.5, -0.1, 0.0, 0.1, 0.5, 1.0, 2.0, 5.0, 50.0, 500.0];

/// f(x) and f′(x) for each of [`X`], computed in `f64` by `torch.nn.functional` (2.15) and its
/// autograd, with nine digits: `leaky_relu` with slope 0.2, `gelu` with `approximate="none"`,
/// `softplus` without its threshold. Absolute values below 1e-8 are written as 0. At x = 0, where
/// `leaky_relu` has no derivative, PyTorch returns 0.2 and Burn 1; the table has Burn's value.
const CASES: [(Activation, [f64; 15], [f64; 15]); 10] = [
    (
        Activation::Linear,
        [-500.0, -50.0, -5.0, -2.0, -1.0, -0.5, -0.1, 0.0, 0.1, 0.5, 1.0, 2.0, 5.0, 50.0, 500.0],
        [1.0; 15],
    ),
    (
        Activation::Relu,
        [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.1, 0.5, 1.0, 2.0, 5.0, 50.0, 500.0],
        [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0],
    ),
    (
        Activation::LeakyRelu,
        [-100.0, -10.0, -1.0, -0.4, -0.2, -0.1, -0.02, 0.0, 0.1, 0.5, 1.0, 2.0, 5.0, 50.0, 500.0],
        [0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0],
    ),
    (
        Activation::Elu,
        [
            -1.0,
            -1.0,
            -0.993262053,
            -0.864664717,
            -0.632120559,
            -0.39346934,
            -0.095162582,
            0.0,
            0.1,
            0.5,
            1.0,
            2.0,
            5.0,
            50.0,
            500.0,
        ],
        [
            0.0,
            0.0,
            0.006737947,
            0.135335283,
            0.367879441,
            0.60653066,
            0.904837418,
            1.0,
            1.0,
            1.0,
            1.0,
            1.0,
            1.0,
            1.0,
            1.0,
        ],
    ),
    (
        Activation::Selu,
        [
            -1.75809934,
            -1.75809934,
            -1.74625336,
            -1.52016647,
            -1.11133074,
            -0.691758188,
            -0.167305273,
            0.0,
            0.105070099,
            0.525350494,
            1.05070099,
            2.10140197,
            5.25350494,
            52.5350494,
            525.350494,
        ],
        [
            0.0,
            0.0,
            0.0118459802,
            0.237932872,
            0.646768603,
            1.06634115,
            1.59079407,
            1.75809934,
            1.05070099,
            1.05070099,
            1.05070099,
            1.05070099,
            1.05070099,
            1.05070099,
            1.05070099,
        ],
    ),
    (
        Activation::Gelu,
        [
            0.0,
            0.0,
            -1.43325786e-06,
            -0.0455002639,
            -0.158655254,
            -0.154268769,
            -0.0460172163,
            0.0,
            0.0539827837,
            0.345731231,
            0.841344746,
            1.95449974,
            4.99999857,
            50.0,
            500.0,
        ],
        [
            0.0,
            0.0,
            -7.146946e-06,
            -0.0852318011,
            -0.0833154706,
            0.132504875,
            0.420476908,
            0.5,
            0.579523092,
            0.867495125,
            1.08331547,
            1.0852318,
            1.00000715,
            1.0,
            1.0,
        ],
    ),
    (
        Activation::Silu,
        [
            0.0,
            0.0,
            -0.0334642546,
            -0.238405844,
            -0.268941421,
            -0.188770334,
            -0.0475020813,
            0.0,
            0.0524979187,
            0.311229666,
            0.731058579,
            1.76159416,
            4.96653575,
            50.0,
            500.0,
        ],
        [
            0.0,
            0.0,
            -0.0265474324,
            -0.0907842488,
            0.0723294881,
            0.260038813,
            0.450083209,
            0.5,
            0.549916791,
            0.739961187,
            0.927670512,
            1.09078425,
            1.02654743,
            1.0,
            1.0,
        ],
    ),
    (
        Activation::Sigmoid,
        [
            0.0,
            0.0,
            0.00669285092,
            0.119202922,
            0.268941421,
            0.377540669,
            0.475020813,
            0.5,
            0.524979187,
            0.622459331,
            0.731058579,
            0.880797078,
            0.993307149,
            1.0,
            1.0,
        ],
        [
            0.0,
            0.0,
            0.00664805667,
            0.104993585,
            0.196611933,
            0.235003712,
            0.24937604,
            0.25,
            0.24937604,
            0.235003712,
            0.196611933,
            0.104993585,
            0.00664805667,
            0.0,
            0.0,
        ],
    ),
    (
        Activation::Tanh,
        [
            -1.0,
            -1.0,
            -0.999909204,
            -0.96402758,
            -0.761594156,
            -0.462117157,
            -0.0996679946,
            0.0,
            0.0996679946,
            0.462117157,
            0.761594156,
            0.96402758,
            0.999909204,
            1.0,
            1.0,
        ],
        [
            0.0,
            0.0,
            0.000181583231,
            0.0706508249,
            0.419974342,
            0.786447733,
            0.990066291,
            1.0,
            0.990066291,
            0.786447733,
            0.419974342,
            0.0706508249,
            0.000181583231,
            0.0,
            0.0,
        ],
    ),
    (
        Activation::Softplus,
        [
            0.0,
            0.0,
            0.00671534849,
            0.126928011,
            0.313261688,
            0.474076984,
            0.64439666,
            LN_2,
            0.74439666,
            0.974076984,
            1.31326169,
            2.12692801,
            5.00671535,
            50.0,
            500.0,
        ],
        [
            0.0,
            0.0,
            0.00669285092,
            0.119202922,
            0.268941421,
            0.377540669,
            0.475020813,
            0.5,
            0.524979187,
            0.622459331,
            0.731058579,
            0.880797078,
            0.993307149,
            1.0,
            1.0,
        ],
    ),
];

/// A model that only applies an activation, with [`identity`] weights.
fn layers(activation: Activation) -> String {
    format!(
        r#"{{ type = "flatten" }}, {{ type = "activation", activation = "{activation}" }},
           {{ type = "dense", units = "classes", use_bias = false }}"#
    )
}

#[test]
fn every_activation_is_tested() {
    let tested: HashSet<Activation> =
        CASES.iter().map(|(activation, ..)| *activation).chain([Activation::Softmax]).collect();
    assert_eq!(tested, Activation::ALL.iter().copied().collect());
}

/// Includes large |x|: an infinity that a later operation masks would still make the gradient NaN.
#[test]
fn values_and_gradients_agree_with_pytorch() {
    #[expect(deprecated, reason = "Burn prefers flex, but experiments may use both")]
    let devices = [Device::flex(), Device::ndarray()];
    for (device, (activation, expected, expected_gradient)) in
        devices.iter().flat_map(|device| CASES.map(|case| (device.clone().autodiff(), case)))
    {
        let subject = format!("{activation} on {device:?}");
        let architecture = plan(&layers(activation), row(15), 15).expect("valid");
        let network = Network::new(&architecture, &identity(&architecture), &device);
        let x = images(X.to_vec(), row(15), &device).require_grad();
        let mode = &mut Mode::Training(&mut generator(0));
        let y = network.expect("matching weights").forward(x.clone(), mode);
        assert_close_for(&subject, &values(y.clone()), &expected);
        let gradients = y.sum().backward();
        let gradient = values(x.grad(&gradients).expect("requested"));
        assert_close_for(&format!("the gradient of {subject}"), &gradient, &expected_gradient);
    }
}

#[test]
fn activations_of_dense_layers_and_of_images_agree() {
    for (activation, expected, _) in CASES {
        for layers in [
            format!(
                r#"{{ type = "flatten" }}, {{ type = "dense", units = 15, activation = "{activation}" }},
                   {{ type = "dense", units = "classes" }}"#
            ),
            format!(
                r#"{{ type = "activation", activation = "{activation}" }}, {{ type = "flatten" }},
                   {{ type = "dense", units = "classes" }}"#
            ),
        ] {
            let shape = Shape::Image { channels: 3, height: 1, width: 5 };
            let architecture = plan(&layers, shape, 15).expect("valid");
            let found = infer(&architecture, &identity(&architecture), &X);
            assert_close_for(activation.as_str(), &found, &expected);
        }
    }
}

#[test]
fn softmax_of_features_is_over_the_features() {
    let architecture = plan(&layers(Activation::Softmax), row(3), 3).expect("valid");
    let x = [1.0, 2.0, 3.0, -500.0, 0.0, 500.0, -50.0, -50.0, -50.0];
    let third = 1.0 / 3.0;
    #[rustfmt::skip]
    let expected = [
        0.090_030_573, 0.244_728_471, 0.665_240_956,
        0.0, 0.0, 1.0,
        third, third, third,
    ];
    assert_close(&infer(&architecture, &identity(&architecture), &x), &expected);
}

/// Separately for each pixel, as in Keras with channels last.
#[test]
fn softmax_of_an_image_is_over_the_channels() {
    let layers = r#"{ type = "activation", activation = "softmax" }, { type = "flatten" },
                    { type = "dense", units = "classes" }"#;
    let shape = Shape::Image { channels: 3, height: 1, width: 2 };
    let architecture = plan(layers, shape, 6).expect("valid");
    let expected = [0.090_030_573, 0.0, 0.244_728_471, 0.0, 0.665_240_956, 1.0];
    let x = [1.0, -500.0, 2.0, 0.0, 3.0, 500.0];
    assert_close(&infer(&architecture, &identity(&architecture), &x), &expected);
}
