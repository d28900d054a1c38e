//! Runs libFuzzer with `kiln_fuzz::report_json`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| kiln_fuzz::report_json(bytes));
