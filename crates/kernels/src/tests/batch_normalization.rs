use proptest::prelude::*;

use super::support::{assert_close, random, with_all_instructions};
use crate::{
    Blend, GradientSums, Moments, Normalization, Workspace, add, add_into, gather_moments,
    input_gradient, mask_and_copy, normalize, row_sums, sum_gradients,
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

fn normalizations(case: &Case, x: &[f32], workspace: &mut Workspace) -> Vec<Normalization> {
    let mut moments = Moments::default();
    moments.reset(&vec![case.mean; case.channels]);
    gather_moments(x, case.n, &mut moments, workspace);
    let (gamma, beta) = case.scales();
    let channels = moments.mean_and_variance().zip(gamma.into_iter().zip(beta));
    channels
        .map(|((mean, variance), (gamma, beta))| Normalization {
            mean: mean as f32,
            inverse_deviation: (1.0 / (variance + EPSILON).sqrt()) as f32,
            gamma,
            beta,
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn the_output_is_normalized(case in cases()) {
        let x = case.x();
        let (gamma, beta) = case.scales();
        let expected = case.outputs(&to_f64(&x), &to_f64(&gamma), &to_f64(&beta));
        let actual = with_all_instructions(|workspace| {
            let channels = normalizations(&case, &x, workspace);
            let mut out = vec![f32::NAN; x.len()];
            normalize(&x, &channels, case.relu, &mut out, workspace);
            out
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
            let channels = normalizations(&case, &x, workspace);
            let mut y = vec![0.0; x.len()];
            normalize(&x, &channels, case.relu, &mut y, workspace);
            let mut gradient = upstream.clone();
            let mut sums = vec![GradientSums::default(); case.channels];
            let masked: &[f32] = if case.relu { &y } else { &[] };
            sum_gradients(&mut gradient, masked, &x, case.n, &channels, &mut sums, workspace);
            let mut out = vec![f32::NAN; x.len()];
            input_gradient(&gradient, &x, &channels, &sums, x.len() / channels.len(), &mut out, workspace);
            let actual = [f64::from(out[index]), sums[channel].gamma, sums[channel].beta];
            let tolerance = 2e-4 * (1.0 + (case.positions * case.n) as f64).sqrt();
            for (actual, expected) in actual.iter().zip(&expected) {
                assert!((actual - expected).abs() < tolerance, "{actual}, not {expected}");
            }
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
        add_into(&mut gradient, &copy, workspace);
        assert_eq!(gradient, [2.0, 0.0, 0.0]);
        add(&[0.5, -2.0, 0.25], &[1.0, 1.0, -0.75], false, &mut out, workspace);
        assert_eq!(out, [1.5, -1.0, -0.5]);
        out
    });
}
