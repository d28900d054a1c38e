//! Products of matrices, by the gemm crate on one thread.

use gemm::Parallelism;

/// A matrix in a slice, its rows one after another or, transposed, its columns.
#[derive(Clone, Copy)]
pub(super) struct Matrix<'a> {
    values: &'a [f32],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a> Matrix<'a> {
    /// `values` as `[rows, columns]`.
    ///
    /// # Panics
    ///
    /// They are not as many.
    pub(super) fn new(values: &'a [f32], rows: usize, columns: usize) -> Self {
        assert_eq!(Some(values.len()), rows.checked_mul(columns), "a value for each place");
        Self { values, rows, columns, row_stride: columns, column_stride: 1 }
    }

    /// The same values as `[columns, rows]`.
    pub(super) const fn transposed(self) -> Self {
        Self {
            values: self.values,
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
        }
    }
}

/// out ← `keep` · out + `scale` · left · right, where out is `[left's rows, right's columns]`, its
/// rows one after another. With a `keep` of 0 what out held is not read.
///
/// # Panics
///
/// The shapes do not fit.
pub(super) fn multiply_into(
    out: &mut [f32],
    keep: f32,
    scale: f32,
    left: Matrix<'_>,
    right: Matrix<'_>,
) {
    let (rows, depth, columns) = (left.rows, left.columns, right.columns);
    assert_eq!(depth, right.rows, "the factors fit each other");
    assert_eq!(Some(out.len()), rows.checked_mul(columns), "the product fits its place");
    let stride = usize::cast_signed;
    #[expect(unsafe_code, reason = "gemm takes pointers")]
    // SAFETY: a `Matrix` has as many values as places, and its strides reach each place once, so all
    // that is read lies in its slice; `out` has as many values as the product and is borrowed by
    // nobody else. f32 is one of gemm's types.
    unsafe {
        gemm::gemm(
            rows,
            columns,
            depth,
            out.as_mut_ptr(),
            1,
            stride(columns),
            keep != 0.0,
            left.values.as_ptr(),
            stride(left.column_stride),
            stride(left.row_stride),
            right.values.as_ptr(),
            stride(right.column_stride),
            stride(right.row_stride),
            keep,
            scale,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}

/// Writes the rows of `[rows, columns]` values as columns.
pub(super) fn transpose(values: &[f32], rows: usize, columns: usize, out: &mut Vec<f32>) {
    assert_eq!(values.len(), rows * columns, "a value for each place");
    out.clear();
    out.extend(
        (0..columns).flat_map(|column| (0..rows).map(move |row| values[row * columns + column])),
    );
}
