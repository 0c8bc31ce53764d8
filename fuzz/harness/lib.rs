//! What the fuzz targets call: one function for each decoder, and one for the server as a whole. Each takes any bytes and
//! panics if something does not hold that must. `tests/replay.rs` runs them on stable.

mod server;

use netduel_protocol::{ClientMessage, MAX_MESSAGE_BYTES, ServerMessage, decode, encode};
use netduel_transport::fuzzing;

pub use server::{play, server};

/// A harness function.
pub type Harness = fn(&[u8]);

/// Every target by its name, which is that of its file in `fuzz/targets` and of its folder in `fuzz/seeds`.
pub const ALL: [(&str, Harness); 6] = [
    ("client_message", client_message),
    ("server_message", server_message),
    ("frames", fuzzing::frames),
    ("udp_datagram", fuzzing::udp_datagram),
    ("tls_messages", fuzzing::tls_messages),
    ("server", server),
];

/// What a client sends: what decodes can be sent on, and means the same then.
///
/// # Panics
/// If that does not hold.
pub fn client_message(input: &[u8]) {
    if let Ok(message) = decode::<ClientMessage>(input) {
        let mut buffer = [0; MAX_MESSAGE_BYTES];
        let bytes = encode(&message, &mut buffer).expect("what was decoded fits");
        assert!(bytes.len() <= input.len(), "encoding is the shortest");
        assert_eq!(decode::<ClientMessage>(bytes).as_ref(), Ok(&message));
    }
}

/// What a server sends, likewise.
///
/// # Panics
/// If that does not hold.
pub fn server_message(input: &[u8]) {
    if let Ok(message) = decode::<ServerMessage>(input) {
        let mut buffer = [0; MAX_MESSAGE_BYTES];
        let bytes = encode(&message, &mut buffer).expect("what was decoded fits");
        assert!(bytes.len() <= input.len(), "encoding is the shortest");
        assert_eq!(decode::<ServerMessage>(bytes).as_ref(), Ok(&message));
    }
}
