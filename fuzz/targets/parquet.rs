//! Runs libFuzzer with `kiln_fuzz::parquet`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| kiln_fuzz::parquet(bytes));
