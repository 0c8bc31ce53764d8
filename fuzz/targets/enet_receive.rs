//! Fuzz target that calls `enet_receive` of `fuzz/harness`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| netduel_transport::fuzzing::enet_receive(input));
