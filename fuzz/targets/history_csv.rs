//! Runs libFuzzer with `kiln_fuzz::history_csv`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| kiln_fuzz::history_csv(bytes));
