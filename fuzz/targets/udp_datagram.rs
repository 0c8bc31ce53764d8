//! Fuzz target that calls `udp_datagram` of `fuzz/harness`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| netduel_transport::fuzzing::udp_datagram(input));
