use kiln_config::{ConfigError, FromValue, Kind, Value};
use rand_core::Rng;

use crate::layers::ParameterSpec;

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
        /// Normal with standard deviation 0.05, truncated at two standard deviations.
        TruncatedNormal = "truncated_normal",
        /// A random matrix with orthogonal rows or columns of length 1, whichever are fewer (Saxe et al. 2014). A kernel of a
        /// convolution is a matrix with one row for each filter, as in PyTorch.
        Orthogonal = "orthogonal",
        /// The identity: a convolution copies its first channels, as PyTorch's `dirac_`. Each group copies its own.
        Dirac = "dirac",
        /// All values are 0.
        Zeros = "zeros",
        /// All values are 1.
        Ones = "ones",
    }
}

/// The standard deviation of the standard normal distribution truncated at ±2. Dividing by it gives
/// the truncated distribution the requested variance.
const TRUNCATED_DEVIATION: f64 = 0.879_625_661_034_239_8;

/// The standard deviation of `truncated_normal` before the truncation, as in Keras.
const DEVIATION: f64 = 0.05;

/// Limit for the multiplications of `orthogonal`: some minutes.
const MAX_ORTHOGONAL: f64 = 1e11;

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

    /// Whether the initializer can draw this parameter.
    ///
    /// # Errors
    ///
    /// The message says why not, and which initializer can.
    pub(crate) fn check(self, parameter: &ParameterSpec) -> Result<(), String> {
        let Self::Scheme(scheme @ (Scheme::Dirac | Scheme::Orthogonal)) = self else {
            return Ok(());
        };
        let ParameterSpec { name, shape, .. } = parameter;
        if shape.len() < 2 {
            return Err(format!(
                "the initializer \"{scheme}\" is for kernels, not for a {name}; use \"zeros\""
            ));
        }
        if scheme == Scheme::Dirac && shape.len() != 4 {
            return Err(format!(
                "the initializer \"{scheme}\" is for the kernels of convolutions, but this {name} is a matrix of {}×{}; \
                 use \"orthogonal\"",
                shape[0], shape[1]
            ));
        }
        let (vectors, length) = orthogonal_vectors(parameter);
        #[expect(clippy::cast_precision_loss, reason = "compared with a rough limit")]
        let multiplications = vectors as f64 * vectors as f64 * length as f64;
        if scheme == Scheme::Orthogonal && multiplications > MAX_ORTHOGONAL {
            return Err(format!(
                "the initializer \"{scheme}\" would take too long for a {name} of {} values; use \"he_normal\"",
                parameter.len()
            ));
        }
        Ok(())
    }

    /// Draws the values of a parameter, row-major.
    #[must_use]
    pub fn draw(self, parameter: &ParameterSpec, rng: &mut impl Rng) -> Vec<f32> {
        let count = parameter.len();
        #[expect(clippy::cast_precision_loss, reason = "fans are far below 2^53")]
        // At least 1, to avoid a division by zero.
        let (fan_in, fan_out) = (parameter.fan_in.max(1) as f64, parameter.fan_out as f64);
        let mean_fan = f64::midpoint(fan_in, fan_out);
        let variance = match self {
            Self::Constant(value) => return vec![narrow(value); count],
            Self::Scheme(Scheme::Zeros) => return vec![0.0; count],
            Self::Scheme(Scheme::Ones) => return vec![1.0; count],
            Self::Scheme(Scheme::Dirac) => return dirac(parameter),
            Self::Scheme(Scheme::Orthogonal) => return orthogonal(parameter, rng),
            Self::Scheme(Scheme::TruncatedNormal) => {
                return (0..count).map(|_| narrow(DEVIATION * truncated_normal(rng))).collect();
            }
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

/// A number from the standard normal distribution, by the transform of Box and Muller.
fn normal(rng: &mut impl Rng) -> f64 {
    // `1 − uniform` is in (0, 1], so the logarithm is finite.
    let radius = (-2.0 * libm::log(1.0 - uniform(rng))).sqrt();
    radius * libm::cos(std::f64::consts::TAU * uniform(rng))
}

/// A number from the standard normal distribution truncated at ±2. Values outside are drawn again.
fn truncated_normal(rng: &mut impl Rng) -> f64 {
    loop {
        let value = normal(rng);
        if value.abs() <= 2.0 {
            return value;
        }
    }
}

/// `[out, in / groups, height, width]`: for each group, 1 in the middle of the kernels from its n-th channel to its n-th
/// output.
fn dirac(parameter: &ParameterSpec) -> Vec<f32> {
    let mut values = vec![0.0; parameter.len()];
    if let [outputs, channels, height, width] = parameter.shape[..] {
        let group = outputs / parameter.groups.max(1);
        for output in 0..outputs {
            let channel = output % group.max(1);
            if channel < channels {
                let kernel = (output * channels + channel) * height * width;
                values[kernel + height / 2 * width + width / 2] = 1.0;
            }
        }
    }
    values
}

/// The matrix of a parameter has `rows` rows, its first dimension, or columns: the smaller number is the number of
/// orthogonal vectors, the larger one is their length.
fn orthogonal_vectors(parameter: &ParameterSpec) -> (usize, usize) {
    let rows = parameter.shape.first().copied().unwrap_or(1);
    let columns = parameter.len() / rows.max(1);
    (rows.min(columns), rows.max(columns))
}

/// Draws normally distributed vectors and makes them orthonormal one after the other, in `f64` (the modified method of Gram
/// and Schmidt). The result is the Q of a QR decomposition whose R has a positive diagonal, so it is uniformly distributed
/// over all such matrices (Mezzadri 2007).
fn orthogonal(parameter: &ParameterSpec, rng: &mut impl Rng) -> Vec<f32> {
    let (count, length) = orthogonal_vectors(parameter);
    let mut vectors: Vec<f64> = (0..count * length).map(|_| normal(rng)).collect();
    let mut rest = vectors.as_mut_slice();
    while let Some((vector, others)) = rest.split_at_mut_checked(length).filter(|_| length > 0) {
        let norm = dot(vector, vector).sqrt().max(f64::MIN_POSITIVE);
        vector.iter_mut().for_each(|value| *value /= norm);
        for other in others.chunks_exact_mut(length) {
            let projection = dot(vector, other);
            for (other, value) in other.iter_mut().zip(&*vector) {
                *other -= projection * value;
            }
        }
        rest = others;
    }
    if parameter.shape.first() == Some(&count) {
        return vectors.into_iter().map(narrow).collect();
    }
    // The vectors are the columns.
    let rows = 0..length;
    rows.flat_map(|row| vectors.iter().skip(row).step_by(length)).copied().map(narrow).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
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
