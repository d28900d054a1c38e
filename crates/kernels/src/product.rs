//! Matrix products.

use pulp::{Simd, WithSimd};

use crate::Workspace;
use crate::kernel::multiply;
use crate::moments::{LANES, sum_of_lanes};

/// A matrix in a slice, row-major, or column-major if it is transposed.
#[derive(Clone, Copy)]
pub struct Matrix<'a> {
    pub(crate) values: &'a [f32],
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    pub(crate) row_stride: usize,
    pub(crate) column_stride: usize,
}

impl<'a> Matrix<'a> {
    /// `values` as `[rows, columns]`.
    ///
    /// # Panics
    ///
    /// The number of values is not `rows` · `columns`.
    pub fn new(values: &'a [f32], rows: usize, columns: usize) -> Self {
        assert_eq!(Some(values.len()), rows.checked_mul(columns), "one value per element");
        Self { values, rows, columns, row_stride: columns, column_stride: 1 }
    }

    /// The rows from `row` on; `row` must be below the number of rows.
    pub(crate) fn rows_from(self, row: usize) -> Self {
        Self { values: &self.values[row * self.row_stride..], rows: self.rows - row, ..self }
    }

    /// The same values as `[columns, rows]`.
    pub const fn transposed(self) -> Self {
        Self {
            values: self.values,
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
        }
    }
}

/// How to combine the old value of an element with a new one.
#[derive(Clone, Copy, PartialEq)]
pub enum Blend {
    /// The new value.
    Replace,
    /// Old + new.
    Add,
    /// Factor · old + new. Matrix products fuse it into one rounding; [`apply`](Self::apply) rounds twice.
    DecayAndAdd(f32),
}

impl Blend {
    /// Combines the old value of an element with a new one.
    #[must_use]
    #[inline(always)]
    pub fn apply(self, old: f32, new: f32) -> f32 {
        match self {
            Self::Replace => new,
            Self::Add => old + new,
            Self::DecayAndAdd(factor) => factor * old + new,
        }
    }
}

/// Blends left · right into `out`, which is `[left.rows, right.columns]`, row-major.
///
/// # Panics
///
/// The shapes do not fit, or the inner dimension is 0.
pub fn multiply_into(
    out: &mut [f32],
    blend: Blend,
    left: Matrix<'_>,
    right: Matrix<'_>,
    workspace: &mut Workspace,
) {
    assert_eq!(left.columns, right.rows, "the inner dimensions are equal");
    assert!(right.rows > 0, "the inner dimension is not 0");
    let size = left.rows.checked_mul(right.columns);
    assert_eq!(Some(out.len()), size, "out has the size of the product");
    if right.columns == 1 {
        // The kernel is made for tiles two registers wide, and would waste all but one column of them.
        workspace.instructions.dispatch(ColumnProduct { out, blend, left, right: right.values });
    } else {
        multiply(out, blend, left, right, workspace);
    }
}

/// A product with one column, as for a batch of one image. Each value of the left factor is used once, so the loops
/// follow its order in memory.
struct ColumnProduct<'a> {
    out: &'a mut [f32],
    blend: Blend,
    left: Matrix<'a>,
    right: &'a [f32],
}

impl WithSimd for ColumnProduct<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { out, blend, left, right } = self;
        if left.column_stride == 1 {
            for (value, row) in out.iter_mut().zip(left.values.chunks_exact(left.columns)) {
                *value = blend.apply(*value, dot(row, right));
            }
        } else {
            // The columns of the left factor are contiguous: add them one by one, each scaled by its factor.
            out.iter_mut().for_each(|value| *value = blend.apply(*value, 0.0));
            for (column, factor) in left.values.chunks_exact(left.rows).zip(right) {
                for (value, term) in out.iter_mut().zip(column) {
                    *value += term * factor;
                }
            }
        }
    }
}

/// The dot product. Value i is summed in lane i mod 16, whatever the width of the registers, and four independent sums
/// keep the processor from waiting for the previous addition.
#[inline(always)]
fn dot(left: &[f32], right: &[f32]) -> f32 {
    let mut sums = [[0.0_f32; LANES]; 4];
    let (left, left_rest) = left.as_chunks::<LANES>();
    let (right, right_rest) = right.as_chunks::<LANES>();
    for (left, right) in left.chunks(4).zip(right.chunks(4)) {
        for ((left, right), sums) in left.iter().zip(right).zip(&mut sums) {
            for lane in 0..LANES {
                sums[lane] = left[lane].mul_add(right[lane], sums[lane]);
            }
        }
    }
    for (lane, (left, right)) in left_rest.iter().zip(right_rest).enumerate() {
        sums[0][lane] = left.mul_add(*right, sums[0][lane]);
    }
    let [a, b, c, d] = sums;
    sum_of_lanes(std::array::from_fn(|i| (a[i] + b[i]) + (c[i] + d[i])))
}

/// Writes the transpose of `values`, which is `[rows, columns]`, to `out`.
pub fn transpose(values: &[f32], rows: usize, columns: usize, out: &mut Vec<f32>) {
    assert_eq!(values.len(), rows * columns, "one value per element");
    // Written in order and read with a stride, because `extend` then needs no zeroed buffer.
    out.clear();
    out.extend(
        (0..columns).flat_map(|column| (0..rows).map(move |row| values[row * columns + column])),
    );
}
