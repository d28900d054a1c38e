use crate::{Blend, Convolution, Plane, Pooling, Workspace};
use proptest::prelude::*;

use super::support::{assert_close, random, with_all_instructions};

#[derive(Clone, Debug)]
struct Case {
    convolution: Convolution,
    n: usize,
    seed: u64,
}

impl Case {
    fn x(&self) -> Vec<f32> {
        random(self.seed, self.convolution.input.len() * self.n)
    }

    fn weights(&self) -> Vec<f32> {
        random(self.seed + 1, self.convolution.weights_len())
    }

    fn bias(&self) -> Vec<f32> {
        random(self.seed + 2, self.convolution.filters)
    }

    fn gradient(&self) -> Vec<f32> {
        random(self.seed + 3, self.convolution.output_plane().len() * self.n)
    }

    /// Calls `visit` with the indices of weight, input and output for every product.
    fn products(&self, mut visit: impl FnMut(usize, usize, usize)) {
        let Convolution { input, filters, kernel, stride, padding, dilation, groups } =
            self.convolution;
        let output = self.convolution.output_plane();
        let (channels, group_filters) = (input.channels / groups, filters / groups);
        for o in 0..filters {
            for c in 0..channels {
                for (i, j) in pairs(kernel[0], kernel[1]) {
                    let weight = ((o * channels + c) * kernel[0] + i) * kernel[1] + j;
                    let channel = o / group_filters * channels + c;
                    for (y, x) in pairs(output.height, output.width) {
                        let row = (y * stride[0] + i * dilation[0]).wrapping_sub(padding[0]);
                        let column = (x * stride[1] + j * dilation[1]).wrapping_sub(padding[1]);
                        if row >= input.height || column >= input.width {
                            continue;
                        }
                        for image in 0..self.n {
                            let from = (channel * input.height + row) * input.width + column;
                            let to = (o * output.height + y) * output.width + x;
                            visit(weight, from * self.n + image, to * self.n + image);
                        }
                    }
                }
            }
        }
    }
}

fn pairs(rows: usize, columns: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..rows).flat_map(move |row| (0..columns).map(move |column| (row, column)))
}

fn cases() -> impl Strategy<Value = Case> {
    let sizes = (1..=9_usize, 1..=9_usize, 1..=3_usize, 1..=3_usize);
    let channels = prop_oneof![
        3 => (1..=9_usize, 1..=14_usize, Just(1_usize)),
        // Groups, and depthwise with and without a multiplier.
        1 => (1..=3_usize, 1..=3_usize, 2..=4_usize),
        1 => (Just(1_usize), 1..=2_usize, 1..=9_usize),
        // More than a register of channels.
        1 => (15..=36_usize, 1..=20_usize, Just(1_usize)),
    ];
    let window = (
        (1..=3_usize, 1..=3_usize),
        (1..=2_usize, 1..=2_usize),
        [0..=2_usize, 0..=2, 0..=2, 0..=2],
    );
    let layers = prop_oneof![3 => (sizes, channels, window).boxed(), 1 => tiled().boxed()];
    cases_of(layers)
}

/// Sizes, channels and window of a layer.
type Layer = (
    (usize, usize, usize, usize),
    (usize, usize, usize),
    ((usize, usize), (usize, usize), [usize; 4]),
);

/// Layers of which most are computed by minimal filtering, with one or several tiles in a chunk.
fn tiled() -> impl Strategy<Value = Layer> {
    (
        (4..=11_usize, 4..=11_usize, Just(3), Just(3)),
        (12..=40_usize, 12..=40_usize, Just(1)),
        ((Just(1), Just(1)), (Just(1), Just(1)), [0..=3_usize, 0..=3, 0..=3, 0..=3]),
    )
}

fn cases_of(layers: impl Strategy<Value = Layer>) -> impl Strategy<Value = Case> {
    let batch = prop_oneof![1..=9_usize, 15..=17_usize, 31..=50_usize];
    (layers, batch, any::<u32>())
        .prop_map(|(layer, n, seed)| {
            let ((height, width, kernel_height, kernel_width), channels, window) = layer;
            let (channels, filters, groups) = channels;
            let (stride, dilation, padding) = window;
            let convolution = Convolution {
                input: Plane { channels: channels * groups, height, width },
                filters: filters * groups,
                kernel: [kernel_height, kernel_width],
                stride: stride.into(),
                padding,
                dilation: dilation.into(),
                groups,
            };
            Case { convolution, n, seed: u64::from(seed) }
        })
        .prop_filter("the kernel fits", |case| !case.convolution.output_plane().is_empty())
}

/// A pooling of the output over windows of 2 × 2.
fn quarter(convolution: Convolution) -> Pooling {
    let input = convolution.output_plane();
    Pooling { input, window: [2; 2], stride: [2; 2], padding: [0; 4] }
}

fn pooled() -> impl Strategy<Value = Case> {
    let can_pool = |case: &Case| case.convolution.can_pool(&quarter(case.convolution));
    cases_of(tiled()).prop_filter("minimal filtering", can_pool)
}

/// The most frequent convolution: 3 × 3, as many outputs as inputs.
fn usual(input: Plane, filters: usize) -> Convolution {
    let (kernel, stride, padding, dilation) = ([3, 3], [1, 1], [1; 4], [1, 1]);
    Convolution { input, filters, kernel, stride, padding, dilation, groups: 1 }
}

/// Compares the forward pass with 64-bit loops.
fn assert_forward(case: &Case, relu: bool, biased: bool) {
    let (x, weights) = (case.x(), case.weights());
    let bias = if biased { case.bias() } else { Vec::new() };
    let output = case.convolution.output_plane();
    let plane = output.height * output.width * case.n;
    let mut expected = vec![0.0; output.len() * case.n];
    case.products(|w, from, to| expected[to] += f64::from(weights[w]) * f64::from(x[from]));
    for (row, bias) in expected.chunks_exact_mut(plane).zip(&bias) {
        row.iter_mut().for_each(|value| *value += f64::from(*bias));
    }
    if relu {
        expected.iter_mut().for_each(|value| *value = value.max(0.0));
    }
    let actual = with_all_instructions(|workspace| {
        let mut out = vec![f32::NAN; expected.len()];
        case.convolution.forward(&weights, &bias, &x, case.n, &mut out, relu, workspace);
        out
    });
    assert_close(&actual, &expected, 1e-5);
}

/// Compares the gradient of the weights with 64-bit loops.
fn assert_weight_gradient(case: &Case, decay: Option<f32>) {
    let (x, gradient) = (case.x(), case.gradient());
    let before = case.weights();
    let mut expected: Vec<f64> =
        before.iter().map(|value| f64::from(*value) * f64::from(decay.unwrap_or(0.0))).collect();
    case.products(|w, from, to| expected[w] += f64::from(x[from]) * f64::from(gradient[to]));
    let blend = decay.map_or(Blend::Replace, Blend::DecayAndAdd);
    let actual = with_all_instructions(|workspace| {
        let mut out = before.clone();
        case.convolution.weight_gradient(&x, &gradient, case.n, &mut out, blend, workspace);
        out
    });
    assert_close(&actual, &expected, 1e-5);
}

/// Two and three threads, of which some compute a part of a group that has fewer registers of filters than the largest part.
#[test]
fn threads_divide_groups_of_filters() {
    for (groups, filters, n) in [(4, 72, 50), (3, 120, 32)] {
        let input = Plane { channels: 2 * groups, height: 8, width: 8 };
        let convolution = Convolution { groups, ..usual(input, filters) };
        assert_weight_gradient(&Case { convolution, n, seed: 4 }, None);
    }
}

/// More source rows than an L2 cache has, which are computed in chunks of columns, and 33 images, which are two blocks.
#[test]
fn large_layers_are_computed_in_chunks() {
    let convolution = usual(Plane { channels: 140, height: 5, width: 11 }, 3);
    assert_forward(&Case { convolution, n: 33, seed: 1 }, true, true);
}

/// The root mean square of the errors, divided by that of the expected values.
fn relative_error(actual: &[f32], expected: &[f64]) -> f64 {
    assert_eq!(actual.len(), expected.len());
    let (mut errors, mut values) = (0.0, 0.0);
    for (actual, expected) in actual.iter().zip(expected) {
        errors += (f64::from(*actual) - expected).powi(2);
        values += expected.powi(2);
    }
    (errors / values).sqrt()
}

/// So many channels that each thread transforms kernels of its own, which end within a tile of rows.
#[test]
fn threads_transform_the_kernels_of_wide_layers() {
    let convolution = usual(Plane { channels: 100, height: 4, width: 4 }, 100);
    assert_forward(&Case { convolution, n: 5, seed: 2 }, false, true);
}

/// The points of minimal filtering decide how much rounding grows. C programs with the same sums have errors of 1.1e-6 and
/// 0.65e-6 for 128 channels, with the points 0, ±1, ±2 and ∞ 2.4e-6 and 1.4e-6, and with the direct form 0.6e-6 and 0.4e-6.
#[test]
fn rounding_in_wide_layers_is_close_to_that_of_the_direct_form() {
    let convolution = usual(Plane { channels: 128, height: 8, width: 8 }, 8);
    let case = Case { convolution, n: 32, seed: 3 };
    let (x, weights, gradient) = (case.x(), case.weights(), case.gradient());
    let mut workspace = Workspace::default();

    let mut expected = vec![0.0; gradient.len()];
    case.products(|w, from, to| expected[to] += f64::from(weights[w]) * f64::from(x[from]));
    let mut out = vec![0.0; expected.len()];
    convolution.forward(&weights, &[], &x, case.n, &mut out, false, &mut workspace);
    let error = relative_error(&out, &expected);
    assert!(error < 1.5e-6, "forward {error}");

    let mut expected = vec![0.0; weights.len()];
    case.products(|w, from, to| expected[w] += f64::from(x[from]) * f64::from(gradient[to]));
    let mut out = vec![0.0; expected.len()];
    let blend = Blend::Replace;
    convolution.weight_gradient(&x, &gradient, case.n, &mut out, blend, &mut workspace);
    let error = relative_error(&out, &expected);
    assert!(error < 1e-6, "weight gradient {error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn forward_is_the_sum_of_the_products(case in cases(), relu: bool, biased: bool) {
        assert_forward(&case, relu, biased);
    }

    #[test]
    fn forward_max_is_the_pooling_of_the_output(case in pooled(), relu: bool, biased: bool) {
        let convolution = case.convolution;
        let (output, pooling) = (convolution.output_plane(), quarter(convolution));
        let (x, weights, n) = (case.x(), case.weights(), case.n);
        let bias = if biased { case.bias() } else { Vec::new() };
        let size = pooling.output_plane().len() * n;
        // Values and indices.
        let joined = |values: Vec<f32>, indices: &[u16]| {
            values.into_iter().chain(indices.iter().map(|index| f32::from(*index))).collect()
        };
        let fused: Vec<f32> = with_all_instructions(|workspace| {
            let (mut out, mut indices) = (vec![f32::NAN; size], vec![u16::MAX; size]);
            let (out_of, indices_of) = (&mut out[..], &mut indices[..]);
            convolution.forward_max(&weights, &bias, &x, n, out_of, indices_of, relu, workspace);
            joined(out, &indices)
        });
        let mut workspace = Workspace::default();
        let mut values = vec![f32::NAN; output.len() * n];
        convolution.forward(&weights, &bias, &x, n, &mut values, false, &mut workspace);
        let (mut out, mut indices) = (vec![f32::NAN; size], vec![u16::MAX; size]);
        pooling.max(&values, n, &mut out, &mut indices, &mut workspace);
        if relu {
            out.iter_mut().for_each(|value| *value = if *value < 0.0 { 0.0 } else { *value });
        }
        prop_assert!(fused == joined(out, &indices));
    }

    #[test]
    fn input_gradient_is_the_transposed_sum(case in cases()) {
        let (weights, gradient) = (case.weights(), case.gradient());
        let mut expected = vec![0.0; case.convolution.input.len() * case.n];
        case.products(|w, from, to| {
            expected[from] += f64::from(weights[w]) * f64::from(gradient[to]);
        });
        let actual = with_all_instructions(|workspace| {
            let mut out = vec![f32::NAN; expected.len()];
            case.convolution.input_gradient(&weights, &gradient, case.n, &mut out, false, workspace);
            out
        });
        assert_close(&actual, &expected, 1e-5);
        // Added to values, each sum is rounded once.
        let before = random(3, expected.len());
        let added = with_all_instructions(|workspace| {
            let mut out = before.clone();
            case.convolution.input_gradient(&weights, &gradient, case.n, &mut out, true, workspace);
            out
        });
        prop_assert!(before.iter().zip(actual).map(|(old, new)| old + new).eq(added));
    }

    #[test]
    fn weight_gradient_sums_over_positions_and_images(case in cases(), decay in prop::option::of(0.0..1.0_f32)) {
        assert_weight_gradient(&case, decay);
    }
}
