//! What is known about single images, to find copies and images that are unlike the others.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

use crate::ImageShape;

/// What is known about one image, before it was brought to the shape for the network.
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
    in_parallel(images.len(), |row| of_planes(shape, images[row]))
}

/// One image of an array: `[channels, height, width]`.
fn of_planes(shape: ImageShape, pixels: &[u8]) -> ImageInfo {
    let plane = shape.height * shape.width;
    let is_color = shape.channels == 3;
    let values = |at: usize| -> [u8; 3] {
        if is_color {
            [pixels[at], pixels[at + plane], pixels[at + 2 * plane]]
        } else {
            [pixels[at]; 3]
        }
    };
    let has_color = is_color
        && (0..plane).any(|at| values(at)[0] != values(at)[1] || values(at)[1] != values(at)[2]);
    let hashed = if is_color && !has_color { &pixels[..plane] } else { pixels };
    let dimension = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
    let (width, height) = (dimension(shape.width), dimension(shape.height));
    ImageInfo {
        width,
        height,
        mode: if is_color { PictureMode::Rgb } else { PictureMode::Gray },
        bytes: pixels.len() as u64,
        pixel_hash: pixel_hash(width, height, hashed),
        difference_hash: difference_hash(shape.width, shape.height, |at| luma(values(at))),
    }
}

/// The XXH3 (128 bits) of the size of an image and its values. An image without color has one value for each pixel.
pub(crate) fn pixel_hash(width: u32, height: u32, values: &[u8]) -> u128 {
    let mut hash = Xxh3::new();
    hash.update(&width.to_le_bytes());
    hash.update(&height.to_le_bytes());
    hash.update(values);
    hash.digest128()
}

/// The luma of ITU-R BT.601, times 1,000.
pub(crate) fn luma([red, green, blue]: [u8; 3]) -> u64 {
    299 * u64::from(red) + 587 * u64::from(green) + 114 * u64::from(blue)
}

/// Divides the image into 8 rows of 9 cells. Each bit is whether a cell is darker than the one to its right, row by row from
/// the highest bit. The means of the cells are exact, so that the hash is the same on every processor.
///
/// Described by N. Krawetz, "Kind of Like That", The Hacker Factor Blog (2013).
pub(crate) fn difference_hash(width: usize, height: usize, luma: impl Fn(usize) -> u64) -> u64 {
    const COLUMNS: usize = 9;
    const ROWS: usize = 8;
    // In units of 1/9 of a pixel, pixel x covers 9·x to 9·(x + 1), and cell i covers width·i to width·(i + 1).
    let mut cells = [[0_u128; COLUMNS]; ROWS];
    for y in 0..height {
        let mut columns = [0_u64; COLUMNS];
        for x in 0..width {
            let value = luma(y * width + x);
            for_each_cell(x, width, COLUMNS, |cell, share| columns[cell] += value * share);
        }
        for_each_cell(y, height, ROWS, |row, share| {
            for (sum, column) in cells[row].iter_mut().zip(columns) {
                *sum += u128::from(column) * u128::from(share);
            }
        });
    }
    let pairs = cells.iter().flat_map(|row| row.windows(2));
    pairs.fold(0, |hash, pair| hash << 1 | u64::from(pair[0] < pair[1]))
}

/// Calls `use_share` with each cell that a pixel overlaps, and with the length of the overlap.
fn for_each_cell(pixel: usize, pixels: usize, cells: usize, mut use_share: impl FnMut(usize, u64)) {
    let (mut start, end) = (pixel * cells, (pixel + 1) * cells);
    while start < end {
        let cell = start / pixels;
        let stop = end.min((cell + 1) * pixels);
        use_share(cell, (stop - start) as u64);
        start = stop;
    }
}

/// The results of `compute` for the numbers below `count`, in order, computed by all processors.
fn in_parallel<T: Send>(count: usize, compute: impl Fn(usize) -> T + Sync) -> Vec<T> {
    const CHUNK: usize = 256;
    let next = AtomicUsize::new(0);
    let work = || {
        let mut chunks = Vec::new();
        loop {
            let start = next.fetch_add(CHUNK, Ordering::Relaxed);
            if start >= count {
                return chunks;
            }
            let end = count.min(start + CHUNK);
            chunks.push((start, (start..end).map(&compute).collect::<Vec<T>>()));
        }
    };
    let threads =
        std::thread::available_parallelism().map_or(1, usize::from).min(count.div_ceil(CHUNK));
    let mut chunks: Vec<(usize, Vec<T>)> = std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        let mut chunks = work();
        for other in others {
            match other.join() {
                Ok(done) => chunks.extend(done),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        chunks
    });
    chunks.sort_by_key(|(start, _)| *start);
    chunks.into_iter().flat_map(|(_, results)| results).collect()
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

    #[test]
    fn results_are_in_order() {
        assert_eq!(in_parallel(10_000, |number| number), (0..10_000).collect::<Vec<_>>());
        assert_eq!(in_parallel(0, |number| number), Vec::<usize>::new());
    }
}
