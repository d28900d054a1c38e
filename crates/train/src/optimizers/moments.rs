//! The common part of Adam and its variants.

use burn::optim::AdaptiveMomentumState;
use burn::tensor::Tensor;

/// 1 − βᵗ: a running mean that starts at 0 has this share of its weight after t steps, so dividing by it corrects for
/// the start.
///
/// It is computed in f64, because in f32 the difference has few correct digits when βᵗ is close to 1. β is rounded to
/// f32 first, as in the means that it corrects: with another β, the error would be that of 1 − β, which is 2 · 10⁻⁴ for
/// β = 0.9999.
pub(super) fn bias_correction(beta: f64, step: i32) -> f64 {
    1.0 - libm::pow(f64::from(beta as f32), f64::from(step))
}

/// The running means of the gradient and of its square after this gradient, in the state of Burn's Adam.
pub(super) fn next_moments<const D: usize>(
    state: Option<AdaptiveMomentumState<D>>,
    gradient: &Tensor<D>,
    betas: [f64; 2],
) -> AdaptiveMomentumState<D> {
    let [beta_1, beta_2] = betas.map(|beta| beta as f32);
    let mut state = state.unwrap_or_else(|| {
        AdaptiveMomentumState::new(0, gradient.zeros_like(), gradient.zeros_like())
    });
    state.time += 1;
    let share = gradient.clone().mul_scalar(1.0 - beta_1);
    state.moment_1 = state.moment_1.mul_scalar(beta_1).add(share);
    let share = gradient.clone().square().mul_scalar(1.0 - beta_2);
    state.moment_2 = state.moment_2.mul_scalar(beta_2).add(share);
    state
}

/// The number of the step that led to this state.
pub(super) fn step_number<const D: usize>(state: &AdaptiveMomentumState<D>) -> i32 {
    i32::try_from(state.time).unwrap_or(i32::MAX)
}
