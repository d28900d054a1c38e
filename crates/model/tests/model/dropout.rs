//! Dropout.

use crate::common::{
    assert_close, generator, identity, infer, known_generator, plan, row, trainable, values,
};
use kiln_model::{Architecture, Mode, images};
use rand_chacha::ChaCha8Rng;
use rand_core::Rng;

fn architecture(rate: f64, width: usize) -> Architecture {
    let layers = format!(
        r#"{{ type = "dropout", rate = {rate:?} }}, {{ type = "flatten" }},
           {{ type = "dense", units = "classes", use_bias = false }}"#
    );
    plan(&layers, row(width), width).expect("valid")
}

/// The output of dropout in training for `count` rows of `width` ones.
fn dropped(rate: f64, count: usize, width: usize, rng: &mut ChaCha8Rng) -> Vec<f32> {
    let architecture = architecture(rate, width);
    let (network, device) = trainable(&architecture, &identity(&architecture));
    let x = images(vec![1.0; count * width], row(width), &device);
    values(network.forward(x, &mut Mode::Training(rng)))
}

#[test]
fn dropout_is_off_in_inference() {
    let architecture = architecture(0.9, 4);
    let x = [1.0, -2.0, 3.0, -4.0];
    assert_eq!(infer(&architecture, &identity(&architecture), &x), x);
}

#[test]
fn a_rate_of_zero_drops_nothing_and_does_not_use_the_generator() {
    let mut rng = generator(3);
    assert_eq!(dropped(0.0, 5, 4, &mut rng), [1.0; 20]);
    assert_eq!(rng.next_u64(), generator(3).next_u64());
}

/// 6,000 of 20,000 values are expected. Five standard deviations, √(n p (1 − p)), are 324.
#[test]
fn values_are_dropped_at_the_rate_and_the_others_are_scaled() {
    let values = dropped(0.3, 200, 100, &mut generator(1));
    let zeros = values.iter().filter(|value| **value == 0.0).count();
    assert!(zeros.abs_diff(6_000) < 324, "{zeros}");
    let others: Vec<f32> = values.into_iter().filter(|value| *value != 0.0).collect();
    assert_close(&others, &vec![1.0 / 0.7; others.len()]);
}

/// A value is dropped if the next 32 bits of the generator, divided by 2³², are below the rate. The
/// expected mask was computed by an independent program.
#[test]
fn the_masks_of_a_generator_never_change() {
    let kept = [
        true, true, true, false, false, true, true, true, false, false, true, true, false, true,
        true, true, false, true, true, true, true, true, false, true,
    ];
    let found = dropped(0.3, 2, 12, &mut known_generator());
    assert_eq!(found.iter().map(|value| *value != 0.0).collect::<Vec<_>>(), kept);
}

#[test]
fn every_batch_has_another_mask() {
    let mut rng = generator(1);
    let (first, second) = (dropped(0.5, 4, 16, &mut rng), dropped(0.5, 4, 16, &mut rng));
    assert_ne!(first, second);
    assert_eq!(first, dropped(0.5, 4, 16, &mut generator(1)));
    assert_ne!(first, dropped(0.5, 4, 16, &mut generator(2)));
    assert_ne!(first[..16], first[16..32], "two samples have the same mask");
}

#[test]
fn gradients_use_the_mask_of_the_forward_pass() {
    let architecture = architecture(0.5, 8);
    let (network, device) = trainable(&architecture, &identity(&architecture));
    let x = images(vec![1.0; 8], row(8), &device).require_grad();
    let y = network.forward(x.clone(), &mut Mode::Training(&mut generator(5)));
    let gradients = y.clone().sum().backward();
    let gradient = values(x.grad(&gradients).expect("requested"));
    assert_eq!(gradient, values(y), "the gradient is the mask: 0 or 2");
    assert!(gradient.contains(&0.0) && gradient.contains(&2.0));
}
