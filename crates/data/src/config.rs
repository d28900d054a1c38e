//! The experiment's `[data]` table.

use std::fmt;
use std::path::Path;

use kiln_config::{ConfigError, FromValue, Kind, Table, Value, keywords};
use serde::{Serialize, Serializer};

use crate::cache::default_progress;
use crate::source::Source;
use crate::{DataError, Dataset, FormatName, Group, ImageShape, LoadProgress, SplitError};

/// The `[data]` table: the dataset, how its images are read, its split, and its normalization.
/// Serializes to the same keys, without those that have their default, so that a new key does not change existing
/// experiments.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DataConfig {
    /// A listed dataset, a directory or a file; see [`load`](crate::load).
    pub source: String,
    /// The format of the source. Default: detected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<FormatName>,
    /// The size of the images for the network. Default: that of the images, which must then be the same for all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageSize>,
    /// 1 for gray images, 3 for RGB. Default: 3 if any image has color.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channels: Option<Channels>,
    /// How images of another size are brought to `image`. Default: `stretch`.
    #[serde(skip_serializing_if = "is_default")]
    pub resize: Resize,
    /// The color behind transparent pixels, and of the border that `resize = "pad"` adds. Default: black.
    #[serde(skip_serializing_if = "is_default")]
    pub background: Background,
    /// The treatment of images that cannot be read. Default: `error`.
    #[serde(skip_serializing_if = "is_default")]
    pub broken: Broken,
    /// The name of the column, array or kind of labels. Default: depends on the format.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<String>,
    /// The order of the axes of arrays of pixels. Default: detected if there is only one possibility.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layout: Option<Layout>,
    /// How many of the training images are used for validation. Default: those of the source, if it has some, else 0.
    pub validation: SplitSize,
    /// How many of the training images are used for testing. Default: 0; the source must then have test images of its own.
    #[serde(skip_serializing_if = "is_default")]
    pub test: SplitSize,
    /// How the validation and test rows are chosen. Default: `head`.
    pub split: SplitMethod,
    /// The seed of the split. Default: the seed of the experiment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub split_seed: Option<u64>,
    /// Images of which it finds the same group in the file name are never split. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<Group>,
    /// How pixels are normalized. Default: `unit`.
    pub normalize: Normalize,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl DataConfig {
    /// The dataset `source`, with the default of every other key.
    #[must_use]
    pub fn new(source: impl Into<String>) -> Self {
        Self {
            source: source.into(),
            format: None,
            image: None,
            channels: None,
            resize: Resize::default(),
            background: Background::default(),
            broken: Broken::default(),
            labels: None,
            layout: None,
            validation: SplitSize::default(),
            test: SplitSize::default(),
            split: SplitMethod::Head,
            split_seed: None,
            group: None,
            normalize: Normalize::Unit,
        }
    }

    /// A table that has every key when it is written. Its values are examples.
    #[must_use]
    pub fn with_every_key() -> Self {
        Self {
            format: Some(FormatName::Folder),
            image: Some(ImageSize { height: 64, width: 64 }),
            channels: Some(Channels::Rgb),
            resize: Resize::Crop,
            background: Background([255; 3]),
            broken: Broken::Skip,
            labels: Some("label".to_owned()),
            layout: Some(Layout::Nhwc),
            test: SplitSize::Fraction(0.1),
            split: SplitMethod::Stratified,
            split_seed: Some(1),
            group: "^(patient[0-9]+)_".parse().ok(),
            ..Self::new("images")
        }
    }

    /// Reads the table.
    ///
    /// # Errors
    ///
    /// `source` is missing, a value has the wrong type or is out of range, or `group` is used with `split = "head"`.
    pub fn read(table: &mut Table<'_>) -> Result<Self, ConfigError> {
        let split = table.default("split", SplitMethod::Head)?;
        if let Some(group) = table.value("group").filter(|_| split == SplitMethod::Head) {
            return Err(group.error(DataError::Split(SplitError::GroupOfHead).to_string()));
        }
        Ok(Self {
            source: table.required("source")?,
            format: table.optional("format")?,
            image: table.optional("image")?,
            channels: table.optional("channels")?,
            resize: table.default("resize", Resize::default())?,
            background: table.default("background", Background::default())?,
            broken: table.default("broken", Broken::default())?,
            labels: table.optional("labels")?,
            layout: table.optional("layout")?,
            validation: table.default("validation", SplitSize::default())?,
            test: table.default("test", SplitSize::default())?,
            split,
            split_seed: table.optional("split_seed")?,
            group: table.optional("group")?,
            normalize: table.default("normalize", Normalize::Unit)?,
        })
    }

    /// A text that is the same for tables that read the same images in the same way, however they split and normalize
    /// them.
    #[must_use]
    pub fn reading(&self) -> String {
        let Self {
            source,
            format,
            image,
            channels,
            resize,
            background,
            broken,
            labels,
            layout,
            ..
        } = self;
        format!(
            "{source:?} {format:?} {image:?} {channels:?} {resize} {background:?} {broken} {labels:?} {layout:?}"
        )
    }

    /// The shape of the images for the network, if those of the source have `shape`.
    #[must_use]
    pub fn shape_of(&self, shape: ImageShape) -> ImageShape {
        crate::source_images::wanted_shape(shape, self)
    }

    /// Reads the dataset. Relative sources are searched in the current directory, then in `data_directory`.
    ///
    /// # Errors
    ///
    /// The source does not exist; a file is missing, damaged or not the published one; or the files do
    /// not fit together.
    pub fn load(&self, data_directory: &Path) -> Result<Dataset, DataError> {
        self.load_with(data_directory, default_progress())
    }

    /// Like [`load`](Self::load), and reports the progress if images must be decoded. The decoded images are kept in
    /// the directory `.cache` of `data_directory`.
    ///
    /// # Errors
    ///
    /// Those of [`load`](Self::load).
    pub fn load_with(
        &self,
        data_directory: &Path,
        progress: &dyn LoadProgress,
    ) -> Result<Dataset, DataError> {
        Source::resolve(self, data_directory)?.load(progress)
    }
}

/// The images of a part. In TOML, an integer is a number of rows, a float is a fraction, and `"source"` are the rows that
/// the source provides.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum SplitSize {
    /// A number of rows.
    Rows(usize),
    /// A fraction of the rows: 0 ≤ fraction < 1.
    Fraction(f64),
    /// The rows that the source provides for the part.
    Source,
}

impl Default for SplitSize {
    fn default() -> Self {
        Self::Rows(0)
    }
}

impl FromValue for SplitSize {
    fn from_value(value: &Value) -> Result<Self, ConfigError> {
        match value.kind {
            Kind::Integer(_) => usize::from_value(value).map(Self::Rows),
            // A fraction above 0 that rounds to zero rows is an error later, but 0.0 is valid.
            Kind::Float(0.0) => Ok(Self::Rows(0)),
            Kind::Float(fraction) if (0.0..1.0).contains(&fraction) => Ok(Self::Fraction(fraction)),
            Kind::String(ref text) if text == "source" => Ok(Self::Source),
            _ => Err(value.expected("a number of rows, or a fraction from 0.0 to below 1.0")),
        }
    }
}

impl fmt::Display for SplitSize {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rows(rows) => rows.fmt(formatter),
            // Debug formatting keeps the decimal point that marks a fraction in TOML.
            Self::Fraction(fraction) => write!(formatter, "{fraction:?}"),
            Self::Source => formatter.write_str("\"source\""),
        }
    }
}

impl Serialize for SplitSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Rows(rows) => rows.serialize(serializer),
            Self::Fraction(fraction) => fraction.serialize(serializer),
            Self::Source => serializer.serialize_str("source"),
        }
    }
}

/// The size of the images for the network, in pixels. In TOML, `[height, width]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ImageSize {
    /// The number of rows of pixels.
    pub height: usize,
    /// The number of pixels in a row.
    pub width: usize,
}

impl ImageSize {
    /// Limit for height and width. Networks for larger images do not fit in memory.
    pub const MAX: usize = 4_096;
}

impl FromValue for ImageSize {
    fn from_value(value: &Value) -> Result<Self, ConfigError> {
        let expected =
            || value.expected(&format!("[height, width] in pixels, each from 1 to {}", Self::MAX));
        let [height, width] = value.items().map_err(|_| expected())? else {
            return Err(expected());
        };
        let size = |value: &Value| usize::from_value(value).map_err(|_| expected());
        let (height, width) = (size(height)?, size(width)?);
        let valid = 1..=Self::MAX;
        if !valid.contains(&height) || !valid.contains(&width) {
            return Err(expected());
        }
        Ok(Self { height, width })
    }
}

impl Serialize for ImageSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        [self.height, self.width].serialize(serializer)
    }
}

/// The channels of the images for the network. In TOML, 1 or 3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Channels {
    /// One channel.
    Gray,
    /// Red, green and blue.
    Rgb,
}

impl Channels {
    /// 1 or 3.
    #[must_use]
    pub const fn count(self) -> usize {
        match self {
            Self::Gray => 1,
            Self::Rgb => 3,
        }
    }
}

impl FromValue for Channels {
    fn from_value(value: &Value) -> Result<Self, ConfigError> {
        match value.kind {
            Kind::Integer(1) => Ok(Self::Gray),
            Kind::Integer(3) => Ok(Self::Rgb),
            _ => Err(value.expected("1 (gray) or 3 (RGB)")),
        }
    }
}

impl Serialize for Channels {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.count().serialize(serializer)
    }
}

/// A color: red, green and blue. In TOML, a list of three numbers from 0 to 255, or one such number for a gray.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize)]
pub struct Background(pub [u8; 3]);

impl FromValue for Background {
    fn from_value(value: &Value) -> Result<Self, ConfigError> {
        let expected =
            || value.expected("a number from 0 (black) to 255 (white), or a list of three");
        let part = |value: &Value| {
            let number = usize::from_value(value).ok().and_then(|number| u8::try_from(number).ok());
            number.ok_or_else(expected)
        };
        match &value.kind {
            Kind::Array(items) => match items.as_slice() {
                [red, green, blue] => Ok(Self([part(red)?, part(green)?, part(blue)?])),
                _ => Err(expected()),
            },
            _ => part(value).map(|gray| Self([gray; 3])),
        }
    }
}

keywords! {
    /// How an image is brought to another size. All of them use a triangle filter whose width grows with the reduction,
    /// so that no detail is aliased.
    #[derive(Default, ::serde::Deserialize)]
    #[serde(rename_all = "snake_case")]
    pub enum Resize as "way of resizing" {
        /// Changes the aspect ratio.
        #[default]
        Stretch = "stretch",
        /// Keeps the aspect ratio and cuts off what is too long, equally on both sides.
        Crop = "crop",
        /// Keeps the aspect ratio and fills what is too short with the background, equally on both sides.
        Pad = "pad",
    }
}

keywords! {
    /// The treatment of images that cannot be read.
    #[derive(Default)]
    pub enum Broken as "treatment of broken images" {
        /// Do not train.
        #[default]
        Error = "error",
        /// Train without them, and record them.
        Skip = "skip",
    }
}

keywords! {
    /// The order of the axes of arrays of pixels.
    pub enum Layout as "layout" {
        /// Images, height, width.
        Nhw = "nhw",
        /// Images, height, width, channels: the order of Keras.
        Nhwc = "nhwc",
        /// Images, channels, height, width: the order of PyTorch.
        Nchw = "nchw",
    }
}

keywords! {
    /// How the validation and test rows are chosen from the training images.
    pub enum SplitMethod as "split" {
        /// The first rows.
        Head = "head",
        /// Rows drawn at random.
        Shuffled = "shuffled",
        /// Rows drawn at random from each class, in proportion to its size.
        Stratified = "stratified",
    }
}

keywords! {
    /// A method of normalizing pixels. [`fit()`](Self::fit) turns it into a
    /// [`Normalizer`](crate::Normalizer), which can normalize images.
    pub enum Normalize as "normalization" {
        /// x / 255, in the range 0 to 1.
        Unit = "unit",
        /// (x − mean) / standard deviation, both over all pixels of the training rows.
        Standardize = "standardize",
        /// (x − mean) / standard deviation, both separately for each channel.
        StandardizePerChannel = "standardize_per_channel",
        /// (x − mean) / standard deviation, both separately for each pixel.
        StandardizePerPixel = "standardize_per_pixel",
        /// x unchanged, in the range 0 to 255.
        None = "none",
    }
}
