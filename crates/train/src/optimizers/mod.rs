//! The optimizers. Each has one file with its keys in `[optimizer]`, the names of its state tensors, its optimizer for
//! the generic engine and its update for the fused engine. To add an optimizer, write its file, and add the module and a
//! line in the list below.
//!
//! In the formulas, g is the gradient, w the weight, η the learning rate and t the step, counted from 1. Keys and defaults
//! are those of Keras. The formulas differ from Keras in some cases; the documentation of each optimizer says so. A test
//! compares the updates with trajectories in float64, which are PyTorch's except for Lion (`tests/train/parity.rs`).
//!
//! The tensors that an optimizer keeps for each parameter between steps, such as the velocity of momentum, are its *slots*.

mod adagrad;
mod adam;
mod adamw;
mod fused;
mod gradient_clipping;
mod keys;
mod lion;
mod moments;
mod momentum;
mod nadam;
mod parameter_settings;
mod rmsprop;
mod sgd;

use burn::optim::{ModuleOptimizer, Optimizer};
use kiln_config::{ConfigError, Table};
use serde::Serialize;

pub(crate) use fused::{FusedParameter, FusedUpdate, UpdateStep};
pub use gradient_clipping::GradientClipping;
pub(crate) use momentum::{ParameterGroup, SharedMomentum};
pub(crate) use parameter_settings::ParameterSettings;
pub use parameter_settings::WeightDecayExclusion;

optimizers! {
    /// SGD: stochastic gradient descent, with or without momentum.
    sgd::Sgd = "sgd";
    /// Adam: scales the gradient by running means of it and of its square.
    adam::Adam = "adam";
    /// AdamW: Adam with a weight decay that is decoupled from the gradient.
    adamw::Adamw = "adamw";
    /// RMSprop: divides the gradient by the root of a running mean of its square.
    rmsprop::Rmsprop = "rmsprop";
    /// Adagrad: divides the gradient by the root of the sum of all its squares.
    adagrad::Adagrad = "adagrad";
    /// NAdam: Adam with Nesterov's momentum.
    nadam::Nadam = "nadam";
    /// Lion: moves each weight by the sign of a running mean of its gradient.
    lion::Lion = "lion";
}

/// The `[optimizer]` table.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct OptimizerConfig {
    /// The update rule and its constants.
    #[serde(flatten)]
    pub kind: OptimizerKind,
    /// η, before the schedule is applied.
    pub learning_rate: f64,
    /// The limits of the gradients that the update uses.
    #[serde(flatten)]
    pub clipping: GradientClipping,
    /// The parameters that are updated without weight decay.
    #[serde(skip_serializing_if = "WeightDecayExclusion::is_empty")]
    pub exclude_from_weight_decay: WeightDecayExclusion,
}

impl OptimizerConfig {
    pub(crate) fn read(table: &mut Table<'_>) -> Result<Self, ConfigError> {
        let kind = OptimizerKind::read(table.required("type")?, table)?;
        let default = kind.rule().default_learning_rate();
        let expected = "a number above 0";
        let learning_rate =
            table.checked("learning_rate", default, expected, |rate| *rate > 0.0)?;
        let clipping = GradientClipping::read(table)?;
        let exclude_from_weight_decay = WeightDecayExclusion::read(table)?;
        Ok(Self { kind, learning_rate, clipping, exclude_from_weight_decay })
    }

    /// Whether the optimizer has a weight decay above 0.
    #[must_use]
    pub fn decays_weights(&self) -> bool {
        // A copy, so the mutable borrow changes nothing.
        let mut kind = self.kind;
        kind.rule_mut().weight_decay_mut().is_some_and(|decay| *decay > 0.0)
    }
}

impl OptimizerKind {
    /// The number of slots: of `f32` values that the optimizer keeps for each parameter value between steps.
    #[must_use]
    pub fn slots(&self) -> usize {
        self.rule().slots().len()
    }

    /// Whether a schedule can change the momentum.
    pub(crate) fn has_momentum(mut self) -> bool {
        // `self` is a copy, so the mutable borrow changes nothing.
        self.rule_mut().momentum_mut().is_some()
    }

    /// The same optimizer without weight decay.
    pub(crate) fn without_weight_decay(mut self) -> Self {
        self.rule_mut().remove_weight_decay();
        self
    }

    /// Replaces the momentum if `momentum` is `Some`.
    pub(crate) fn with_momentum(mut self, momentum: Option<f64>) -> Self {
        self.rule_mut().set_momentum(momentum);
        self
    }
}

/// The interface of an optimizer. Its constants are the fields of the type that implements the trait.
pub(crate) trait UpdateRule: Send + Sync {
    /// The optimizer of the generic engine.
    type Burn: Optimizer
    where
        Self: Sized;

    /// Reads the optimizer's own keys.
    fn read(table: &mut Table<'_>) -> Result<Self, ConfigError>
    where
        Self: Sized;

    /// The default of `learning_rate`.
    fn default_learning_rate(&self) -> f64 {
        0.001
    }

    /// The names of the slots: the tensors that the optimizer keeps for each parameter between steps. Each has the shape
    /// of its parameter and starts at 0. Checkpoints of the fused engine contain these names.
    fn slots(&self) -> &'static [&'static str];

    /// The constant that a schedule may change from step to step: the momentum, or β₁ of Adam and its
    /// variants. `None` if the optimizer has none.
    fn momentum_mut(&mut self) -> Option<&mut f64> {
        None
    }

    /// Replaces the momentum if `momentum` is `Some` and the optimizer has one.
    fn set_momentum(&mut self, momentum: Option<f64>) {
        if let (Some(own), Some(momentum)) = (self.momentum_mut(), momentum) {
            *own = momentum;
        }
    }

    /// λ of the weight decay. `None` if the optimizer has none.
    fn weight_decay_mut(&mut self) -> Option<&mut f64> {
        None
    }

    /// Sets the weight decay to 0.
    fn remove_weight_decay(&mut self) {
        if let Some(weight_decay) = self.weight_decay_mut() {
            *weight_decay = 0.0;
        }
    }

    /// The optimizer of the generic engine with these constants.
    fn burn(&self) -> Self::Burn
    where
        Self: Sized;

    /// The update of the fused engine. If there is none, the generic engine trains the experiment.
    fn fused(&self) -> Option<&dyn FusedUpdate> {
        None
    }
}

/// Turns the list above into [`OptimizerName`] and [`OptimizerKind`].
macro_rules! optimizers {
    ($( $(#[$documentation:meta])* $module:ident::$optimizer:ident = $name:literal; )+) => {
        $( pub use $module::$optimizer; )+

        kiln_config::keywords! {
            /// The values of `optimizer.type`.
            pub enum OptimizerName as "optimizer" {
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

            fn rule_mut(&mut self) -> &mut dyn UpdateRule {
                match self {
                    $( Self::$optimizer(rule) => rule, )+
                }
            }

            /// The optimizer of the generic engine. In each step it has the momentum that was set last. Parameters in
            /// none of the groups have the default settings.
            pub(crate) fn burn(
                self,
                momentum: &SharedMomentum,
                groups: &[ParameterGroup],
            ) -> ModuleOptimizer {
                match self {
                    $( Self::$optimizer(rule) => momentum::of_groups(rule, momentum, groups), )+
                }
            }
        }
    };
}
use optimizers;
