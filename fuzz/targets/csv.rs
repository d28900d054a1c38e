//! Runs libFuzzer with `kiln_fuzz::csv`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| kiln_fuzz::csv(bytes));
