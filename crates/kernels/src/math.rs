//! Elementary functions with the same bits on every processor, in loops that the compiler vectorizes.
//!
//! The functions of the platform's mathematical library change with its version. These consist of additions,
//! multiplications, fused multiply-adds, divisions and comparisons, all of which round in one way, and have no branch. The
//! polynomials are minimax fits (Remez exchange in 64 bits); the tests compare with 64-bit results.
//!
//! Outside [`vectorized`], the fused multiply-adds can be calls of a slow function.

use crate::Instructions;
use crate::instructions::vectorize;

/// Runs loops that call the functions of this module. A closure that is `#[inline(always)]` is compiled for the vector
/// instructions of the processor.
pub fn vectorized(instructions: Instructions, loops: impl FnOnce()) {
    vectorize(instructions, loops);
}

/// 1.5 · 2²³: added to a number below 2²², it leaves the nearest integer in the low bits.
const ROUND: f32 = 12_582_912.0;
/// ln 2 in two parts. The first one has 10 bits, so that its product with an exponent is exact.
const LN_2_HIGH: f32 = 0.693_359_4;
const LN_2_LOW: f32 = -2.121_944_4e-4;

#[inline(always)]
fn polynomial<const TERMS: usize>(x: f32, coefficients: [f32; TERMS]) -> f32 {
    // From the highest power on. Not with iterators: if the compiler does not inline one of their functions, the loop around
    // this is not vectorized.
    let mut power = TERMS - 1;
    let mut sum = coefficients[power];
    while power > 0 {
        power -= 1;
        sum = sum.mul_add(x, coefficients[power]);
    }
    sum
}

/// Limits x, and keeps NaN.
#[inline(always)]
fn limited(x: f32, low: f32, high: f32) -> f32 {
    let x = if x < low { low } else { x };
    if x > high { high } else { x }
}

/// The integer k and the remainder e^r - 1 of x = k · ln 2 + r.
#[inline(always)]
fn reduced_exp_m1(x: f32) -> (i32, f32) {
    let shifted = x.mul_add(std::f32::consts::LOG2_E, ROUND);
    let k = shifted - ROUND;
    let r = k.mul_add(-LN_2_LOW, k.mul_add(-LN_2_HIGH, x));
    let tail = polynomial(
        r,
        [0.5, 0.166_666_67, 4.166_635_5e-2, 8.333_273e-3, 1.394_110_3e-3, 1.991_430_2e-4],
    );
    (shifted.to_bits().wrapping_sub(ROUND.to_bits()).cast_signed(), (r * r).mul_add(tail, r))
}

/// 2^k, for k between -126 and 127.
#[inline(always)]
fn power_of_two(k: i32) -> f32 {
    f32::from_bits(k.wrapping_add(127).cast_unsigned() << 23)
}

/// eˣ. The error is at most 1 unit in the last place.
#[inline(always)]
#[must_use]
pub fn exp(x: f32) -> f32 {
    // Beyond these limits, the result is 0 or infinite.
    let (k, power) = reduced_exp_m1(limited(x, -104.0, 89.0));
    // In two factors, because 2^k may be too large, or too small.
    let half = k >> 1;
    let scale = power_of_two(half);
    scale.mul_add(power, scale) * power_of_two(k.wrapping_sub(half))
}

/// eˣ - 1. The error is at most 2 units in the last place, also near 0.
#[inline(always)]
#[must_use]
pub fn exp_m1(x: f32) -> f32 {
    let (k, power) = reduced_exp_m1(limited(x, -20.0, 88.0));
    let scale = power_of_two(k);
    let y = scale.mul_add(power, scale - 1.0);
    // Above 88, where 2^k may be too large, 1 does not count.
    if x > 88.0 { exp(x) } else { y }
}

/// The hyperbolic tangent. The error is at most 3 units in the last place.
#[inline(always)]
#[must_use]
pub fn tanh(x: f32) -> f32 {
    // Beyond 10, the result is 1.
    let power = exp_m1(2.0 * limited(x.abs(), 0.0, 10.0));
    (power / (power + 2.0)).copysign(x)
}

/// ln(1 + x) for x between 0 and 1, from s = x / (2 + x) as 2 artanh(s). The error is at most 2 units in the last place.
#[inline(always)]
fn ln_1p_of_fraction(x: f32) -> f32 {
    let s = x / (2.0 + x);
    let square = s * s;
    let tail = polynomial(
        square,
        [0.666_666_7, 0.400_000_54, 0.285_683_93, 0.223_015_53, 0.171_473_74, 0.217_939_81],
    );
    (s * square).mul_add(tail, 2.0 * s)
}

/// ln(1 + eˣ). The error is at most 3 units in the last place.
#[inline(always)]
#[must_use]
pub fn softplus(x: f32) -> f32 {
    // A comparison with NaN is false.
    let positive = if x < 0.0 { 0.0 } else { x };
    positive + ln_1p_of_fraction(exp(-x.abs()))
}

/// The natural logarithm. The error is at most 2 units in the last place; of 0 it is -∞, and of negative numbers NaN.
#[inline(always)]
#[must_use]
pub fn ln(x: f32) -> f32 {
    // Numbers below 2⁻¹²⁶ are scaled into the range of the others.
    let tiny = x < f32::MIN_POSITIVE;
    let scaled = if tiny { x * 8_388_608.0 } else { x };
    // x = 2^k · m with m between √½ and √2.
    let bits = scaled.to_bits().wrapping_sub(std::f32::consts::FRAC_1_SQRT_2.to_bits());
    let exponent = (bits.cast_signed() >> 23) as f32;
    let k = if tiny { exponent - 23.0 } else { exponent };
    let m = f32::from_bits((bits & 0x7f_ffff) + std::f32::consts::FRAC_1_SQRT_2.to_bits());
    let s = (m - 1.0) / (m + 1.0);
    let square = s * s;
    let tail = polynomial(square, [0.666_666_6, 0.400_003_34, 0.285_372_85, 0.235_825_99]);
    let y = k.mul_add(LN_2_HIGH, k.mul_add(LN_2_LOW, (s * square).mul_add(tail, 2.0 * s)));
    let y = if x == 0.0 { f32::NEG_INFINITY } else { y };
    let y = if x < 0.0 { f32::NAN } else { y };
    // Infinity and NaN.
    if x < f32::INFINITY { y } else { x }
}

/// The error function. The error is at most 2 units in the last place.
#[inline(always)]
#[must_use]
pub fn erf(x: f32) -> f32 {
    let square = x * x;
    let tail = polynomial(
        square,
        [
            0.128_379_17,
            -0.376_126_32,
            0.112_836_86,
            -2.685_885_1e-2,
            5.199_6e-3,
            -8.125_807_5e-4,
            8.296_613e-5,
        ],
    );
    let near = x.mul_add(tail, x);
    // erf(a) = 1 - e^-p(a); beyond 3.95 that is 1.
    let a = limited(x.abs(), 0.0, 3.95);
    let p = polynomial(
        a,
        [
            -1.758_732_8e-4,
            1.129_520_8,
            0.633_334_7,
            0.108_293_93,
            -2.512_861_4e-2,
            4.174_638_5e-3,
            -4.352_179_2e-4,
            2.116_181_9e-5,
        ],
    );
    let far = (1.0 - exp(-p)).copysign(x);
    if x.abs() < 0.93 { near } else { far }
}

/// The logistic function 1 / (1 + e⁻ˣ). The error is at most 3 units in the last place.
#[inline(always)]
#[must_use]
pub fn sigmoid(x: f32) -> f32 {
    // So that the power does not overflow.
    let power = exp(-x.abs());
    let share = 1.0 / (1.0 + power);
    if x < 0.0 { power * share } else { share }
}
