//! The random numbers of one transform of one image.

use std::f64::consts::TAU;

/// Random numbers that depend on nothing but a key, a row and a position in the list: Philox 4×64 with 10 rounds (Salmon et
/// al. 2011), with the row and the position in the counter.
///
/// A generator that is keyed per row would spend more time on the key than on the few numbers that a transform needs.
#[derive(Debug, Clone)]
pub(crate) struct Draws {
    key: [u64; 2],
    /// The block, the row and the position.
    counter: [u64; 4],
    block: [u64; 4],
    /// How many numbers of the block were used.
    used: usize,
    first: FirstEpoch,
}

/// What numbers need that are drawn in the first epoch and kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FirstEpoch {
    /// The key of the first epoch.
    pub(crate) key: [u64; 2],
    /// The number of epochs since then.
    pub(crate) since: usize,
}

impl Draws {
    pub(crate) const fn new(key: [u64; 2], first: FirstEpoch, row: u32, position: usize) -> Self {
        let counter = [0, row as u64, position as u64, 0];
        Self { key, counter, block: [0; 4], used: 4, first }
    }

    /// The draws of the first epoch for this image, and the number of epochs since then.
    pub(crate) fn of_first_epoch(&self) -> (Self, usize) {
        let [_, row, position, _] = self.counter;
        let counter = [0, row, position, 0];
        let first =
            Self { key: self.first.key, counter, block: [0; 4], used: 4, first: self.first };
        (first, self.first.since)
    }

    fn next(&mut self) -> u64 {
        if self.used == 4 {
            self.block = philox(self.counter, self.key);
            self.counter[0] += 1;
            self.used = 0;
        }
        self.used += 1;
        self.block[self.used - 1]
    }

    /// At least 0 and below 1, a multiple of 2⁻⁵³.
    #[expect(clippy::cast_precision_loss, reason = "53 bits are exact")]
    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// From `low` to `high`.
    pub(crate) fn uniform(&mut self, (low, high): (f64, f64)) -> f64 {
        low + (high - low) * self.unit()
    }

    /// Any number below `count`, which is not 0, with the same probability up to `count`/2⁶⁴.
    #[expect(clippy::cast_possible_truncation, reason = "the result is below `count`")]
    pub(crate) fn below(&mut self, count: usize) -> usize {
        ((u128::from(self.next()) * count as u128) >> 64) as usize
    }

    /// `true` with this probability.
    pub(crate) fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// From the standard normal distribution (Box and Muller 1958).
    fn normal(&mut self) -> f64 {
        // 1 − u is above 0, where the logarithm is finite.
        let radius = (-2.0 * libm::log(1.0 - self.unit())).sqrt();
        radius * libm::cos(TAU * self.unit())
    }

    /// The logarithm of a draw from the gamma distribution with scale 1 (Marsaglia and Tsang 2000). A logarithm, because for
    /// small shapes, the draw itself is often below the smallest `f64`.
    fn log_gamma(&mut self, shape: f64) -> f64 {
        if shape < 1.0 {
            // Γ(shape) is Γ(shape + 1) · u^(1/shape).
            let u = 1.0 - self.unit();
            return self.log_gamma(shape + 1.0) + libm::log(u) / shape;
        }
        let d = shape - 1.0 / 3.0;
        let c = 1.0 / (9.0 * d).sqrt();
        loop {
            let x = self.normal();
            let root = 1.0 + c * x;
            let v = root * root * root;
            let u = 1.0 - self.unit();
            if v > 0.0 && libm::log(u) < 0.5 * x * x + d - d * v + d * libm::log(v) {
                return libm::log(d) + libm::log(v);
            }
        }
    }

    /// From the symmetric beta distribution, between 0 and 1. `alpha` is above 0.
    pub(crate) fn beta(&mut self, alpha: f64) -> f64 {
        let (first, second) = (self.log_gamma(alpha), self.log_gamma(alpha));
        1.0 / (1.0 + libm::exp(second - first))
    }
}

fn philox(mut counter: [u64; 4], mut key: [u64; 2]) -> [u64; 4] {
    const MULTIPLIERS: [u64; 2] = [0xD2E7_470E_E14C_6C93, 0xCA5A_8263_9512_1157];
    const WEYL: [u64; 2] = [0x9E37_79B9_7F4A_7C15, 0xBB67_AE85_84CA_A73B];
    for _ in 0..10 {
        let first = u128::from(MULTIPLIERS[0]) * u128::from(counter[0]);
        let second = u128::from(MULTIPLIERS[1]) * u128::from(counter[2]);
        let (high, low) = (|product: u128| (product >> 64) as u64, |product: u128| product as u64);
        counter = [
            high(second) ^ counter[1] ^ key[0],
            low(second),
            high(first) ^ counter[3] ^ key[1],
            low(first),
        ];
        key = [key[0].wrapping_add(WEYL[0]), key[1].wrapping_add(WEYL[1])];
    }
    counter
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers of NumPy: `Philox(counter=[2**64 - 1, 6, 2, 0], key=[0x0123456789ABCDEF, 0xFEDCBA9876543210])`, whose
    /// counter is incremented before each block.
    #[test]
    fn the_generator_is_that_of_numpy() {
        let mut draws = Draws::new([0x0123_4567_89AB_CDEF, 0xFEDC_BA98_7654_3210], FIRST, 7, 2);
        let numbers: Vec<u64> = (0..6).map(|_| draws.next()).collect();
        assert_eq!(numbers, NUMPY);
    }

    const FIRST: FirstEpoch = FirstEpoch { key: [0; 2], since: 0 };

    const NUMPY: [u64; 6] = [
        0xB246956A2A3A7D44,
        0xEACAED967425CEE9,
        0xB11EB2970A678E71,
        0xF9DC04A7049510BC,
        0xAE2AA661B8DD6403,
        0x9EB8A18689C8B34B,
    ];
}
