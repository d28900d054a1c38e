//! Runs libFuzzer with `kiln_fuzz::cifar`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| kiln_fuzz::cifar(bytes));
