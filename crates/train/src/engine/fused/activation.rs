//! The activation functions over slices, and their derivatives. Each rounds at least as well as its counterpart in
//! Burn.

use kiln_kernels::{Workspace, math};
use kiln_model::Activation;

/// Adds its bias to each row, unless `bias` is empty, and applies the function, in one pass.
pub(super) fn activate(
    activation: Activation,
    values: &mut [f32],
    bias: &[f32],
    workspace: &mut Workspace,
) {
    // A separate loop for each function lets the compiler vectorize it.
    match activation {
        Activation::Linear | Activation::Softmax => map_rows(workspace, values, bias, |x| x),
        // `max` would turn NaN into 0 and hide a diverged run.
        Activation::Relu => map_rows(workspace, values, bias, |x| if x < 0.0 { 0.0 } else { x }),
        Activation::LeakyRelu => {
            map_rows(workspace, values, bias, |x| if x < 0.0 { LEAKY_RELU_SLOPE * x } else { x });
        }
        Activation::Elu => {
            map_rows(workspace, values, bias, |x| if x > 0.0 { x } else { math::exp_m1(x) })
        }
        Activation::Selu => map_rows(workspace, values, bias, |x| {
            SELU_SCALE * if x > 0.0 { x } else { SELU_ALPHA * math::exp_m1(x) }
        }),
        Activation::Gelu => map_rows(workspace, values, bias, |x| x * normal_distribution(x)),
        Activation::Silu => map_rows(workspace, values, bias, |x| x * math::sigmoid(x)),
        Activation::Sigmoid => map_rows(workspace, values, bias, math::sigmoid),
        Activation::Tanh => map_rows(workspace, values, bias, math::tanh),
        Activation::Softplus => map_rows(workspace, values, bias, math::softplus),
    }
}

/// Whether the derivative needs the input of the function. Otherwise its output suffices.
pub(super) const fn needs_pre_activation(activation: Activation) -> bool {
    matches!(activation, Activation::Gelu | Activation::Silu)
}

/// Multiplies the gradient by the derivative of the function, in place. `values` is the input of the function if it
/// [needs](needs_pre_activation) that, otherwise its output.
pub(super) fn multiply_by_derivative(
    activation: Activation,
    gradient: &mut [f32],
    values: &[f32],
    workspace: &mut Workspace,
) {
    match activation {
        // The loss contains the softmax and its derivative.
        Activation::Linear | Activation::Softmax => {}
        Activation::Relu => zip(workspace, gradient, values, |g, y| if y <= 0.0 { 0.0 } else { g }),
        Activation::LeakyRelu => {
            zip(workspace, gradient, values, |g, y| if y < 0.0 { LEAKY_RELU_SLOPE * g } else { g });
        }
        Activation::Elu => {
            zip(workspace, gradient, values, |g, y| if y > 0.0 { g } else { g * (y + 1.0) })
        }
        Activation::Selu => zip(workspace, gradient, values, |g, y| {
            g * if y > 0.0 { SELU_SCALE } else { y + SELU_SCALE * SELU_ALPHA }
        }),
        Activation::Gelu => {
            zip(workspace, gradient, values, |g, x| {
                g * (normal_distribution(x) + x * normal_density(x))
            });
        }
        Activation::Silu => zip(workspace, gradient, values, |g, x| {
            let share = math::sigmoid(x);
            g * share * (1.0 + x * (1.0 - share))
        }),
        Activation::Sigmoid => zip(workspace, gradient, values, |g, y| g * y * (1.0 - y)),
        Activation::Tanh => zip(workspace, gradient, values, |g, y| g * (1.0 - y * y)),
        // σ(x) = 1 − e⁻ʸ
        Activation::Softplus => zip(workspace, gradient, values, |g, y| g * -math::exp_m1(-y)),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the engine computes in f32")]
const LEAKY_RELU_SLOPE: f32 = Activation::LEAKY_RELU_SLOPE as f32;
#[expect(clippy::cast_possible_truncation, reason = "the engine computes in f32")]
const SELU_ALPHA: f32 = Activation::SELU_ALPHA as f32;
#[expect(clippy::cast_possible_truncation, reason = "the engine computes in f32")]
const SELU_SCALE: f32 = Activation::SELU_SCALE as f32;
/// 1 / √(2π)
const DENSITY_AT_ZERO: f32 = 0.398_942_3;

/// Applies `function` to each value plus the bias of its row. `values` is `[bias.len(), n]`.
fn map_rows(
    workspace: &mut Workspace,
    values: &mut [f32],
    bias: &[f32],
    function: impl Fn(f32) -> f32 + Sync,
) {
    let count = values.len();
    let none: &mut [()] = &mut [];
    if bias.is_empty() {
        workspace.split_loops(
            count,
            count,
            values,
            none,
            #[inline(always)]
            |_, values, _| values.iter_mut().for_each(|value| *value = function(*value)),
        );
        return;
    }
    let n = (count / bias.len()).max(1);
    workspace.split_loops(
        count,
        bias.len(),
        values,
        none,
        #[inline(always)]
        |rows, values, _| {
            for (row, bias) in values.chunks_exact_mut(n).zip(&bias[rows]) {
                row.iter_mut().for_each(|value| *value = function(*value + bias));
            }
        },
    );
}

fn zip(
    workspace: &mut Workspace,
    gradient: &mut [f32],
    values: &[f32],
    product: impl Fn(f32, f32) -> f32 + Sync,
) {
    let none: &mut [()] = &mut [];
    workspace.split_loops(
        gradient.len(),
        gradient.len(),
        gradient,
        none,
        #[inline(always)]
        |part, gradient, _| {
            for (gradient, value) in gradient.iter_mut().zip(&values[part]) {
                *gradient = product(*gradient, *value);
            }
        },
    );
}

/// Φ(x), the cumulative distribution function of the normal distribution.
#[inline(always)]
fn normal_distribution(x: f32) -> f32 {
    0.5 * (1.0 + math::erf(x / std::f32::consts::SQRT_2))
}

/// The density of the normal distribution.
#[inline(always)]
fn normal_density(x: f32) -> f32 {
    DENSITY_AT_ZERO * math::exp(-0.5 * x * x)
}
