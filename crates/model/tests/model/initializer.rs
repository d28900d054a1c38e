//! Initial weights.

use crate::common::{
    FASHION_MNIST, FIVE_DENSE_LAYERS, generator, known_generator, plan, read, row,
};
use kiln_model::{Initializer, Scheme, Weights};

const COUNT: usize = 40_000;
const FAN_IN: usize = 300;
const FAN_OUT: usize = 100;

fn draw(scheme: Scheme) -> Vec<f64> {
    let values =
        Initializer::Scheme(scheme).draw(COUNT, FAN_IN, FAN_OUT, &mut generator(scheme as u64));
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
    for (scheme, limit) in [
        (Scheme::GlorotUniform, (6.0_f64 / 400.0).sqrt()),
        (Scheme::HeUniform, (6.0_f64 / 300.0).sqrt()),
        (Scheme::LecunUniform, (3.0_f64 / 300.0).sqrt()),
    ] {
        let values = draw(scheme);
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
    for (scheme, variance) in [
        (Scheme::GlorotNormal, 2.0 / 400.0),
        (Scheme::HeNormal, 2.0 / 300.0),
        (Scheme::LecunNormal, 1.0 / 300.0),
    ] {
        let values = draw(scheme);
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
    let draw = |initializer: Initializer| initializer.draw(3, 5, 7, &mut generator(0));
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
        Initializer::Scheme(scheme).draw(count, fan_in, fan_out, &mut known_generator())
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
