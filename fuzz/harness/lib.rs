//! The harness of the fuzz targets: one function for each decoder, and one for the whole server.
//!
//! Each function takes any bytes and panics if an invariant is violated. `tests/replay.rs` runs the
//! functions on stable Rust.

mod server;

use netduel_protocol::{ClientMessage, MAX_MESSAGE_BYTES, ServerMessage, decode, encode};
use netduel_transport::fuzzing;

pub use server::{play, server};

/// A harness function, which takes the fuzzer's input.
pub type Harness = fn(&[u8]);

/// All targets by name. The name is also that of the file in `fuzz/targets` and of the folder in
/// `fuzz/seeds`.
pub const ALL: [(&str, Harness); 8] = [
    ("client_message", client_message),
    ("server_message", server_message),
    ("frames", fuzzing::frames),
    ("udp_datagram", fuzzing::udp_datagram),
    ("enet_receive", fuzzing::enet_receive),
    ("tls_messages", fuzzing::tls_messages),
    ("quic_frames", fuzzing::quic_frames),
    ("server", server),
];

/// Checks a client message: a decoded message encodes, in no more bytes, and decodes to an equal
/// message.
///
/// # Panics
/// The check fails.
pub fn client_message(input: &[u8]) {
    if let Ok(message) = decode::<ClientMessage>(input) {
        let mut buffer = [0; MAX_MESSAGE_BYTES];
        let bytes = encode(&message, &mut buffer).expect("a decoded message fits");
        assert!(bytes.len() <= input.len(), "the encoding is the shortest");
        assert_eq!(decode::<ClientMessage>(bytes).as_ref(), Ok(&message));
    }
}

/// Checks a server message: a decoded message encodes, in no more bytes, and decodes to an equal
/// message.
///
/// # Panics
/// The check fails.
pub fn server_message(input: &[u8]) {
    if let Ok(message) = decode::<ServerMessage>(input) {
        let mut buffer = [0; MAX_MESSAGE_BYTES];
        let bytes = encode(&message, &mut buffer).expect("a decoded message fits");
        assert!(bytes.len() <= input.len(), "the encoding is the shortest");
        assert_eq!(decode::<ServerMessage>(bytes).as_ref(), Ok(&message));
    }
}
