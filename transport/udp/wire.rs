//! The datagrams of the `udp` kind: a type (1), the connection's token (4), and the type's body.

use bytes::Bytes;

use crate::io::cookie;
pub(super) use crate::io::cookie::{HEADER_BYTES, Token};

/// The type of a datagram. The first three are those of `io/cookie.rs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Type {
    Hello = cookie::HELLO,
    Challenge = cookie::CHALLENGE,
    Join = cookie::JOIN,
    /// An empty body: the connection is open.
    Welcome = 0xd3,
    /// The update's number (2), and the update.
    State,
    /// The place in the stream (4), and a segment of it.
    Control,
    /// The place up to which the stream arrived (4).
    Acknowledge,
    /// An empty body: this side is alive.
    KeepAlive,
    /// The close frame.
    Close,
    /// An empty body: the close frame arrived.
    Closed,
}

impl Type {
    pub(super) fn parse(byte: u8) -> Option<Self> {
        use Type::{Acknowledge, Challenge, Close, Closed, Control, Hello, Join, KeepAlive, State, Welcome};
        [Hello, Challenge, Join, Welcome, State, Control, Acknowledge, KeepAlive, Close, Closed]
            .into_iter()
            .find(|it| *it as u8 == byte)
    }
}

/// Returns the parts of a datagram, or `None` if it is not one of ours.
pub(super) fn parse(datagram: &Bytes) -> Option<(Type, Token, Bytes)> {
    let (header, _) = datagram.split_first_chunk::<HEADER_BYTES>()?;
    let token = [header[1], header[2], header[3], header[4]];
    Some((Type::parse(header[0])?, token, datagram.slice(HEADER_BYTES..)))
}

/// Makes `out` a datagram of this type. The caller appends the body.
pub(super) fn write_header(out: &mut Vec<u8>, kind: Type, token: Token) {
    cookie::write_header(out, kind as u8, token);
}

/// Checks that a datagram which parses is made of its parts. For fuzzers.
#[cfg(feature = "fuzzing")]
pub(crate) fn parts_make_it_again(input: &[u8]) {
    if let Some((kind, token, rest)) = parse(&Bytes::copy_from_slice(input)) {
        let mut written = Vec::new();
        write_header(&mut written, kind, token);
        written.extend_from_slice(&rest);
        assert_eq!(written, input, "a datagram changes on its way");
    }
}
