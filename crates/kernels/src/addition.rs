//! Element-wise sums: residual connections, and the gradients of biases.

use pulp::Simd;

use crate::moments::{LANES, PART, SumLanes, Terms, add_lanes, sum_of_lanes};
use crate::workspace::none;
use crate::{Blend, Workspace};

/// Writes left + right, and with `relu` replaces negative sums by 0.
///
/// # Panics
///
/// The slices differ in length.
pub fn add(left: &[f32], right: &[f32], relu: bool, out: &mut [f32], workspace: &mut Workspace) {
    assert_eq!(left.len(), out.len(), "one sum per value");
    assert_eq!(right.len(), out.len(), "one sum per value");
    workspace.split_loops(
        out.len(),
        out.len(),
        out,
        none(),
        #[inline(always)]
        |part, out, _| {
            let values = left[part.clone()].iter().zip(&right[part]);
            for (out, (left, right)) in out.iter_mut().zip(values) {
                let sum = left + right;
                *out = if relu && sum < 0.0 { 0.0 } else { sum };
            }
        },
    );
}

/// Adds `values` to `out`, and with `relu` replaces negative sums by 0.
///
/// # Panics
///
/// The slices differ in length.
pub fn add_into(out: &mut [f32], values: &[f32], relu: bool, workspace: &mut Workspace) {
    assert_eq!(out.len(), values.len(), "one value per element");
    workspace.split_loops(
        out.len(),
        out.len(),
        out,
        none(),
        #[inline(always)]
        |part, out, _| {
            for (out, value) in out.iter_mut().zip(&values[part]) {
                let sum = *out + value;
                *out = if relu && sum < 0.0 { 0.0 } else { sum };
            }
        },
    );
}

/// Sets a gradient to 0 where y, the output of a ReLU, is 0, in place and in a copy.
///
/// # Panics
///
/// The slices differ in length.
pub fn mask_and_copy(gradient: &mut [f32], y: &[f32], copy: &mut [f32], workspace: &mut Workspace) {
    assert_eq!(gradient.len(), y.len(), "one output per gradient");
    assert_eq!(copy.len(), y.len(), "one copy per gradient");
    workspace.split_loops(
        y.len(),
        y.len(),
        gradient,
        copy,
        #[inline(always)]
        |part, gradient, copy| {
            for ((gradient, copy), y) in gradient.iter_mut().zip(copy).zip(&y[part]) {
                *gradient = if *y <= 0.0 { 0.0 } else { *gradient };
                *copy = *gradient;
            }
        },
    );
}

/// Blends the sum of each row of `[rows][positions][n]` into `out`, one value per row: the gradient of a bias.
///
/// Image i is summed in lane i mod 16, first over some positions in 32 bits and then in 64 bits, and the lanes are added
/// in a fixed order, so the result does not depend on the width of the registers.
///
/// # Panics
///
/// The number of values is not a multiple of rows · n.
pub fn row_sums(
    values: &[f32],
    n: usize,
    out: &mut [f32],
    blend: Blend,
    workspace: &mut Workspace,
) {
    assert!(values.len().is_multiple_of((out.len() * n).max(1)), "whole rows");
    let size = (values.len() / out.len().max(1)).max(1);
    let instructions = workspace.instructions;
    workspace.split_loops(
        values.len(),
        out.len(),
        out,
        none(),
        #[inline(always)]
        |rows, out, _| {
            let values = &values[rows.start * size..];
            for (out, row) in out.iter_mut().zip(values.chunks_exact(size)) {
                let mut sums = [0.0_f64; LANES];
                for part in row.chunks(PART * n) {
                    let pieces = part.chunks_exact(n).map(|position| [position]);
                    let [part_sums] = instructions.dispatch(SumLanes { pieces, terms: Value });
                    add_lanes(&mut sums, &part_sums);
                }
                *out = blend.apply(*out, sum_of_lanes(sums) as f32);
            }
        },
    );
}

/// The value itself.
struct Value;

impl Terms<1, 1> for Value {
    #[inline(always)]
    fn terms<S: Simd>(&self, _: S, values: [S::f32s; 1]) -> [S::f32s; 1] {
        values
    }
}
