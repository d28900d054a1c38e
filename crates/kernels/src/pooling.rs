//! Pooling over windows and over whole planes. The lanes of the registers are images, so every loop runs over adjacent
//! values, and the sums are in the order of rows and columns.

use pulp::{Simd, WithSimd};

use crate::convolution::{Axis, Plane};
use crate::{Instructions, Workspace};

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

    fn check(&self, input: usize, output: usize, n: usize) {
        assert!(self.window.iter().chain(&self.stride).all(|&size| size > 0), "sizes above 0");
        assert!(self.window[0] * self.window[1] <= 1 << 16, "at most 65536 positions per window");
        assert_eq!(input, self.input.len() * n, "the input has the size of the batch");
        assert_eq!(output, self.output_plane().len() * n, "the output has the size of the batch");
    }

    /// Calls `visit` for each position of each window, in the order of the outputs and in row-major order of the window:
    /// with the output's and the input's index, in units of n values, and the position's index in the window.
    #[inline(always)]
    fn positions(&self, mut visit: impl FnMut(usize, usize, usize, bool)) {
        let [rows, columns] = self.axes();
        let output = self.output_plane();
        for channel in 0..output.channels {
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
        let rows = (0..rows.kernel).filter(|&i| rows.input_of(y, i).is_some()).count();
        rows * (0..columns.kernel).filter(|&j| columns.input_of(x, j).is_some()).count()
    }

    /// Writes the maximum of each window and its index in the window, `row · window width + column`. Of equal values the
    /// first one counts, as in PyTorch and TensorFlow on the CPU. A NaN is larger than every number.
    ///
    /// # Panics
    ///
    /// A slice does not have the size that the geometry and `n` demand, or a window is outside the input.
    pub fn max(
        &self,
        x: &[f32],
        n: usize,
        out: &mut [f32],
        indices: &mut [u16],
        workspace: &Workspace,
    ) {
        self.check(x.len(), out.len(), n);
        assert_eq!(indices.len(), out.len(), "one index per output");
        vectorize(
            workspace.instructions,
            #[inline(always)]
            || {
                self.positions(|to, from, index, first| {
                    let x = &x[from * n..][..n];
                    let out = &mut out[to * n..][..n];
                    let indices = &mut indices[to * n..][..n];
                    if first {
                        out.copy_from_slice(x);
                        indices.fill(index as u16);
                        return;
                    }
                    for ((out, best), value) in out.iter_mut().zip(indices).zip(x) {
                        let better = *value > *out || value.is_nan();
                        *out = if better { *value } else { *out };
                        *best = if better { index as u16 } else { *best };
                    }
                });
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
        workspace: &Workspace,
    ) {
        self.check(out.len(), gradient.len(), n);
        assert_eq!(indices.len(), gradient.len(), "one index per output");
        vectorize(
            workspace.instructions,
            #[inline(always)]
            || {
                out.fill(0.0);
                self.positions(|to, from, index, _| {
                    let gradient = &gradient[to * n..][..n];
                    let indices = &indices[to * n..][..n];
                    let out = &mut out[from * n..][..n];
                    for ((out, best), value) in out.iter_mut().zip(indices).zip(gradient) {
                        *out += if *best == index as u16 { *value } else { 0.0 };
                    }
                });
            },
        );
    }

    /// Writes the mean of each window.
    ///
    /// # Panics
    ///
    /// As [`max`](Self::max).
    pub fn average(&self, x: &[f32], n: usize, out: &mut [f32], workspace: &Workspace) {
        self.check(x.len(), out.len(), n);
        vectorize(
            workspace.instructions,
            #[inline(always)]
            || {
                self.positions(|to, from, _, first| {
                    let x = &x[from * n..][..n];
                    let out = &mut out[to * n..][..n];
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
        workspace: &Workspace,
    ) {
        self.check(out.len(), gradient.len(), n);
        vectorize(
            workspace.instructions,
            #[inline(always)]
            || {
                out.fill(0.0);
                let mut count = 0.0;
                self.positions(|to, from, _, first| {
                    if first {
                        count = self.count(to) as f32;
                    }
                    let gradient = &gradient[to * n..][..n];
                    let out = &mut out[from * n..][..n];
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
    workspace: &Workspace,
) {
    assert!(positions > 0, "there are positions");
    assert_eq!(x.len(), out.len() * positions, "one value per position");
    vectorize(
        workspace.instructions,
        #[inline(always)]
        || {
            for (x, out) in
                x.chunks_exact((positions * n).max(1)).zip(out.chunks_exact_mut(n.max(1)))
            {
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
    workspace: &Workspace,
) {
    assert!(positions > 0, "there are positions");
    assert_eq!(out.len(), gradient.len() * positions, "one value per position");
    vectorize(
        workspace.instructions,
        #[inline(always)]
        || {
            let planes = out.chunks_exact_mut((positions * n).max(1));
            for (gradient, out) in gradient.chunks_exact(n.max(1)).zip(planes) {
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

/// Runs loops over slices with vector instructions.
#[inline(always)]
pub(crate) fn vectorize(instructions: Instructions, loops: impl FnOnce()) {
    instructions.dispatch(Loops(loops));
}

struct Loops<F>(F);

impl<F: FnOnce()> WithSimd for Loops<F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        (self.0)();
    }
}
