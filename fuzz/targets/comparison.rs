//! Runs libFuzzer with `kiln_fuzz::comparison`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| kiln_fuzz::comparison(bytes));
