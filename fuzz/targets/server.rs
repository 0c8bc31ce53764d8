//! Fuzz target that calls `server` of `fuzz/harness`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| netduel_fuzz_harness::server(input));
