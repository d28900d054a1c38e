//! The augmentation of training images: the `[[augment]]` tables of an experiment. Each file has a transform's keys and its
//! computation.
//!
//! Transforms work on `f32` from 0 to 255, `[channels, height, width]`, before normalization.
//!
//! To add a transform: write its file, declare the module, and add an entry to the list below.

mod canvas;
mod color;
pub(crate) mod cut_mix;
mod draws;
mod epoch;
pub(crate) mod mix_up;
pub(crate) mod rand_augment;
pub(crate) mod random_brightness;
pub(crate) mod random_contrast;
pub(crate) mod random_crop;
pub(crate) mod random_erasing;
pub(crate) mod random_flip;
pub(crate) mod random_grayscale;
pub(crate) mod random_hue;
pub(crate) mod random_resized_crop;
pub(crate) mod random_rotation;
pub(crate) mod random_saturation;
pub(crate) mod random_translation;
pub(crate) mod random_zoom;
mod range;
#[cfg(test)]
mod tests;

use kiln_config::{ConfigError, FromValue, Kind, Table, Value, nearest};
use serde::Serialize;

use crate::ImageShape;

use canvas::Canvas;
use draws::Draws;

pub use epoch::{EpochAugmenter, gather_augmented};

transforms! {
    images {
    /// Mirrors images.
    RandomFlip = "random_flip", random_flip;
    /// Moves images.
    RandomTranslation = "random_translation", random_translation;
    /// Cuts out a part of a fixed size.
    RandomCrop = "random_crop", random_crop;
    /// Cuts out a part of a random size.
    RandomResizedCrop = "random_resized_crop", random_resized_crop;
    /// Turns images.
    RandomRotation = "random_rotation", random_rotation;
    /// Enlarges and reduces images.
    RandomZoom = "random_zoom", random_zoom;
    /// Makes images lighter and darker.
    RandomBrightness = "random_brightness", random_brightness;
    /// Changes the contrast.
    RandomContrast = "random_contrast", random_contrast;
    /// Makes colors stronger and weaker.
    RandomSaturation = "random_saturation", random_saturation;
    /// Changes the hue.
    RandomHue = "random_hue", random_hue;
    /// Takes the color out of images.
    RandomGrayscale = "random_grayscale", random_grayscale;
    /// Covers a part of images.
    RandomErasing = "random_erasing", random_erasing;
    /// Some operations of a fixed list.
    RandAugment = "rand_augment", rand_augment;
    }
    pairs {
    /// Blends two images.
    MixUp = "mix_up", mix_up;
    /// Pastes a part of one image into another.
    CutMix = "cut_mix", cut_mix;
    }
}

/// Generates [`Augmentation`] from the list above. It delegates to the files of the transforms.
macro_rules! transforms {
    (
        images { $($(#[$documentation:meta])* $name:ident = $keyword:literal, $file:ident;)+ }
        pairs { $($(#[$mix_documentation:meta])* $mix_name:ident = $mix_keyword:literal, $mix_file:ident;)+ }
    ) => {
        /// A transform of training images, by its `type` in TOML.
        #[derive(Debug, Clone, PartialEq, Serialize)]
        #[serde(tag = "type")]
        pub enum Augmentation {
            $($(#[$documentation])* #[serde(rename = $keyword)] $name($file::$name),)+
            $($(#[$mix_documentation])* #[serde(rename = $mix_keyword)] $mix_name($mix_file::$mix_name),)+
        }

        impl Augmentation {
            /// The values of `type` in TOML.
            pub const KEYWORDS: &'static [&'static str] = &[$($keyword,)+ $($mix_keyword),+];

            /// The value of `type` in TOML.
            #[must_use]
            pub const fn keyword(&self) -> &'static str {
                match self {
                    $(Self::$name(_) => $keyword,)+
                    $(Self::$mix_name(_) => $mix_keyword,)+
                }
            }

            fn computation(&self) -> Computation<'_> {
                match self {
                    $(Self::$name(transform) => Computation::Image(transform),)+
                    $(Self::$mix_name(mixing) => Computation::Mixing(mixing),)+
                }
            }

            /// Reads the other keys of a transform of type `keyword`.
            fn read(keyword: &str, table: &mut Table<'_>) -> Result<Self, ConfigError> {
                Ok(match keyword {
                    $($keyword => Self::$name($file::$name::read(table)?),)+
                    $($mix_keyword => Self::$mix_name($mix_file::$mix_name::read(table)?),)+
                    _ => return Err(table.error("unknown augmentation")),
                })
            }
        }
    };
}
use transforms;

/// The action of a transform.
enum Computation<'a> {
    Image(&'a dyn Transform),
    Mixing(&'a dyn Mixing),
}

/// A transform of one image.
trait Transform {
    /// Whether images of this shape can be transformed. The error says why not, and what to do.
    fn check(&self, _shape: ImageShape) -> Result<(), String> {
        Ok(())
    }

    /// Transforms an image. The shape and the range of the values stay.
    fn apply(&self, image: &mut Canvas<'_>, draws: &mut Draws);

    /// Whether images of bytes stay bytes, so that [`apply_to_bytes`](Self::apply_to_bytes) can transform images of this
    /// shape.
    fn only_moves_pixels(&self, _shape: ImageShape) -> bool {
        false
    }

    /// The same as [`apply`](Self::apply), with the same random numbers.
    fn apply_to_bytes(&self, _image: &mut Canvas<'_, u8>, _draws: &mut Draws) {
        unreachable!("not called, because `only_moves_pixels` is false");
    }
}

/// A transform of two images.
trait Mixing {
    /// Mixes another image into an image. Returns the share of the other one, from 0 to 1.
    fn mix(&self, image: &mut Canvas<'_>, other: &[f32], draws: &mut Draws) -> f32;
}

/// The `[[augment]]` tables: transforms of training images, applied in this order.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct AugmentConfig {
    /// At most one of them mixes images.
    transforms: Vec<Augmentation>,
}

impl AugmentConfig {
    /// The transforms, in their order.
    #[must_use]
    pub fn transforms(&self) -> &[Augmentation] {
        &self.transforms
    }

    /// Whether training images are not transformed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.transforms.is_empty()
    }

    /// Whether images are mixed, so that they have two labels.
    #[must_use]
    pub fn mixes(&self) -> bool {
        self.transforms.iter().any(Augmentation::mixes)
    }

    /// Checks that images of this shape can be transformed.
    ///
    /// # Errors
    ///
    /// The index of the transform that cannot be applied, why not, and what to do.
    pub fn check(&self, shape: ImageShape) -> Result<(), (usize, String)> {
        self.transforms.iter().enumerate().try_for_each(|(index, transform)| {
            match transform.computation() {
                Computation::Image(computation) => computation.check(shape),
                Computation::Mixing(_) => Ok(()),
            }
            .map_err(|message| (index, format!("{}: {message}", transform.keyword())))
        })
    }
}

impl Augmentation {
    fn mixes(&self) -> bool {
        matches!(self.computation(), Computation::Mixing(_))
    }

    /// The transform if it only moves the pixels of images of this shape.
    fn moving(&self, shape: ImageShape) -> Option<&dyn Transform> {
        match self.computation() {
            Computation::Image(transform) => {
                Some(transform).filter(|it| it.only_moves_pixels(shape))
            }
            Computation::Mixing(_) => None,
        }
    }
}

impl FromValue for AugmentConfig {
    fn from_value(value: &Value) -> Result<Self, ConfigError> {
        if let Kind::String(text) = &value.kind {
            let keyword = nearest(text, Augmentation::KEYWORDS.iter().copied());
            let keyword = keyword.unwrap_or(Augmentation::KEYWORDS[0]);
            let help = value.advice(&format!("[{{ type = \"{keyword}\" }}]"));
            return Err(value.expected("a list of tables").help(help));
        }
        let transforms = Vec::<Augmentation>::from_value(value)?;
        let mut mixing = transforms.iter().enumerate().filter(|(_, transform)| transform.mixes());
        if let (Some((_, first)), Some((index, second))) = (mixing.next(), mixing.next()) {
            let message = format!(
                "{} after {}: an image can have two labels, not more",
                second.keyword(),
                first.keyword()
            );
            return Err(value.items()?[index].error(message).help("remove one of them"));
        }
        Ok(Self { transforms })
    }
}

impl FromValue for Augmentation {
    fn from_value(value: &Value) -> Result<Self, ConfigError> {
        value.read_table(|table| {
            let Keyword(keyword) = table.required("type").map_err(|error: ConfigError| {
                error.help(format!("valid values: \"{}\"", Self::KEYWORDS.join("\", \"")))
            })?;
            Self::read(keyword, table)
        })
    }
}

/// The value of a `type` key, checked to be a known one.
struct Keyword(&'static str);

impl FromValue for Keyword {
    fn from_value(value: &Value) -> Result<Self, ConfigError> {
        let index = value.keyword("augmentation", Augmentation::KEYWORDS)?;
        Ok(Self(Augmentation::KEYWORDS[index]))
    }
}
