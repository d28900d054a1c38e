//! Pooling over windows and over whole planes. The lanes of the registers are images, so every loop runs over adjacent
//! values, and the sums are in the order of rows and columns.

use std::ops::Range;

use pulp::{Simd, WithSimd};

use crate::Workspace;
use crate::convolution::{Axis, Plane};
use crate::moments::LANES;
use crate::workspace::none;

/// The windows of a pooling operation. Positions outside the input are ignored: they are never the maximum, and they do
/// not count for the average (as in Keras and TensorFlow; in PyTorch with `count_include_pad = False`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pooling {
    /// The size of an input image.
    pub input: Plane,
    /// Height and width of a window.
    pub window: [usize; 2],
    /// Vertical and horizontal.
    pub stride: [usize; 2],
    /// Positions around the input: top, left, bottom, right. Every window must reach into the input.
    pub padding: [usize; 4],
}

impl Pooling {
    /// The size of an output image. It is empty if the window is larger than the padded input.
    #[must_use]
    pub fn output_plane(&self) -> Plane {
        let [height, width] = self.axes().map(|axis| axis.output);
        Plane { channels: self.input.channels, height, width }
    }

    fn axes(&self) -> [Axis; 2] {
        let input = [self.input.height, self.input.width];
        std::array::from_fn(|index| {
            let padding = [self.padding[index], self.padding[index + 2]];
            Axis::new(self.window[index], self.stride[index], 1, padding, input[index])
        })
    }

    /// Whether the position of a maximum in its window fits into 16 bits, as [`max`](Self::max) requires.
    #[must_use]
    pub const fn has_small_windows(&self) -> bool {
        self.window[0].saturating_mul(self.window[1]) <= 1 << 16
    }

    fn check(&self, input: usize, output: usize, n: usize) {
        assert!(self.window.iter().chain(&self.stride).all(|&size| size > 0), "sizes above 0");
        assert_eq!(input, self.input.len() * n, "the input has the size of the batch");
        assert_eq!(output, self.output_plane().len() * n, "the output has the size of the batch");
    }

    /// Calls `visit` for each position of each window, in the order of the outputs and in row-major order of the window:
    /// with the output's and the input's index, in units of n values, the position's index in the window, and whether it
    /// is the first one of its window.
    #[inline(always)]
    fn positions(&self, channels: Range<usize>, mut visit: impl FnMut(usize, usize, usize, bool)) {
        let [rows, columns] = self.axes();
        let output = self.output_plane();
        for channel in channels {
            for y in 0..output.height {
                for x in 0..output.width {
                    let to = (channel * output.height + y) * output.width + x;
                    let mut first = true;
                    for i in 0..rows.kernel {
                        let Some(row) = rows.input_of(y, i) else { continue };
                        for j in 0..columns.kernel {
                            let Some(column) = columns.input_of(x, j) else { continue };
                            let from = (channel * rows.input + row) * columns.input + column;
                            visit(to, from, i * columns.kernel + j, first);
                            first = false;
                        }
                    }
                    assert!(!first, "every window reaches into the input");
                }
            }
        }
    }

    /// The number of positions of the window of an output that are within the input.
    fn count(&self, output: usize) -> usize {
        let [rows, columns] = self.axes();
        let (y, x) = (output / columns.output % rows.output, output % columns.output);
        rows.taps_of(y).len() * columns.taps_of(x).len()
    }

    /// Writes the maximum of each window and its index in the window, `row · window width + column`. Of equal values the
    /// first one counts, as in PyTorch and TensorFlow on the CPU. A NaN is larger than every number.
    ///
    /// # Panics
    ///
    /// A slice does not have the size that the geometry and `n` demand, a window is outside the input, or it has more than
    /// 65,536 positions.
    pub fn max(
        &self,
        x: &[f32],
        n: usize,
        out: &mut [f32],
        indices: &mut [u16],
        workspace: &mut Workspace,
    ) {
        self.check(x.len(), out.len(), n);
        assert!(self.has_small_windows(), "at most 65536 positions per window");
        assert_eq!(indices.len(), out.len(), "one index per output");
        let instructions = workspace.instructions;
        let line = self.output_plane().width * n;
        let height = self.output_plane().height;
        workspace.split_loops(
            x.len(),
            self.input.channels,
            out,
            indices,
            #[inline(always)]
            |channels, out, indices| {
                let lines =
                    out.chunks_exact_mut(line.max(1)).zip(indices.chunks_exact_mut(line.max(1)));
                for (index, (out, indices)) in lines.enumerate() {
                    let (channel, y) = (channels.start + index / height, index % height);
                    instructions.dispatch(MaxRow { pooling: self, x, channel, y, n, out, indices });
                }
            },
        );
    }

    /// Writes the gradient of the input of [`max`](Self::max), whose indices are given.
    ///
    /// # Panics
    ///
    /// As [`max`](Self::max).
    pub fn max_gradient(
        &self,
        gradient: &[f32],
        indices: &[u16],
        n: usize,
        out: &mut [f32],
        workspace: &mut Workspace,
    ) {
        self.check(out.len(), gradient.len(), n);
        assert_eq!(indices.len(), gradient.len(), "one index per output");
        workspace.split_loops(
            out.len(),
            self.input.channels,
            out,
            none(),
            #[inline(always)]
            |channels, out, _| {
                let size = self.input.channel_len();
                // Channel by channel, so that the zeros are still in the caches.
                for (channel, out) in channels.zip(out.chunks_exact_mut((size * n).max(1))) {
                    if self.is_partition() {
                        self.scatter(channel, gradient, indices, n, out);
                        continue;
                    }
                    out.fill(0.0);
                    self.positions(channel..channel + 1, |to, from, index, _| {
                        let gradient = &gradient[to * n..][..n];
                        let indices = &indices[to * n..][..n];
                        let out = &mut out[(from - channel * size) * n..][..n];
                        for ((out, best), value) in out.iter_mut().zip(indices).zip(gradient) {
                            *out += if *best == index as u16 { *value } else { 0.0 };
                        }
                    });
                }
            },
        );
    }

    /// Whether the windows are 2 × 2, side by side, without padding.
    pub(crate) const fn is_2x2_partition(&self) -> bool {
        matches!(self, Self { window: [2, 2], stride: [2, 2], padding: [0, 0, 0, 0], .. })
    }

    /// Whether every position belongs to at most one window, and every window is within the input.
    const fn is_partition(&self) -> bool {
        let Self { window, stride, padding, .. } = self;
        let is_inside = matches!(padding, [0, 0, 0, 0]);
        window[0] <= stride[0] && window[1] <= stride[1] && is_inside
    }

    /// Writes the gradient of the input of a channel, each value once.
    #[inline(always)]
    fn scatter(
        &self,
        channel: usize,
        gradient: &[f32],
        indices: &[u16],
        n: usize,
        out: &mut [f32],
    ) {
        let ([rows, columns], output) = (self.axes(), self.output_plane());
        for (row, out) in out.chunks_exact_mut((columns.input * n).max(1)).enumerate() {
            let (y, i) = (row / rows.stride(), row % rows.stride());
            if y >= output.height || i >= rows.kernel {
                out.fill(0.0);
                continue;
            }
            let first = (channel * output.height + y) * output.width * n;
            for (column, out) in out.chunks_exact_mut(n).enumerate() {
                let (x, j) = (column / columns.stride(), column % columns.stride());
                if x >= output.width || j >= columns.kernel {
                    out.fill(0.0);
                    continue;
                }
                let index = (i * columns.kernel + j) as u16;
                let gradient = &gradient[first + x * n..][..n];
                let indices = &indices[first + x * n..][..n];
                for ((out, best), value) in out.iter_mut().zip(indices).zip(gradient) {
                    // Added to 0, as in the general loop: -0 becomes 0, so both yield the same bits.
                    *out = 0.0 + if *best == index { *value } else { 0.0 };
                }
            }
        }
    }

    /// Writes the mean of each window.
    ///
    /// # Panics
    ///
    /// As [`max`](Self::max).
    pub fn average(&self, x: &[f32], n: usize, out: &mut [f32], workspace: &mut Workspace) {
        self.check(x.len(), out.len(), n);
        workspace.split_loops(
            x.len(),
            self.input.channels,
            out,
            none(),
            #[inline(always)]
            |channels, out, _| {
                let first_output = channels.start * self.output_plane().channel_len();
                self.positions(channels, |to, from, _, first| {
                    let x = &x[from * n..][..n];
                    let out = &mut out[(to - first_output) * n..][..n];
                    if first {
                        out.copy_from_slice(x);
                    } else {
                        out.iter_mut().zip(x).for_each(|(out, value)| *out += value);
                    }
                });
                for (output, out) in out.chunks_exact_mut(n.max(1)).enumerate() {
                    let count = self.count(output) as f32;
                    out.iter_mut().for_each(|value| *value /= count);
                }
            },
        );
    }

    /// Writes the gradient of the input of [`average`](Self::average).
    ///
    /// # Panics
    ///
    /// As [`max`](Self::max).
    pub fn average_gradient(
        &self,
        gradient: &[f32],
        n: usize,
        out: &mut [f32],
        workspace: &mut Workspace,
    ) {
        self.check(out.len(), gradient.len(), n);
        workspace.split_loops(
            out.len(),
            self.input.channels,
            out,
            none(),
            #[inline(always)]
            |channels, out, _| {
                out.fill(0.0);
                let first_input = channels.start * self.input.channel_len();
                let mut count = 0.0;
                self.positions(channels, |to, from, _, first| {
                    if first {
                        count = self.count(to) as f32;
                    }
                    let gradient = &gradient[to * n..][..n];
                    let out = &mut out[(from - first_input) * n..][..n];
                    out.iter_mut().zip(gradient).for_each(|(out, value)| *out += value / count);
                });
            },
        );
    }
}

/// Writes the mean of each channel, `[channels][n]`, of a batch of planes of `positions` values.
///
/// # Panics
///
/// The sizes of the slices do not fit.
pub fn global_average(
    x: &[f32],
    positions: usize,
    n: usize,
    out: &mut [f32],
    workspace: &mut Workspace,
) {
    assert!(positions > 0, "there are positions");
    assert_eq!(x.len(), out.len() * positions, "one value per position");
    let n = n.max(1);
    workspace.split_loops(
        x.len(),
        out.len() / n,
        out,
        none(),
        #[inline(always)]
        |channels, out, _| {
            let x = &x[channels.start * positions * n..];
            for (x, out) in x.chunks_exact(positions * n).zip(out.chunks_exact_mut(n)) {
                out.fill(0.0);
                for row in x.chunks_exact(n) {
                    out.iter_mut().zip(row).for_each(|(out, value)| *out += value);
                }
                out.iter_mut().for_each(|value| *value /= positions as f32);
            }
        },
    );
}

/// Writes the gradient of the input of [`global_average`].
///
/// # Panics
///
/// The sizes of the slices do not fit.
pub fn global_average_gradient(
    gradient: &[f32],
    positions: usize,
    n: usize,
    out: &mut [f32],
    workspace: &mut Workspace,
) {
    assert!(positions > 0, "there are positions");
    assert_eq!(out.len(), gradient.len() * positions, "one value per position");
    let n = n.max(1);
    workspace.split_loops(
        out.len(),
        gradient.len() / n,
        out,
        none(),
        #[inline(always)]
        |channels, out, _| {
            let planes = out.chunks_exact_mut(positions * n);
            for (gradient, out) in gradient[channels.start * n..].chunks_exact(n).zip(planes) {
                for row in out.chunks_exact_mut(n) {
                    row.iter_mut()
                        .zip(gradient)
                        .for_each(|(out, value)| *out = value / positions as f32);
                }
            }
        },
    );
}

/// The window of a global maximum: the whole plane.
#[must_use]
pub const fn global_max(input: Plane) -> Pooling {
    Pooling { input, window: [input.height, input.width], stride: [1, 1], padding: [0; 4] }
}

/// A row of the outputs of [`Pooling::max`].
struct MaxRow<'a> {
    pooling: &'a Pooling,
    x: &'a [f32],
    channel: usize,
    y: usize,
    n: usize,
    out: &'a mut [f32],
    indices: &'a mut [u16],
}

impl WithSimd for MaxRow<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { pooling, x, channel, y, n, out, indices } = self;
        let [rows, columns] = pooling.axes();
        let columns_of = out.chunks_exact_mut(n).zip(indices.chunks_exact_mut(n));
        let row_taps = rows.taps_of(y);
        for (column, (out, indices)) in columns_of.enumerate() {
            let column_taps = columns.taps_of(column);
            let inside = !row_taps.is_empty() && !column_taps.is_empty();
            assert!(inside, "every window reaches into the input");
            let taps = row_taps.clone().flat_map(|i| {
                let row = channel * rows.input + rows.position(y, i);
                column_taps.clone().map(move |j| {
                    let from = (row * columns.input + columns.position(column, j)) * n;
                    (&x[from..from + n], (i * columns.kernel + j) as u32)
                })
            });
            let mut out = out.chunks_exact_mut(LANES);
            let mut indices = indices.chunks_exact_mut(LANES);
            let mut first = 0;
            for (out, indices) in (&mut out).zip(&mut indices) {
                let mut lanes = [0_u32; LANES];
                let registers = S::as_mut_simd_f32s(out).0.iter_mut();
                let registers = registers.zip(S::as_mut_simd_u32s(&mut lanes).0);
                for (register, (best, best_index)) in registers.enumerate() {
                    let first = first + register * S::F32_LANES;
                    let taps = taps.clone().map(|(values, index)| {
                        (S::as_simd_f32s(&values[first..first + S::F32_LANES]).0[0], index)
                    });
                    (*best, *best_index) = largest(simd, taps);
                }
                // With a known length, the loop is a few instructions.
                store_indices(&mut indices[..LANES], &lanes);
                first += LANES;
            }
            let (out, indices) = (out.into_remainder(), indices.into_remainder());
            let parts = out.chunks_mut(S::F32_LANES).zip(indices.chunks_mut(S::F32_LANES));
            for (part, (out, indices)) in parts.enumerate() {
                let part = first + part * S::F32_LANES..first + part * S::F32_LANES + out.len();
                let taps = taps
                    .clone()
                    .map(|(values, index)| (simd.partial_load_f32s(&values[part.clone()]), index));
                let (best, best_index) = largest(simd, taps);
                simd.partial_store_f32s(out, best);
                let mut lanes = [0_u32; LANES];
                S::as_mut_simd_u32s(&mut lanes).0[0] = best_index;
                store_indices(indices, &lanes);
            }
        }
    }
}

/// The largest values, and the index of the first of them. A NaN is larger than every number.
#[inline(always)]
pub(crate) fn largest<S: Simd>(
    simd: S,
    taps: impl IntoIterator<Item = (S::f32s, u32)>,
) -> (S::f32s, S::u32s) {
    let mut best = simd.splat_f32s(f32::NEG_INFINITY);
    let mut best_index = simd.splat_u32s(0);
    for (tap, (values, index)) in taps.into_iter().enumerate() {
        let index = simd.splat_u32s(index);
        if tap == 0 {
            best_index = index;
        }
        // NaN differs from itself.
        let number = simd.equal_f32s(values, values);
        let better = simd.or_m32s(simd.less_than_f32s(best, values), simd.not_m32s(number));
        best = simd.select_f32s(better, values, best);
        best_index = simd.select_u32s(better, index, best_index);
    }
    (best, best_index)
}

/// Writes the indices of some lanes.
#[inline(always)]
pub(crate) fn store_indices(indices: &mut [u16], lanes: &[u32; LANES]) {
    indices.iter_mut().zip(lanes).for_each(|(index, lane)| *index = *lane as u16);
}
