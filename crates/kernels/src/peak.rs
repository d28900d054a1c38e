//! The peak of the processor, which benchmarks compare with.

use std::hint::black_box;

use pulp::{Simd, WithSimd};

use crate::Instructions;

/// Independent sums: enough to hide the latency of the instruction, and few enough for 16 registers.
const CHAINS: usize = 12;

/// Computes fused multiply-adds on registers, without loads, and returns the number of floating-point operations: two for
/// each lane.
#[must_use]
pub fn multiply_add_on_registers(steps: usize, instructions: Instructions) -> usize {
    instructions.dispatch(Peak { steps })
}

struct Peak {
    steps: usize,
}

impl WithSimd for Peak {
    type Output = usize;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> usize {
        let factor = simd.splat_f32s(black_box(0.999));
        let term = simd.splat_f32s(black_box(0.001));
        let mut sums = [simd.splat_f32s(1.0); CHAINS];
        for _ in 0..self.steps {
            for sum in &mut sums {
                *sum = simd.mul_add_f32s(*sum, factor, term);
            }
        }
        black_box(sums.map(|sum| simd.reduce_sum_f32s(sum)));
        2 * S::F32_LANES * CHAINS * self.steps
    }
}
