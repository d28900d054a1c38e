use proptest::prelude::*;

use super::support::{assert_close, random, with_all_instructions};
use crate::{
    Blend, Plane, SetStatistics, Sets, normalize_sets, sets_input_gradient, sets_scale_gradient,
};

const EPSILON: f64 = 1e-3;

#[derive(Clone, Debug)]
struct Case {
    plane: Plane,
    n: usize,
    /// The number of groups; 0 normalizes over the channels of each position.
    groups: usize,
    seed: u64,
}

impl Case {
    fn sets(&self) -> Sets {
        match self.groups {
            0 => Sets::positions(self.plane),
            groups => Sets::groups(self.plane, groups),
        }
    }

    /// The channel of each value of an image, and its set.
    fn places(&self) -> Vec<(usize, usize)> {
        let positions = self.plane.height * self.plane.width;
        let place = |row: usize| match self.groups {
            0 => (row / positions, row % positions),
            groups => (row / positions, row / positions * groups / self.plane.channels),
        };
        (0..self.plane.len()).map(place).collect()
    }

    /// The outputs of one image in 64 bits.
    fn outputs(&self, x: &[f64], gamma: &[f64], beta: &[f64]) -> Vec<f64> {
        let places = self.places();
        let statistics: Vec<(f64, f64)> = (0..self.sets().count)
            .map(|set| {
                let values = || x.iter().zip(&places).filter(|(_, (_, own))| *own == set);
                let count = values().count() as f64;
                let mean = values().map(|(x, _)| x).sum::<f64>() / count;
                let squares = values().map(|(x, _)| (x - mean).powi(2)).sum::<f64>();
                (mean, (squares / count + EPSILON).sqrt())
            })
            .collect();
        let output = |(x, (channel, set)): (&f64, &(usize, usize))| {
            let (mean, deviation) = statistics[*set];
            gamma[*channel] * (x - mean) / deviation + beta[*channel]
        };
        x.iter().zip(&places).map(output).collect()
    }
}

fn cases() -> impl Strategy<Value = Case> {
    let n = prop_oneof![1..=3_usize, 15..=18_usize];
    let sizes = (1..=3_usize, 1..=4_usize, 1..=5_usize, 1..=9_usize);
    (sizes, n, any::<bool>(), any::<u32>()).prop_map(
        |((groups, per_group, height, width), n, is_grouped, seed)| Case {
            plane: Plane { channels: groups * per_group, height, width },
            n,
            groups: if is_grouped { groups } else { 0 },
            seed: u64::from(seed),
        },
    )
}

/// The values of an image in a batch.
fn of_image(values: &[f32], n: usize, image: usize) -> Vec<f64> {
    values.iter().skip(image).step_by(n).map(|value| f64::from(*value)).collect()
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|value| f64::from(*value)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn outputs_and_gradients_are_those_of_the_formula(case in cases()) {
        let Case { plane, n, seed, .. } = case;
        let (sets, size) = (case.sets(), plane.len() * n);
        let x = random(seed, size);
        let gradient = random(seed + 1, size);
        let gamma = random(seed + 2, plane.channels);
        let beta = random(seed + 3, plane.channels);

        let all = with_all_instructions(|workspace| {
            let mut statistics = SetStatistics::default();
            let [mut y, mut dx] = [(); 2].map(|()| vec![f32::NAN; size]);
            normalize_sets(sets, &x, n, &gamma, &beta, EPSILON, &mut y, &mut statistics, workspace);
            sets_input_gradient(sets, &gradient, &x, n, &gamma, &mut dx, &mut statistics, workspace);
            let mut scale = vec![0.0; plane.channels];
            let blend = Blend::Replace;
            sets_scale_gradient(sets, &gradient, &x, n, &mut scale, blend, &statistics, workspace);
            [y, dx, scale].concat()
        });
        let (y, rest) = all.split_at(size);
        let (dx, scale) = rest.split_at(size);

        let (gamma, beta) = (wide(&gamma), wide(&beta));
        let mut expected_scale = vec![0.0; plane.channels];
        for image in 0..n {
            let own = of_image(&x, n, image);
            let outputs = case.outputs(&own, &gamma, &beta);
            assert_close(
                &y.iter().skip(image).step_by(n).copied().collect::<Vec<_>>(),
                &outputs,
                1e-5,
            );
            let slope = of_image(&gradient, n, image);
            for ((output, slope), (channel, _)) in outputs.iter().zip(&slope).zip(case.places()) {
                expected_scale[channel] += slope * (output - beta[channel]) / gamma[channel];
            }
            // Central differences of Σ gradient · output.
            let loss = |x: &[f64]| {
                let outputs = case.outputs(x, &gamma, &beta);
                outputs.iter().zip(&slope).map(|(y, g)| y * g).sum::<f64>()
            };
            let expected: Vec<f64> = (0..own.len())
                .map(|index| {
                    let moved = |by: f64| {
                        let mut x = own.clone();
                        x[index] += by;
                        loss(&x)
                    };
                    (moved(1e-5) - moved(-1e-5)) / 2e-5
                })
                .collect();
            // A set of one value, or of equal ones, has a deviation of √ε, which magnifies rounding.
            assert_close(&dx.iter().skip(image).step_by(n).copied().collect::<Vec<_>>(), &expected, 1e-3);
        }
        assert_close(scale, &expected_scale, 1e-4);
    }
}
