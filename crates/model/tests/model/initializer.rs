//! Initial weights.

use crate::common::{
    FASHION_MNIST, FIVE_DENSE_LAYERS, generator, known_generator, plan, read, row, single,
};
use kiln_model::{Initializer, ParameterRole, ParameterSpec, Scheme, Shape, Weights};

const COUNT: usize = 40_000;
const FAN_IN: usize = 300;
const FAN_OUT: usize = 100;

/// A parameter of this shape and these fans.
fn parameter(shape: &[usize], fan_in: usize, fan_out: usize) -> ParameterSpec {
    ParameterSpec {
        name: "weight".into(),
        shape: shape.to_vec(),
        fan_in,
        fan_out,
        groups: 1,
        initializer: Initializer::ZEROS,
        role: ParameterRole::Kernel,
        trainable: true,
    }
}

/// The seeds are the places of the schemes in a fixed list.
fn draw(scheme: Scheme, seed: u64) -> Vec<f64> {
    let parameter = parameter(&[COUNT], FAN_IN, FAN_OUT);
    let values = Initializer::Scheme(scheme).draw(&parameter, &mut generator(seed));
    values.into_iter().map(f64::from).collect()
}

fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = values.len() as f64;
    values.sum::<f64>() / count
}

/// The fraction of values whose absolute value is below `limit`.
fn fraction_within(values: &[f64], limit: f64) -> f64 {
    mean(values.iter().map(|value| f64::from(u8::from(value.abs() < limit))))
}

/// Checks mean and variance. The tolerances are above five standard errors.
fn assert_moments(values: &[f64], variance: f64, name: Scheme) {
    let found = mean(values.iter().copied());
    assert!(found.abs() < 5.0 * (variance / COUNT as f64).sqrt(), "{name}: mean {found}");
    let found = mean(values.iter().map(|value| value * value));
    assert!((found / variance - 1.0).abs() < 0.03, "{name}: variance {found}, not {variance}");
}

#[test]
fn uniform_schemes_have_their_bounds_and_variance() {
    for (seed, scheme, limit) in [
        (0, Scheme::GlorotUniform, (6.0_f64 / 400.0).sqrt()),
        (2, Scheme::HeUniform, (6.0_f64 / 300.0).sqrt()),
        (4, Scheme::LecunUniform, (3.0_f64 / 300.0).sqrt()),
    ] {
        let values = draw(scheme, seed);
        let max = values.iter().fold(0.0, |max: f64, value| max.max(value.abs()));
        assert!(max <= limit * 1.000_001 && max > 0.999 * limit, "{scheme}: {max} of {limit}");
        assert_moments(&values, limit * limit / 3.0, scheme);
        let half = fraction_within(&values, limit / 2.0);
        assert!((half - 0.5).abs() < 0.0125, "{scheme}: {half} in the middle half");
    }
}

/// The distribution is truncated at two standard deviations and scaled to the variance of the scheme.
/// For a standard normal Z, P(|Z| < 1) / P(|Z| < 2) = 0.682 689 / 0.954 500 = 0.715 232.
#[test]
fn normal_schemes_are_truncated_and_have_their_variance() {
    for (seed, scheme, variance) in [
        (1, Scheme::GlorotNormal, 2.0 / 400.0),
        (3, Scheme::HeNormal, 2.0 / 300.0),
        (5, Scheme::LecunNormal, 1.0 / 300.0),
        // Keras' standard deviation is that before the truncation.
        (6, Scheme::TruncatedNormal, 0.773_741_3 * 0.05 * 0.05),
    ] {
        let values = draw(scheme, seed);
        // 0.7737 is the variance of the standard normal truncated at ±2: 1 − 4φ(2) / P(|Z| < 2).
        let deviation = (variance / 0.773_741_3_f64).sqrt();
        let max = values.iter().fold(0.0, |max: f64, value| max.max(value.abs()));
        assert!(max <= 2.000_001 * deviation && max > 1.99 * deviation, "{scheme}: {max}");
        assert_moments(&values, variance, scheme);
        let inner = fraction_within(&values, deviation);
        assert!((inner - 0.715_232).abs() < 0.0113, "{scheme}: {inner} within one deviation");
    }
}

#[test]
fn constants_are_constant() {
    let parameter = parameter(&[3], 5, 7);
    let draw = |initializer: Initializer| initializer.draw(&parameter, &mut generator(0));
    assert_eq!(draw(Initializer::ZEROS), [0.0; 3]);
    assert_eq!(draw(Initializer::ONES), [1.0; 3]);
    assert_eq!(draw(Initializer::Constant(-0.25)), [-0.25; 3]);
}

/// The expected numbers were computed by an independent program from ChaCha8: 53 of 64 bits for a
/// uniform number, the transform of Box and Muller for a normal one. A change of the numbers changes
/// the results of every run.
#[test]
fn the_weights_of_a_generator_never_change() {
    let draw = |scheme, count, fan_in, fan_out| {
        let parameter = parameter(&[count], fan_in, fan_out);
        Initializer::Scheme(scheme).draw(&parameter, &mut known_generator())
    };
    assert_eq!(
        draw(Scheme::GlorotUniform, 4, 3, 5),
        [-0.144_326_85, -0.520_472_35, -0.325_771_8, 0.512_477_75]
    );
    let expected = [
        0.300_666_48,
        0.228_181_53,
        0.675_926_4,
        0.635_194_1,
        -0.699_404,
        -1.234_711_3,
        0.273_363_35,
        0.448_219_84,
    ];
    for (found, expected) in draw(Scheme::HeNormal, 8, 3, 5).into_iter().zip(expected) {
        // The system's cosine and logarithm may differ in the last digit.
        assert!((found - expected).abs() <= 1e-6, "{found} {expected}");
    }
}

#[test]
fn the_seed_determines_the_weights() {
    let architecture = read(FIVE_DENSE_LAYERS).expect("valid").architecture(FASHION_MNIST, 10);
    let architecture = architecture.expect("valid");
    let draw = |seed| architecture.initial_weights(&mut generator(seed));
    let weights = draw(1);
    assert_eq!(weights, draw(1));
    assert_ne!(weights, draw(2));
    assert!(weights.are_finite());

    // The bound of Glorot and Bengio for 784 inputs and 300 outputs; biases are 0.
    let limit = (6.0_f32 / 1084.0).sqrt();
    let (kernel, bias) = (&weights.tensors[0].values, &weights.tensors[1].values);
    assert!(kernel.iter().all(|value| value.abs() <= limit));
    assert!(kernel.iter().any(|value| value.abs() > 0.99 * limit));
    assert_eq!(*bias, [0.0; 300]);
}

#[test]
fn each_layer_uses_its_initializers() {
    let architecture = plan(
        r#"{ type = "flatten" },
           { type = "dense", units = 400, kernel_initializer = "lecun_uniform", bias_initializer = "he_uniform" },
           { type = "dense", units = 2, kernel_initializer = "zeros", bias_initializer = 0.1 }"#,
        row(3),
        2,
    )
    .expect("valid");
    let Weights { tensors } = architecture.initial_weights(&mut generator(0));
    // √(3 / 3) for 3 inputs; √(6 / 400) for a bias of 400 values, whose fans are its length.
    for (tensor, limit) in tensors.iter().zip([1.0, 0.015_f32.sqrt()]) {
        let max = tensor.values.iter().fold(0.0, |max: f32, value| max.max(value.abs()));
        assert!(max <= limit && max > 0.99 * limit, "{}: {max}", tensor.name);
    }
    assert_eq!(tensors[2].values, [0.0; 800]);
    assert_eq!(tensors[3].values, [0.1; 2]);
}

/// The sum of products of each two rows of `matrix`, and the largest distance of these sums from the identity.
fn distance_from_orthogonal(matrix: &[f32], rows: usize) -> f64 {
    let rows: Vec<&[f32]> = matrix.chunks_exact(matrix.len() / rows).collect();
    let product = |a: &[f32], b: &[f32]| -> f64 {
        a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    };
    let mut distance = 0.0_f64;
    for (i, a) in rows.iter().enumerate() {
        for (j, b) in rows.iter().enumerate() {
            distance = distance.max((product(a, b) - f64::from(u8::from(i == j))).abs());
        }
    }
    distance
}

#[test]
fn orthogonal_matrices_have_orthonormal_rows_or_columns() {
    for (seed, shape) in [
        vec![1, 1],
        vec![1, 7],
        vec![7, 1],
        vec![60, 60],
        vec![20, 90],
        vec![90, 20],
        vec![8, 3, 3, 3],
        vec![40, 4, 3, 2],
        vec![12, 1, 3, 3],
    ]
    .into_iter()
    .enumerate()
    {
        let orthogonal = Initializer::Scheme(Scheme::Orthogonal);
        let mut matrix = orthogonal.draw(&parameter(&shape, 1, 1), &mut generator(seed as u64));
        let (rows, columns) = (shape[0], shape[1..].iter().product::<usize>());
        if rows > columns {
            let transposed = (0..columns).flat_map(|column| {
                let matrix = &matrix;
                (0..rows).map(move |row| matrix[row * columns + column])
            });
            matrix = transposed.collect();
        }
        let distance = distance_from_orthogonal(&matrix, rows.min(columns));
        assert!(distance < 1e-6, "{shape:?}: {distance}");
    }
}

/// The numbers are those of NumPy's QR decomposition of the same normally distributed numbers, with the signs of the diagonal
/// of R: `fixtures/orthogonal.py`.
#[test]
#[rustfmt::skip]
fn orthogonal_matrices_are_those_of_numpy() {
    for (shape, expected) in [
        ([2, 4], &[0.30024415, 0.22786101, 0.67497697, 0.6343019, -0.45783229, -0.8127432, 0.19073561, 0.30570902][..]),
        ([4, 2], &[0.30024415, -0.45783229, 0.22786101, -0.8127432, 0.67497697, 0.19073561, 0.6343019, 0.30570902]),
        ([3, 3], &[0.38837123, 0.29474234, 0.87309492, 0.89653071, -0.33993176, -0.28404066, 0.21307388, 0.89306962, -0.39626527]),
    ] {
        let orthogonal = Initializer::Scheme(Scheme::Orthogonal);
        let found = orthogonal.draw(&parameter(&shape, 1, 1), &mut known_generator());
        crate::common::assert_close(&found, expected);
    }
}

/// The places of the ones are those of `torch.nn.init.dirac_`.
#[test]
fn dirac_copies_the_first_channels_of_each_group() {
    for (shape, groups, expected) in [
        ([3, 2, 3, 3], 1, vec![4, 31]),
        ([2, 3, 2, 3], 1, vec![4, 28]),
        ([4, 2, 1, 1], 2, vec![0, 3, 4, 7]),
        ([6, 1, 2, 2], 3, vec![3, 11, 19]),
    ] {
        let spec = ParameterSpec { groups, ..parameter(&shape, 1, 1) };
        let found = Initializer::Scheme(Scheme::Dirac).draw(&spec, &mut generator(0));
        let ones = found.iter().enumerate().filter(|(_, value)| **value == 1.0);
        assert_eq!(ones.map(|(index, _)| index).collect::<Vec<_>>(), expected, "{shape:?}");
        assert_eq!(found.iter().sum::<f32>(), expected.len() as f32);
    }
}

#[test]
fn initializers_that_do_not_fit_a_parameter_are_errors() {
    let image = Shape::Image { channels: 2, height: 4, width: 4 };
    let before = r#"{ type = "flatten" }, "#;
    for (layers, message) in [
        (
            format!(r#"{before}{{ type = "dense", units = 3, kernel_initializer = "dirac" }}"#),
            "the initializer \"dirac\" is for the kernels of convolutions, but this weight is a matrix of 32×3; use \"orthogonal\"",
        ),
        (
            r#"{ type = "conv2d", filters = 2, kernel_size = 3, bias_initializer = "dirac" }"#
                .to_owned(),
            "the initializer \"dirac\" is for kernels, not for a bias; use \"zeros\"",
        ),
        (
            format!(r#"{before}{{ type = "dense", units = 3, bias_initializer = "orthogonal" }}"#),
            "the initializer \"orthogonal\" is for kernels, not for a bias; use \"zeros\"",
        ),
        (
            format!(
                r#"{before}{{ type = "dense", units = 9000 }},
                   {{ type = "dense", units = 9000, kernel_initializer = "orthogonal" }}"#
            ),
            "the initializer \"orthogonal\" would take too long for a weight of 81000000 values; use \"he_normal\"",
        ),
    ] {
        let error = single(&layers, image).expect_err(message);
        assert_eq!(error.message, message);
    }
    for layer in [
        r#"{ type = "conv2d", filters = 4, kernel_size = 3, kernel_initializer = "dirac", groups = 2 }"#,
        r#"{ type = "conv2d", filters = 4, kernel_size = 3, kernel_initializer = "orthogonal" }"#,
        r#"{ type = "depthwise_conv2d", kernel_size = 3, depthwise_initializer = "dirac" }"#,
        r#"{ type = "depthwise_conv2d", kernel_size = 3, depthwise_initializer = "truncated_normal" }"#,
    ] {
        let weights = single(layer, image).expect(layer).initial_weights(&mut generator(0));
        assert!(
            weights.are_finite() && weights.tensors[0].values.iter().any(|value| *value != 0.0)
        );
    }
}
