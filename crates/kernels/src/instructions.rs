//! The choice of vector instructions.

use pulp::{Arch, Simd, WithSimd};

/// The vector instructions that a kernel uses. All of them yield the same bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Instructions {
    /// The widest that the processor has.
    #[default]
    Auto,
    /// AVX2 and FMA, registers of 8 floats.
    Avx2,
    /// AVX-512, registers of 16 floats.
    Avx512,
    /// Registers of 16 floats, as in AVX-512, computed with AVX2. Tiles have at most two rows, so higher tiles of 16 lanes are
    /// tested only with AVX-512.
    #[cfg(test)]
    Emulated16,
}

impl Instructions {
    /// Whether this processor has the instructions.
    #[must_use]
    pub fn available(self) -> bool {
        match self {
            Self::Auto => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => pulp::x86::V4::try_new().is_some(),
            #[cfg(target_arch = "x86_64")]
            _ => pulp::x86::V3::try_new().is_some(),
            #[cfg(not(target_arch = "x86_64"))]
            _ => false,
        }
    }

    /// The floats in a register.
    pub(crate) fn lanes(self) -> usize {
        self.dispatch(Lanes)
    }

    /// Runs a kernel with these instructions, or with those of `Auto` if the processor does not have them.
    pub(crate) fn dispatch<K: WithSimd>(self, kernel: K) -> K::Output {
        #[cfg(target_arch = "x86_64")]
        if !matches!(self, Self::Auto | Self::Avx512)
            && let Some(simd) = pulp::x86::V3::try_new()
        {
            return match self {
                #[cfg(test)]
                Self::Emulated16 => Simd::vectorize(simd, Emulated(pulp::Scalar512b, kernel)),
                _ => Simd::vectorize(simd, kernel),
            };
        }
        // The processor's widest instructions are AVX-512 if it has them.
        Arch::new().dispatch(kernel)
    }
}

struct Lanes;

impl WithSimd for Lanes {
    type Output = usize;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> usize {
        S::F32_LANES
    }
}

/// Runs a kernel with other registers, in a function that may use the processor's fused multiply-add.
#[cfg(test)]
struct Emulated<E, K>(E, K);

#[cfg(test)]
impl<E: Simd, K: WithSimd> WithSimd for Emulated<E, K> {
    type Output = K::Output;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> K::Output {
        self.1.with_simd(self.0)
    }
}

/// Runs loops over slices with vector instructions.
#[inline(always)]
pub(crate) fn vectorize(instructions: Instructions, loops: impl FnOnce()) {
    instructions.dispatch(Loops(loops));
}

struct Loops<F>(F);

impl<F: FnOnce()> WithSimd for Loops<F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        (self.0)();
    }
}
