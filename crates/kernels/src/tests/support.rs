//! Random batches and comparisons.

use crate::{Instructions, Workspace};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

const CHOICES: [Instructions; 4] =
    [Instructions::Auto, Instructions::Avx2, Instructions::Avx512, Instructions::Emulated16];

/// Values between -1 and 1.
pub(crate) fn random(seed: u64, count: usize) -> Vec<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..count).map(|_| (f64::from(rng.next_u32()) / f64::from(1_u32 << 31) - 1.0) as f32).collect()
}

/// Panics unless the values differ by at most `tolerance` times the root mean square of the expected ones.
pub(crate) fn assert_close(actual: &[f32], expected: &[f64], tolerance: f64) {
    assert_eq!(actual.len(), expected.len());
    let square = expected.iter().map(|value| value * value).sum::<f64>();
    let scale = (square / expected.len().max(1) as f64).sqrt().max(1e-3);
    for (index, (actual, expected)) in actual.iter().zip(expected).enumerate() {
        let difference = (f64::from(*actual) - expected).abs();
        assert!(
            difference <= tolerance * scale,
            "value {index} is {actual}, not {expected} (scale {scale})"
        );
    }
}

/// Computes with each set of instructions that the processor has, and panics unless all results have the same bits.
pub(crate) fn with_all_instructions(compute: impl Fn(&mut Workspace) -> Vec<f32>) -> Vec<f32> {
    let results = CHOICES.into_iter().filter(|choice| choice.available()).map(|choice| {
        let mut workspace = Workspace { instructions: choice, ..Workspace::default() };
        (choice, compute(&mut workspace))
    });
    let mut results = results.collect::<Vec<_>>().into_iter();
    let (_, first) = results.next().expect("the processor has at least its own instructions");
    for (choice, result) in results {
        assert!(
            first
                .iter()
                .map(|value| value.to_bits())
                .eq(result.iter().map(|value| value.to_bits())),
            "{choice:?} yields other bits"
        );
    }
    first
}
