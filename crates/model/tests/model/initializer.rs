//! What weights start from.

use crate::common::{ARTICLE, FASHION_MNIST, generator, known_generator, plan, read, row};
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

/// The share of values that are nearer to 0 than `limit`.
fn share_within(values: &[f64], limit: f64) -> f64 {
    mean(values.iter().map(|value| f64::from(u8::from(value.abs() < limit))))
}

/// Each within five standard errors, which are below 1 % of what is compared.
fn assert_moments(values: &[f64], variance: f64, name: Scheme) {
    let found = mean(values.iter().copied());
    assert!(found.abs() < 5.0 * (variance / COUNT as f64).sqrt(), "{name}: mean {found}");
    let found = mean(values.iter().map(|value| value * value));
    assert!((found / variance - 1.0).abs() < 0.03, "{name}: variance {found}, not {variance}");
}

#[test]
fn uniform_schemes_fill_their_bounds() {
    for (scheme, limit) in [
        (Scheme::GlorotUniform, (6.0_f64 / 400.0).sqrt()),
        (Scheme::HeUniform, (6.0_f64 / 300.0).sqrt()),
        (Scheme::LecunUniform, (3.0_f64 / 300.0).sqrt()),
    ] {
        let values = draw(scheme);
        let most = values.iter().fold(0.0, |most: f64, value| most.max(value.abs()));
        assert!(most <= limit * 1.000_001 && most > 0.999 * limit, "{scheme}: {most} of {limit}");
        assert_moments(&values, limit * limit / 3.0, scheme);
        let half = share_within(&values, limit / 2.0);
        assert!((half - 0.5).abs() < 0.0125, "{scheme}: {half} in the middle half");
    }
}

/// Cut at two standard deviations and stretched, so that the variance is the scheme's. For a
/// standard normal Z, P(|Z| < 1) / P(|Z| < 2) = 0.682 689 / 0.954 500 = 0.715 232.
#[test]
fn normal_schemes_are_cut_and_have_their_variance() {
    for (scheme, variance) in [
        (Scheme::GlorotNormal, 2.0 / 400.0),
        (Scheme::HeNormal, 2.0 / 300.0),
        (Scheme::LecunNormal, 1.0 / 300.0),
    ] {
        let values = draw(scheme);
        // The standard deviation of the standard normal cut at ±2: √(1 − 4φ(2) / P(|Z| < 2)).
        let uncut = (variance / 0.773_741_3_f64).sqrt();
        let most = values.iter().fold(0.0, |most: f64, value| most.max(value.abs()));
        assert!(most <= 2.000_001 * uncut && most > 1.99 * uncut, "{scheme}: {most}");
        assert_moments(&values, variance, scheme);
        let inner = share_within(&values, uncut);
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

/// The numbers that a program of its own computes from `ChaCha` with 8 rounds: 53 bits of each 64
/// for a uniform number, Box and Muller's transform for a normal one. Whoever changes this changes
/// the weights of every seed.
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
        // The system's sine and logarithm may differ in the last place.
        assert!((found - expected).abs() <= 1e-6, "{found} {expected}");
    }
}

#[test]
fn a_seed_decides_the_weights() {
    let architecture = read(ARTICLE).expect("sound").architecture(FASHION_MNIST, 10);
    let architecture = architecture.expect("sound");
    let draw = |seed| architecture.initial_weights(&mut generator(seed));
    let weights = draw(1);
    assert_eq!(weights, draw(1));
    assert_ne!(weights, draw(2));
    assert!(weights.are_finite());

    // Glorot and Bengio's bound for 784 inputs and 300 outputs; biases of 0.
    let limit = (6.0_f32 / 1084.0).sqrt();
    let (kernel, bias) = (&weights.tensors[0].values, &weights.tensors[1].values);
    assert!(kernel.iter().all(|value| value.abs() <= limit));
    assert!(kernel.iter().any(|value| value.abs() > 0.99 * limit));
    assert_eq!(*bias, [0.0; 300]);
}

#[test]
fn each_layer_starts_as_it_says() {
    let architecture = plan(
        r#"{ type = "flatten" },
           { type = "dense", units = 400, kernel_initializer = "lecun_uniform", bias_initializer = "he_uniform" },
           { type = "dense", units = 2, kernel_initializer = "zeros", bias_initializer = 0.1 }"#,
        row(3),
        2,
    )
    .expect("sound");
    let Weights { tensors } = architecture.initial_weights(&mut generator(0));
    // √(3 / 3) for 3 inputs; √(6 / 400) for a bias of 400, whose fans are its length as in Keras.
    for (tensor, limit) in tensors.iter().zip([1.0, 0.015_f32.sqrt()]) {
        let most = tensor.values.iter().fold(0.0, |most: f32, value| most.max(value.abs()));
        assert!(most <= limit && most > 0.99 * limit, "{}: {most}", tensor.name);
    }
    assert_eq!(tensors[2].values, [0.0; 800]);
    assert_eq!(tensors[3].values, [0.1; 2]);
}
