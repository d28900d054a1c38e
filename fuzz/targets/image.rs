//! Runs libFuzzer with `kiln_fuzz::image`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| kiln_fuzz::image(bytes));
