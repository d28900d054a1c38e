use super::support::with_all_instructions;
use crate::math;

/// Numbers of all exponents and signs, and the neighbors of where the formulas change.
fn numbers() -> Vec<f32> {
    let mut numbers: Vec<f32> =
        (0..1 << 16).map(|high| f32::from_bits(high << 16 | 0x5a5a)).collect();
    for edge in
        [0.0, 0.35, 0.7, 0.93, 1.0, 3.95, 10.0, 20.0, 87.4, 88.0, 88.722_83, 89.0, 103.98_f32]
    {
        for value in [edge, -edge] {
            numbers.extend([value, value.next_up(), value.next_down()]);
        }
    }
    numbers.extend((-40_000..40_000).map(|index| index as f32 * 0.002_5));
    numbers.extend([f32::INFINITY, f32::NEG_INFINITY, f32::NAN]);
    numbers
}

/// Compares with 64 bits, in units in the last place of the expected number.
fn assert_accurate(function: fn(f32) -> f32, expected: fn(f64) -> f64, bound: f64) {
    let results = with_all_instructions(|workspace| {
        let mut values = numbers();
        math::vectorized(workspace.instructions, || {
            values.iter_mut().for_each(|value| *value = function(*value));
        });
        // NaN has many representations.
        values.iter_mut().filter(|value| value.is_nan()).for_each(|value| *value = f32::NAN);
        values
    });
    let mut worst = (0.0, 0.0);
    for (x, y) in numbers().into_iter().zip(results) {
        let expected = expected(f64::from(x));
        let rounded = expected as f32;
        if !rounded.is_finite() || rounded == 0.0 {
            assert!(
                y == rounded || (y.is_nan() && rounded.is_nan()),
                "f({x}) = {y}, not {rounded}"
            );
            continue;
        }
        let unit = f64::from(rounded.abs().next_up() - rounded.abs());
        let error = (f64::from(y) - expected).abs() / unit;
        assert!(!error.is_nan(), "f({x}) = {y}, not {expected}");
        if error > worst.0 {
            worst = (error, x);
        }
    }
    assert!(worst.0 <= bound, "an error of {} units at {}", worst.0, worst.1);
}

#[test]
fn functions_are_accurate_to_a_few_units_in_the_last_place() {
    assert_accurate(math::exp, f64::exp, 1.0);
    assert_accurate(math::exp_m1, f64::exp_m1, 2.0);
    assert_accurate(math::tanh, f64::tanh, 3.0);
    assert_accurate(math::ln, f64::ln, 2.0);
    assert_accurate(math::softplus, |x| x.max(0.0) + (-x.abs()).exp().ln_1p(), 3.0);
    assert_accurate(math::sigmoid, |x| 1.0 / (1.0 + (-x).exp()), 3.0);
}

#[test]
fn the_error_function_is_that_of_the_tables() {
    // SciPy: scipy.special.erf(x).
    let table: [(f32, f64); 7] = [
        (1e-30, 1.128_379_167e-30),
        (0.25, 0.276_326_390_168_236_93),
        (0.5, 0.520_499_877_813_046_5),
        (1.0, 0.842_700_792_949_714_9),
        (2.0, 0.995_322_265_018_952_7),
        (3.5, 0.999_999_256_901_627_7),
        (5.0, 1.0),
    ];
    for (x, expected) in table {
        for sign in [1.0, -1.0] {
            let y = f64::from(sign * math::erf(sign * x));
            assert!((y - expected).abs() <= 1.2e-7 * expected, "erf({x}) = {y}, not {expected}");
        }
    }
    assert!(math::erf(f32::NAN).is_nan());
}
