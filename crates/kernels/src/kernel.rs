//! The product of two matrices. The rows of the right factor are loaded into vector registers, and each value of the
//! left factor is broadcast to a register.
//!
//! A tile of the product, up to twelve rows and two registers wide, stays in registers while it is summed. The left
//! factor is read in place. The right factor is read in place if its rows consist of whole registers. Otherwise it is
//! first packed into panels of the width of a tile, padded with zeros. Other libraries always pack, which pays off for
//! factors that are far larger than here.

use std::ops::Range;

use pulp::{Simd, WithSimd};

use crate::Workspace;
use crate::product::{Blend, Matrix};
use crate::workspace::none;

/// The values of the right factor that are multiplied with all rows of the left one before the next group: 256 KiB,
/// which fit into the L2 cache of a core.
const GROUP: usize = 1 << 16;

/// Rows of the product that one thread computes are a multiple of the rows of a tile, with 16 or with 32 registers.
const TILE_ROWS: usize = 12;

/// Blends left · right into `out`, which is `[left.rows, right.columns]`, row-major; the shapes must fit. Every value is
/// summed in the order of the inner dimension, whatever the width of the registers and the number of threads, so the result
/// does not depend on them.
pub(crate) fn multiply(
    out: &mut [f32],
    blend: Blend,
    left: Matrix<'_>,
    right: Matrix<'_>,
    workspace: &mut Workspace,
) {
    let (depth, columns) = (right.rows, right.columns);
    let lanes = workspace.instructions.lanes();
    let width = 2 * lanes;
    // With a remainder, the last register of a row would also load values of the next row.
    let in_place = right.column_stride == 1 && columns.is_multiple_of(lanes);
    let group = (GROUP / (width * depth)).max(1) * width;
    let part_rows = workspace.part_rows(left.rows, depth * columns, TILE_ROWS);
    let mut packed = std::mem::take(&mut workspace.panels);
    for first in (0..columns).step_by(group) {
        let group = first..columns.min(first + group);
        let panels = if in_place {
            let values = &right.values[first..];
            Panels { values, row_stride: right.row_stride, panel_stride: width }
        } else {
            let values = pack(right, group.clone(), width, &mut packed, workspace);
            Panels { values, row_stride: width, panel_stride: width * depth }
        };
        // `part_rows` are all rows if threads would not pay.
        workspace.for_each_part(usize::MAX, part_rows * columns, out, |part, out, workspace| {
            let rows = out.len() / columns;
            let left = Matrix { rows, ..left.rows_from(part * part_rows) };
            let columns = group.clone();
            workspace.instructions.dispatch(PartialProduct { out, columns, blend, left, panels });
        });
    }
    workspace.panels = packed;
}

/// Some columns of the product.
struct PartialProduct<'a> {
    /// All columns.
    out: &'a mut [f32],
    columns: Range<usize>,
    blend: Blend,
    left: Matrix<'a>,
    /// These columns of the right factor.
    panels: Panels<'a>,
}

/// Some columns of the right factor, in panels.
#[derive(Clone, Copy)]
struct Panels<'a> {
    values: &'a [f32],
    /// The distance between two rows of a panel.
    row_stride: usize,
    /// The distance between two panels.
    panel_stride: usize,
}

impl WithSimd for PartialProduct<'_> {
    type Output = ();

    // Everything that computes is inlined into this function, because only here may the compiler use the instruction
    // set that was chosen at run time.
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { out, columns, blend, left, panels } = self;
        let out_stride = out.len() / left.rows;
        let mut row = 0;
        while row < left.rows {
            let left = left.rows_from(row);
            let out = &mut out[row * out_stride + columns.start..];
            let strip = RowStrip { out, out_stride, columns: columns.len(), blend, left, panels };
            // More rows per tile reuse a loaded register more often, but need as many registers for their sums:
            // with 12 rows, 24 of 32.
            row += match left.rows {
                12.. if S::REGISTER_COUNT >= 32 => strip.compute::<S, 12>(simd),
                6.. => strip.compute::<S, 6>(simd),
                4.. => strip.compute::<S, 4>(simd),
                _ => strip.compute::<S, 1>(simd),
            };
        }
    }
}

/// The remaining rows of the product, and the factors that they are computed from.
struct RowStrip<'a> {
    /// Starts at the first value of the first row.
    out: &'a mut [f32],
    out_stride: usize,
    columns: usize,
    blend: Blend,
    left: Matrix<'a>,
    panels: Panels<'a>,
}

impl RowStrip<'_> {
    /// Computes the first `ROWS` rows, and returns their number.
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

/// The sums of a tile, with one row of registers per row of the tile.
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
    assert!((ROWS - 1) * row_stride + last * column_stride < values.len(), "left factor too short");
    assert!(last * panel_stride + REGISTERS * S::F32_LANES <= panel.len(), "panel too short");
    for k in 0..depth {
        #[expect(unsafe_code, reason = "bounds checks would take as long as the products")]
        // SAFETY: k, row and register are at most those of the two assertions. Registers consist of floats, and the
        // reads do not require a larger alignment than that of a float.
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
                *sum = simd.mul_add_f32s(value, values, *sum);
            }
        }
    }
    sums
}

/// Blends the sums of a tile into `out`. The tile may be wider than the product; `columns` of its columns belong to it.
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
    // With a separate loop for each blend, the compiler unrolls it and keeps the sums in registers.
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
                    *value = simd.mul_add_f32s(factor, *value, sum);
                }
            }
        }
    }
}

/// Blends the sums of a row into `out`, which is narrower than the sums.
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
            Blend::DecayAndAdd(factor) => simd.mul_add_f32s(simd.splat_f32s(factor), before, sum),
        };
        simd.partial_store_f32s(out, value);
    }
}

/// Packs columns of a matrix into panels of `width` columns, each row-major and padded with zeros.
fn pack<'a>(
    matrix: Matrix<'_>,
    columns: Range<usize>,
    width: usize,
    packed: &'a mut Vec<f32>,
    workspace: &mut Workspace,
) -> &'a [f32] {
    let count = columns.len().div_ceil(width);
    let size = count * width * matrix.rows;
    // Neither cleared nor shortened, because every value that is read is overwritten first.
    if packed.len() < size {
        packed.resize(size, 0.0);
    }
    workspace.split_loops(
        size,
        count,
        &mut packed[..size],
        none(),
        #[inline(always)]
        |part, panels, _| {
            let panels = panels.chunks_exact_mut(width * matrix.rows);
            for (panel, index) in panels.zip(part) {
                let first = columns.start + index * width;
                pack_panel(matrix, first..columns.end.min(first + width), width, panel);
            }
        },
    );
    &packed[..size]
}

/// Packs columns of a matrix into a panel.
#[inline(always)]
fn pack_panel(matrix: Matrix<'_>, columns: Range<usize>, width: usize, panel: &mut [f32]) {
    let (first, count) = (columns.start, columns.len());
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

/// Writes columns, `stride` values apart, into the rows of a panel.
///
/// Works on a few rows at a time, which stay in the L1 cache: first interleaves four columns, in a loop that compiles
/// to register shuffles, then copies the result to the panel.
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
