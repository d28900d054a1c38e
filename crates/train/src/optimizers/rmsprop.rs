use burn::optim::{self, RmsPropConfig};
use kiln_config::{ConfigError, Table};
use serde::Serialize;

use super::fused::{zip, zip_two};
use super::{FusedParameter, FusedUpdate, UpdateRule, UpdateStep, keys};

/// v ← ρ v + (1 − ρ) g²; w ← w − η g / (√v + ε) (Hinton 2012). ε is outside the root, as in PyTorch;
/// Keras puts it inside. Centered, the root is that of v less the squared running mean of g.
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
    type Burn = optim::RmsProp;

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

    fn burn(&self) -> optim::RmsProp {
        RmsPropConfig::new()
            .with_alpha(self.rho as f32)
            .with_momentum(self.momentum as f32)
            .with_epsilon(self.epsilon as f32)
            .with_centered(self.centered)
            .build()
    }

    fn fused(&self) -> Option<&dyn FusedUpdate> {
        Some(self)
    }
}

impl FusedUpdate for Rmsprop {
    fn update(&self, step: UpdateStep, parameter: FusedParameter<'_>) {
        let FusedParameter { values, gradient, slots } = parameter;
        let rate = step.learning_rate as f32;
        let (rho, momentum) = (self.rho as f32, self.momentum as f32);
        let epsilon = self.epsilon as f32;
        let Some((square, mut rest)) = slots.split_first_mut() else { return };
        // The gradient becomes the scaled one in place: it is not read again.
        zip(square, gradient, |v, g| v * rho + g * g * (1.0 - rho));
        match rest {
            [mean, others @ ..] if self.centered => {
                zip(mean, gradient, |m, g| m * rho + g * (1.0 - rho));
                zip_two(gradient, [square, mean], |g, v, m| g / ((v - m * m).sqrt() + epsilon));
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
