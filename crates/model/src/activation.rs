use burn::tensor::{Tensor, activation};

kiln_config::keywords! {
    /// An activation function, applied to each value by itself, but for softmax.
    ///
    /// To add one: a line here and one in [`apply`](Self::apply).
    pub enum Activation {
        /// x.
        Linear = "linear",
        /// max(0, x).
        Relu = "relu",
        /// x where x > 0, else 0.2 x (Keras' slope).
        LeakyRelu = "leaky_relu",
        /// x where x > 0, else eˣ − 1 (Clevert et al. 2015, α = 1).
        Elu = "elu",
        /// λx where x > 0, else λα(eˣ − 1) (Klambauer et al. 2017).
        Selu = "selu",
        /// x Φ(x) with the exact normal distribution function (Hendrycks and Gimpel 2016).
        Gelu = "gelu",
        /// x σ(x), also known as swish.
        Silu = "silu",
        /// σ(x) = 1 / (1 + e⁻ˣ).
        Sigmoid = "sigmoid",
        /// The hyperbolic tangent.
        Tanh = "tanh",
        /// eˣ over its sum, along features or channels.
        Softmax = "softmax",
        /// ln(1 + eˣ).
        Softplus = "softplus",
    }
}

impl Activation {
    /// Keras' default for `leaky_relu`; PyTorch's is 0.01.
    pub const LEAKY_RELU_SLOPE: f64 = 0.2;
    /// α of `selu`, which with λ keeps mean 0 and variance 1 from layer to layer.
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

/// x (1 + erf(x / √2)) / 2. Burn's own has the gradient of the tanh approximation on backends other
/// than flex.
fn gaussian_error_linear<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    let twice_the_probability = (x.clone() / std::f64::consts::SQRT_2).erf() + 1.0;
    x * twice_the_probability * 0.5
}

/// x where x > 0, else α(eˣ − 1).
///
/// Burn's own `elu` and `selu` take eˣ of every x. Where it overflows, above 88, its gradient is
/// ∞ · 0, which is not a number.
fn exponential_linear<const D: usize>(x: Tensor<D>, alpha: f64) -> Tensor<D> {
    let positive = x.clone().greater_elem(0.0);
    let negative = (x.clone().mask_fill(positive.clone(), 0.0).exp() - 1.0) * alpha;
    negative.mask_where(positive, x)
}
