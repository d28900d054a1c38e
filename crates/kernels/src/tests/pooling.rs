use proptest::prelude::*;

use super::support::{assert_close, random, with_all_instructions};
use crate::{Plane, Pooling, global_average, global_average_gradient, global_max};

#[derive(Clone, Debug)]
struct Case {
    pooling: Pooling,
    n: usize,
    seed: u64,
}

impl Case {
    /// Few different values, so that many are equal.
    fn x(&self) -> Vec<f32> {
        let values = random(self.seed, self.pooling.input.len() * self.n);
        values.into_iter().map(|value| (3.0 * value).round()).collect()
    }

    fn gradient(&self) -> Vec<f32> {
        random(self.seed + 1, self.pooling.output_plane().len() * self.n)
    }

    /// For each output, the indices of the inputs in its window, with their positions in the window.
    fn windows(&self) -> Vec<Vec<(usize, usize)>> {
        let Pooling { input, window, stride, padding } = self.pooling;
        let output = self.pooling.output_plane();
        let mut windows = Vec::new();
        for channel in 0..output.channels {
            for y in 0..output.height {
                for x in 0..output.width {
                    for image in 0..self.n {
                        let mut inputs = Vec::new();
                        for index in 0..window[0] * window[1] {
                            let row = (y * stride[0] + index / window[1]).wrapping_sub(padding[0]);
                            let column =
                                (x * stride[1] + index % window[1]).wrapping_sub(padding[1]);
                            if row < input.height && column < input.width {
                                let position =
                                    (channel * input.height + row) * input.width + column;
                                inputs.push((position * self.n + image, index));
                            }
                        }
                        windows.push(inputs);
                    }
                }
            }
        }
        windows
    }
}

fn cases() -> impl Strategy<Value = Case> {
    let window = ([1..=3_usize, 1..=3], [1..=3_usize, 1..=3], any::<[u8; 4]>());
    let batch = prop_oneof![1..=9_usize, 15..=17_usize, 31..=50_usize];
    ([1..=3_usize, 1..=9, 1..=9], window, batch, any::<u32>()).prop_map(
        |(input, window, n, seed)| {
            let (window, stride, padding) = window;
            let [channels, height, width] = input;
            let window = [window[0].min(height), window[1].min(width)];
            let padding = std::array::from_fn(|side| padding[side] as usize % window[side % 2]);
            let input = Plane { channels, height, width };
            // With this padding and stride, every window reaches into the input.
            let stride = [stride[0].min(window[0]), stride[1].min(window[1])];
            Case { pooling: Pooling { input, window, stride, padding }, n, seed: u64::from(seed) }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn the_gradient_goes_to_the_first_maximum(case in cases()) {
        let (x, gradient) = (case.x(), case.gradient());
        let mut out = Vec::new();
        let mut indices = Vec::new();
        let mut expected = vec![0.0; x.len()];
        for (window, gradient) in case.windows().iter().zip(&gradient) {
            let (mut best, mut index) = window[0];
            for &(input, position) in window {
                if x[input] > x[best] {
                    (best, index) = (input, position);
                }
            }
            out.push(x[best]);
            indices.push(index as u16);
            expected[best] += f64::from(*gradient);
        }
        let actual = with_all_instructions(|workspace| {
            let mut actual = vec![f32::NAN; out.len()];
            let mut actual_indices = vec![0; out.len()];
            case.pooling.max(&x, case.n, &mut actual, &mut actual_indices, workspace);
            assert_eq!(actual, out);
            assert_eq!(actual_indices, indices);
            let mut actual = vec![f32::NAN; x.len()];
            case.pooling.max_gradient(&gradient, &indices, case.n, &mut actual, workspace);
            actual
        });
        assert_close(&actual, &expected, 1e-6);
    }

    #[test]
    fn averages_do_not_count_the_padding(case in cases()) {
        let (x, gradient) = (case.x(), case.gradient());
        let mut means = Vec::new();
        let mut expected = vec![0.0; x.len()];
        for (window, gradient) in case.windows().iter().zip(&gradient) {
            let count = window.len() as f64;
            means.push(window.iter().map(|(input, _)| f64::from(x[*input])).sum::<f64>() / count);
            window.iter().for_each(|(input, _)| expected[*input] += f64::from(*gradient) / count);
        }
        let actual = with_all_instructions(|workspace| {
            let mut actual = vec![f32::NAN; means.len()];
            case.pooling.average(&x, case.n, &mut actual, workspace);
            actual
        });
        assert_close(&actual, &means, 1e-6);
        let actual = with_all_instructions(|workspace| {
            let mut actual = vec![f32::NAN; x.len()];
            case.pooling.average_gradient(&gradient, case.n, &mut actual, workspace);
            actual
        });
        assert_close(&actual, &expected, 1e-6);
    }

    #[test]
    fn global_pooling_is_pooling_of_the_whole_plane(case in cases()) {
        let x = case.x();
        let whole = Case { pooling: global_max(case.pooling.input), ..case };
        let gradient = whole.gradient();
        let Plane { height, width, .. } = whole.pooling.input;
        let mut expected = vec![0.0; x.len()];
        let mut means = Vec::new();
        for (window, gradient) in whole.windows().iter().zip(&gradient) {
            let count = window.len() as f64;
            means.push(window.iter().map(|(input, _)| f64::from(x[*input])).sum::<f64>() / count);
            window.iter().for_each(|(input, _)| expected[*input] += f64::from(*gradient) / count);
        }
        let actual = with_all_instructions(|workspace| {
            let mut actual = vec![f32::NAN; means.len()];
            global_average(&x, height * width, whole.n, &mut actual, workspace);
            actual
        });
        assert_close(&actual, &means, 1e-6);
        let actual = with_all_instructions(|workspace| {
            let mut actual = vec![f32::NAN; x.len()];
            global_average_gradient(&gradient, height * width, whole.n, &mut actual, workspace);
            actual
        });
        assert_close(&actual, &expected, 1e-6);
    }
}

#[test]
fn a_nan_is_the_maximum() {
    let input = Plane { channels: 1, height: 1, width: 3 };
    for nan in 0..3 {
        let mut x = vec![2.0, 1.0, 3.0];
        x[nan] = f32::NAN;
        with_all_instructions(|workspace| {
            let (mut out, mut indices) = ([0.0], [9]);
            global_max(input).max(&x, 1, &mut out, &mut indices, workspace);
            assert!(out[0].is_nan());
            assert_eq!(usize::from(indices[0]), nan);
            Vec::new()
        });
    }
}
