//! Random batches and comparisons.

use crate::{Instructions, Workspace};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

/// Instructions and threads.
const CHOICES: [(Instructions, usize); 5] = [
    (Instructions::Auto, 1),
    (Instructions::Auto, 3),
    (Instructions::Avx2, 1),
    (Instructions::Avx512, 2),
    (Instructions::Emulated16, 1),
];

/// Values between -1 and 1.
pub(crate) fn random(seed: u64, count: usize) -> Vec<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..count).map(|_| (f64::from(rng.next_u32()) / f64::from(1_u32 << 31) - 1.0) as f32).collect()
}

/// Panics unless each value differs by at most `tolerance` times the largest of: its expected value, the root mean square of
/// all expected values, and 0.1.
pub(crate) fn assert_close(actual: &[f32], expected: &[f64], tolerance: f64) {
    assert_eq!(actual.len(), expected.len());
    let square = expected.iter().map(|value| value * value).sum::<f64>();
    let scale = (square / expected.len().max(1) as f64).sqrt().max(0.1);
    for (index, (actual, expected)) in actual.iter().zip(expected).enumerate() {
        let difference = (f64::from(*actual) - expected).abs();
        // Rounding grows with the terms of a sum, so a value far above the scale may differ by more.
        assert!(
            difference <= tolerance * scale.max(expected.abs()),
            "value {index} is {actual}, not {expected} (scale {scale})"
        );
    }
}

/// Computes with each set of instructions that the processor has, and with several threads, and panics unless all results
/// have the same bits.
pub(crate) fn with_all_instructions(compute: impl Fn(&mut Workspace) -> Vec<f32>) -> Vec<f32> {
    let mut first: Option<Vec<f32>> = None;
    for (instructions, threads) in CHOICES {
        if !instructions.available() {
            continue;
        }
        let result = compute(&mut Workspace::new(instructions, threads));
        let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        match &first {
            None => first = Some(result),
            Some(first) => assert!(
                bits(first) == bits(&result),
                "{instructions:?} with {threads} threads yields other bits"
            ),
        }
    }
    first.expect("the processor has at least its own instructions")
}
