//! Converts the bytes of images to the numbers that a network is trained on.

use serde::{Deserialize, Serialize};

use crate::{DataError, LabeledImages, Normalize};

impl Normalize {
    /// Computes the statistics that the method needs; `unit` and `none` need none.
    ///
    /// The statistics are of the raw bytes (0 to 255) of `rows` only, so that validation rows do not
    /// leak into training. The standard deviation is that of the population (divided by n), as in
    /// Keras' `Normalization` and scikit-learn's `StandardScaler`.
    ///
    /// Standard deviations per pixel and per channel are at least a tenth of their root mean square, the deviation within
    /// a typical pixel or channel. A pixel that is almost always black would otherwise turn a single bright value into
    /// an input of hundreds. As in scikit-learn, 1 replaces a standard deviation of zero, which is left only if all bytes
    /// of a pixel, or of all images for `standardize`, are the same.
    ///
    /// # Errors
    ///
    /// The method needs statistics, and `rows` is empty.
    ///
    /// # Panics
    ///
    /// A row does not exist.
    pub fn fit(self, images: &LabeledImages, rows: &[u32]) -> Result<Normalizer, DataError> {
        let parameters = match self {
            Self::Unit => NormalizerParameters::Unit,
            Self::None => NormalizerParameters::None,
            _ if rows.is_empty() => return Err(DataError::NothingToFit),
            Self::Standardize => {
                let all = Moments::of_all(&Moments::of_each_pixel(images, rows));
                let standard_deviation = not_zero(all.standard_deviation());
                NormalizerParameters::Standardize { mean: all.mean(), standard_deviation }
            }
            Self::StandardizePerChannel => {
                let pixels = images.shape.height * images.shape.width;
                let moments = Moments::of_each_pixel(images, rows);
                let channels: Vec<Moments> =
                    moments.chunks(pixels.max(1)).map(Moments::of_all).collect();
                NormalizerParameters::StandardizePerChannel {
                    pixels,
                    mean: channels.iter().map(Moments::mean).collect(),
                    standard_deviation: with_floor(&channels),
                }
            }
            Self::StandardizePerPixel => {
                let moments = Moments::of_each_pixel(images, rows);
                NormalizerParameters::StandardizePerPixel {
                    mean: moments.iter().map(Moments::mean).collect(),
                    standard_deviation: with_floor(&moments),
                }
            }
        };
        Normalizer::try_from(parameters)
    }
}

/// The lowest standard deviation of a pixel or a channel, as a share of their root mean square. With a typical deviation
/// of 80 of the 255 levels, no input is more than 32 deviations from the mean.
const FLOOR: f64 = 0.1;

/// The standard deviations, at least [`FLOOR`] of their root mean square.
fn with_floor(moments: &[Moments]) -> Vec<f64> {
    let deviations = moments.iter().map(Moments::standard_deviation);
    let squares: f64 = deviations.clone().map(|deviation| deviation * deviation).sum();
    let floor = FLOOR * (squares / moments.len() as f64).sqrt();
    deviations.map(|deviation| not_zero(deviation.max(floor))).collect()
}

fn not_zero(deviation: f64) -> f64 {
    if deviation == 0.0 { 1.0 } else { deviation }
}

/// The count, sum and sum of squares of some bytes. Integers are exact, so the order of the rows does
/// not matter.
#[derive(Clone, Default)]
struct Moments {
    count: u64,
    sum: u64,
    sum_of_squares: u64,
}

impl Moments {
    fn of_each_pixel(images: &LabeledImages, rows: &[u32]) -> Vec<Self> {
        let mut moments = vec![Self::default(); images.shape.values()];
        for &row in rows {
            for (pixel, &byte) in moments.iter_mut().zip(images.image(row as usize)) {
                pixel.sum += u64::from(byte);
                pixel.sum_of_squares += u64::from(byte) * u64::from(byte);
            }
        }
        for pixel in &mut moments {
            pixel.count = rows.len() as u64;
        }
        moments
    }

    /// The sums of pixels are exact, so adding them is the same as summing all bytes.
    fn of_all(moments: &[Self]) -> Self {
        moments.iter().fold(Self::default(), |all, pixel| Self {
            count: all.count + pixel.count,
            sum: all.sum + pixel.sum,
            sum_of_squares: all.sum_of_squares + pixel.sum_of_squares,
        })
    }

    fn mean(&self) -> f64 {
        self.sum as f64 / self.count as f64
    }

    /// √(mean of x² − (mean of x)²). Subtracting integers avoids the cancellation of floating-point numbers.
    fn standard_deviation(&self) -> f64 {
        let (count, sum) = (u128::from(self.count), u128::from(self.sum));
        let squares = count * u128::from(self.sum_of_squares) - sum * sum;
        (squares as f64).sqrt() / self.count as f64
    }
}

/// The method and statistics of a [`Normalizer`], in the stored form.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum NormalizerParameters {
    /// x / 255.
    Unit,
    /// x.
    None,
    /// (x − mean) / standard deviation.
    Standardize {
        /// In the range 0 to 255.
        mean: f64,
        /// Above 0.
        standard_deviation: f64,
    },
    /// (x − mean) / standard deviation, both separately for each channel.
    StandardizePerChannel {
        /// The number of pixels of a channel.
        pixels: usize,
        /// `[channels]`, each in the range 0 to 255.
        mean: Vec<f64>,
        /// `[channels]`, each above 0.
        standard_deviation: Vec<f64>,
    },
    /// (x − mean) / standard deviation, both separately for each pixel.
    StandardizePerPixel {
        /// `[channels × height × width]`, each in the range 0 to 255.
        mean: Vec<f64>,
        /// `[channels × height × width]`, each above 0.
        standard_deviation: Vec<f64>,
    },
}

impl NormalizerParameters {
    /// The method.
    #[must_use]
    pub fn method(&self) -> Normalize {
        match self {
            Self::Unit => Normalize::Unit,
            Self::None => Normalize::None,
            Self::Standardize { .. } => Normalize::Standardize,
            Self::StandardizePerChannel { .. } => Normalize::StandardizePerChannel,
            Self::StandardizePerPixel { .. } => Normalize::StandardizePerPixel,
        }
    }
}

/// A fitted normalization, applied to all images of a run: training, validation, test and prediction.
/// Serializes as [`NormalizerParameters`]; deserializing checks them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "NormalizerParameters", into = "NormalizerParameters")]
pub struct Normalizer {
    parameters: NormalizerParameters,
    mapping: Mapping,
}

/// The computation in `f32`, in the fastest form for each method.
#[derive(Debug, Clone, PartialEq)]
enum Mapping {
    /// x × high + x × low. The factor is split so that the first product is exact and only the sum
    /// is rounded. Unlike a table, this form uses vector instructions.
    Scale { high: f32, low: f32 },
    /// The same for all pixels.
    Table(Table),
    /// A table for each channel of this number of pixels.
    PerChannel { pixels: usize, channels: Vec<Table> },
    /// (x − mean) × reciprocal, separately for each pixel.
    PerPixel { mean: Vec<f32>, reciprocal: Vec<f32> },
}

/// (x − mean) / standard deviation.
#[derive(Debug, Clone, PartialEq)]
struct Table {
    /// The result for each byte, computed in `f64`.
    of_byte: Box<[f32; 256]>,
    /// For values that are not whole numbers: (x − mean) × reciprocal.
    mean: f32,
    reciprocal: f32,
}

impl Table {
    fn new(mean: f64, standard_deviation: f64) -> Self {
        // One division in `f64` per byte value instead of one in `f32` per pixel.
        let of_byte = |byte| ((byte as f64 - mean) / standard_deviation) as f32;
        Self {
            of_byte: Box::new(std::array::from_fn(of_byte)),
            mean: mean as f32,
            reciprocal: (1.0 / standard_deviation) as f32,
        }
    }

    fn normalize(&self, pixels: &[u8], normalized: &mut [f32]) {
        for (number, &byte) in normalized.iter_mut().zip(pixels) {
            *number = self.of_byte[usize::from(byte)];
        }
    }

    /// By the formula of [`normalize_in_place`](Self::normalize_in_place), which differs from the table in the last digit.
    fn normalize_transformed(&self, pixels: &[u8], normalized: &mut [f32]) {
        for (number, &byte) in normalized.iter_mut().zip(pixels) {
            *number = (f32::from(byte) - self.mean) * self.reciprocal;
        }
    }

    fn normalize_in_place(&self, pixels: &mut [f32]) {
        for pixel in pixels {
            *pixel = (*pixel - self.mean) * self.reciprocal;
        }
    }
}

impl Normalizer {
    /// The method and its statistics.
    #[must_use]
    pub fn parameters(&self) -> &NormalizerParameters {
        &self.parameters
    }

    /// Checks that the normalizer fits images of `values` values, because a stored one may have been
    /// fitted on images of another size.
    ///
    /// # Errors
    ///
    /// The normalizer has statistics per pixel or per channel, for another number of them.
    pub fn check_size(&self, values: usize) -> Result<(), DataError> {
        let fitted = match &self.mapping {
            Mapping::PerPixel { mean, .. } => mean.len(),
            Mapping::PerChannel { pixels, channels } => pixels.saturating_mul(channels.len()),
            Mapping::Scale { .. } | Mapping::Table(_) => return Ok(()),
        };
        if fitted == values {
            Ok(())
        } else {
            Err(DataError::NormalizerSize { fitted, found: values })
        }
    }

    /// Normalizes one or several consecutive images.
    ///
    /// # Panics
    ///
    /// The slices differ in length, or [`check_size`](Self::check_size) fails for the images.
    pub fn normalize(&self, pixels: &[u8], normalized: &mut [f32]) {
        assert_eq!(pixels.len(), normalized.len(), "one number for each pixel");
        match &self.mapping {
            Mapping::Scale { high, low } => {
                for (number, &byte) in normalized.iter_mut().zip(pixels) {
                    let byte = f32::from(byte);
                    *number = byte * high + byte * low;
                }
            }
            Mapping::Table(table) => table.normalize(pixels, normalized),
            Mapping::PerChannel { pixels: size, channels } => {
                assert_eq!(pixels.len() % (size * channels.len()), 0, "complete images");
                let planes = pixels.chunks_exact(*size).zip(normalized.chunks_exact_mut(*size));
                for ((plane, normalized), channel) in planes.zip(channels.iter().cycle()) {
                    channel.normalize(plane, normalized);
                }
            }
            Mapping::PerPixel { mean, reciprocal } => {
                assert_eq!(pixels.len() % mean.len(), 0, "complete images");
                let images = pixels.chunks_exact(mean.len());
                for (image, normalized) in images.zip(normalized.chunks_exact_mut(mean.len())) {
                    let parameters = mean.iter().zip(reciprocal);
                    for ((number, &byte), (mean, reciprocal)) in
                        normalized.iter_mut().zip(image).zip(parameters)
                    {
                        *number = (f32::from(byte) - mean) * reciprocal;
                    }
                }
            }
        }
    }

    /// Gives the same numbers as [`normalize_in_place`](Self::normalize_in_place), so that a transformed image has the same
    /// values whether or not its transforms work on bytes.
    ///
    /// # Panics
    ///
    /// Those of [`normalize`](Self::normalize).
    pub(crate) fn normalize_transformed(&self, pixels: &[u8], normalized: &mut [f32]) {
        match &self.mapping {
            Mapping::Scale { .. } | Mapping::PerPixel { .. } => self.normalize(pixels, normalized),
            Mapping::Table(table) => table.normalize_transformed(pixels, normalized),
            Mapping::PerChannel { pixels: size, channels } => {
                let planes = pixels.chunks_exact(*size).zip(normalized.chunks_exact_mut(*size));
                for ((plane, normalized), channel) in planes.zip(channels.iter().cycle()) {
                    channel.normalize_transformed(plane, normalized);
                }
            }
        }
    }

    /// Normalizes one or several consecutive images of values from 0 to 255 that need not be whole numbers.
    ///
    /// # Panics
    ///
    /// [`check_size`](Self::check_size) fails for the images.
    pub(crate) fn normalize_in_place(&self, pixels: &mut [f32]) {
        match &self.mapping {
            Mapping::Scale { high, low } => {
                for pixel in pixels {
                    *pixel = *pixel * high + *pixel * low;
                }
            }
            Mapping::Table(table) => table.normalize_in_place(pixels),
            Mapping::PerChannel { pixels: size, channels } => {
                for (plane, channel) in pixels.chunks_exact_mut(*size).zip(channels.iter().cycle())
                {
                    channel.normalize_in_place(plane);
                }
            }
            Mapping::PerPixel { mean, reciprocal } => {
                for image in pixels.chunks_exact_mut(mean.len()) {
                    let parameters = mean.iter().zip(reciprocal);
                    for (pixel, (mean, reciprocal)) in image.iter_mut().zip(parameters) {
                        *pixel = (*pixel - mean) * reciprocal;
                    }
                }
            }
        }
    }
}

impl TryFrom<NormalizerParameters> for Normalizer {
    type Error = DataError;

    fn try_from(parameters: NormalizerParameters) -> Result<Self, DataError> {
        let mapping = match &parameters {
            NormalizerParameters::Unit => scale(1.0 / 255.0),
            NormalizerParameters::None => scale(1.0),
            NormalizerParameters::Standardize { mean, standard_deviation } => {
                check(&[*mean], &[*standard_deviation])?;
                Mapping::Table(Table::new(*mean, *standard_deviation))
            }
            NormalizerParameters::StandardizePerChannel { pixels, mean, standard_deviation } => {
                check(mean, standard_deviation)?;
                if *pixels == 0 {
                    let problem = "its channels have no pixels";
                    return Err(DataError::InvalidNormalizer { problem });
                }
                let channels = mean.iter().zip(standard_deviation);
                let channels =
                    channels.map(|(mean, deviation)| Table::new(*mean, *deviation)).collect();
                Mapping::PerChannel { pixels: *pixels, channels }
            }
            NormalizerParameters::StandardizePerPixel { mean, standard_deviation } => {
                check(mean, standard_deviation)?;
                Mapping::PerPixel {
                    mean: mean.iter().map(|&mean| mean as f32).collect(),
                    reciprocal: standard_deviation.iter().map(|&d| (1.0 / d) as f32).collect(),
                }
            }
        };
        Ok(Self { parameters, mapping })
    }
}

impl From<Normalizer> for NormalizerParameters {
    fn from(normalizer: Normalizer) -> Self {
        normalizer.parameters
    }
}

fn scale(factor: f64) -> Mapping {
    // An f32 has 24 significant bits and a byte 8. With 16 bits for `high`, the product of both is
    // exact.
    let high = f32::from_bits((factor as f32).to_bits() & !0xff);
    Mapping::Scale { high, low: (factor - f64::from(high)) as f32 }
}

fn check(mean: &[f64], standard_deviation: &[f64]) -> Result<(), DataError> {
    // The reciprocal must be a finite `f32`, too.
    let is_valid = |deviation: &f64| {
        let reciprocal = (1.0 / deviation) as f32;
        reciprocal.is_finite() && reciprocal > 0.0
    };
    let problem = if mean.is_empty() {
        "it has no statistics"
    } else if mean.len() != standard_deviation.len() {
        "the numbers of means and standard deviations differ"
    } else if !mean.iter().all(|mean| (0.0..=255.0).contains(mean)) {
        "a mean is not between 0 and 255"
    } else if !standard_deviation.iter().all(is_valid) {
        "a standard deviation is not above 0"
    } else {
        return Ok(());
    };
    Err(DataError::InvalidNormalizer { problem })
}
