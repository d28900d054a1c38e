//! Runs libFuzzer with `kiln_fuzz::experiment_toml`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| kiln_fuzz::experiment_toml(bytes));
