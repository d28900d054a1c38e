use burn::optim::{
    CenteredState, LearningRate, Optimizer, RecordState, SquareAvgState, StateSink, StateSource,
    join_path,
};
use burn::tensor::{Device, Tensor};
use kiln_config::{ConfigError, Table};
use serde::Serialize;

use super::fused::{zip, zip_two};
use super::{FusedParameter, FusedUpdate, UpdateRule, UpdateStep, keys};

/// v ← ρ v + (1 − ρ) g²; w ← w − η g / (√v + ε) (Hinton 2012). ε is outside the root, as in PyTorch;
/// Keras puts it inside. Centered, the root is that of v less the squared running mean of g.
///
/// v is computed as v + (1 − ρ) (g² − v), where 1 − ρ is rounded only once. If ρ were rounded to f32 first, the error of
/// 1 − ρ would be 2 · 10⁻⁴ for ρ = 0.9999.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Rmsprop {
    /// ρ.
    pub rho: f64,
    /// The share of the last update that is carried over.
    pub momentum: f64,
    /// ε.
    pub epsilon: f64,
    /// Whether the variance of the gradient replaces its second moment.
    pub centered: bool,
}

impl UpdateRule for Rmsprop {
    type Burn = BurnRmsprop;

    fn read(table: &mut Table<'_>) -> Result<Self, ConfigError> {
        Ok(Self {
            rho: keys::share(table, "rho", 0.9)?,
            momentum: keys::share(table, "momentum", 0.0)?,
            epsilon: keys::epsilon(table)?,
            centered: table.default("centered", false)?,
        })
    }

    fn momentum_mut(&mut self) -> Option<&mut f64> {
        (self.momentum > 0.0).then_some(&mut self.momentum)
    }

    fn slots(&self) -> &'static [&'static str] {
        match (self.centered, self.momentum > 0.0) {
            (false, false) => &["square"],
            (false, true) => &["square", "velocity"],
            (true, false) => &["square", "mean"],
            (true, true) => &["square", "mean", "velocity"],
        }
    }

    fn burn(&self) -> BurnRmsprop {
        BurnRmsprop(*self)
    }

    fn fused(&self) -> Option<&dyn FusedUpdate> {
        Some(self)
    }
}

impl Rmsprop {
    /// 1 − ρ.
    fn share(&self) -> f32 {
        (1.0 - self.rho) as f32
    }
}

impl FusedUpdate for Rmsprop {
    fn update(&self, step: UpdateStep, parameter: FusedParameter<'_>) {
        let FusedParameter { values, gradient, mut slots } = parameter;
        let rate = step.learning_rate as f32;
        let (share, momentum) = (self.share(), self.momentum as f32);
        let epsilon = self.epsilon as f32;
        let Some((square, mut rest)) = slots.split_first_mut() else { return };
        zip(square, gradient, |v, g| v + (g * g - v) * share);
        // The gradient becomes the scaled one in place: it is not read again.
        match rest {
            [mean, others @ ..] if self.centered => {
                zip(mean, gradient, |m, g| m + (g - m) * share);
                // Rounding can make the variance of an almost constant gradient less than 0.
                zip_two(gradient, [square, mean], |g, v, m| {
                    g / ((v - m * m).max(0.0).sqrt() + epsilon)
                });
                rest = others;
            }
            _ => zip(gradient, square, |g, v| g / (v.sqrt() + epsilon)),
        }
        match rest {
            [velocity] => {
                zip(velocity, gradient, |v, g| v * momentum + g);
                zip(values, velocity, |w, v| w - rate * v);
            }
            _ => zip(values, gradient, |w, g| w - rate * g),
        }
    }
}

/// RMSprop on Burn's tensors. Burn's own RMSprop rounds ρ to f32 before it computes 1 − ρ.
#[derive(Clone)]
pub(crate) struct BurnRmsprop(Rmsprop);

/// The state of [`BurnRmsprop`]. Checkpoints contain it in the form of Burn's RMSprop, in which the velocity is private.
#[derive(Clone)]
pub(crate) struct RmspropState<const D: usize> {
    square: SquareAvgState<D>,
    centered: CenteredState<D>,
    velocity: Option<Tensor<D>>,
}

impl Optimizer for BurnRmsprop {
    type State<const D: usize> = RmspropState<D>;

    fn step<const D: usize>(
        &self,
        rate: LearningRate,
        weight: Tensor<D>,
        gradient: Tensor<D>,
        state: Option<Self::State<D>>,
    ) -> (Tensor<D>, Option<Self::State<D>>) {
        let share = self.0.share();
        let (square, mean, velocity) = match state {
            Some(state) => (state.square.square_avg, state.centered.grad_avg, state.velocity),
            None => (gradient.zeros_like(), None, None),
        };
        let square = square.clone() + (gradient.clone().square() - square).mul_scalar(share);
        let (mean, variance) = if self.0.centered {
            let mean = mean.unwrap_or_else(|| gradient.zeros_like());
            let mean = mean.clone() + (gradient.clone() - mean).mul_scalar(share);
            let variance = (square.clone() - mean.clone().square()).clamp_min(0.0);
            (Some(mean), variance)
        } else {
            (None, square.clone())
        };
        let scaled = gradient.div(variance.clone().sqrt().add_scalar(self.0.epsilon as f32));
        let velocity = (self.0.momentum > 0.0).then(|| match velocity {
            Some(velocity) => velocity.mul_scalar(self.0.momentum as f32) + scaled.clone(),
            None => scaled.clone(),
        });
        let update = velocity.clone().unwrap_or(scaled).mul_scalar(rate);
        let (square, centered) = (SquareAvgState::new(square), CenteredState::new(mean, variance));
        (weight - update, Some(RmspropState { square, centered, velocity }))
    }

    fn to_device<const D: usize>(state: Self::State<D>, device: &Device) -> Self::State<D> {
        RmspropState {
            square: state.square.to_device(device),
            centered: state.centered.to_device(device),
            velocity: state.velocity.map(|velocity| velocity.to_device(device)),
        }
    }
}

/// The names of the parts in the record of Burn's RMSprop.
const PARTS: [&str; 3] = ["square_avg", "centered", "momentum"];
const VELOCITY: &str = "buf";

impl<const D: usize> RecordState for RmspropState<D> {
    fn state_flatten(&self, prefix: &str, out: &mut StateSink) {
        let [square, centered, velocity] = PARTS.map(|part| join_path(prefix, part));
        self.square.state_flatten(&square, out);
        self.centered.state_flatten(&centered, out);
        if let Some(values) = &self.velocity {
            out.push_tensor(&velocity, VELOCITY, values.clone().into_data());
        }
    }

    fn state_unflatten(prefix: &str, source: &mut StateSource, device: &Device) -> Option<Self> {
        let [square, centered, velocity] = PARTS.map(|part| join_path(prefix, part));
        Some(Self {
            square: SquareAvgState::state_unflatten(&square, source, device)?,
            centered: CenteredState::state_unflatten(&centered, source, device)?,
            velocity: source
                .take_tensor(&velocity, VELOCITY)
                .map(|data| Tensor::from_data(data, device)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The slots after so many updates with the same gradient, and the values.
    fn after(rule: Rmsprop, gradient: f32, steps: i32) -> (Vec<Vec<f32>>, f32) {
        let (mut values, mut slots) = (vec![0.0], vec![vec![0.0]; rule.slots().len()]);
        for number in 1..=steps {
            let step = UpdateStep { learning_rate: 0.01, number };
            let mut gradient = vec![gradient];
            let (values, gradient) = (&mut values, &mut gradient);
            let slots = slots.iter_mut().map(Vec::as_mut_slice).collect();
            rule.update(step, FusedParameter { values, gradient, slots });
        }
        (slots, values[0])
    }

    const RULE: Rmsprop = Rmsprop { rho: 0.9999, momentum: 0.0, epsilon: 1e-7, centered: false };

    #[test]
    fn a_long_memory_is_exact_in_the_first_step_and_in_the_long_run() {
        // (1 − ρ) g² and g².
        let first = after(RULE, 3.0, 1).0[0][0];
        assert!((f64::from(first) / 9e-4 - 1.0).abs() < 1e-6, "{first}");
        let last = after(RULE, 3.0, 400_000).0[0][0];
        assert!((f64::from(last) / 9.0 - 1.0).abs() < 2e-3, "{last}");
    }

    #[test]
    fn the_variance_of_a_constant_gradient_is_not_below_zero() {
        for gradient in [0.1, 0.3, 0.7, 1.3, 3.1] {
            let rule = Rmsprop { rho: 0.9, centered: true, ..RULE };
            assert!(after(rule, gradient, 300).1.is_finite(), "{gradient}");
        }
    }
}
