use burn::optim::{self, AdaGradConfig};
use kiln_config::{ConfigError, Table};
use serde::Serialize;

use super::fused::{slots, update_with_slot};
use super::{FusedParameter, FusedUpdate, UpdateRule, UpdateStep, keys};

/// s ← s + g²; w ← w − η g / (√s + ε) (Duchi et al. 2011). s starts at 0, as in PyTorch; in Keras it
/// starts at 0.1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Adagrad {
    /// ε.
    pub epsilon: f64,
}

impl UpdateRule for Adagrad {
    type Burn = optim::AdaGrad;

    fn read(table: &mut Table<'_>) -> Result<Self, ConfigError> {
        Ok(Self { epsilon: keys::epsilon(table)? })
    }

    fn slots(&self) -> &'static [&'static str] {
        &["square"]
    }

    fn burn(&self) -> optim::AdaGrad {
        AdaGradConfig::new().with_epsilon(self.epsilon as f32).build()
    }

    fn fused(&self) -> Option<&dyn FusedUpdate> {
        Some(self)
    }
}

impl FusedUpdate for Adagrad {
    fn update(&self, step: UpdateStep, parameter: FusedParameter<'_>) {
        let FusedParameter { values, gradient, slots: own_slots } = parameter;
        let rate = step.learning_rate as f32;
        let epsilon = self.epsilon as f32;
        let [square] = slots(own_slots);
        update_with_slot(values, gradient, square, |w, g, s| {
            let s = s + g * g;
            (w - g / (s.sqrt() + epsilon) * rate, s)
        });
    }
}
