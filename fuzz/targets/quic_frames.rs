//! Fuzz target that calls `quic_frames` of `fuzz/harness`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| netduel_transport::fuzzing::quic_frames(input));
