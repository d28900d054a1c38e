//! Pastes a part of one image into another.

use kiln_config::{ConfigError, Table};
use serde::Serialize;

use super::range::alpha;
use super::{Canvas, Draws, Mixing};
use crate::ImageShape;

/// `{ type = "cut_mix" }`: a rectangle of another training image replaces that of the image, and the labels are weighted by
/// area (Yun et al. 2019), as torchvision's `CutMix`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CutMix {
    /// The area is drawn from the beta distribution with both parameters at this value. Default: 1, where all areas are
    /// equally likely.
    pub alpha: f64,
}

impl CutMix {
    pub(super) fn read(table: &mut Table<'_>) -> Result<Self, ConfigError> {
        Ok(Self { alpha: alpha(table, 1.0)? })
    }
}

impl Mixing for CutMix {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        reason = "images are far smaller than 2^24 pixels"
    )]
    fn mix(&self, image: &mut Canvas<'_>, other: &[f32], draws: &mut Draws) -> f32 {
        let ImageShape { height, width, .. } = image.shape;
        let side = (1.0 - draws.beta(self.alpha)).sqrt();
        // The center may be anywhere, so the rectangle may be cut off at the edges.
        let mut range = |size: usize| centered(draws.below(size), side, size);
        let ((left, right), (top, bottom)) = (range(width), range(height));
        let others = other.chunks_exact(height * width);
        for (plane, other) in image.planes_mut().zip(others) {
            let rows = plane.chunks_exact_mut(width).zip(other.chunks_exact(width));
            for (row, other) in rows.take(bottom).skip(top) {
                row[left..right].copy_from_slice(&other[left..right]);
            }
        }
        // The area that was really replaced.
        (((bottom - top) * (right - left)) as f64 / (height * width) as f64) as f32
    }
}

/// The places of a range around `center` with `side` times the length of `size`, as far as they are in it.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "images are far smaller than 2^52 pixels, and the side is between 0 and 1"
)]
fn centered(center: usize, side: f64, size: usize) -> (usize, usize) {
    let half = (0.5 * side * size as f64) as usize;
    (center.saturating_sub(half), (center + half).min(size))
}
