//! Fuzz target that calls `tls_messages` of `fuzz/harness`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| netduel_transport::fuzzing::tls_messages(input));
