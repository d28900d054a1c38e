//! Buffers that are reused from call to call.

use crate::Instructions;
use crate::moments::LANES;
use crate::tile::Tap;

/// The instructions that kernels use, and their buffers. The buffers grow in the first step and are then reused, so
/// that no step allocates.
#[derive(Default)]
pub struct Workspace {
    /// The vector instructions to use.
    pub instructions: Instructions,
    /// The right factor of a matrix product in panels.
    pub(crate) panels: Vec<f32>,
    pub(crate) convolution: ConvolutionBuffers,
}

/// The buffers of a convolution.
#[derive(Default)]
pub(crate) struct ConvolutionBuffers {
    /// The weights, or the sums of their gradients, in the order of the computation.
    pub(crate) weights: Vec<f32>,
    /// Rearranged rows of the input or of the gradient.
    pub(crate) rows: Vec<f32>,
    /// The row of the source that each slot of `rows` has.
    pub(crate) resident: Vec<usize>,
    /// The pairs of a kernel column and a source column, for each target column.
    pub(crate) columns: Vec<(u32, u32)>,
    /// Where the pairs of each target column start in `columns`.
    pub(crate) column_starts: Vec<usize>,
    pub(crate) taps: Vec<Tap>,
    /// The weights of a row of a depthwise convolution, and where their sources are.
    pub(crate) products: Vec<(f32, usize)>,
    pub(crate) lane_sums: Vec<[f64; LANES]>,
    /// Where the taps of each target column start in `taps`.
    pub(crate) tap_starts: Vec<usize>,
}

/// Floats per cache line.
pub(crate) const LINE: usize = 16;

/// The first `length` floats of a buffer from a cache line on. Their values are arbitrary.
pub(crate) fn aligned(buffer: &mut Vec<f32>, length: usize) -> &mut [f32] {
    if buffer.len() < length + LINE {
        buffer.resize(length + LINE, 0.0);
    }
    let start = buffer.as_ptr().align_offset(LINE * size_of::<f32>()).min(LINE);
    &mut buffer[start..start + length]
}
