//! The transform of the kernels.

use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::POSITIONS;
use crate::convolution::{Convolution, Pass};
use crate::correlation::Source;
use crate::tile::{MAX_ROWS, max_rows, tiles};
use crate::workspace::Shards;

/// Transforms the kernels to `[position][tile of target channels][source channel][target channel of the tile]`.
pub(super) struct PackWeights<'a> {
    pub(super) convolution: &'a Convolution,
    pub(super) pass: Pass<'a>,
    pub(super) targets: Range<usize>,
    pub(super) packed: &'a Shards<'a, f32>,
}

impl WithSimd for PackWeights<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { convolution, pass, targets, packed } = self;
        let (channels, filters) = (convolution.input.channels, convolution.filters);
        let (depth, all) = match pass.source {
            Source::Input => (channels, filters),
            Source::Gradient => (filters, channels),
        };
        for (first, height) in tiles(all, max_rows::<S>()) {
            let rows = targets.start.max(first)..targets.end.min(first + height);
            if rows.is_empty() {
                continue;
            }
            for channel in 0..depth {
                // A kernel in each lane.
                let mut kernels = [[0.0; MAX_ROWS]; 9];
                for (lane, target) in rows.clone().enumerate() {
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
                let place = first * depth + channel * height + rows.start - first;
                for (position, values) in transform_kernels(&kernels).iter().enumerate() {
                    let place = position * depth * all + place;
                    #[expect(unsafe_code, reason = "each thread writes other targets")]
                    // SAFETY: the places of targets belong to one thread.
                    let to = unsafe { packed.get(place..place + rows.len()) };
                    // A loop, because calling a function takes longer for a few values.
                    for (to, value) in to.iter_mut().zip(values) {
                        *to = *value;
                    }
                }
            }
        }
    }
}

/// G g Gᵀ for a kernel in each lane.
#[inline(always)]
fn transform_kernels(kernels: &[[f32; MAX_ROWS]; 9]) -> [[f32; MAX_ROWS]; POSITIONS] {
    let mut rows = [[0.0; MAX_ROWS]; 12];
    for column in 0..3 {
        for lane in 0..MAX_ROWS {
            let kernel = [0, 1, 2].map(|row| kernels[3 * row + column][lane]);
            for (row, value) in transform_kernel(kernel).into_iter().enumerate() {
                rows[3 * row + column][lane] = value;
            }
        }
    }
    let mut positions = [[0.0; MAX_ROWS]; POSITIONS];
    for row in 0..4 {
        for lane in 0..MAX_ROWS {
            let kernel = [0, 1, 2].map(|column| rows[3 * row + column][lane]);
            for (column, value) in transform_kernel(kernel).into_iter().enumerate() {
                positions[4 * row + column][lane] = value;
            }
        }
    }
    positions
}

/// G g
#[inline(always)]
fn transform_kernel([a, b, c]: [f32; 3]) -> [f32; 4] {
    let outer = a + c;
    [a, 0.5 * (outer + b), 0.5 * (outer - b), c]
}
