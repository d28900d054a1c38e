//! Facts about single images, to find copies and images that are unlike the others.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

use crate::ImageShape;
use crate::parallel::in_parallel;
use crate::picture::Picture;

/// Facts about one image, before it was brought to the shape for the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageInfo {
    /// Pixels in a row, as the picture is displayed.
    pub width: u32,
    /// Rows of pixels, as the picture is displayed.
    pub height: u32,
    /// The pixels that the file stores.
    pub mode: PictureMode,
    /// The length of the encoded picture, or of the pixels of an image in an array.
    pub bytes: u64,
    /// The hash of the decoded pixels at their original size. Two images with the same hash are exact copies, whatever
    /// their file formats; a color picture without color is the same as the gray one.
    pub pixel_hash: u128,
    /// Whether the image becomes lighter from left to right, at 8 places of 8 rows. Copies that were resized or
    /// compressed again differ in few of the 64 bits.
    pub difference_hash: u64,
}

/// The pixels that the file of a picture stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PictureMode {
    /// Gray.
    Gray,
    /// Gray with transparency.
    GrayAlpha,
    /// Red, green and blue.
    Rgb,
    /// Red, green and blue with transparency.
    Rgba,
    /// Indices into a list of colors.
    Palette,
    /// Gray with 16 bits.
    Gray16,
    /// Gray with transparency, 16 bits each.
    GrayAlpha16,
    /// Red, green and blue with 16 bits each.
    Rgb16,
    /// Red, green and blue with transparency, 16 bits each.
    Rgba16,
    /// Cyan, magenta, yellow and black.
    Cmyk,
}

impl PictureMode {
    /// All modes. Their numbers are stored in cache files.
    const ALL: [Self; 10] = [
        Self::Gray,
        Self::GrayAlpha,
        Self::Rgb,
        Self::Rgba,
        Self::Palette,
        Self::Gray16,
        Self::GrayAlpha16,
        Self::Rgb16,
        Self::Rgba16,
        Self::Cmyk,
    ];

    pub(crate) fn number(self) -> u8 {
        self as u8
    }

    pub(crate) fn of_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// As shown to users: `gray`, `RGB with alpha`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gray => "gray",
            Self::GrayAlpha => "gray with alpha",
            Self::Rgb => "RGB",
            Self::Rgba => "RGB with alpha",
            Self::Palette => "palette",
            Self::Gray16 => "gray, 16 bit",
            Self::GrayAlpha16 => "gray with alpha, 16 bit",
            Self::Rgb16 => "RGB, 16 bit",
            Self::Rgba16 => "RGB with alpha, 16 bit",
            Self::Cmyk => "CMYK",
        }
    }
}

impl std::fmt::Display for PictureMode {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.pad(self.as_str())
    }
}

/// Images of one shape, `[n, channels, height, width]`.
pub(crate) fn of_arrays(shape: ImageShape, pixels: &[u8]) -> Vec<ImageInfo> {
    let values = shape.values();
    if values == 0 {
        return Vec::new();
    }
    let images: Vec<&[u8]> = pixels.chunks_exact(values).collect();
    in_parallel(images.len(), 256, |row| of_planes(shape, images[row]))
}

/// One image of an array: `[channels, height, width]`.
pub(crate) fn of_planes(shape: ImageShape, pixels: &[u8]) -> ImageInfo {
    let plane = shape.height * shape.width;
    let is_color = shape.channels == 3;
    let color = |at: usize| match is_color {
        true => [pixels[at], pixels[at + plane], pixels[at + 2 * plane]],
        false => [pixels[at]; 3],
    };
    let has_color = is_color && (0..plane).any(|at| !is_gray(color(at)));
    let hashed = if is_color && !has_color { &pixels[..plane] } else { pixels };
    let dimension = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
    let (width, height) = (dimension(shape.width), dimension(shape.height));
    ImageInfo {
        width,
        height,
        mode: if is_color { PictureMode::Rgb } else { PictureMode::Gray },
        bytes: pixels.len() as u64,
        pixel_hash: pixel_hash(width, height, [hashed]),
        difference_hash: difference_hash(shape.width, shape.height, |first, lumas| {
            lumas.iter_mut().zip(first..).for_each(|(value, at)| *value = luma(color(at)));
        }),
    }
}

/// A decoded picture, of a file with this many bytes.
pub(crate) fn of_picture(picture: &Picture, bytes: u64) -> ImageInfo {
    let Picture { width, height, mode, channels, pixels, alpha, .. } = picture;
    let color = |at: usize| match channels {
        1 => [pixels[at]; 3],
        _ => [pixels[3 * at], pixels[3 * at + 1], pixels[3 * at + 2]],
    };
    let count = width * height;
    let has_color = *channels == 3 && (0..count).any(|at| !is_gray(color(at)));
    let hashed = match channels {
        3 if !has_color => Cow::Owned((0..count).map(|at| pixels[3 * at]).collect()),
        _ => Cow::Borrowed(pixels.as_slice()),
    };
    let alpha = alpha.as_deref();
    // Transparent pixels count as black, whatever color they hide.
    let visible = |first: usize, lumas: &mut [u32]| {
        let pixels = &pixels[first * channels..][..lumas.len() * channels];
        if *channels == 1 {
            let lumas = lumas.iter_mut().zip(pixels);
            lumas.for_each(|(value, gray)| *value = luma([*gray; 3]) * 255);
        } else {
            let lumas = lumas.iter_mut().zip(pixels.chunks_exact(3));
            lumas.for_each(|(value, it)| *value = luma([it[0], it[1], it[2]]) * 255);
        }
        if let Some(alpha) = alpha {
            let lumas = lumas.iter_mut().zip(&alpha[first..]);
            lumas.for_each(|(value, alpha)| *value = *value / 255 * u32::from(*alpha));
        }
    };
    let dimension = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
    let (of_width, of_height) = (dimension(*width), dimension(*height));
    ImageInfo {
        width: of_width,
        height: of_height,
        mode: *mode,
        bytes,
        pixel_hash: pixel_hash(of_width, of_height, std::iter::once(&*hashed).chain(alpha)),
        difference_hash: difference_hash(*width, *height, visible),
    }
}

/// The XXH3 (128 bits) of the size of an image and its values. An image without color has one value for each pixel.
pub(crate) fn pixel_hash<'a>(
    width: u32,
    height: u32,
    values: impl IntoIterator<Item = &'a [u8]>,
) -> u128 {
    let mut hash = Xxh3::new();
    hash.update(&width.to_le_bytes());
    hash.update(&height.to_le_bytes());
    values.into_iter().for_each(|values| hash.update(values));
    hash.digest128()
}

pub(crate) fn is_gray([red, green, blue]: [u8; 3]) -> bool {
    red == green && green == blue
}

/// The luma of ITU-R BT.601, times 1,000.
pub(crate) fn luma([red, green, blue]: [u8; 3]) -> u32 {
    299 * u32::from(red) + 587 * u32::from(green) + 114 * u32::from(blue)
}

/// Divides the image into 8 rows of 9 cells. Each bit is whether a cell is darker than the one to its right, row by row from
/// the highest bit. The means of the cells are exact, so that the hash is the same on every processor. `lumas` is called
/// for each row, with the index of its first pixel, and writes the lumas of its pixels.
///
/// Described by N. Krawetz, "Kind of Like That", The Hacker Factor Blog (2013).
pub(crate) fn difference_hash(
    width: usize,
    height: usize,
    lumas: impl Fn(usize, &mut [u32]),
) -> u64 {
    const COLUMNS: usize = 9;
    const ROWS: usize = 8;
    let columns: [Cell; COLUMNS] = std::array::from_fn(|cell| Cell::new(cell, COLUMNS, width));
    let rows: [Cell; ROWS] = std::array::from_fn(|cell| Cell::new(cell, ROWS, height));
    let mut cells = [[0_u128; COLUMNS]; ROWS];
    let mut row_lumas = vec![0; width];
    for y in 0..height {
        lumas(y * width, &mut row_lumas);
        let sums = columns.map(|column| u128::from(column.sum(&row_lumas)));
        for (row, cells) in rows.iter().zip(&mut cells) {
            let share = u128::from(row.share(y));
            if share > 0 {
                cells.iter_mut().zip(sums).for_each(|(cell, sum)| *cell += share * sum);
            }
        }
    }
    let pairs = cells.iter().flat_map(|row| row.windows(2));
    pairs.fold(0, |hash, pair| (hash << 1) | u64::from(pair[0] < pair[1]))
}

/// One of some equal parts of a row or column of pixels. All lengths are in units of which a pixel has as many as there are
/// parts, so that they are integers.
#[derive(Clone, Copy)]
struct Cell {
    /// The first pixel of which a part belongs to the cell, and the length of that part.
    first: (usize, u64),
    /// The last such pixel; its part has the length 0 if it is also the first one.
    last: (usize, u64),
    /// The length of a pixel.
    pixel: u64,
}

impl Cell {
    fn new(cell: usize, cells: usize, pixels: usize) -> Self {
        let (start, end) = (cell * pixels, (cell + 1) * pixels);
        let (first, last) = (start / cells, (end - 1) / cells);
        let pixel = cells as u64;
        if first == last {
            return Self { first: (first, pixels as u64), last: (first, 0), pixel };
        }
        let of_first = ((first + 1) * cells - start) as u64;
        Self { first: (first, of_first), last: (last, (end - last * cells) as u64), pixel }
    }

    fn sum(&self, values: &[u32]) -> u64 {
        let ((first, of_first), (last, of_last)) = (self.first, self.last);
        let between = values.get(first + 1..last).unwrap_or_default();
        let between: u64 = between.iter().map(|value| u64::from(*value)).sum();
        u64::from(values[first]) * of_first
            + between * self.pixel
            + u64::from(values[last]) * of_last
    }

    /// The length of the part of a pixel that belongs to the cell.
    fn share(&self, pixel: usize) -> u64 {
        match pixel {
            _ if pixel == self.first.0 => self.first.1,
            _ if pixel == self.last.0 => self.last.1,
            _ if (self.first.0..self.last.0).contains(&pixel) => self.pixel,
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(channels: usize, height: usize, width: usize) -> ImageShape {
        ImageShape { channels, height, width }
    }

    /// The means of the cells as floats, by the area of each pixel in each cell.
    fn reference_hash(width: usize, height: usize, pixels: &[u8]) -> u64 {
        let overlap = |pixel: usize, pixels: usize, cell: usize, cells: usize| {
            let (pixel, size) = (pixel as f64, pixels as f64 / cells as f64);
            let (start, end) = (cell as f64 * size, (cell + 1) as f64 * size);
            ((pixel + 1.0).min(end) - pixel.max(start)).max(0.0)
        };
        let mean = |row: usize, column: usize| -> f64 {
            (0..height * width)
                .map(|at| {
                    let (y, x) = (at / width, at % width);
                    let area = overlap(y, height, row, 8) * overlap(x, width, column, 9);
                    f64::from(pixels[at]) * area
                })
                .sum()
        };
        let bits = (0..8).flat_map(|row| (0..8).map(move |column| (row, column)));
        bits.fold(0, |hash, (row, column)| {
            hash << 1 | u64::from(mean(row, column) < mean(row, column + 1))
        })
    }

    #[test]
    fn the_difference_hash_compares_the_means_of_neighboring_cells() {
        for (width, height) in [(28, 28), (13, 9), (100, 37)] {
            let pixels: Vec<u8> =
                (0..width * height).map(|at| (at * at * 31 % 251) as u8).collect();
            let hash = of_planes(shape(1, height, width), &pixels).difference_hash;
            assert_eq!(hash, reference_hash(width, height, &pixels), "{width}×{height}");
        }
        let rising: Vec<u8> = (0..72).map(|at| (at % 9) * 10).collect();
        assert_eq!(of_planes(shape(1, 8, 9), &rising).difference_hash, u64::MAX);
        assert_eq!(of_planes(shape(1, 8, 9), &[7; 72]).difference_hash, 0);
    }

    #[test]
    fn a_color_image_without_color_is_a_copy_of_the_gray_one() {
        let gray: Vec<u8> = (0..20).collect();
        let same = of_planes(shape(3, 4, 5), &[&gray[..]; 3].concat());
        let of_gray = of_planes(shape(1, 4, 5), &gray);
        assert_eq!(same.pixel_hash, of_gray.pixel_hash);
        assert_eq!(same.difference_hash, of_gray.difference_hash);
        let mut changed = [&gray[..]; 3].concat();
        changed[59] += 1;
        assert_ne!(of_planes(shape(3, 4, 5), &changed).pixel_hash, of_gray.pixel_hash);
        assert_ne!(of_planes(shape(1, 5, 4), &gray).pixel_hash, of_gray.pixel_hash);
    }
}
