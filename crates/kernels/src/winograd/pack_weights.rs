//! The transform of the kernels.

use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::{POSITIONS, SPAN, transforms};
use crate::convolution::{Convolution, Pass};
use crate::correlation::Source;
use crate::tile::{MAX_ROWS, TileKernel, compute_tile, max_rows, tiles};
use crate::workspace::Shards;

/// Transforms the kernels to `[position][tile of target channels][source channel][target channel of the tile]`.
pub(super) struct PackWeights<'a> {
    pub(super) convolution: &'a Convolution,
    pub(super) pass: Pass<'a>,
    pub(super) targets: Range<usize>,
    pub(super) packed: &'a Shards<'a, f32>,
    /// The distance of two positions.
    pub(super) stride: usize,
}

impl WithSimd for PackWeights<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let all = match self.pass.source {
            Source::Input => self.convolution.filters,
            Source::Gradient => self.convolution.input.channels,
        };
        // The tiles of `TiledCorrelation`, so that the weights of a tile are contiguous there.
        for (first, height) in tiles(all, max_rows::<S>()) {
            let rows = self.targets.start.max(first)..self.targets.end.min(first + height);
            if !rows.is_empty() {
                let (pack, count) = (&self, rows.len());
                compute_tile(simd, count, PackTile { pack, first, height, target: rows.start });
            }
        }
    }
}

/// Some targets of a tile, one for each row.
struct PackTile<'a> {
    pack: &'a PackWeights<'a>,
    /// The first target of the tile.
    first: usize,
    /// The targets of the tile.
    height: usize,
    /// The first target to transform.
    target: usize,
}

impl TileKernel for PackTile<'_> {
    #[inline(always)]
    fn compute<S: Simd, const ROWS: usize>(self, _: S) {
        let Self {
            pack: PackWeights { convolution, pass, packed, stride, .. },
            first,
            height,
            target,
        } = self;
        let (channels, filters) = (convolution.input.channels, convolution.filters);
        let depth = match pass.source {
            Source::Input => channels,
            Source::Gradient => filters,
        };
        for channel in 0..depth {
            // A kernel in each lane.
            let mut kernels = [[0.0; MAX_ROWS]; 9];
            for (lane, target) in (target..target + ROWS).enumerate() {
                let kernel = match pass.source {
                    Source::Input => target * channels + channel,
                    Source::Gradient => channel * channels + target,
                };
                let kernel = &pass.weights[kernel * 9..][..9];
                for (tap, weight) in kernel.iter().enumerate() {
                    let tap = match pass.source {
                        Source::Input => tap,
                        Source::Gradient => 8 - tap,
                    };
                    kernels[tap][lane] = *weight;
                }
            }
            let place = first * depth + channel * height + target - first;
            for (position, values) in transform_kernels(&kernels).iter().enumerate() {
                let place = position * stride + place;
                #[expect(unsafe_code, reason = "each thread writes other targets")]
                // SAFETY: the places of targets belong to one thread.
                let to = unsafe { packed.get(place..place + ROWS) };
                to.copy_from_slice(&values[..ROWS]);
            }
        }
    }
}

/// G g Gᵀ for a kernel in each lane.
#[inline(always)]
fn transform_kernels(kernels: &[[f32; MAX_ROWS]; 9]) -> [[f32; MAX_ROWS]; POSITIONS] {
    let mut rows = [[0.0; MAX_ROWS]; 3 * SPAN];
    for column in 0..3 {
        for lane in 0..MAX_ROWS {
            let kernel =
                [kernels[column][lane], kernels[3 + column][lane], kernels[6 + column][lane]];
            for (row, value) in transforms::kernel(kernel).into_iter().enumerate() {
                rows[3 * row + column][lane] = value;
            }
        }
    }
    let mut positions = [[0.0; MAX_ROWS]; POSITIONS];
    for row in 0..SPAN {
        for lane in 0..MAX_ROWS {
            let kernel = [rows[3 * row][lane], rows[3 * row + 1][lane], rows[3 * row + 2][lane]];
            for (column, value) in transforms::kernel(kernel).into_iter().enumerate() {
                positions[SPAN * row + column][lane] = value;
            }
        }
    }
    positions
}
