//! Burn's optimizers with a momentum that changes from step to step, and with settings of groups of parameters.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use burn::module::{ParamGroup, ParamId};
use burn::optim::{LearningRate, ModuleOptimizer, Optimizer};
use burn::tensor::{Device, Tensor};

use super::{ParameterSettings, UpdateRule};

/// The momentum that the schedule sets, if it sets one. Clones share it: Burn has the optimizer, and the
/// engine sets the momentum.
#[derive(Clone)]
pub(crate) struct SharedMomentum(Arc<AtomicU64>);

impl SharedMomentum {
    pub(crate) fn new() -> Self {
        // NaN means `None`, because an atomic can hold only a number.
        Self(Arc::new(AtomicU64::new(f64::NAN.to_bits())))
    }

    pub(crate) fn set(&self, momentum: Option<f64>) {
        self.0.store(momentum.unwrap_or(f64::NAN).to_bits(), Ordering::Relaxed);
    }

    fn get(&self) -> Option<f64> {
        Some(f64::from_bits(self.0.load(Ordering::Relaxed))).filter(|momentum| !momentum.is_nan())
    }
}

/// An optimizer for Burn. The constants of Burn's own optimizers cannot be changed, so each update creates a new one, which
/// is cheap. The state is that of Burn's optimizer.
#[derive(Clone)]
struct Adjustable<R> {
    rule: R,
    momentum: SharedMomentum,
    learning_rate_factor: f64,
}

/// Parameters with the same settings.
pub(crate) struct ParameterGroup {
    pub(crate) settings: ParameterSettings,
    pub(crate) ids: Vec<ParamId>,
}

/// The optimizer of a rule, with other settings for the parameters in these groups.
pub(super) fn of_groups<R: UpdateRule + Copy + 'static>(
    rule: R,
    momentum: &SharedMomentum,
    groups: &[ParameterGroup],
) -> ModuleOptimizer {
    let adjustable = |settings: ParameterSettings| {
        let mut rule = rule;
        if !settings.decays {
            rule.remove_weight_decay();
        }
        let learning_rate_factor = settings.learning_rate_factor;
        Adjustable { rule, momentum: momentum.clone(), learning_rate_factor }
    };
    let all = ModuleOptimizer::from(adjustable(ParameterSettings::default()));
    groups.iter().fold(all, |optimizer, group| {
        let ids = ParamGroup::from_ids(group.ids.clone());
        optimizer.with_group(ids, adjustable(group.settings), None)
    })
}

impl<R: UpdateRule + Copy + 'static> Optimizer for Adjustable<R> {
    type State<const D: usize> = <R::Burn as Optimizer>::State<D>;

    fn step<const D: usize>(
        &self,
        rate: LearningRate,
        weight: Tensor<D>,
        gradient: Tensor<D>,
        state: Option<Self::State<D>>,
    ) -> (Tensor<D>, Option<Self::State<D>>) {
        let mut rule = self.rule;
        rule.set_momentum(self.momentum.get());
        rule.burn().step(rate * self.learning_rate_factor, weight, gradient, state)
    }

    fn to_device<const D: usize>(state: Self::State<D>, device: &Device) -> Self::State<D> {
        R::Burn::to_device(state, device)
    }
}
