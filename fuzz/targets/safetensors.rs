//! Runs libFuzzer with `kiln_fuzz::safetensors`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| kiln_fuzz::safetensors(bytes));
