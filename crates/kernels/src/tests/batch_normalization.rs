use proptest::prelude::*;

use super::support::{assert_close, random, with_all_instructions};
use crate::{
    Blend, BlockLayout, GradientSums, InputGradient, NextOperation, Normalization, Statistics,
    Workspace, add, add_into, mask_and_copy, normalization_gradients, normalize, normalize_batch,
    row_sums,
};

const EPSILON: f64 = 1e-3;

#[derive(Clone, Debug)]
struct Case {
    channels: usize,
    positions: usize,
    n: usize,
    /// Of all values; the deviation is about 0.6.
    mean: f32,
    relu: bool,
    seed: u64,
}

impl Case {
    fn len(&self) -> usize {
        self.channels * self.positions * self.n
    }

    fn x(&self) -> Vec<f32> {
        random(self.seed, self.len()).into_iter().map(|value| value + self.mean).collect()
    }

    fn scales(&self) -> (Vec<f32>, Vec<f32>) {
        (random(self.seed + 2, self.channels), random(self.seed + 3, self.channels))
    }

    /// The outputs in 64 bits.
    fn outputs(&self, x: &[f64], gamma: &[f64], beta: &[f64]) -> Vec<f64> {
        let size = self.positions * self.n;
        let mut outputs = Vec::new();
        for (channel, x) in x.chunks_exact(size).enumerate() {
            let mean = x.iter().sum::<f64>() / size as f64;
            let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / size as f64;
            for x in x {
                let normalized = (x - mean) / (variance + EPSILON).sqrt();
                let y = gamma[channel] * normalized + beta[channel];
                outputs.push(if self.relu { y.max(0.0) } else { y });
            }
        }
        outputs
    }
}

fn cases() -> impl Strategy<Value = Case> {
    let n = prop_oneof![1..=9_usize, 15..=17_usize, 31..=50_usize];
    let mean = prop_oneof![-1.0..1.0_f32, Just(1000.0)];
    (1..=4_usize, 2..=70_usize, n, mean, any::<bool>(), any::<u32>()).prop_map(
        |(channels, positions, n, mean, relu, seed)| Case {
            channels,
            positions,
            n,
            mean,
            relu,
            seed: u64::from(seed),
        },
    )
}

fn to_f64(values: &[f32]) -> Vec<f64> {
    values.iter().map(|value| f64::from(*value)).collect()
}

impl Case {
    /// In blocks of 32 images.
    fn layout(&self) -> BlockLayout {
        let Self { channels, positions, n, .. } = *self;
        BlockLayout { channels, positions, n, block: 32 }
    }

    /// Converts values `[channels][positions][n]` to blocks.
    fn blocked(&self, values: &[f32]) -> Vec<f32> {
        self.order().into_iter().map(|index| values[index]).collect()
    }

    /// The inverse of [`blocked`](Self::blocked).
    fn joined(&self, values: &[f32]) -> Vec<f32> {
        let mut joined = vec![f32::NAN; values.len()];
        for (index, value) in self.order().into_iter().zip(values) {
            joined[index] = *value;
        }
        joined
    }

    fn order(&self) -> Vec<usize> {
        let mut order = Vec::new();
        for first in (0..self.n).step_by(32) {
            for row in 0..self.channels * self.positions {
                order.extend((first..self.n.min(first + 32)).map(|image| row * self.n + image));
            }
        }
        order
    }

    /// The outputs, with a shortcut if there is one, their normalization and the statistics.
    fn forward(
        &self,
        x: &[f32],
        shortcut: Option<&[f32]>,
        workspace: &mut Workspace,
    ) -> (Vec<f32>, Vec<Normalization>, Vec<Statistics>) {
        let (gamma, beta) = self.scales();
        let normalization = |(gamma, beta)| Normalization {
            mean: self.mean,
            inverse_deviation: f32::NAN,
            gamma,
            beta,
        };
        let mut channels: Vec<_> = gamma.into_iter().zip(beta).map(normalization).collect();
        let mut statistics = vec![Statistics::default(); self.channels];
        let mut out = vec![f32::NAN; x.len()];
        normalize_batch(
            &self.blocked(x),
            self.layout(),
            EPSILON,
            &mut channels,
            &mut statistics,
            shortcut.map(|values| self.blocked(values)).as_deref(),
            self.relu,
            &mut out,
            workspace,
        );
        (self.joined(&out), channels, statistics)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn the_output_is_normalized(case in cases()) {
        let x = case.x();
        let (gamma, beta) = case.scales();
        let wide = to_f64(&x);
        let expected = case.outputs(&wide, &to_f64(&gamma), &to_f64(&beta));
        let actual = with_all_instructions(|workspace| {
            let (actual, channels, statistics) = case.forward(&x, None, workspace);
            let size = case.positions * case.n;
            for (x, statistics) in wide.chunks_exact(size).zip(&statistics) {
                let mean = x.iter().sum::<f64>() / size as f64;
                let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / size as f64;
                assert!((statistics.mean - mean).abs() < 1e-5, "{statistics:?}, not {mean}");
                assert!((statistics.variance - variance).abs() < 1e-5, "not {variance}");
            }
            // Inference with the same constants, block by block.
            let mut out = vec![f32::NAN; x.len()];
            let blocked = case.blocked(&x);
            let size = 32 * case.channels * case.positions;
            for (x, out) in blocked.chunks(size).zip(out.chunks_mut(size)) {
                normalize(x, &channels, case.relu, out, workspace);
            }
            assert_eq!(case.joined(&out), actual);
            actual
        });
        // The mean of 1000 rounds to 32 bits.
        assert_close(&actual, &expected, if case.mean == 1000.0 { 1e-3 } else { 1e-5 });
    }

    #[test]
    fn gradients_are_those_of_finite_differences(case in cases(), chosen: prop::sample::Index) {
        let case = Case { mean: case.mean.clamp(-1.0, 1.0), ..case };
        let x = case.x();
        let upstream = random(case.seed + 4, x.len());
        let (gamma, beta) = case.scales();
        let (gamma, beta, wide) = (to_f64(&gamma), to_f64(&beta), to_f64(&x));
        let loss = |x: &[f64], gamma: &[f64], beta: &[f64]| -> f64 {
            case.outputs(x, gamma, beta).iter().zip(&upstream).map(|(y, g)| y * f64::from(*g)).sum()
        };
        // Next to its corner, ReLU has no derivative that rounding or the step could not change.
        let linear = Case { relu: false, ..case.clone() }.outputs(&wide, &gamma, &beta);
        prop_assume!(!case.relu || linear.iter().all(|y| y.abs() > 1e-5));
        let step = 1e-6;
        let slope = |which: usize, index: usize| {
            let at = |step: f64| {
                let mut parts = [wide.clone(), gamma.clone(), beta.clone()];
                parts[which][index] += step;
                loss(&parts[0], &parts[1], &parts[2])
            };
            (at(step) - at(-step)) / (2.0 * step)
        };
        let index = chosen.index(x.len());
        let channel = index / (case.positions * case.n);
        let expected = [slope(0, index), slope(1, channel), slope(2, channel)];
        with_all_instructions(|workspace| {
            let (_, channels, _) = case.forward(&x, None, workspace);
            let mut gradient = case.blocked(&upstream);
            let mut sums = vec![GradientSums::default(); case.channels];
            normalization_gradients(
                &mut gradient,
                &case.blocked(&x),
                case.layout(),
                &channels,
                NextOperation::Activation { relu: case.relu },
                InputGradient::WithStatistics,
                &mut sums,
                workspace,
            );
            let out = case.joined(&gradient);
            let actual = [f64::from(out[index]), sums[channel].gamma, sums[channel].beta];
            let tolerance = 2e-4 * (1.0 + (case.positions * case.n) as f64).sqrt();
            for (actual, expected) in actual.iter().zip(&expected) {
                assert!((actual - expected).abs() < tolerance, "{actual}, not {expected}");
            }
            out
        });
    }

    #[test]
    fn a_shortcut_is_added_as_if_by_a_pass_of_its_own(case in cases()) {
        let (x, shortcut) = (case.x(), random(case.seed + 5, case.len()));
        let upstream = case.blocked(&random(case.seed + 4, x.len()));
        let linear = Case { relu: false, ..case.clone() };
        with_all_instructions(|workspace| {
            let (mut expected, channels, _) = linear.forward(&x, None, workspace);
            add_into(&mut expected, &shortcut, case.relu, workspace);
            let (sum, same_channels, _) = case.forward(&x, Some(&shortcut), workspace);
            assert_eq!(sum, expected);
            assert_eq!(channels, same_channels);

            let (blocked, sum) = (case.blocked(&x), case.blocked(&sum));
            let mut gradients = |gradient: &mut [f32], next: NextOperation<'_>| {
                let (layout, to_input) = (case.layout(), InputGradient::WithStatistics);
                let mut sums = vec![GradientSums::default(); case.channels];
                normalization_gradients(
                    gradient, &blocked, layout, &channels, next, to_input, &mut sums, workspace,
                );
                sums
            };
            let masked = |(gradient, sum): (&f32, &f32)| {
                if case.relu && *sum <= 0.0 { 0.0 } else { *gradient }
            };
            let of_shortcut: Vec<f32> = upstream.iter().zip(&sum).map(masked).collect();
            let mut of_input = of_shortcut.clone();
            let expected = gradients(&mut of_input, NextOperation::Activation { relu: false });
            let (mut gradient, mut out) = (upstream.clone(), vec![f32::NAN; x.len()]);
            let relu_output = case.relu.then_some(&sum[..]);
            let sums = gradients(&mut gradient, NextOperation::ResidualSum { relu_output, input_gradient: &mut out });
            assert_eq!(gradient, of_shortcut);
            assert_eq!(out, of_input);
            assert_eq!(sums, expected);
            out
        });
    }

    #[test]
    fn bias_gradients_are_the_sums_of_rows(case in cases()) {
        let values = case.x();
        let size = case.positions * case.n;
        let expected: Vec<f64> =
            values.chunks_exact(size).map(|row| to_f64(row).iter().sum::<f64>() + 1.0).collect();
        let actual = with_all_instructions(|workspace| {
            let mut out = vec![1.0; case.channels];
            row_sums(&values, case.n, &mut out, Blend::Add, workspace);
            out
        });
        assert_close(&actual, &expected, 1e-5);
    }
}

#[test]
fn sums_and_their_gradients_are_those_of_a_residual_connection_with_relu() {
    with_all_instructions(|workspace| {
        let mut out = vec![f32::NAN; 3];
        add(&[0.5, -2.0, 0.25], &[1.0, 1.0, -0.75], true, &mut out, workspace);
        assert_eq!(out, [1.5, 0.0, 0.0]);
        let (mut gradient, mut copy) = (vec![1.0, 2.0, 3.0], vec![f32::NAN; 3]);
        mask_and_copy(&mut gradient, &out, &mut copy, workspace);
        assert_eq!([&gradient, &copy], [&[1.0, 0.0, 0.0]; 2]);
        add_into(&mut gradient, &copy, false, workspace);
        assert_eq!(gradient, [2.0, 0.0, 0.0]);
        add_into(&mut gradient, &[-3.0, -1.0, 0.5], false, workspace);
        assert_eq!(gradient, [-1.0, -1.0, 0.5]);
        add_into(&mut gradient, &[0.5, 2.0, 0.5], true, workspace);
        assert_eq!(gradient, [0.0, 1.0, 1.0]);
        add(&[0.5, -2.0, 0.25], &[1.0, 1.0, -0.75], false, &mut out, workspace);
        assert_eq!(out, [1.5, -1.0, -0.5]);
        out
    });
}
