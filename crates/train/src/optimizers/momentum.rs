//! Burn's optimizers with a momentum that changes from step to step.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use burn::optim::{LearningRate, Optimizer};
use burn::tensor::{Device, Tensor};

use super::UpdateRule;

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
pub(super) struct Adjustable<R> {
    pub(super) rule: R,
    pub(super) momentum: SharedMomentum,
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
        rule.burn().step(rate, weight, gradient, state)
    }

    fn to_device<const D: usize>(state: Self::State<D>, device: &Device) -> Self::State<D> {
        R::Burn::to_device(state, device)
    }
}
