//! The activation functions over slices, and their derivatives. Each rounds at least as well as its counterpart in
//! Burn.

use kiln_kernels::{Workspace, math};
use kiln_model::Activation;

/// Evaluates an expression with the [`Function`] of an activation as a type.
macro_rules! for_function {
    ($activation:expr, $function:ident => $result:expr) => {
        for_function!(@match $activation, $function => $result;
            Relu LeakyRelu Elu Selu Gelu Silu Sigmoid Tanh Softplus)
    };
    (@match $activation:expr, $function:ident => $result:expr; $($name:ident)+) => {
        match $activation {
            Activation::Linear | Activation::Softmax => {
                type $function = Linear;
                $result
            }
            $(Activation::$name => {
                type $function = $name;
                $result
            })+
        }
    };
}

/// Adds its bias to each row, unless `bias` is empty, and applies the function, in one pass.
pub(super) fn activate(
    activation: Activation,
    values: &mut [f32],
    bias: &[f32],
    workspace: &mut Workspace,
) {
    for_function!(activation, F => map_rows::<F>(values, bias, workspace));
}

/// Whether the derivative needs a value that [`activate_and_save`] saves. Otherwise the output of the function suffices.
pub(super) const fn saves_values(activation: Activation) -> bool {
    matches!(activation, Activation::Gelu | Activation::Silu)
}

/// As [`activate`], and in the same pass writes the values that the derivative needs to `saved`.
pub(super) fn activate_and_save(
    activation: Activation,
    values: &mut [f32],
    bias: &[f32],
    saved: &mut Vec<f32>,
    workspace: &mut Workspace,
) {
    // Every element is overwritten.
    saved.resize(values.len(), 0.0);
    for_function!(activation, F => map_and_save_rows::<F>(values, bias, saved, workspace));
}

/// Multiplies the gradient by the derivative of the function, in place. `values` is what the function
/// [saves](saves_values), otherwise its output.
pub(super) fn multiply_by_derivative(
    activation: Activation,
    gradient: &mut [f32],
    values: &[f32],
    workspace: &mut Workspace,
) {
    // The loss contains the softmax and its derivative.
    if !matches!(activation, Activation::Linear | Activation::Softmax) {
        for_function!(activation, F => chain::<F>(gradient, values, workspace));
    }
}

/// An elementwise function. Its methods must be `#[inline(always)]`: only inside the loops are they compiled for the vector
/// instructions of the processor. Elsewhere, each fused multiply-add would be the call of a slow function.
/// This is why they are methods and not closures.
trait Function {
    fn value(x: f32) -> f32;

    /// What the derivative needs, unless it is the output; see [`saves_values`].
    #[inline(always)]
    fn saved(x: f32) -> f32 {
        x
    }

    /// The gradient of the input from that of the output; `v` is the saved value or the output.
    fn chain(gradient: f32, v: f32) -> f32;
}

/// Implements [`Function`] for a type of that name.
macro_rules! functions {
    ($($name:ident: |$x:ident| $value:expr, |$gradient:ident, $v:ident| $chain:expr;)+) => {$(
        struct $name;

        impl Function for $name {
            #[inline(always)]
            fn value($x: f32) -> f32 {
                $value
            }

            #[inline(always)]
            fn chain($gradient: f32, $v: f32) -> f32 {
                $chain
            }
        }
    )+};
}

functions! {
    Linear: |x| x, |g, _y| g;
    // `max` would turn NaN into 0 and hide a diverged run.
    Relu: |x| if x < 0.0 { 0.0 } else { x }, |g, y| if y <= 0.0 { 0.0 } else { g };
    LeakyRelu:
        |x| if x < 0.0 { LEAKY_RELU_SLOPE * x } else { x },
        |g, y| if y < 0.0 { LEAKY_RELU_SLOPE * g } else { g };
    Elu:
        |x| if x > 0.0 { x } else { math::exp_m1(x) },
        |g, y| if y > 0.0 { g } else { g * (y + 1.0) };
    Selu:
        |x| SELU_SCALE * if x > 0.0 { x } else { SELU_ALPHA * math::exp_m1(x) },
        |g, y| g * if y > 0.0 { SELU_SCALE } else { y + SELU_SCALE * SELU_ALPHA };
    Silu:
        |x| x * math::sigmoid(x),
        |g, x| {
            let share = math::sigmoid(x);
            g * share * (1.0 + x * (1.0 - share))
        };
    Sigmoid: |x| math::sigmoid(x), |g, y| g * y * (1.0 - y);
    Tanh: |x| math::tanh(x), |g, y| g * (1.0 - y * y);
    // σ(x) = 1 − e⁻ʸ
    Softplus: |x| math::softplus(x), |g, y| g * -math::exp_m1(-y);
}

struct Gelu;

impl Function for Gelu {
    #[inline(always)]
    fn value(x: f32) -> f32 {
        x * normal_distribution(x)
    }

    /// The derivative: computing it takes longer than reading it.
    #[inline(always)]
    fn saved(x: f32) -> f32 {
        normal_distribution(x) + x * normal_density(x)
    }

    #[inline(always)]
    fn chain(gradient: f32, derivative: f32) -> f32 {
        gradient * derivative
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

/// Applies the function to each value plus the bias of its row. `values` is `[bias.len(), n]`.
fn map_rows<F: Function>(values: &mut [f32], bias: &[f32], workspace: &mut Workspace) {
    let count = values.len();
    let none: &mut [()] = &mut [];
    if bias.is_empty() {
        workspace.split_loops(
            count,
            count,
            values,
            none,
            #[inline(always)]
            |_, values, _| {
                for value in values {
                    *value = F::value(*value);
                }
            },
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
                for value in row {
                    *value = F::value(*value + bias);
                }
            }
        },
    );
}

/// As [`map_rows`], and writes the values that the derivative needs.
fn map_and_save_rows<F: Function>(
    values: &mut [f32],
    bias: &[f32],
    saved: &mut [f32],
    workspace: &mut Workspace,
) {
    let count = values.len();
    if bias.is_empty() {
        workspace.split_loops(
            count,
            count,
            values,
            saved,
            #[inline(always)]
            |_, values, saved| {
                for (value, saved) in values.iter_mut().zip(saved) {
                    (*value, *saved) = (F::value(*value), F::saved(*value));
                }
            },
        );
        return;
    }
    let n = (count / bias.len()).max(1);
    workspace.split_loops(
        count,
        bias.len(),
        values,
        saved,
        #[inline(always)]
        |rows, values, saved| {
            let values = values.chunks_exact_mut(n).zip(saved.chunks_exact_mut(n));
            for ((values, saved), bias) in values.zip(&bias[rows]) {
                for (value, saved) in values.iter_mut().zip(saved) {
                    let x = *value + bias;
                    (*value, *saved) = (F::value(x), F::saved(x));
                }
            }
        },
    );
}

/// Applies the chain rule to each gradient.
fn chain<F: Function>(gradient: &mut [f32], values: &[f32], workspace: &mut Workspace) {
    let none: &mut [()] = &mut [];
    workspace.split_loops(
        gradient.len(),
        gradient.len(),
        gradient,
        none,
        #[inline(always)]
        |part, gradient, _| {
            for (gradient, value) in gradient.iter_mut().zip(&values[part]) {
                *gradient = F::chain(*gradient, *value);
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
