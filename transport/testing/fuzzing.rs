//! Entry points for fuzzers: each decoder of bytes from the network, with its invariant. Behind the
//! feature `fuzzing`, since it opens private functions.

use std::time::Duration;

use bytes::Bytes;

use crate::{
    FrameError,
    io::frame::{self, FrameKind, FrameReader, READ_CHUNK_BYTES},
    tls::resumption::ServerMessages,
};

/// Decodes the frames of a byte stream. However it is cut, the same frames come out, made of the
/// bytes that went in.
///
/// # Panics
/// If the invariant does not hold.
pub fn frames(input: &[u8]) {
    let Some((cut, stream)) = input.split_first() else { return };
    let whole = read(stream, READ_CHUNK_BYTES);
    let pieces = read(stream, usize::from(*cut) + 1);
    assert_eq!(whole, pieces, "the cut decides what is read");
    let mut written = Vec::new();
    for (kind, payload) in &whole.0 {
        frame::append(&mut written, *kind, payload);
        if *kind == FrameKind::Close
            && let Ok(close) = frame::decode_close(payload.clone())
        {
            let again = frame::decode_close(frame::encode_close(&close).into());
            assert_eq!(again, Ok(close), "a close frame changes on its way");
        }
    }
    assert!(stream.starts_with(&written), "frames that were never sent");
}

fn read(stream: &[u8], piece_bytes: usize) -> (Vec<(FrameKind, Bytes)>, Option<FrameError>) {
    let mut reader = FrameReader::new(Duration::MAX);
    let mut frames = Vec::new();
    for piece in stream.chunks(piece_bytes) {
        reader.extend(piece);
        loop {
            match reader.next() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => return (frames, Some(error)),
            }
        }
    }
    (frames, None)
}

/// Decodes a datagram of the `udp` kind. Its parts make it again.
///
/// # Panics
/// If the invariant does not hold.
pub fn udp_datagram(input: &[u8]) {
    crate::udp::parts_make_it_again(input);
}

/// Feeds datagrams to a connection of the `enet` kind, in either role. Only messages come out that
/// went in.
///
/// # Panics
/// If the invariant does not hold.
pub fn enet_receive(input: &[u8]) {
    crate::enet::receive(input);
}

/// Sends QUIC frames in any order to a server, over a real connection. Nothing panics, other
/// connections go on, and what the server keeps is bounded.
///
/// # Panics
/// If the invariant does not hold.
pub fn quic_frames(input: &[u8]) {
    crate::quic::fuzzing::frames_in_any_order(input);
}

/// Decodes the server's TLS messages as a client observes them. However they are cut, they tell the
/// same.
///
/// # Panics
/// If the invariant does not hold.
pub fn tls_messages(input: &[u8]) {
    let Some((cut, stream)) = input.split_first() else { return };
    let (mut whole, mut pieces) = (ServerMessages::default(), ServerMessages::default());
    whole.pass(stream);
    stream.chunks(usize::from(*cut) + 1).for_each(|piece| pieces.pass(piece));
    assert_eq!(whole.resumed(), pieces.resumed(), "the cut decides what is seen");
}
