use burn::tensor::{Tensor, activation};

kiln_config::keywords! {
    /// An activation function. All except softmax are elementwise.
    ///
    /// To add one: add a variant here and an arm to [`apply`](Self::apply).
    pub enum Activation as "activation" {
        /// x.
        Linear = "linear",
        /// max(0, x).
        Relu = "relu",
        /// x if x > 0, else 0.2 x, the default slope of Keras.
        LeakyRelu = "leaky_relu",
        /// x if x > 0, else eˣ − 1 (Clevert et al. 2015, α = 1).
        Elu = "elu",
        /// λx if x > 0, else λα(eˣ − 1) (Klambauer et al. 2017).
        Selu = "selu",
        /// x Φ(x), where Φ is the exact distribution function of the standard normal (Hendrycks and
        /// Gimpel 2016), not its tanh approximation.
        Gelu = "gelu",
        /// x σ(x), also known as swish.
        Silu = "silu",
        /// σ(x) = 1 / (1 + e⁻ˣ).
        Sigmoid = "sigmoid",
        /// The hyperbolic tangent.
        Tanh = "tanh",
        /// eˣ / Σ eˣ, over features or channels.
        Softmax = "softmax",
        /// ln(1 + eˣ).
        Softplus = "softplus",
    }
}

impl Activation {
    /// The slope of `leaky_relu` for negative x: Keras' default. PyTorch's default is 0.01.
    pub const LEAKY_RELU_SLOPE: f64 = 0.2;
    /// α of `selu`. With λ, it keeps the mean of activations at 0 and their variance at 1.
    pub const SELU_ALPHA: f64 = 1.673_263_242_354_377_2;
    /// λ of `selu`.
    pub const SELU_SCALE: f64 = 1.050_700_987_355_480_5;

    /// Applies the function to a batch `[n, features]` or `[n, channels, height, width]`.
    #[must_use]
    pub fn apply<const D: usize>(self, x: Tensor<D>) -> Tensor<D> {
        match self {
            Self::Linear => x,
            Self::Relu => activation::relu(x),
            Self::LeakyRelu => activation::leaky_relu(x, Self::LEAKY_RELU_SLOPE),
            Self::Elu => exponential_linear(x, 1.0),
            Self::Selu => exponential_linear(x, Self::SELU_ALPHA) * Self::SELU_SCALE,
            Self::Gelu => gaussian_error_linear(x),
            Self::Silu => activation::silu(x),
            Self::Sigmoid => activation::sigmoid(x),
            Self::Tanh => activation::tanh(x),
            Self::Softmax => activation::softmax(x, 1),
            Self::Softplus => activation::softplus(x, 1.0),
        }
    }
}

/// x (1 + erf(x / √2)) / 2.
///
/// Burn's `gelu` has the gradient of the tanh approximation on all backends except flex.
fn gaussian_error_linear<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    let twice_phi = (x.clone() / std::f64::consts::SQRT_2).erf() + 1.0;
    x * twice_phi * 0.5
}

/// x if x > 0, else α(eˣ − 1).
///
/// Burn's `elu` and `selu` compute eˣ of every x. For x above 88, eˣ overflows and the gradient
/// becomes ∞ · 0, which is NaN.
fn exponential_linear<const D: usize>(x: Tensor<D>, alpha: f64) -> Tensor<D> {
    let positive = x.clone().greater_elem(0.0);
    // Positive values are replaced by 0 before `exp`, so that it cannot overflow.
    let negative = (x.clone().mask_fill(positive.clone(), 0.0).exp() - 1.0) * alpha;
    negative.mask_where(positive, x)
}
