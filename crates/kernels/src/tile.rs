//! The inner loops of convolutions, over taps and over images (that of minimal filtering is in `winograd::product`). Each
//! keeps a tile of sums in registers, a few rows high and one or two registers wide, and per step loads the registers of one
//! line and broadcasts one value for each row.

use std::array::from_fn;

use pulp::{Simd, WithSimd};

/// The largest value of [`max_rows`].
pub(crate) const MAX_ROWS: usize = 8;

/// The rows of the highest tile. More of them reuse a loaded register more often, but their sums must stay in registers,
/// and the products of eight rows and two registers already hide the latency of the instructions.
pub(crate) const fn max_rows<S: Simd>() -> usize {
    if S::IS_SCALAR || S::REGISTER_COUNT < 16 {
        2
    } else if S::REGISTER_COUNT < 32 {
        6
    } else {
        8
    }
}

/// Something that is computed for a tile of `ROWS` rows. Each height is a function of its own, with the loops that
/// keep its sums in registers.
pub(crate) trait TileKernel {
    fn compute<S: Simd, const ROWS: usize>(self, simd: S);
}

struct WithRows<K, const ROWS: usize>(K);

impl<K: TileKernel, const ROWS: usize> WithSimd for WithRows<K, ROWS> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        self.0.compute::<S, ROWS>(simd);
    }
}

/// Computes a tile of `rows` rows, at most [`max_rows`].
#[inline(always)]
pub(crate) fn compute_tile<S: Simd>(simd: S, rows: usize, kernel: impl TileKernel) {
    let max = const { max_rows::<S>() };
    debug_assert!((1..=max).contains(&rows), "a height that the registers allow");
    // The guards are constants: heights that the registers do not allow are not compiled.
    match rows {
        8 if max >= 8 => simd.vectorize(WithRows::<_, 8>(kernel)),
        7 if max >= 7 => simd.vectorize(WithRows::<_, 7>(kernel)),
        6 if max >= 6 => simd.vectorize(WithRows::<_, 6>(kernel)),
        5 if max >= 5 => simd.vectorize(WithRows::<_, 5>(kernel)),
        4 if max >= 4 => simd.vectorize(WithRows::<_, 4>(kernel)),
        3 if max >= 3 => simd.vectorize(WithRows::<_, 3>(kernel)),
        2 => simd.vectorize(WithRows::<_, 2>(kernel)),
        _ => simd.vectorize(WithRows::<_, 1>(kernel)),
    }
}

/// Splits rows into tiles of nearly equal height, at most `max`: their first rows and heights.
pub(crate) fn tiles(rows: usize, max: usize) -> impl Iterator<Item = (usize, usize)> + Clone {
    let count = rows.div_ceil(max).max(1);
    let (height, higher) = (rows / count, rows % count);
    (0..count)
        .map(move |tile| (tile * height + tile.min(higher), height + usize::from(tile < higher)))
}

/// A position of the kernel that meets the input.
#[derive(Clone, Copy, Default)]
pub(crate) struct Tap {
    /// The index of its weights: row · kernel width + column.
    pub(crate) weights: u32,
    /// Where the images of the first channel are in the source.
    pub(crate) source: u32,
}

/// The taps of a row of outputs, with the limits of what they read, so that a tile need not check each of them.
#[derive(Default)]
pub(crate) struct TapList {
    taps: Vec<Tap>,
    /// Where the taps of each output start.
    starts: Vec<usize>,
    /// The largest weights index and the largest source of all taps, which may belong to different taps.
    max: Tap,
}

impl TapList {
    pub(crate) fn clear(&mut self) {
        self.taps.clear();
        self.starts.clear();
        self.starts.push(0);
        self.max = Tap::default();
    }

    /// Adds taps of the next output.
    pub(crate) fn extend(&mut self, taps: impl Iterator<Item = Tap>) {
        for tap in taps {
            self.max.weights = self.max.weights.max(tap.weights);
            self.max.source = self.max.source.max(tap.source);
            self.taps.push(tap);
        }
    }

    /// Ends the taps of an output.
    pub(crate) fn end_output(&mut self) {
        self.starts.push(self.taps.len());
    }
}

/// The sums over taps and channels of weight · source, for `ROWS` filters and some images of an output. Each sum has the
/// order of the taps, and within a tap that of the channels.
///
/// `weights` is `[tap][channel][ROWS]`. The images of channel c are at `tap.source + c · channel_stride`.
#[expect(clippy::too_many_arguments, reason = "sizes and strides")]
#[inline(always)]
pub(crate) fn sum_over_taps<S: Simd, const ROWS: usize, const REGISTERS: usize>(
    simd: S,
    start: [f32; ROWS],
    weights: &[f32],
    list: &TapList,
    output: usize,
    channels: usize,
    source: &[f32],
    channel_stride: usize,
) -> [[S::f32s; REGISTERS]; ROWS] {
    let mut sums = [[simd.splat_f32s(0.0); REGISTERS]; ROWS];
    for (sums, start) in sums.iter_mut().zip(start) {
        *sums = [simd.splat_f32s(start); REGISTERS];
    }
    let tap_weights = channels * ROWS;
    let span = (channels - 1) * channel_stride + REGISTERS * S::F32_LANES;
    assert!((list.max.weights as usize + 1) * tap_weights <= weights.len(), "weights too short");
    assert!(list.max.source as usize + span <= source.len(), "source too short");
    for tap in &list.taps[list.starts[output]..list.starts[output + 1]] {
        let first_weight = tap.weights as usize * tap_weights;
        for channel in 0..channels {
            #[expect(unsafe_code, reason = "bounds checks would take as long as the products")]
            // SAFETY: no tap of the list has a larger weights index or source than `list.max`, and the two assertions cover
            // that maximum and its last channel. Registers consist of floats, and the reads do not require a larger alignment
            // than that of a float.
            let (column, line) = unsafe {
                let column = weights.as_ptr().add(first_weight + channel * ROWS);
                let line: *const S::f32s =
                    source.as_ptr().add(tap.source as usize + channel * channel_stride).cast();
                (
                    from_fn::<f32, ROWS, _>(|row| *column.add(row)),
                    from_fn::<S::f32s, REGISTERS, _>(|register| {
                        line.add(register).read_unaligned()
                    }),
                )
            };
            for (value, sums) in column.into_iter().zip(&mut sums) {
                let value = simd.splat_f32s(value);
                for (sum, values) in sums.iter_mut().zip(line) {
                    *sum = simd.mul_add_f32s(value, values, *sum);
                }
            }
        }
    }
    sums
}

/// The sums over positions and images of left · right, for `ROWS` rows of the left factor and the lanes of the right one.
/// Each sum has the order of the positions, and within a position that of the images.
///
/// At a position p, the values of a row are at its start + p · `left_step`, `[depth]`, and those of the right factor
/// at p · `right_step`, `[depth][lanes]`.
#[expect(clippy::too_many_arguments, reason = "sizes and strides")]
#[inline(always)]
pub(crate) fn sum_over_images<S: Simd, const ROWS: usize, const REGISTERS: usize>(
    simd: S,
    left: &[f32],
    starts: [usize; ROWS],
    left_step: usize,
    right: &[f32],
    right_step: usize,
    positions: usize,
    depth: usize,
) -> [[S::f32s; REGISTERS]; ROWS] {
    let mut sums = [[simd.splat_f32s(0.0); REGISTERS]; ROWS];
    if positions == 0 || depth == 0 {
        return sums;
    }
    let width = REGISTERS * S::F32_LANES;
    let last_start = starts.iter().fold(0, |last, start| last.max(*start));
    assert!(last_start + (positions - 1) * left_step + depth <= left.len(), "left too short");
    assert!((positions - 1) * right_step + depth * width <= right.len(), "right too short");
    for position in 0..positions {
        #[expect(unsafe_code, reason = "bounds checks would take as long as the products")]
        // SAFETY: the two assertions cover the last position.
        let (rows, mut line) = unsafe {
            (
                starts.map(|start| left.as_ptr().add(start + position * left_step)),
                right.as_ptr().add(position * right_step),
            )
        };
        for k in 0..depth {
            #[expect(unsafe_code, reason = "bounds checks would take as long as the products")]
            // SAFETY: k is below the depth, which the assertions cover. Registers consist of floats, and the reads do
            // not require a larger alignment than that of a float.
            let registers = unsafe {
                let line = line.cast::<S::f32s>();
                from_fn::<S::f32s, REGISTERS, _>(|register| line.add(register).read_unaligned())
            };
            // A pointer that moves: with an index, the compiler loads the values of all rows first, for which there are not
            // enough registers.
            line = line.wrapping_add(width);
            for (row, sums) in rows.into_iter().zip(&mut sums) {
                #[expect(unsafe_code, reason = "as above")]
                // SAFETY: as above.
                let value = simd.splat_f32s(unsafe { *row.add(k) });
                for (sum, values) in sums.iter_mut().zip(registers) {
                    *sum = simd.mul_add_f32s(value, values, *sum);
                }
            }
        }
    }
    sums
}
