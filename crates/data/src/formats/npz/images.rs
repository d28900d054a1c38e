//! Arrays of images.

use super::store::Store;
use crate::formats::arrays::{Axes, reserve};
use crate::formats::npy::{Kind, Npy};
use crate::{DataConfig, DataError};

/// How numbers become bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scale {
    /// 0 to 255.
    Bytes,
    /// 0 to 1.
    Unit,
    /// −1 to 1.
    Signed,
}

impl Scale {
    /// The scale of training images.
    pub(super) fn of(store: &mut Store, name: &str, header: &Npy) -> Result<Self, DataError> {
        if header.kind != Kind::Float {
            return Ok(Self::Bytes);
        }
        let (mut low, mut high, mut is_whole) = (f64::INFINITY, f64::NEG_INFINITY, true);
        store.with_array(name, |npy, reader| {
            npy.read_numbers(reader, 1, |numbers| {
                for number in numbers {
                    if !number.is_finite() {
                        return Err(
                            npy.error(format!("a pixel is {number}; replace it with a number"))
                        );
                    }
                    low = low.min(*number);
                    high = high.max(*number);
                    is_whole &= number.fract() == 0.0;
                }
                Ok(())
            })
        })?;
        match (low, high) {
            (0.0.., ..=1.0) => Ok(Self::Unit),
            (-1.0.., ..=1.0) => Ok(Self::Signed),
            (0.0.., ..=255.0) if is_whole => Ok(Self::Bytes),
            _ => {
                let problem = format!(
                    "the pixels are from {low} to {high}; Kiln reads 0 to 1, -1 to 1, and whole numbers from 0 to 255: \
                     save the images as uint8"
                );
                Err(header.error(problem))
            }
        }
    }

    pub(super) fn note(self, name: &str, header: &Npy) -> Option<String> {
        let range = match self {
            Self::Bytes if header.kind == Kind::Float => "whole numbers from 0 to 255",
            Self::Bytes => return None,
            Self::Unit => "numbers from 0 to 1, multiplied by 255",
            Self::Signed => "numbers from -1 to 1, mapped to 0 to 255",
        };
        Some(format!("the pixels of `{name}` are {range}"))
    }

    pub(super) fn byte(self, number: f64) -> Option<u8> {
        let scaled = match self {
            Self::Bytes if number.fract() != 0.0 => return None,
            Self::Bytes => number,
            Self::Unit => (number * 255.0).round(),
            Self::Signed => ((number + 1.0) * 127.5).round(),
        };
        let in_range = match self {
            Self::Bytes => (0.0..=255.0).contains(&number),
            Self::Unit => (0.0..=1.0).contains(&number),
            Self::Signed => (-1.0..=1.0).contains(&number),
        };
        in_range.then_some(scaled as u8)
    }
}

pub(super) fn image_axes(header: &Npy, config: &DataConfig) -> Result<Axes, String> {
    match header.kind {
        Kind::Unsigned | Kind::Signed | Kind::Float => {}
        Kind::Bool => {
            return Err("the pixels are true or false; save them as uint8, such as (x * 255).astype('uint8')".to_owned());
        }
        Kind::Unicode | Kind::Bytes => {
            return Err("the pixels are texts; save them as uint8".to_owned());
        }
    }
    match header.shape.as_slice() {
        [] | [_] => Err(format!(
            "images must be an array of at least two axes, such as (images, height, width); the shape is {}",
            header.shape_text()
        )),
        [0, ..] => Err("there are no images".to_owned()),
        [_, values] => Axes::of_row(*values, config),
        [_, dimensions @ ..] => Axes::of(dimensions, config),
    }
}

/// Appends the images of an array to `pixels`. Returns their number.
pub(super) fn read_images(
    store: &mut Store,
    name: &str,
    header: &Npy,
    axes: Axes,
    scale: Scale,
    pixels: &mut Vec<u8>,
) -> Result<usize, DataError> {
    let size = axes.shape.values();
    let rows = header.shape[0];
    store.with_array(name, |npy, reader| {
        let outside = |number: f64| {
            let range = match scale {
                Scale::Bytes => "whole numbers from 0 to 255",
                Scale::Unit => "0 to 1, as those of the training images",
                Scale::Signed => "-1 to 1, as those of the training images",
            };
            npy.error(format!("a pixel is {number}; the pixels must be {range}"))
        };
        // In Fortran's order, the values of an image are not next to each other.
        let mut values: Vec<u8> = Vec::new();
        let mut add = |bytes: &[u8]| {
            if npy.is_column_major() {
                reserve(&mut values, bytes.len(), &npy.path)?;
                values.extend_from_slice(bytes);
            } else {
                reserve(pixels, bytes.len(), &npy.path)?;
                axes.append(bytes, pixels);
            }
            Ok(())
        };
        if npy.kind == Kind::Unsigned && npy.size == 1 {
            npy.read_chunks(reader, size, &mut add)?;
        } else {
            let mut bytes = Vec::new();
            npy.read_numbers(reader, size, |numbers| {
                bytes.clear();
                for number in numbers {
                    bytes.push(scale.byte(*number).ok_or_else(|| outside(*number))?);
                }
                add(&bytes)
            })?;
        }
        if npy.is_column_major() {
            reserve(pixels, values.len(), &npy.path)?;
            axes.append(&npy.row_major(&values), pixels);
        }
        Ok(rows)
    })
}
