use kiln_config::{ConfigError, FromValue, Kind, Value};
use rand_core::Rng;

kiln_config::keywords! {
    /// How a parameter gets its first values, by Keras' names.
    pub enum Scheme {
        /// Uniform within ±√(6 / (fan_in + fan_out)) (Glorot and Bengio 2010).
        GlorotUniform = "glorot_uniform",
        /// Truncated normal of variance 2 / (fan_in + fan_out).
        GlorotNormal = "glorot_normal",
        /// Uniform within ±√(6 / fan_in) (He et al. 2015).
        HeUniform = "he_uniform",
        /// Truncated normal of variance 2 / fan_in.
        HeNormal = "he_normal",
        /// Uniform within ±√(3 / fan_in) (LeCun et al. 1998).
        LecunUniform = "lecun_uniform",
        /// Truncated normal of variance 1 / fan_in.
        LecunNormal = "lecun_normal",
        /// All 0.
        Zeros = "zeros",
        /// All 1.
        Ones = "ones",
    }
}

/// The standard deviation of a normal distribution cut at two of its own, so that dividing by it
/// gives the cut one the variance that was asked for.
const TRUNCATED_DEVIATION: f64 = 0.879_625_661_034_239_8;

/// A scheme by name, or a number that every value starts with: `bias_initializer = 0.1`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Initializer {
    /// One of the named schemes.
    Scheme(Scheme),
    /// This number, everywhere.
    Constant(f64),
}

impl Initializer {
    /// Keras' default for kernels.
    pub const GLOROT_UNIFORM: Self = Self::Scheme(Scheme::GlorotUniform);
    /// Keras' default for biases.
    pub const ZEROS: Self = Self::Scheme(Scheme::Zeros);
    /// Keras' default for the scale of a normalisation.
    pub const ONES: Self = Self::Scheme(Scheme::Ones);

    /// Draws `count` values for a parameter with these fans.
    #[must_use]
    pub fn draw(self, count: usize, fan_in: usize, fan_out: usize, rng: &mut impl Rng) -> Vec<f32> {
        #[expect(clippy::cast_precision_loss, reason = "fans are far below 2^53")]
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
        let normal = matches!(
            self,
            Self::Scheme(Scheme::GlorotNormal | Scheme::HeNormal | Scheme::LecunNormal)
        );
        if normal {
            let deviation = variance.sqrt() / TRUNCATED_DEVIATION;
            (0..count).map(|_| narrow(deviation * truncated_normal(rng))).collect()
        } else {
            let limit = (3.0 * variance).sqrt();
            (0..count).map(|_| narrow(limit * (2.0 * unit(rng) - 1.0))).collect()
        }
    }
}

/// Uniform in [0, 1), from the upper 53 bits: our own, so that no release of a library can change
/// the weights that a seed stands for.
#[expect(clippy::cast_precision_loss, reason = "53 bits fit exactly")]
fn unit(rng: &mut impl Rng) -> f64 {
    (rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
}

/// Standard normal by Box and Muller's transform, drawn again outside ±2.
fn truncated_normal(rng: &mut impl Rng) -> f64 {
    loop {
        let radius = (-2.0 * (1.0 - unit(rng)).ln()).sqrt();
        let value = radius * (std::f64::consts::TAU * unit(rng)).cos();
        if value.abs() <= 2.0 {
            return value;
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "weights are f32; rounding is meant")]
fn narrow(value: f64) -> f32 {
    value as f32
}

impl FromValue for Initializer {
    fn from_value(value: &Value) -> Result<Self, ConfigError> {
        match value.kind {
            Kind::Integer(_) | Kind::Float(_) => match f64::from_value(value)? {
                constant if narrow(constant).is_finite() => Ok(Self::Constant(constant)),
                _ => Err(value.expected("a number that fits 32 bits, up to 3.4e38")),
            },
            _ => Scheme::from_value(value)
                .map(Self::Scheme)
                .map_err(|error| error.help("a number makes every value that number")),
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
