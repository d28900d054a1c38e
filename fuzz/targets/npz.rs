//! Runs libFuzzer with `kiln_fuzz::npz`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| kiln_fuzz::npz(bytes));
