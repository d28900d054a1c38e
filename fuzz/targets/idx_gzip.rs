//! Runs libFuzzer with `kiln_fuzz::idx_gzip`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| kiln_fuzz::idx_gzip(bytes));
