//! An image that is transformed, and the ways in which its pixels move.

use kiln_config::{ConfigError, Table, keywords};
use serde::Serialize;

use crate::ImageShape;

/// The pixels of one image, `[channels, height, width]`, from 0 to 255, and a second buffer of the same size.
///
/// The pixels of transforms that only move them can be bytes, which are a quarter as long as `f32`.
pub(crate) struct Canvas<'a, T = f32> {
    pub(crate) shape: ImageShape,
    pub(crate) pixels: &'a mut [T],
    pub(crate) spare: &'a mut [T],
}

/// The value of a channel of a pixel.
pub(crate) trait Pixel: Copy {
    /// From 0 to 255. Bytes are rounded down.
    fn new(value: f64) -> Self;
}

#[expect(clippy::cast_possible_truncation, reason = "pixels are f32")]
impl Pixel for f32 {
    fn new(value: f64) -> Self {
        value as Self
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 255")]
impl Pixel for u8 {
    fn new(value: f64) -> Self {
        value as Self
    }
}

keywords! {
    /// The value of pixels that come from outside of the image, by Keras' names.
    pub enum FillMode as "fill mode" {
        /// `fill_value` everywhere.
        Constant = "constant",
        /// The nearest pixel: a a | a b c d | d d.
        Nearest = "nearest",
        /// The image, mirrored at its edges: b a | a b c d | d c.
        Reflect = "reflect",
        /// The image, repeated: c d | a b c d | a b.
        Wrap = "wrap",
    }
}

/// The keys `fill_mode` and `fill_value`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Fill {
    /// Where the value of pixels outside of the image comes from.
    pub fill_mode: FillMode,
    /// Their value for `constant`, from 0 to 255. Not used by the other modes.
    pub fill_value: f64,
}

impl Fill {
    pub(crate) const BLACK: Self = Self { fill_mode: FillMode::Constant, fill_value: 0.0 };

    pub(crate) fn read(table: &mut Table<'_>, mode: FillMode) -> Result<Self, ConfigError> {
        Ok(Self {
            fill_mode: table.default("fill_mode", mode)?,
            fill_value: table.checked(
                "fill_value",
                0.0,
                "a pixel's value, from 0 to 255",
                |value| (0.0..=255.0).contains(value),
            )?,
        })
    }

    /// Whether the pixels of an image of bytes stay whole numbers.
    pub(crate) fn is_whole(self) -> bool {
        self.fill_mode != FillMode::Constant || self.fill_value.fract() == 0.0
    }

    fn value<T: Pixel>(self) -> T {
        T::new(self.fill_value)
    }

    /// The index of the pixel that the one at `index` takes its value from, of `count` in a row or column; `None` for
    /// `fill_value`.
    #[expect(
        clippy::cast_possible_wrap,
        clippy::cast_sign_loss,
        reason = "images are far smaller than 2^63 pixels; the remainders are not negative"
    )]
    fn source(self, index: isize, count: usize) -> Option<usize> {
        let length = count as isize;
        if (0..length).contains(&index) {
            return Some(index as usize);
        }
        match self.fill_mode {
            FillMode::Constant => None,
            FillMode::Nearest => Some(index.clamp(0, length - 1) as usize),
            FillMode::Reflect => {
                let place = index.rem_euclid(2 * length);
                Some(place.min(2 * length - 1 - place) as usize)
            }
            FillMode::Wrap => Some(index.rem_euclid(length) as usize),
        }
    }
}

/// A linear map from the place of an output pixel to the place of the input that it shows: (x, y) shows
/// (a·x + b·y + c, d·x + e·y + f). The center of the top left pixel is (0, 0).
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Affine {
    pub(crate) x: [f64; 3],
    pub(crate) y: [f64; 3],
}

impl Affine {
    /// Applies the matrix `[[a, b], [d, e]]` around the center of the image.
    pub(crate) fn around_center([[a, b], [d, e]]: [[f64; 2]; 2], shape: ImageShape) -> Self {
        let (x, y) = (middle(shape.width), middle(shape.height));
        Self { x: [a, b, x - a * x - b * y], y: [d, e, y - d * x - e * y] }
    }
}

/// The place between the first and the last of `count` pixels.
#[expect(clippy::cast_precision_loss, reason = "images are far smaller than 2^52 pixels")]
fn middle(count: usize) -> f64 {
    (count as f64 - 1.0) / 2.0
}

/// A rectangle of whole pixels, which may extend beyond the image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Region {
    pub(crate) top: isize,
    pub(crate) left: isize,
    pub(crate) height: usize,
    pub(crate) width: usize,
}

impl<T: Pixel> Canvas<'_, T> {
    pub(crate) fn planes_mut(&mut self) -> impl Iterator<Item = &mut [T]> {
        self.pixels.chunks_exact_mut(self.shape.height * self.shape.width)
    }

    /// For each channel, the present pixels and those to write.
    pub(super) fn redraw(&mut self, mut draw: impl FnMut(&[T], &mut [T])) {
        self.spare.copy_from_slice(self.pixels);
        let plane = self.shape.height * self.shape.width;
        let before = self.spare.chunks_exact(plane);
        for (before, after) in before.zip(self.pixels.chunks_exact_mut(plane)) {
            draw(before, after);
        }
    }

    /// Moves the image by whole pixels, down and to the right.
    #[expect(
        clippy::cast_possible_wrap,
        clippy::cast_sign_loss,
        reason = "images are far smaller than 2^63 pixels, and the places are clamped to the image"
    )]
    pub(crate) fn shift(&mut self, down: isize, right: isize, fill: Fill) {
        if down == 0 && right == 0 {
            return;
        }
        let ImageShape { height, width, .. } = self.shape;
        let (first_x, last_x) = inner(right, width);
        let (first_y, last_y) = inner(down, height);
        let edges = (0..first_x).chain(last_x..width);
        let edges = edges.map(|x| (x, fill.source(x as isize - right, width)));
        self.redraw(|before, after| {
            if first_x < last_x && first_y < last_y {
                // One copy for all rows. It leaves wrong values at the edges, which are written below.
                let (first, last) = (first_y * width + first_x, (last_y - 1) * width + last_x);
                let source = (first as isize - down * width as isize - right) as usize;
                after[first..last].copy_from_slice(&before[source..][..last - first]);
            }
            let columns = edges.clone().filter(|_| first_y < last_y);
            for (x, source) in columns {
                let column = after[first_y * width..last_y * width][x..].iter_mut().step_by(width);
                match source {
                    Some(source) => {
                        let first = (first_y as isize - down) as usize;
                        let from = before[first * width..][source..].iter().step_by(width);
                        column.zip(from).for_each(|(pixel, value)| *pixel = *value);
                    }
                    None => column.for_each(|pixel| *pixel = fill.value()),
                }
            }
            for y in (0..first_y).chain(last_y..height) {
                let row = &mut after[y * width..][..width];
                let Some(from) = fill.source(y as isize - down, height) else {
                    row.fill(fill.value());
                    continue;
                };
                let from = &before[from * width..][..width];
                if first_x < last_x {
                    let first = (first_x as isize - right) as usize;
                    row[first_x..last_x].copy_from_slice(&from[first..][..last_x - first_x]);
                }
                for (x, source) in edges.clone() {
                    row[x] = source.map_or(fill.value(), |source| from[source]);
                }
            }
        });
    }
}

impl Canvas<'_> {
    /// Redraws the image through an affine map, with bilinear interpolation.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        reason = "places are near the image, and an inner place is not negative"
    )]
    pub(crate) fn warp(&mut self, map: Affine, fill: Fill) {
        // Places in units of 2⁻³² pixels: the pixel and the share of the next one are the halves of the number, without a
        // conversion from floating-point numbers for each pixel.
        const ONE: f64 = 4_294_967_296.0;
        let fixed = |place: f64| (place * ONE) as i64;
        let share = |place: i64| (place as u32) as f32 * (1.0 / ONE) as f32;
        let ImageShape { height, width, .. } = self.shape;
        let [(a, b, c), (d, e, f)] = [map.x, map.y].map(|[x, y, constant]| (x, y, constant));
        let (step_x, step_y) = (fixed(a), fixed(d));
        self.redraw(|before, after| {
            let at = |x: isize, y: isize| match (fill.source(x, width), fill.source(y, height)) {
                (Some(x), Some(y)) => before[y * width + x],
                _ => fill.value(),
            };
            for (y, row) in after.chunks_exact_mut(width).enumerate() {
                let (mut x, mut y) = (fixed(b * y as f64 + c), fixed(e * y as f64 + f));
                for pixel in row {
                    let (left, top) = ((x >> 32) as isize, (y >> 32) as isize);
                    let (right, down) = (share(x), share(y));
                    let (upper, lower) = if (left as usize) < width - 1
                        && (top as usize) < height - 1
                    {
                        let corner = &before[top as usize * width + left as usize..][..width + 2];
                        (
                            lerp(corner[0], corner[1], right),
                            lerp(corner[width], corner[width + 1], right),
                        )
                    } else {
                        // At least one of the four pixels is outside of the image.
                        (
                            lerp(at(left, top), at(left + 1, top), right),
                            lerp(at(left, top + 1), at(left + 1, top + 1), right),
                        )
                    };
                    *pixel = lerp(upper, lower, down);
                    x = x.wrapping_add(step_x);
                    y = y.wrapping_add(step_y);
                }
            }
        });
    }

    /// Shows only a region of the image, at the size of the image, with bilinear interpolation.
    #[expect(clippy::cast_possible_wrap, reason = "images are far smaller than 2^63 pixels")]
    pub(crate) fn crop(&mut self, region: Region, fill: Fill) {
        let ImageShape { height, width, .. } = self.shape;
        if (region.height, region.width) == (height, width) {
            return self.shift(-region.top, -region.left, fill);
        }
        let rows = taps(region.height, height);
        let columns = taps(region.width, width);
        let source = |offset: isize, tap: usize, count| fill.source(offset + tap as isize, count);
        self.redraw(|before, after| {
            for (row, (top, bottom, down)) in after.chunks_exact_mut(width).zip(&rows) {
                let top = source(region.top, *top, height);
                let bottom = source(region.top, *bottom, height);
                for (pixel, (left, right, across)) in row.iter_mut().zip(&columns) {
                    let left = source(region.left, *left, width);
                    let right = source(region.left, *right, width);
                    let at = |y: Option<usize>, x: Option<usize>| match (y, x) {
                        (Some(y), Some(x)) => before[y * width + x],
                        _ => fill.value(),
                    };
                    let upper = lerp(at(top, left), at(top, right), *across);
                    let lower = lerp(at(bottom, left), at(bottom, right), *across);
                    *pixel = lerp(upper, lower, *down);
                }
            }
        });
    }
}

/// The places that come from within the image, of `count`, after a move by `distance`.
#[expect(
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "images are far smaller than 2^63 pixels, and the places are clamped to the image"
)]
fn inner(distance: isize, count: usize) -> (usize, usize) {
    let first = distance.clamp(0, count as isize);
    (first as usize, (count as isize + distance).clamp(first, count as isize) as usize)
}

fn lerp(from: f32, to: f32, share: f32) -> f32 {
    from + (to - from) * share
}

/// For each of `count` pixels, the two of `region` pixels that it lies between, and the share of the second: the pixels of
/// both cover the same length, as in the resizing of Pillow and PyTorch (`align_corners = False`).
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "the place is clamped to the region; pixels are f32"
)]
fn taps(region: usize, count: usize) -> Vec<(usize, usize, f32)> {
    let scale = region as f64 / count as f64;
    let last = region - 1;
    let tap = |index: usize| {
        let place = ((index as f64 + 0.5) * scale - 0.5).clamp(0.0, last as f64);
        let first = place as usize;
        (first, (first + 1).min(last), (place - first as f64) as f32)
    };
    (0..count).map(tap).collect()
}
