//! Dropout of whole channels.

use kiln_model::{Architecture, Mode, Network, Shape, images};
use rand_chacha::ChaCha8Rng;
use rand_core::Rng;

use crate::common::{backends, generator, infer, known_generator, single, single_weights, values};

fn architecture(rate: f64, channels: usize) -> Architecture {
    let input = Shape::Image { channels, height: 2, width: 3 };
    single(&format!(r#"{{ type = "spatial_dropout2d", rate = {rate:?} }}"#), input).expect("valid")
}

/// The factors of the channels of each image in training.
fn factors(rate: f64, count: usize, channels: usize, rng: &mut ChaCha8Rng) -> Vec<f32> {
    let architecture = architecture(rate, channels);
    let weights = single_weights(&architecture, &[]);
    let start = rng.clone();
    let [flex, ndarray] = backends().map(|(_, device)| {
        *rng = start.clone();
        let network = Network::new(&architecture, &weights, &device.clone().autodiff());
        let x = images(vec![1.0; count * channels * 6], architecture.input(), &device.autodiff());
        let x = x.require_grad();
        let network = network.expect("its own weights");
        let y = network.forward(x.clone(), &mut Mode::Training(rng));
        let gradients = y.clone().sum().backward();
        let gradient = values(x.grad(&gradients).expect("requested"));
        let y = values(y);
        assert_eq!(gradient, y, "the gradient is the mask");
        y
    });
    assert_eq!(flex, ndarray);
    let channels = flex.chunks_exact(6);
    let factors = channels.map(|channel| {
        assert_eq!(channel, [channel[0]; 6], "a channel is dropped as a whole");
        channel[0]
    });
    factors.collect()
}

/// The same draws as those of `dropout`, image by image and channel by channel: see `dropout.rs`.
#[test]
fn the_masks_of_a_generator_never_change() {
    let kept = [
        true, true, true, false, false, true, true, true, false, false, true, true, false, true,
        true, true, false, true, true, true, true, true, false, true,
    ];
    let found = factors(0.3, 4, 6, &mut known_generator());
    assert_eq!(found.iter().map(|value| *value != 0.0).collect::<Vec<_>>(), kept);
    for factor in found.into_iter().filter(|factor| *factor != 0.0) {
        assert!((factor - 1.0 / 0.7).abs() < 1e-6, "{factor}");
    }
}

#[test]
fn it_is_off_in_inference_and_at_a_rate_of_zero() {
    let architecture = architecture(0.9, 2);
    let x: Vec<f32> = (0..12).map(|value| value as f32).collect();
    assert_eq!(infer(&architecture, &single_weights(&architecture, &[]), &x), x);

    let mut rng = generator(3);
    assert_eq!(factors(0.0, 5, 2, &mut rng), [1.0; 10]);
    assert_eq!(rng.next_u64(), generator(3).next_u64());
}
