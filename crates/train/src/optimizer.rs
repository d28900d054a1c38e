//! The optimisers. Each is a word in [`OptimizerName`] and a variant of [`OptimizerKind`], its keys in `read`
//! and its Burn counterpart in `init`; the update rules are Burn's, held to PyTorch's trajectories by a test.

use burn::optim::decay::WeightDecayConfig;
use burn::optim::momentum::MomentumConfig;
use burn::optim::{
    AdaGradConfig, AdamConfig, AdamWConfig, ModuleOptimizer, RmsPropConfig, SgdConfig,
};
use kiln_config::{ConfigError, Table};
use serde::Serialize;

use crate::gradient_clipping::GradientClipping;

/// The `[optimizer]` table.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct OptimizerConfig {
    /// The update rule and its constants.
    #[serde(flatten)]
    pub kind: OptimizerKind,
    /// η, before any schedule.
    pub learning_rate: f64,
    /// What is done to large gradients first.
    #[serde(flatten)]
    pub clipping: GradientClipping,
}

kiln_config::keywords! {
    /// The words in `type`.
    pub enum OptimizerName {
        /// [`OptimizerKind::Sgd`].
        Sgd = "sgd",
        /// [`OptimizerKind::Adam`].
        Adam = "adam",
        /// [`OptimizerKind::Adamw`].
        Adamw = "adamw",
        /// [`OptimizerKind::Rmsprop`].
        Rmsprop = "rmsprop",
        /// [`OptimizerKind::Adagrad`].
        Adagrad = "adagrad",
    }
}

/// The update rules. g is the gradient, w the weight, η the learning rate, t the step from 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum OptimizerKind {
    /// Stochastic gradient descent: v ← momentum · v + g; w ← w − η v, or with Nesterov's
    /// momentum w ← w − η (g + momentum · v) (Sutskever et al. 2013, as in PyTorch).
    Sgd {
        /// How much of v stays; 0 has no v.
        momentum: f64,
        /// Whether to look ahead.
        nesterov: bool,
        /// λ of an L2 penalty: g ← g + λ w first.
        weight_decay: f64,
    },
    /// m ← β₁ m + (1 − β₁) g; v ← β₂ v + (1 − β₂) g²; w ← w − η m̂ / (√v̂ + ε), the hats
    /// correcting for the start at 0 (Kingma and Ba 2015).
    Adam {
        /// β₁.
        beta_1: f64,
        /// β₂.
        beta_2: f64,
        /// ε.
        epsilon: f64,
    },
    /// Adam, with w ← w − η λ w beside it (Loshchilov and Hutter 2019).
    Adamw {
        /// β₁.
        beta_1: f64,
        /// β₂.
        beta_2: f64,
        /// ε.
        epsilon: f64,
        /// λ, decoupled from the gradient.
        weight_decay: f64,
    },
    /// v ← ρ v + (1 − ρ) g²; w ← w − η g / (√v + ε), ε outside the root as in PyTorch (Hinton
    /// 2012); centred, v less the squared mean gradient.
    Rmsprop {
        /// ρ.
        rho: f64,
        /// How much of the last update stays.
        momentum: f64,
        /// ε.
        epsilon: f64,
        /// Whether the variance takes the place of the second moment.
        centered: bool,
    },
    /// s ← s + g²; w ← w − η g / (√s + ε), s from 0 as in PyTorch (Duchi et al. 2011).
    Adagrad {
        /// ε.
        epsilon: f64,
    },
}

impl OptimizerConfig {
    pub(crate) fn read(table: &mut Table<'_>) -> Result<Self, ConfigError> {
        let kind = match table.required("type")? {
            OptimizerName::Sgd => {
                let momentum = share(table, "momentum", 0.0)?;
                let nesterov = table.default("nesterov", false)?;
                if nesterov && momentum == 0.0 {
                    let message = "`nesterov` needs a `momentum` above 0";
                    return Err(table
                        .value("nesterov")
                        .map_or_else(|| table.error(message), |value| value.error(message)));
                }
                OptimizerKind::Sgd { momentum, nesterov, weight_decay: decay(table, 0.0)? }
            }
            OptimizerName::Adam => OptimizerKind::Adam {
                beta_1: share(table, "beta_1", 0.9)?,
                beta_2: share(table, "beta_2", 0.999)?,
                epsilon: epsilon(table)?,
            },
            OptimizerName::Adamw => OptimizerKind::Adamw {
                beta_1: share(table, "beta_1", 0.9)?,
                beta_2: share(table, "beta_2", 0.999)?,
                epsilon: epsilon(table)?,
                weight_decay: decay(table, 0.004)?,
            },
            OptimizerName::Rmsprop => OptimizerKind::Rmsprop {
                rho: share(table, "rho", 0.9)?,
                momentum: share(table, "momentum", 0.0)?,
                epsilon: epsilon(table)?,
                centered: table.default("centered", false)?,
            },
            OptimizerName::Adagrad => OptimizerKind::Adagrad { epsilon: epsilon(table)? },
        };
        let rate = if matches!(kind, OptimizerKind::Sgd { .. }) { 0.01 } else { 0.001 };
        let learning_rate =
            table.checked("learning_rate", rate, "a number above 0", |rate| *rate > 0.0)?;
        Ok(Self { kind, learning_rate, clipping: GradientClipping::read(table)? })
    }
}

impl OptimizerKind {
    /// How many numbers it keeps for each parameter from step to step.
    #[must_use]
    pub fn slots(&self) -> usize {
        match *self {
            Self::Sgd { momentum, .. } => usize::from(momentum > 0.0),
            Self::Adam { .. } | Self::Adamw { .. } => 2,
            Self::Rmsprop { momentum, centered, .. } => {
                1 + usize::from(centered) + usize::from(momentum > 0.0)
            }
            Self::Adagrad { .. } => 1,
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "Burn takes its constants as f32")]
    pub(crate) fn init(&self) -> ModuleOptimizer {
        match *self {
            Self::Sgd { momentum, nesterov, weight_decay } => {
                let momentum = (momentum > 0.0).then(|| {
                    // Burn's default dampening of 0.1 is nobody else's.
                    MomentumConfig::new()
                        .with_momentum(momentum)
                        .with_dampening(0.0)
                        .with_nesterov(nesterov)
                });
                let decay =
                    (weight_decay > 0.0).then(|| WeightDecayConfig::new(weight_decay as f32));
                SgdConfig::new().with_momentum(momentum).with_weight_decay(decay).init()
            }
            Self::Adam { beta_1, beta_2, epsilon } => AdamConfig::new()
                .with_beta_1(beta_1 as f32)
                .with_beta_2(beta_2 as f32)
                .with_epsilon(epsilon as f32)
                .init(),
            Self::Adamw { beta_1, beta_2, epsilon, weight_decay } => AdamWConfig::new()
                .with_beta_1(beta_1 as f32)
                .with_beta_2(beta_2 as f32)
                .with_epsilon(epsilon as f32)
                .with_weight_decay(weight_decay as f32)
                .init(),
            Self::Rmsprop { rho, momentum, epsilon, centered } => RmsPropConfig::new()
                .with_alpha(rho as f32)
                .with_momentum(momentum as f32)
                .with_epsilon(epsilon as f32)
                .with_centered(centered)
                .init(),
            Self::Adagrad { epsilon } => AdaGradConfig::new().with_epsilon(epsilon as f32).init(),
        }
    }
}

fn share(table: &mut Table<'_>, key: &'static str, default: f64) -> Result<f64, ConfigError> {
    // The backend computes in f32, where what is nearest to 1 is 1.
    table.checked(key, default, "a number from 0 up to, but not, 1", |share| {
        (0.0..1.0).contains(&(*share as f32))
    })
}

fn decay(table: &mut Table<'_>, default: f64) -> Result<f64, ConfigError> {
    table.checked("weight_decay", default, "a number, 0 or more", |decay| {
        (0.0..=f32::MAX).contains(&(*decay as f32))
    })
}

/// Keras' default; PyTorch's is 1e-8.
fn epsilon(table: &mut Table<'_>) -> Result<f64, ConfigError> {
    let expected = "a number above 0 that 32 bits can hold";
    table.checked("epsilon", 1e-7, expected, |epsilon| (*epsilon as f32).is_normal())
}
