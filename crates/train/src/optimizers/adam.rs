use burn::optim::{self, AdamConfig};
use kiln_config::{ConfigError, Table};
use serde::Serialize;

use super::fused::update_with_moments;
use super::{FusedParameter, FusedUpdate, UpdateRule, UpdateStep, keys};

/// m ← β₁ m + (1 − β₁) g; v ← β₂ v + (1 − β₂) g²; w ← w − η m̂ / (√v̂ + ε), where
/// m̂ = m / (1 − β₁ᵗ) and v̂ = v / (1 − β₂ᵗ) correct for the start at 0 (Kingma and Ba 2015).
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Adam {
    /// β₁.
    pub beta_1: f64,
    /// β₂.
    pub beta_2: f64,
    /// ε.
    pub epsilon: f64,
}

impl UpdateRule for Adam {
    type Burn = optim::Adam;

    fn read(table: &mut Table<'_>) -> Result<Self, ConfigError> {
        Ok(Self {
            beta_1: keys::share(table, "beta_1", 0.9)?,
            beta_2: keys::share(table, "beta_2", 0.999)?,
            epsilon: keys::epsilon(table)?,
        })
    }

    fn momentum(&mut self) -> Option<&mut f64> {
        Some(&mut self.beta_1)
    }

    fn slots(&self) -> &'static [&'static str] {
        &["mean", "square"]
    }

    fn burn(&self) -> optim::Adam {
        AdamConfig::new()
            .with_beta_1(self.beta_1 as f32)
            .with_beta_2(self.beta_2 as f32)
            .with_epsilon(self.epsilon as f32)
            .build()
    }

    fn fused(&self) -> Option<&dyn FusedUpdate> {
        Some(self)
    }
}

impl FusedUpdate for Adam {
    fn update(&self, step: UpdateStep, parameter: FusedParameter<'_>) {
        let rate = step.learning_rate as f32;
        let (beta_1, beta_2) = (self.beta_1 as f32, self.beta_2 as f32);
        let root = (1.0 - beta_2.powi(step.number)).sqrt();
        let scale = root / (1.0 - beta_1.powi(step.number));
        // Both terms of √v̂ + ε are multiplied by the root of the correction, which saves a division for
        // each value.
        let epsilon = self.epsilon as f32 * root;
        update_with_moments(parameter, [beta_1, beta_2], |w, _, m, v| {
            w - rate * (m * scale / (v.sqrt() + epsilon))
        });
    }
}
