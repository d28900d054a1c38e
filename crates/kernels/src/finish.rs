//! What happens to a result before it is stored.

use pulp::Simd;

/// What a kernel stores in place of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finish {
    /// The result.
    Store,
    /// The result, or 0 if it is negative.
    Rectify,
    /// The sum of the old value and the result.
    Add,
}

impl Finish {
    pub(crate) const fn relu(relu: bool) -> Self {
        if relu { Self::Rectify } else { Self::Store }
    }

    /// The value to store; `old` loads the one that is there.
    #[inline(always)]
    pub(crate) fn apply<S: Simd>(
        self,
        simd: S,
        result: S::f32s,
        old: impl FnOnce() -> S::f32s,
    ) -> S::f32s {
        match self {
            Self::Store => result,
            Self::Rectify => rectified(simd, result),
            Self::Add => simd.add_f32s(old(), result),
        }
    }
}

/// Replaces negative values by 0.
#[inline(always)]
fn rectified<S: Simd>(simd: S, value: S::f32s) -> S::f32s {
    let zero = simd.splat_f32s(0.0);
    // A maximum would turn NaN into 0 on some processors, and hide a diverged run.
    simd.select_f32s(simd.less_than_f32s(value, zero), zero, value)
}
