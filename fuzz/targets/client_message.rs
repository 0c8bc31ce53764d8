//! Fuzz target that calls `client_message` of `fuzz/harness`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| netduel_fuzz_harness::client_message(input));
