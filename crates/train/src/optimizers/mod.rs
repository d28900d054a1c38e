//! The optimizers. Each has one file with its keys in `[optimizer]`, its state, its Burn form for the
//! generic engine and its update for the fused engine. To add one: its file, and a line in the list below.
//!
//! In the formulas, g is the gradient, w the weight, η the learning rate and t the step, counted from 1.
//! Names and defaults are those of Keras. The updates are checked against trajectories that PyTorch
//! computes in float64 (`tests/train/parity.rs`).

mod adagrad;
mod adam;
mod adamw;
mod fused;
mod gradient_clipping;
mod keys;
mod lion;
mod nadam;
mod rmsprop;
mod sgd;

use burn::optim::ModuleOptimizer;
use kiln_config::{ConfigError, Table};
use serde::Serialize;

pub use adagrad::Adagrad;
pub use adam::Adam;
pub use adamw::Adamw;
pub(crate) use fused::{FusedParameter, FusedUpdate, UpdateStep};
pub use gradient_clipping::GradientClipping;
pub use lion::Lion;
pub use nadam::Nadam;
pub use rmsprop::Rmsprop;
pub use sgd::Sgd;

optimizers! {
    /// Stochastic gradient descent, with or without momentum.
    Sgd = "sgd";
    /// Running means of the gradient and of its square.
    Adam = "adam";
    /// Adam with decoupled weight decay.
    Adamw = "adamw";
    /// A running mean of the squared gradient.
    Rmsprop = "rmsprop";
    /// The sum of the squared gradients.
    Adagrad = "adagrad";
    /// Adam with Nesterov's momentum.
    Nadam = "nadam";
    /// The sign of a running mean of the gradient.
    Lion = "lion";
}

/// The `[optimizer]` table.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct OptimizerConfig {
    /// The update rule and its constants.
    #[serde(flatten)]
    pub kind: OptimizerKind,
    /// η, before the schedule is applied.
    pub learning_rate: f64,
    /// How large gradients are clipped before the update.
    #[serde(flatten)]
    pub clipping: GradientClipping,
}

impl OptimizerConfig {
    pub(crate) fn read(table: &mut Table<'_>) -> Result<Self, ConfigError> {
        let kind = OptimizerKind::read(table.required("type")?, table)?;
        let default = kind.rule().default_learning_rate();
        let expected = "a number above 0";
        let learning_rate =
            table.checked("learning_rate", default, expected, |rate| *rate > 0.0)?;
        Ok(Self { kind, learning_rate, clipping: GradientClipping::read(table)? })
    }
}

impl OptimizerKind {
    /// The number of `f32` values that the optimizer keeps for each parameter value between steps.
    #[must_use]
    pub fn slots(&self) -> usize {
        self.rule().slots().len()
    }
}

/// What every optimizer defines; its constants are the fields of the type that implements this.
pub(crate) trait UpdateRule: Send + Sync {
    /// Reads the optimizer's own keys.
    fn read(table: &mut Table<'_>) -> Result<Self, ConfigError>
    where
        Self: Sized;

    /// The default of `learning_rate`.
    fn default_learning_rate(&self) -> f64 {
        0.001
    }

    /// The names of the tensors that are kept for each parameter between steps. Each has the shape of
    /// its parameter and starts at 0. Checkpoints of the fused engine contain these names.
    fn slots(&self) -> &'static [&'static str];

    /// The optimizer of the generic engine.
    fn burn(&self) -> ModuleOptimizer;

    /// The update of the fused engine. Without one, the generic engine trains all models.
    fn fused(&self) -> Option<&dyn FusedUpdate> {
        None
    }
}

/// Turns the list above into [`OptimizerName`] and [`OptimizerKind`].
macro_rules! optimizers {
    ($( $(#[$documentation:meta])* $optimizer:ident = $name:literal; )+) => {
        kiln_config::keywords! {
            /// The values of `optimizer.type`.
            pub enum OptimizerName {
                $( $(#[$documentation])* $optimizer = $name, )+
            }
        }

        /// An optimizer, by its `type` in TOML.
        #[derive(Debug, Clone, Copy, PartialEq, Serialize)]
        #[serde(tag = "type")]
        pub enum OptimizerKind {
            $(
                $(#[$documentation])*
                #[serde(rename = $name)]
                $optimizer($optimizer),
            )+
        }

        impl OptimizerKind {
            /// The value of `optimizer.type`.
            #[must_use]
            pub const fn name(&self) -> OptimizerName {
                match self {
                    $( Self::$optimizer(_) => OptimizerName::$optimizer, )+
                }
            }

            fn read(name: OptimizerName, table: &mut Table<'_>) -> Result<Self, ConfigError> {
                match name {
                    $( OptimizerName::$optimizer => $optimizer::read(table).map(Self::$optimizer), )+
                }
            }

            pub(crate) fn rule(&self) -> &dyn UpdateRule {
                match self {
                    $( Self::$optimizer(rule) => rule, )+
                }
            }
        }
    };
}
use optimizers;
