//! The product of two matrices in which the right one's rows meet the vector registers and each value
//! of the left one is spread over a register.
//!
//! A tile of the product stays in registers while it is summed: up to twelve rows, two registers
//! wide. The left factor is read as it lies. The right one is read as it lies, too, where its rows are
//! whole registers; else it is first rearranged into panels as wide as a tile, filled up with zeros.

use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::product::{Blend, Matrix};

/// As many values of the right factor meet all rows of the left one before the next do: a quarter of
/// a MiB, which a core's own cache has room for.
const GROUP: usize = 1 << 16;

/// Blends left · right into out, whose shapes fit. Every value is the sum of its products in their
/// order, however wide the machine's registers are.
pub(super) struct Product<'a> {
    /// `[left's rows, right's columns]`, its rows one after another.
    pub(super) out: &'a mut [f32],
    pub(super) blend: Blend,
    pub(super) left: Matrix<'a>,
    pub(super) right: Matrix<'a>,
    /// Room for the right factor.
    pub(super) panels: &'a mut Vec<f32>,
}

/// Some columns of the right factor, in panels.
#[derive(Clone, Copy)]
struct Panels<'a> {
    values: &'a [f32],
    /// From a row of a panel to the next.
    row_stride: usize,
    /// From a panel to the next.
    panel_stride: usize,
}

impl WithSimd for Product<'_> {
    type Output = ();

    // All that computes is inlined into this, since only here the compiler may use the registers.
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { out, blend, left, right, panels } = self;
        let (depth, columns) = (right.rows, right.columns);
        let width = 2 * S::F32_LANES;
        let in_place = right.column_stride == 1 && columns.is_multiple_of(S::F32_LANES);
        let group = (GROUP / (width * depth)).max(1) * width;
        for first in (0..columns).step_by(group) {
            let last = columns.min(first + group);
            let panels = if in_place {
                let values = &right.values[first..];
                Panels { values, row_stride: right.row_stride, panel_stride: width }
            } else {
                pack(right, first..last, width, panels);
                Panels { values: panels, row_stride: width, panel_stride: width * depth }
            };
            let mut row = 0;
            while row < left.rows {
                let left = left.rows_from(row);
                let out = &mut out[row * columns + first..];
                let strip =
                    Strip { out, out_stride: columns, columns: last - first, blend, left, panels };
                row += match left.rows {
                    12.. if S::REGISTER_COUNT >= 32 => strip.compute::<S, 12>(simd),
                    6.. => strip.compute::<S, 6>(simd),
                    4.. => strip.compute::<S, 4>(simd),
                    _ => strip.compute::<S, 1>(simd),
                };
            }
        }
    }
}

/// The rows of the product from one on, and what they are made of.
struct Strip<'a> {
    /// From the first row's first value on.
    out: &'a mut [f32],
    out_stride: usize,
    columns: usize,
    blend: Blend,
    left: Matrix<'a>,
    panels: Panels<'a>,
}

impl Strip<'_> {
    /// Computes the first so many rows, and says how many.
    #[inline(always)]
    fn compute<S: Simd, const ROWS: usize>(self, simd: S) -> usize {
        let Self { out, out_stride, columns, blend, left, panels } = self;
        let lanes = S::F32_LANES;
        for (panel, first) in (0..columns).step_by(2 * lanes).enumerate() {
            let panel = &panels.values[panel * panels.panel_stride..];
            let out = &mut out[first..];
            let columns = (columns - first).min(2 * lanes);
            if columns > lanes {
                let sums = sums::<S, ROWS, 2>(simd, left, panel, panels.row_stride);
                store(simd, sums, out, out_stride, columns, blend);
            } else {
                let sums = sums::<S, ROWS, 1>(simd, left, panel, panels.row_stride);
                store(simd, sums, out, out_stride, columns, blend);
            }
        }
        ROWS
    }
}

/// The sums of a tile, a row of registers for each row.
#[inline(always)]
fn sums<S: Simd, const ROWS: usize, const REGISTERS: usize>(
    simd: S,
    left: Matrix<'_>,
    panel: &[f32],
    panel_stride: usize,
) -> [[S::f32s; REGISTERS]; ROWS] {
    let mut sums = [[simd.splat_f32s(0.0); REGISTERS]; ROWS];
    let Matrix { values, columns: depth, row_stride, column_stride, .. } = left;
    let last = depth - 1;
    assert!((ROWS - 1) * row_stride + last * column_stride < values.len(), "in the left factor");
    assert!(last * panel_stride + REGISTERS * S::F32_LANES <= panel.len(), "in the right one");
    for k in 0..depth {
        #[expect(unsafe_code, reason = "the checks of bounds would take as long as the products")]
        // SAFETY: no k, row or register is above those of the two assertions. Registers are made of
        // floats and ask for no other alignment than they do.
        let (column, line) = unsafe {
            let line: *const S::f32s = panel.as_ptr().add(k * panel_stride).cast();
            let column = values.as_ptr().add(k * column_stride);
            (
                std::array::from_fn::<f32, ROWS, _>(|row| *column.add(row * row_stride)),
                std::array::from_fn::<S::f32s, REGISTERS, _>(|register| {
                    line.add(register).read_unaligned()
                }),
            )
        };
        for (value, sums) in column.into_iter().zip(&mut sums) {
            let value = simd.splat_f32s(value);
            for (sum, values) in sums.iter_mut().zip(line) {
                *sum = simd.mul_add_e_f32s(value, values, *sum);
            }
        }
    }
    sums
}

/// Blends a tile's sums with what is there. `columns` of them are columns of the product.
#[inline(always)]
fn store<S: Simd, const ROWS: usize, const REGISTERS: usize>(
    simd: S,
    sums: [[S::f32s; REGISTERS]; ROWS],
    out: &mut [f32],
    out_stride: usize,
    columns: usize,
    blend: Blend,
) {
    let width = REGISTERS * S::F32_LANES;
    if columns < width {
        for (sums, out) in sums.into_iter().zip(out.chunks_mut(out_stride)) {
            store_part(simd, sums, &mut out[..columns], blend);
        }
        return;
    }
    // A loop for each blend, so that each is short enough to be unrolled and the sums need no memory.
    let line = |row: usize| row * out_stride..row * out_stride + width;
    match blend {
        Blend::Replace => {
            for row in 0..ROWS {
                S::as_mut_simd_f32s(&mut out[line(row)]).0.copy_from_slice(&sums[row]);
            }
        }
        Blend::Add => {
            for row in 0..ROWS {
                let (line, _) = S::as_mut_simd_f32s(&mut out[line(row)]);
                for (value, sum) in line.iter_mut().zip(sums[row]) {
                    *value = simd.add_f32s(*value, sum);
                }
            }
        }
        Blend::DecayAndAdd(factor) => {
            let factor = simd.splat_f32s(factor);
            for row in 0..ROWS {
                let (line, _) = S::as_mut_simd_f32s(&mut out[line(row)]);
                for (value, sum) in line.iter_mut().zip(sums[row]) {
                    *value = simd.mul_add_e_f32s(factor, *value, sum);
                }
            }
        }
    }
}

/// Blends a row's sums with what is there, which is not as wide.
#[inline(always)]
fn store_part<S: Simd, const REGISTERS: usize>(
    simd: S,
    sums: [S::f32s; REGISTERS],
    out: &mut [f32],
    blend: Blend,
) {
    for (sum, out) in sums.into_iter().zip(out.chunks_mut(S::F32_LANES)) {
        let before = simd.partial_load_f32s(out);
        let value = match blend {
            Blend::Replace => sum,
            Blend::Add => simd.add_f32s(before, sum),
            Blend::DecayAndAdd(factor) => simd.mul_add_e_f32s(simd.splat_f32s(factor), before, sum),
        };
        simd.partial_store_f32s(out, value);
    }
}

/// Rearranges the columns into panels of so many, filled up with zeros, a panel row after row.
#[inline(always)]
fn pack(matrix: Matrix<'_>, columns: Range<usize>, width: usize, panels: &mut Vec<f32>) {
    let depth = matrix.rows;
    let size = columns.len().div_ceil(width) * width * depth;
    // Not cleared or cut first: only growth is filled with zeros.
    if panels.len() < size {
        panels.resize(size, 0.0);
    }
    let firsts = columns.clone().step_by(width);
    for (panel, first) in panels.chunks_exact_mut(width * depth).zip(firsts) {
        let count = width.min(columns.end - first);
        if matrix.column_stride == 1 {
            for (k, line) in panel.chunks_exact_mut(width).enumerate() {
                let row = &matrix.values[k * matrix.row_stride + first..][..count];
                line[..count].copy_from_slice(row);
            }
        } else {
            let start = first * matrix.column_stride;
            transpose_into(&matrix.values[start..], matrix.column_stride, count, width, panel);
        }
        if count < width {
            panel.chunks_exact_mut(width).for_each(|line| line[count..].fill(0.0));
        }
    }
}

/// Writes columns, each `stride` behind the one before, beside each other into the panel's rows.
///
/// On a few rows at a time, which stay in the nearest cache, four columns are joined, a loop that
/// becomes shuffles of registers, and then put in their place.
#[inline(always)]
fn transpose_into(columns: &[f32], stride: usize, count: usize, width: usize, panel: &mut [f32]) {
    const ROWS: usize = 32;
    let mut quads = [[0.0; 4]; ROWS];
    for (block, lines) in panel.chunks_mut(ROWS * width).enumerate() {
        let rows = lines.len() / width;
        let column = |index| &columns[index * stride + block * ROWS..][..rows];
        for first in (0..count / 4).map(|quad| 4 * quad) {
            let [a, b, c, d] = std::array::from_fn(|index| column(first + index));
            let quads = &mut quads[..rows];
            for ((((quad, a), b), c), d) in quads.iter_mut().zip(a).zip(b).zip(c).zip(d) {
                *quad = [*a, *b, *c, *d];
            }
            for (line, quad) in lines.chunks_exact_mut(width).zip(quads) {
                line[first..first + 4].copy_from_slice(quad);
            }
        }
        for index in count / 4 * 4..count {
            for (line, value) in lines.chunks_exact_mut(width).zip(column(index)) {
                line[index] = *value;
            }
        }
    }
}
