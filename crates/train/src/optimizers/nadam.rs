use burn::optim::{AdaptiveMomentumState, LearningRate, Optimizer};
use burn::tensor::{Device, Tensor};
use kiln_config::{ConfigError, Table};
use serde::Serialize;

use super::fused::update_with_moments;
use super::moments::{bias_correction, next_moments, step_number};
use super::{FusedParameter, FusedUpdate, UpdateRule, UpdateStep, keys};

/// Adam with Nesterov's momentum (Dozat 2016, "Incorporating Nesterov Momentum into Adam"):
/// m ← β₁ m + (1 − β₁) g; v ← β₂ v + (1 − β₂) g²; w ← w − η m̄ / (√v̂ + ε), where
///
/// - μₜ = β₁ (1 − ½ · 0.96^(t / 250)) is the momentum of step t,
/// - Πₜ = μ₁ μ₂ … μₜ,
/// - m̄ = (1 − μₜ) g / (1 − Πₜ) + μₜ₊₁ m / (1 − Πₜ₊₁), and v̂ = v / (1 − β₂ᵗ).
///
/// A schedule cannot change β₁, because μ already is one.
///
/// The exponent t / 250 is the paper's and PyTorch's (`momentum_decay = 0.004`). Keras 3 has t instead,
/// with which μ reaches β₁ after about a hundred steps.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Nadam {
    /// β₁.
    pub beta_1: f64,
    /// β₂.
    pub beta_2: f64,
    /// ε.
    pub epsilon: f64,
}

impl UpdateRule for Nadam {
    type Burn = BurnNadam;

    fn read(table: &mut Table<'_>) -> Result<Self, ConfigError> {
        Ok(Self {
            beta_1: keys::share(table, "beta_1", 0.9)?,
            beta_2: keys::share(table, "beta_2", 0.999)?,
            epsilon: keys::epsilon(table)?,
        })
    }

    fn slots(&self) -> &'static [&'static str] {
        &["mean", "square"]
    }

    fn burn(&self) -> BurnNadam {
        BurnNadam(*self)
    }

    fn fused(&self) -> Option<&dyn FusedUpdate> {
        Some(self)
    }
}

/// The scalars of one step.
struct Factors {
    /// (1 − μₜ) / (1 − Πₜ)
    gradient: f32,
    /// μₜ₊₁ / (1 − Πₜ₊₁)
    mean: f32,
    /// 1 / (1 − β₂ᵗ)
    square: f32,
}

impl Nadam {
    fn factors(&self, step: i32) -> Factors {
        let current = momentum(self.beta_1, step);
        let next = momentum(self.beta_1, step.saturating_add(1));
        let product = momentum_product(self.beta_1, step);
        Factors {
            gradient: ((1.0 - current) / (1.0 - product)) as f32,
            mean: (next / (1.0 - product * next)) as f32,
            square: (1.0 / bias_correction(self.beta_2, step)) as f32,
        }
    }
}

/// μ of a step.
fn momentum(beta_1: f64, step: i32) -> f64 {
    beta_1 * (1.0 - 0.5 * libm::pow(0.96, f64::from(step) / 250.0))
}

/// Π of a step, computed from the start, so that no checkpoint has to hold it.
fn momentum_product(beta_1: f64, step: i32) -> f64 {
    let mut product = 1.0;
    for step in 1..=step {
        product *= momentum(beta_1, step);
        // μ is close to ½ at first, so this is reached after some fifty steps. From then on, 1 − Π is 1
        // in 64 bits.
        if product < 1e-17 {
            return 0.0;
        }
    }
    product
}

impl FusedUpdate for Nadam {
    fn update(&self, step: UpdateStep, parameter: FusedParameter<'_>) {
        let rate = step.learning_rate as f32;
        let epsilon = self.epsilon as f32;
        let Factors { gradient, mean, square } = self.factors(step.number);
        let betas = [self.beta_1 as f32, self.beta_2 as f32];
        update_with_moments(parameter, betas, |w, g, m, v| {
            w - rate * ((g * gradient + m * mean) / ((v * square).sqrt() + epsilon))
        });
    }
}

/// NAdam on Burn's tensors; Burn has none. The state is that of its Adam.
#[derive(Clone)]
pub(crate) struct BurnNadam(Nadam);

impl Optimizer for BurnNadam {
    type State<const D: usize> = AdaptiveMomentumState<D>;

    fn step<const D: usize>(
        &self,
        rate: LearningRate,
        weight: Tensor<D>,
        gradient: Tensor<D>,
        state: Option<Self::State<D>>,
    ) -> (Tensor<D>, Option<Self::State<D>>) {
        let state = next_moments(state, &gradient, [self.0.beta_1, self.0.beta_2]);
        let factors = self.0.factors(step_number(&state));
        let mean = state.moment_1.clone().mul_scalar(factors.mean);
        let direction = gradient.mul_scalar(factors.gradient).add(mean);
        let size = state.moment_2.clone().mul_scalar(factors.square).sqrt();
        let update = direction.div(size.add_scalar(self.0.epsilon as f32)).mul_scalar(rate);
        (weight - update, Some(state))
    }

    fn to_device<const D: usize>(state: Self::State<D>, device: &Device) -> Self::State<D> {
        state.to_device(device)
    }
}
