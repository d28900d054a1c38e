//! Compares the generators with a second implementation: SHA-256 and ChaCha8, written in Python from their specifications
//! (FIPS 180-4; D. J. Bernstein, "ChaCha, a variant of Salsa20", 2008).

use kiln_train::random::{Purpose, stream};
use rand_core::Rng;

#[test]
fn a_stream_is_the_same_on_every_machine() {
    for (seed, purpose, epoch, expected) in [
        (42, Purpose::Weights, 0, [0x8266_fcef_d57c_a0f1, 0x1232_1111_e7be_5d9a]),
        (42, Purpose::Shuffle, 1, [0x73ac_2884_b990_2462, 0x83fd_e406_2b60_9a7b]),
        (7, Purpose::Dropout, 3, [0xfeaf_5ecb_43ed_e252, 0x186c_b69d_d8be_f739]),
        (i64::MAX as u64, Purpose::Split, 0, [0xdddb_e2a8_c40c_473d, 0x0432_f2aa_c877_bec4]),
    ] {
        let mut stream = stream(seed, purpose, epoch);
        assert_eq!([stream.next_u64(), stream.next_u64()], expected, "{purpose:?}");
    }
}

#[test]
fn seed_purpose_and_epoch_each_change_the_stream() {
    let first = |seed, purpose, epoch| stream(seed, purpose, epoch).next_u64();
    let mut numbers = Vec::new();
    for seed in 0..4 {
        for purpose in [Purpose::Split, Purpose::Weights, Purpose::Shuffle, Purpose::Dropout] {
            numbers.extend((0..4).map(|epoch| first(seed, purpose, epoch)));
        }
    }
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), 64);
}
