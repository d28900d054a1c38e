//! The rectified linear unit.

use pulp::Simd;

/// Replaces negative values by 0.
#[inline(always)]
pub(crate) fn rectified<S: Simd>(simd: S, value: S::f32s) -> S::f32s {
    let zero = simd.splat_f32s(0.0);
    // A maximum would turn NaN into 0 on some processors, and hide a diverged run.
    simd.select_f32s(simd.less_than_f32s(value, zero), zero, value)
}
