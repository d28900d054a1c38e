//! Random layers with random shapes: plans, outputs and gradients.

use burn::module::Module;
use burn::tensor::{Tensor, TensorData};
use kiln_model::{Architecture, Mode, Network, Shape, Weights, images};
use proptest::collection::vec;
use proptest::prelude::*;
use rand_chacha::ChaCha8Rng;
use rand_core::Rng;

use crate::common::{backends, generator, parameter_gradients, read, single, values};

fn pair(limit: usize) -> impl Strategy<Value = String> {
    (1..=limit, 1..=limit, any::<bool>()).prop_map(|(height, width, is_pair)| {
        if is_pair { format!("[{height}, {width}]") } else { height.to_string() }
    })
}

fn padding() -> impl Strategy<Value = &'static str> {
    prop_oneof![Just("valid"), Just("same")]
}

fn convolution() -> impl Strategy<Value = String> {
    (1..=6_usize, pair(4), pair(3), padding(), pair(3), 1..=3_usize, any::<bool>()).prop_map(
        |(filters, kernel, strides, padding, dilation, groups, bias)| {
            format!(
                r#"{{ type = "conv2d", filters = {filters}, kernel_size = {kernel}, strides = {strides}, padding = "{padding}", dilation_rate = {dilation}, groups = {groups}, use_bias = {bias}, bias_initializer = 0.25 }}"#
            )
        },
    )
}

fn depthwise() -> impl Strategy<Value = String> {
    (pair(4), pair(3), padding(), 1..=3_usize, pair(3), any::<bool>()).prop_map(
        |(kernel, strides, padding, multiplier, dilation, bias)| {
            format!(
                r#"{{ type = "depthwise_conv2d", kernel_size = {kernel}, strides = {strides}, padding = "{padding}", depth_multiplier = {multiplier}, dilation_rate = {dilation}, use_bias = {bias}, bias_initializer = 0.25 }}"#
            )
        },
    )
}

fn pooling() -> impl Strategy<Value = String> {
    let kind = prop_oneof![Just("max_pooling2d"), Just("average_pooling2d")];
    (kind, pair(4), proptest::option::of(pair(4)), padding()).prop_map(
        |(kind, size, strides, padding)| {
            let strides =
                strides.map_or_else(String::new, |strides| format!("strides = {strides}, "));
            format!(r#"{{ type = "{kind}", pool_size = {size}, {strides}padding = "{padding}" }}"#)
        },
    )
}

fn borders() -> impl Strategy<Value = String> {
    let side = || 0..=3_usize;
    (side(), side(), side(), side()).prop_map(|(top, bottom, left, right)| {
        format!(
            r#"{{ type = "zero_padding2d", padding = [[{top}, {bottom}], [{left}, {right}]] }}"#
        )
    })
}

/// Layers whose output is linear in the input, if the step is small enough to change no maximum.
fn linear() -> impl Strategy<Value = String> {
    let global = prop_oneof![
        Just(r#"{ type = "global_average_pooling2d" }"#.to_owned()),
        Just(r#"{ type = "global_max_pooling2d" }"#.to_owned()),
    ];
    let layer = prop_oneof![
        4 => convolution(),
        3 => depthwise(),
        3 => pooling(),
        1 => borders(),
        1 => global,
    ];
    layer.boxed()
}

fn any_layer() -> impl Strategy<Value = String> {
    let normalization = (1..=6_usize, any::<bool>(), any::<bool>(), 0..3_usize).prop_map(
        |(groups, scale, center, kind)| {
            let keys = format!("scale = {scale}, center = {center}");
            match kind {
                0 => format!(r#"{{ type = "group_normalization", groups = {groups}, {keys} }}"#),
                1 => format!(r#"{{ type = "layer_normalization", {keys} }}"#),
                _ => format!(r#"{{ type = "batch_normalization", {keys} }}"#),
            }
        },
    );
    let simple = prop_oneof![
        Just(r#"{ type = "flatten" }"#.to_owned()),
        Just(r#"{ type = "spatial_dropout2d", rate = 0.5 }"#.to_owned()),
        Just(r#"{ type = "activation", activation = "relu" }"#.to_owned()),
        Just(r#"{ type = "dense", units = 3 }"#.to_owned()),
    ];
    let leaf = prop_oneof![4 => linear(), 2 => normalization, 1 => simple];
    leaf.prop_recursive(2, 8, 2, |inner| {
        (vec(inner.clone(), 0..3), vec(inner, 0..2)).prop_map(|(layers, shortcut)| {
            format!(
                r#"{{ type = "residual", layers = [{}], shortcut = [{}] }}"#,
                layers.join(", "),
                shortcut.join(", ")
            )
        })
    })
}

fn image() -> impl Strategy<Value = Shape> {
    (1..=6_usize, 1..=7_usize, 1..=7_usize).prop_map(|(channels, height, width)| Shape::Image {
        channels,
        height,
        width,
    })
}

/// Numbers from −1 to 1.
fn draw(count: usize, rng: &mut ChaCha8Rng) -> Vec<f32> {
    (0..count).map(|_| rng.next_u32() as f32 / u32::MAX as f32 * 2.0 - 1.0).collect()
}

fn sum_of_products(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

/// The sum of the products of `g` and the output of the last but one layer.
fn loss(architecture: &Architecture, weights: &Weights, x: &[f32], g: &[f32]) -> f64 {
    let device = burn::tensor::Device::flex();
    let network = Network::new(architecture, weights, &device).expect("its own weights");
    let x = images(x.to_vec(), architecture.input(), &device);
    let y = network.forward(x, &mut Mode::Training(&mut generator(0)));
    sum_of_products(&values(y), g)
}

proptest! {
    /// Whatever the layers, a plan is an error with a remedy, or the network computes what was planned, in training and in
    /// inference, for any batch.
    #[test]
    fn networks_have_the_planned_shapes(
        layers in vec(any_layer(), 1..4),
        input in image(),
        count in 1..=3_usize,
        seed in any::<u64>(),
    ) {
        let layers = layers.join(", ");
        let architecture = match single(&layers, input) {
            Ok(architecture) => architecture,
            Err(error) => {
                let message = error.message;
                prop_assert!(message.contains("; ") || message.contains("insert"), "{message}");
                return Ok(());
            }
        };
        let rng = &mut generator(seed);
        let weights = architecture.initial_weights(rng);
        let pixels = draw(count * input.len(), rng);
        let features = architecture.layers().last().expect("a dense layer").output.len();
        let mut outputs = Vec::new();
        for (_, device) in backends() {
            let device = device.autodiff();
            let network = Network::new(&architecture, &weights, &device).expect("its own weights");
            let x = images(pixels.clone(), input, &device).require_grad();
            let y = network.forward(x.clone(), &mut Mode::Training(&mut rng.clone()));
            prop_assert_eq!(y.dims(), [count, features]);
            let gradients = y.sum().backward();
            prop_assert_eq!(x.grad(&gradients).map(|gradient| gradient.dims()), Some(x.dims()));
            let trainable = architecture.named_parameters().filter(|(_, spec)| spec.trainable);
            let found = parameter_gradients(&network, &gradients);
            let found: Vec<usize> = found.iter().map(Vec::len).collect();
            prop_assert_eq!(found, trainable.map(|(_, spec)| spec.len()).collect::<Vec<_>>());

            // Includes the running statistics, which the forward pass has changed.
            let x = images(pixels.clone(), input, &device.inner());
            let y = network.valid().forward(x, &mut Mode::<ChaCha8Rng>::Inference);
            outputs.push(values(y));
        }
        // All backends compute the same.
        for (flex, ndarray) in outputs[0].iter().zip(&outputs[1]) {
            prop_assert!(flex.is_finite(), "{}", flex);
            prop_assert!((flex - ndarray).abs() <= 1e-4 * (1.0 + flex.abs()), "{} {}", flex, ndarray);
        }
    }

    /// The output of these layers is linear in the input, in the kernel and in the bias, so that the difference of two
    /// outputs is the product of the gradient and the step, for a step of any size.
    #[test]
    fn gradients_are_finite_differences(
        layer in linear(),
        input in image(),
        count in 1..=2_usize,
        seed in any::<u64>(),
    ) {
        let Ok(architecture) = single(&layer, input) else { return Ok(()) };
        let rng = &mut generator(seed);
        let mut weights = architecture.initial_weights(rng);
        let features = architecture.layers().last().expect("a dense layer").output.len();
        let identity = weights.tensors.last_mut().expect("a dense layer");
        for (index, value) in identity.values.iter_mut().enumerate() {
            *value = f32::from(u8::from(index / features == index % features));
        }
        // All pixels differ by at least 1, so that a step of at most 0.4 changes no maximum.
        let mut pixels: Vec<f32> = (0..count * input.len()).map(|index| index as f32).collect();
        for last in (1..pixels.len()).rev() {
            pixels.swap(last, rng.next_u32() as usize % (last + 1));
        }
        let middle = pixels.len() as f32 / 2.0;
        pixels.iter_mut().for_each(|pixel| *pixel -= middle);
        let g = draw(count * features, rng);
        let step: Vec<f32> = draw(pixels.len(), rng).iter().map(|value| 0.4 * value).collect();
        let stepped: Vec<f32> = pixels.iter().zip(&step).map(|(pixel, step)| pixel + step).collect();
        let before = loss(&architecture, &weights, &pixels, &g);
        let difference = loss(&architecture, &weights, &stepped, &g) - before;
        for (backend, device) in backends() {
            let device = device.autodiff();
            let network = Network::new(&architecture, &weights, &device).expect("its own weights");
            let x = images(pixels.clone(), input, &device).require_grad();
            let y = network.forward(x.clone(), &mut Mode::Training(&mut generator(0)));
            let factors = Tensor::from_data(TensorData::new(g.clone(), y.dims()), &device);
            let gradients = (y * factors).sum().backward();
            let dx = values(x.grad(&gradients).expect("requested"));
            let size = 1.0 + middle as f64 * (count * features) as f64;
            let expected = sum_of_products(&dx, &step);
            prop_assert!((difference - expected).abs() <= 1e-6 * size, "{backend}: {difference} {expected}");

            let dparameters = parameter_gradients(&network, &gradients);
            let parameters = weights.tensors.len() - 1;
            for (index, gradient) in dparameters.iter().enumerate().take(parameters) {
                let step = draw(gradient.len(), &mut generator(index as u64));
                let mut weights = weights.clone();
                for (value, step) in weights.tensors[index].values.iter_mut().zip(&step) {
                    *value += step;
                }
                let difference = loss(&architecture, &weights, &pixels, &g) - before;
                let expected = sum_of_products(gradient, &step);
                let size = size * 10.0;
                prop_assert!(
                    (difference - expected).abs() <= 1e-6 * size,
                    "{backend}, parameter {index}: {difference} {expected}"
                );
            }
        }
    }

    /// The resolved configuration of a run reads back as the same layers.
    #[test]
    fn written_layers_read_back_the_same(layers in vec(any_layer(), 1..3)) {
        let config = read(&format!("layers = [{}]", layers.join(", "))).expect("valid layers");
        let written = toml::to_string(&config).expect("a table");
        prop_assert_eq!(read(&written).expect("valid layers"), config, "{}", written);
    }
}
