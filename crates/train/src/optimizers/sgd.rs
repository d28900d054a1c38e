use burn::optim::decay::WeightDecayConfig;
use burn::optim::momentum::MomentumConfig;
use burn::optim::{self, SgdConfig};
use kiln_config::{ConfigError, Table};
use serde::Serialize;

use super::fused::zip;
use super::{FusedParameter, FusedUpdate, UpdateRule, UpdateStep, keys};

/// v ← momentum · v + g; w ← w − η v, or with Nesterov's momentum w ← w − η (g + momentum · v)
/// (Sutskever et al. 2013, in the form of PyTorch). The weight decay is an L2 penalty, as in PyTorch; Keras decouples it from
/// the gradient.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Sgd {
    /// The share of v that is carried over; 0 keeps no v.
    pub momentum: f64,
    /// Whether momentum has Nesterov's form.
    pub nesterov: bool,
    /// λ of an L2 penalty: g ← g + λ w before everything else.
    pub weight_decay: f64,
}

impl UpdateRule for Sgd {
    type Burn = optim::Sgd;

    fn read(table: &mut Table<'_>) -> Result<Self, ConfigError> {
        let momentum = keys::share(table, "momentum", 0.0)?;
        let nesterov = table.default("nesterov", false)?;
        if nesterov && momentum == 0.0 {
            let message = "`nesterov` needs a `momentum` above 0";
            return Err(table
                .value("nesterov")
                .map_or_else(|| table.error(message), |value| value.error(message)));
        }
        Ok(Self { momentum, nesterov, weight_decay: keys::weight_decay(table, 0.0)? })
    }

    fn default_learning_rate(&self) -> f64 {
        0.01
    }

    fn momentum_mut(&mut self) -> Option<&mut f64> {
        (self.momentum > 0.0).then_some(&mut self.momentum)
    }

    fn weight_decay_mut(&mut self) -> Option<&mut f64> {
        Some(&mut self.weight_decay)
    }

    fn slots(&self) -> &'static [&'static str] {
        // Without momentum, a velocity would only cost memory.
        if self.momentum > 0.0 { &["velocity"] } else { &[] }
    }

    fn burn(&self) -> optim::Sgd {
        let momentum = (self.momentum > 0.0).then(|| {
            // Burn's default dampening of 0.1 is that of neither Keras nor PyTorch.
            MomentumConfig::new()
                .with_momentum(self.momentum)
                .with_dampening(0.0)
                .with_nesterov(self.nesterov)
        });
        let decay =
            (self.weight_decay > 0.0).then(|| WeightDecayConfig::new(self.weight_decay as f32));
        SgdConfig::new().with_momentum(momentum).with_weight_decay(decay).build()
    }

    fn fused(&self) -> Option<&dyn FusedUpdate> {
        Some(self)
    }
}

impl FusedUpdate for Sgd {
    fn update(&self, step: UpdateStep, parameter: FusedParameter<'_>) {
        let FusedParameter { values, gradient, mut slots } = parameter;
        let rate = step.learning_rate as f32;
        let (momentum, decay) = (self.momentum as f32, self.weight_decay as f32);
        if decay > 0.0 {
            zip(gradient, values, |g, w| w * decay + g);
        }
        let Some(velocity) = slots.first_mut() else {
            zip(values, gradient, |w, g| w - rate * g);
            return;
        };
        zip(velocity, gradient, |v, g| v * momentum + g);
        if self.nesterov {
            zip(gradient, velocity, |g, v| v * momentum + g);
            zip(values, gradient, |w, g| w - rate * g);
        } else {
            zip(values, velocity, |w, v| w - rate * v);
        }
    }

    fn plain_descent(&self) -> Option<f64> {
        (self.momentum == 0.0).then_some(self.weight_decay)
    }
}
