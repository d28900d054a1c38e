//! Element-wise sums: residual connections, and the gradients of biases.

use pulp::Simd;

use crate::moments::{LANES, SumLanes, Terms, add, tree};
use crate::workspace::none;
use crate::{Blend, Workspace};

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
                    add(&mut sums, &part_sums);
                }
                *out = blend.apply(*out, tree(sums) as f32);
            }
        },
    );
}

/// Positions that are summed in 32 bits.
const PART: usize = 32;

/// The value itself.
struct Value;

impl Terms<1, 1> for Value {
    #[inline(always)]
    fn terms<S: Simd>(&self, _: S, values: [S::f32s; 1]) -> [S::f32s; 1] {
        values
    }
}
