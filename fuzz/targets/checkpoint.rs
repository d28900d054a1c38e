//! Runs libFuzzer with `kiln_fuzz::checkpoint`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| kiln_fuzz::checkpoint(bytes));
