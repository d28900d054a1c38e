use kiln_config::{ConfigError, FromValue, Kind, Value};
use rand_core::Rng;

kiln_config::keywords! {
    /// A distribution of initial values, by its name in Keras.
    pub enum Scheme as "initializer" {
        /// Uniform in ±√(6 / (fan_in + fan_out)) (Glorot and Bengio 2010).
        GlorotUniform = "glorot_uniform",
        /// Truncated normal with variance 2 / (fan_in + fan_out).
        GlorotNormal = "glorot_normal",
        /// Uniform in ±√(6 / fan_in) (He et al. 2015).
        HeUniform = "he_uniform",
        /// Truncated normal with variance 2 / fan_in.
        HeNormal = "he_normal",
        /// Uniform in ±√(3 / fan_in) (LeCun et al. 1998).
        LecunUniform = "lecun_uniform",
        /// Truncated normal with variance 1 / fan_in.
        LecunNormal = "lecun_normal",
        /// All values are 0.
        Zeros = "zeros",
        /// All values are 1.
        Ones = "ones",
    }
}

/// The standard deviation of the standard normal distribution truncated at ±2. Dividing by it gives
/// the truncated distribution the requested variance.
const TRUNCATED_DEVIATION: f64 = 0.879_625_661_034_239_8;

/// An initializer: a named scheme, or a number (`bias_initializer = 0.1`).
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Initializer {
    /// A named scheme.
    Scheme(Scheme),
    /// All values are this number.
    Constant(f64),
}

impl Initializer {
    /// The default for kernels, as in Keras.
    pub const GLOROT_UNIFORM: Self = Self::Scheme(Scheme::GlorotUniform);
    /// The default for biases, as in Keras.
    pub const ZEROS: Self = Self::Scheme(Scheme::Zeros);
    /// The default for the scale of a normalization, as in Keras.
    pub const ONES: Self = Self::Scheme(Scheme::Ones);

    /// Draws `count` values for a parameter with these fans (see
    /// [`ParameterSpec`](crate::ParameterSpec)).
    #[must_use]
    pub fn draw(self, count: usize, fan_in: usize, fan_out: usize, rng: &mut impl Rng) -> Vec<f32> {
        #[expect(clippy::cast_precision_loss, reason = "fans are far below 2^53")]
        // At least 1, to avoid a division by zero.
        let (fan_in, fan_out) = (fan_in.max(1) as f64, fan_out as f64);
        let mean_fan = f64::midpoint(fan_in, fan_out);
        let variance = match self {
            Self::Constant(value) => return vec![narrow(value); count],
            Self::Scheme(Scheme::Zeros) => return vec![0.0; count],
            Self::Scheme(Scheme::Ones) => return vec![1.0; count],
            Self::Scheme(Scheme::GlorotUniform | Scheme::GlorotNormal) => 1.0 / mean_fan,
            Self::Scheme(Scheme::HeUniform | Scheme::HeNormal) => 2.0 / fan_in,
            Self::Scheme(Scheme::LecunUniform | Scheme::LecunNormal) => 1.0 / fan_in,
        };
        let is_normal = matches!(
            self,
            Self::Scheme(Scheme::GlorotNormal | Scheme::HeNormal | Scheme::LecunNormal)
        );
        if is_normal {
            let deviation = variance.sqrt() / TRUNCATED_DEVIATION;
            (0..count).map(|_| narrow(deviation * truncated_normal(rng))).collect()
        } else {
            // The variance of a uniform distribution in ±limit is limit² / 3.
            let limit = (3.0 * variance).sqrt();
            (0..count).map(|_| narrow(limit * (2.0 * uniform(rng) - 1.0))).collect()
        }
    }
}

/// A uniformly distributed number in [0, 1), from the upper 53 bits of a random integer.
///
/// Implemented here so that a release of a library cannot change the initial weights of a seed.
#[expect(clippy::cast_precision_loss, reason = "53 bits fit exactly")]
fn uniform(rng: &mut impl Rng) -> f64 {
    (rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
}

/// A number from the standard normal distribution truncated at ±2, by the transform of Box and
/// Muller. Values outside are drawn again.
fn truncated_normal(rng: &mut impl Rng) -> f64 {
    loop {
        // `1 − uniform` is in (0, 1], so the logarithm is finite.
        let radius = (-2.0 * (1.0 - uniform(rng)).ln()).sqrt();
        let value = radius * (std::f64::consts::TAU * uniform(rng)).cos();
        if value.abs() <= 2.0 {
            return value;
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "weights are f32")]
fn narrow(value: f64) -> f32 {
    value as f32
}

impl FromValue for Initializer {
    fn from_value(value: &Value) -> Result<Self, ConfigError> {
        match value.kind {
            Kind::Integer(_) | Kind::Float(_) => match f64::from_value(value)? {
                constant if narrow(constant).is_finite() => Ok(Self::Constant(constant)),
                _ => Err(value.expected("a number up to 3.4e38, the largest of 32 bits")),
            },
            _ => Scheme::from_value(value)
                .map(Self::Scheme)
                .map_err(|error| error.also("or a number, the value of every element")),
        }
    }
}

impl serde::Serialize for Initializer {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Scheme(scheme) => scheme.serialize(serializer),
            Self::Constant(value) => serializer.serialize_f64(*value),
        }
    }
}
