//! The transforms of minimal filtering in one dimension, F(4, 3), as Toom and Cook derive them from the values of polynomials
//! at the points 0, ±1/√2, ±√2 and ∞.
//!
//! The points decide how much rounding errors grow. Lavin and Gray use 0, ±1, ±2 and ∞, with about 4 times the error of the
//! direct form. The points used here and their reciprocals are closer to 1, and the error is about twice that of the direct
//! form. Barabasz et al. 2018 (arXiv 1803.10986) analyze the effect of the points.
//!
//! The functions take one row or column of a tile, in registers of images or channels. `kernel` takes one lane.

use std::f32::consts::{FRAC_1_SQRT_2, SQRT_2};

use pulp::Simd;

use super::{OUTPUTS, SPAN};

/// The smaller point.
const P: f32 = FRAC_1_SQRT_2;

/// The larger point, the reciprocal of the smaller one.
const Q: f32 = SQRT_2;

/// factor · value + sum. No closure, because those are not always compiled for the vector instructions.
#[inline(always)]
fn times<S: Simd>(simd: S, factor: f32, value: S::f32s, sum: S::f32s) -> S::f32s {
    simd.mul_add_f32s(simd.splat_f32s(factor), value, sum)
}

#[inline(always)]
fn scaled<S: Simd>(simd: S, factor: f32, value: S::f32s) -> S::f32s {
    simd.mul_f32s(simd.splat_f32s(factor), value)
}

/// Bᵀ d
#[inline(always)]
pub(super) fn input<S: Simd>(simd: S, d: [S::f32s; SPAN]) -> [S::f32s; SPAN] {
    let (even, odd) = (times(simd, -2.0, d[2], d[4]), times(simd, -2.0, d[1], d[3]));
    let (wide_even, wide_odd) = (times(simd, -0.5, d[2], d[4]), times(simd, -0.5, d[1], d[3]));
    [
        times(simd, -2.5, d[2], simd.add_f32s(d[0], d[4])),
        times(simd, P, odd, even),
        times(simd, -P, odd, even),
        times(simd, Q, wide_odd, wide_even),
        times(simd, -Q, wide_odd, wide_even),
        times(simd, -2.5, d[3], simd.add_f32s(d[1], d[5])),
    ]
}

/// A y, for the gradient of the outputs.
#[inline(always)]
pub(super) fn gradient<S: Simd>(simd: S, y: [S::f32s; OUTPUTS]) -> [S::f32s; SPAN] {
    let (even, odd) = (times(simd, 0.5, y[2], y[0]), times(simd, 0.5, y[3], y[1]));
    let (wide_even, wide_odd) = (times(simd, 2.0, y[2], y[0]), times(simd, 2.0, y[3], y[1]));
    [
        y[0],
        times(simd, P, odd, even),
        times(simd, -P, odd, even),
        times(simd, Q, wide_odd, wide_even),
        times(simd, -Q, wide_odd, wide_even),
        y[3],
    ]
}

/// Aᵀ m
#[inline(always)]
pub(super) fn output<S: Simd>(simd: S, m: [S::f32s; SPAN]) -> [S::f32s; OUTPUTS] {
    let (sum, difference) = (simd.add_f32s(m[1], m[2]), simd.sub_f32s(m[1], m[2]));
    let (wide_sum, wide_difference) = (simd.add_f32s(m[3], m[4]), simd.sub_f32s(m[3], m[4]));
    [
        simd.add_f32s(simd.add_f32s(m[0], sum), wide_sum),
        times(simd, Q, wide_difference, scaled(simd, P, difference)),
        times(simd, 2.0, wide_sum, scaled(simd, 0.5, sum)),
        times(simd, 2.0 * Q, wide_difference, times(simd, 0.5 * P, difference, m[5])),
    ]
}

/// G g for one lane. The loops over lanes are in `pack_weights`.
#[inline(always)]
pub(super) fn kernel([a, b, c]: [f32; 3]) -> [f32; SPAN] {
    let (even, odd) = (-2.0 / 3.0 * a - 1.0 / 3.0 * c, 2.0 / 3.0 * P * b);
    let (wide_even, wide_odd) = (1.0 / 6.0 * a + 1.0 / 3.0 * c, 1.0 / 6.0 * Q * b);
    [a, even - odd, even + odd, wide_even + wide_odd, wide_even - wide_odd, c]
}

/// Gᵀ m, for the sums of the gradient of a kernel.
#[inline(always)]
pub(super) fn kernel_gradient<S: Simd>(simd: S, m: [S::f32s; SPAN]) -> [S::f32s; 3] {
    let (sum, difference) = (simd.add_f32s(m[1], m[2]), simd.sub_f32s(m[1], m[2]));
    let (wide_sum, wide_difference) = (simd.add_f32s(m[3], m[4]), simd.sub_f32s(m[3], m[4]));
    [
        times(simd, 1.0 / 6.0, wide_sum, times(simd, -2.0 / 3.0, sum, m[0])),
        times(simd, -2.0 / 3.0 * P, difference, scaled(simd, 1.0 / 6.0 * Q, wide_difference)),
        times(simd, 1.0 / 3.0, simd.sub_f32s(wide_sum, sum), m[5]),
    ]
}
