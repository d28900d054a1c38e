use burn::optim::{self, AdamWConfig};
use kiln_config::{ConfigError, Table};
use serde::Serialize;

use super::fused::update_with_moments;
use super::{FusedParameter, FusedUpdate, UpdateRule, UpdateStep, keys};

/// Adam with decoupled weight decay: besides Adam's step, w ← w − η λ w (Loshchilov and Hutter 2019).
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Adamw {
    /// β₁.
    pub beta_1: f64,
    /// β₂.
    pub beta_2: f64,
    /// ε.
    pub epsilon: f64,
    /// λ.
    pub weight_decay: f64,
}

impl UpdateRule for Adamw {
    type Burn = optim::AdamW;

    fn read(table: &mut Table<'_>) -> Result<Self, ConfigError> {
        Ok(Self {
            beta_1: keys::share(table, "beta_1", 0.9)?,
            beta_2: keys::share(table, "beta_2", 0.999)?,
            epsilon: keys::epsilon(table)?,
            weight_decay: keys::weight_decay(table, 0.004)?,
        })
    }

    fn momentum(&mut self) -> Option<&mut f64> {
        Some(&mut self.beta_1)
    }

    fn slots(&self) -> &'static [&'static str] {
        &["mean", "square"]
    }

    fn burn(&self) -> optim::AdamW {
        AdamWConfig::new()
            .with_beta_1(self.beta_1 as f32)
            .with_beta_2(self.beta_2 as f32)
            .with_epsilon(self.epsilon as f32)
            .with_weight_decay(self.weight_decay as f32)
            .build()
    }

    fn fused(&self) -> Option<&dyn FusedUpdate> {
        Some(self)
    }
}

impl FusedUpdate for Adamw {
    fn update(&self, step: UpdateStep, parameter: FusedParameter<'_>) {
        let rate = step.learning_rate as f32;
        let (beta_1, beta_2) = (self.beta_1 as f32, self.beta_2 as f32);
        let mean_scale = 1.0 / (1.0 - beta_1.powi(step.number));
        let square_scale = 1.0 / (1.0 - beta_2.powi(step.number));
        let epsilon = self.epsilon as f32;
        let keep = (1.0 - step.learning_rate * f64::from(self.weight_decay as f32)) as f32;
        update_with_moments(parameter, [beta_1, beta_2], |w, _, m, v| {
            w * keep - rate * (m * mean_scale / ((v * square_scale).sqrt() + epsilon))
        });
    }
}
