//! Length-delimited framing for every byte stream: TCP, TLS, and QUIC's streams.
//!
//! A frame is a two-byte big-endian payload length, one byte of kind, and the payload.
//! [`FrameReader`] reads frames, and [`append`] writes them. This file does no I/O.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::time::{Instant, Sleep};

use super::rate_limit::RateLimit;
use crate::{Close, CloseReason, FrameError, Lane, MAX_CONTROL_BYTES, MAX_STATE_BYTES};

/// The size of the header in bytes: length (2) and kind (1).
pub(crate) const HEADER_BYTES: usize = 3;
/// The largest read in bytes: a hundred moves without payloads, or all of the largest control
/// message.
pub(crate) const READ_CHUNK_BYTES: usize = 4096;
/// The smallest growth of a reader's buffer in bytes: some moves without payloads. Small, because
/// every idle connection holds a buffer.
const GROWTH_BYTES: usize = 256;

/// The rate limit on a remote's keep-alives a second: a hundred times what the shortest interval in
/// use sends.
const KEEP_ALIVES_MAX: u32 = 1_000;

/// The kind of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FrameKind {
    Control = 0,
    State = 1,
    KeepAlive = 2,
    Close = 3,
}

impl FrameKind {
    fn parse(byte: u8) -> Result<Self, FrameError> {
        [Self::Control, Self::State, Self::KeepAlive, Self::Close]
            .into_iter()
            .find(|kind| *kind as u8 == byte)
            .ok_or(FrameError::UnknownKind(byte))
    }

    const fn max_payload_bytes(self) -> usize {
        match self {
            Self::Control => MAX_CONTROL_BYTES,
            Self::State => MAX_STATE_BYTES,
            Self::KeepAlive => 0,
            Self::Close => 4 + Close::MAX_REASON_BYTES,
        }
    }
}

/// Appends one frame to `out`. The caller has checked the size against the lane's limit.
pub(crate) fn append(out: &mut Vec<u8>, kind: FrameKind, payload: &[u8]) {
    debug_assert!(payload.len() <= kind.max_payload_bytes());
    out.reserve(HEADER_BYTES + payload.len());
    out.put_u16(payload.len() as u16);
    out.put_u8(kind as u8);
    out.put_slice(payload);
}

/// Encodes the payload of a close frame: the code, then the reason.
pub(crate) fn encode_close(close: &Close) -> Vec<u8> {
    let mut payload = close.code.to_be_bytes().to_vec();
    payload.extend_from_slice(close.reason.as_bytes());
    payload
}

/// Decodes the payload of a close frame. A reason that is not UTF-8 is kept readable.
pub(crate) fn decode_close(mut payload: Bytes) -> Result<Close, FrameError> {
    if payload.len() < 4 {
        return Err(FrameError::Misplaced("truncated close"));
    }
    let code = payload.get_u32();
    Ok(Close::new(code, String::from_utf8_lossy(&payload)))
}

/// A reader that cuts a byte stream into frames, and checks that a begun frame is finished in time.
pub(crate) struct FrameReader {
    buffer: BytesMut,
    deadline: Duration,
    /// The timer of an incomplete frame, armed only meanwhile. It is kept, so that it is allocated
    /// once.
    unfinished: Option<Pin<Box<Sleep>>>,
    armed: bool,
    keep_alives: RateLimit,
}

impl FrameReader {
    pub(crate) fn new(deadline: Duration) -> Self {
        Self {
            buffer: BytesMut::new(),
            deadline,
            unfinished: None,
            armed: false,
            keep_alives: RateLimit::new(KEEP_ALIVES_MAX),
        }
    }

    /// Takes in bytes that were read.
    pub(crate) fn extend(&mut self, bytes: &[u8]) {
        self.make_room(bytes.len());
        self.buffer.extend_from_slice(bytes);
    }

    /// Appends `bytes` zeroed bytes and returns them as a slice to read into.
    pub(crate) fn grow(&mut self, bytes: usize) -> &mut [u8] {
        self.make_room(bytes);
        let start = self.buffer.len();
        self.buffer.resize(start + bytes, 0);
        &mut self.buffer[start..]
    }

    fn make_room(&mut self, bytes: usize) {
        if self.buffer.capacity() - self.buffer.len() < bytes {
            self.buffer.reserve(bytes.max(GROWTH_BYTES));
        }
    }

    /// Returns the next whole frame, if there is one. A bad header is found before its payload is
    /// waited for.
    pub(crate) fn next(&mut self) -> Result<Option<(FrameKind, Bytes)>, FrameError> {
        if self.buffer.len() < HEADER_BYTES {
            return Ok(None);
        }
        let size = usize::from(u16::from_be_bytes([self.buffer[0], self.buffer[1]]));
        let kind = FrameKind::parse(self.buffer[2])?;
        if size > kind.max_payload_bytes() {
            return Err(FrameError::TooLong { size, max: kind.max_payload_bytes() });
        }
        if self.buffer.len() < HEADER_BYTES + size {
            return Ok(None);
        }
        self.armed = false;
        if kind == FrameKind::KeepAlive {
            self.keep_alives.count(1, "keep-alives")?;
        }
        self.buffer.advance(HEADER_BYTES);
        Ok(Some((kind, self.buffer.split_to(size).freeze())))
    }

    /// Returns the next message that has wholly arrived, with its lane. A close frame is an error.
    pub(crate) fn next_message(&mut self) -> Result<Option<(Lane, Bytes)>, CloseReason> {
        while let Some((kind, payload)) = self.next()? {
            match kind {
                FrameKind::Control => return Ok(Some((Lane::Control, payload))),
                FrameKind::State => return Ok(Some((Lane::State, payload))),
                FrameKind::KeepAlive => {}
                FrameKind::Close => return Err(CloseReason::Remote(decode_close(payload)?)),
            }
        }
        Ok(None)
    }

    /// Returns ready once a begun frame is over its deadline. Polled whenever [`Self::next`] had
    /// nothing.
    pub(crate) fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<CloseReason> {
        if self.buffer.is_empty() {
            return Poll::Pending;
        }
        let until = || Instant::now() + self.deadline;
        let sleep = self.unfinished.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until())));
        if !self.armed {
            self.armed = true;
            sleep.as_mut().reset(until());
        }
        sleep.as_mut().poll(cx).map(|()| CloseReason::ReadDeadline(self.deadline))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader() -> FrameReader {
        FrameReader::new(Duration::from_secs(1))
    }

    #[test]
    fn frames_survive_any_cut() {
        let mut stream = Vec::new();
        let payloads: Vec<Vec<u8>> = (0..40).map(|n| vec![n as u8; n * 25]).collect();
        for payload in &payloads {
            append(&mut stream, FrameKind::State, payload);
        }
        for cut in 1..97 {
            let mut reader = reader();
            let mut got = Vec::new();
            for piece in stream.chunks(cut) {
                reader.extend(piece);
                while let Some((kind, payload)) = reader.next().expect("valid") {
                    assert_eq!(kind, FrameKind::State);
                    got.push(payload.to_vec());
                }
            }
            assert_eq!(got, payloads, "cut every {cut} bytes");
        }
    }

    #[test]
    fn refuses_bad_headers_before_payload() {
        let cases = [
            ([0xff, 0xff, 0], FrameError::TooLong { size: 65535, max: MAX_CONTROL_BYTES }),
            ([0x08, 0x00, 1], FrameError::TooLong { size: 2048, max: MAX_STATE_BYTES }),
            ([0x00, 0x01, 2], FrameError::TooLong { size: 1, max: 0 }),
            ([0x00, 0x01, 9], FrameError::UnknownKind(9)),
        ];
        for (header, error) in cases {
            let mut reader = reader();
            reader.extend(&header);
            assert_eq!(reader.next(), Err(error));
        }
    }

    #[test]
    fn close_frames_round_trip() {
        let close = Close::new(300, "é".repeat(400));
        assert_eq!(decode_close(encode_close(&close).into()), Ok(close));
        assert!(decode_close(Bytes::from_static(&[0, 0])).is_err());
    }

    #[test]
    fn close_frames_are_shown_safely() {
        let said = b"\0\0\x01\x02full\x1b]0;gone\x07\n2026 INFO all is well\xe2\x80\xae\xff";
        let close = decode_close(Bytes::from_static(said)).expect("a close");
        let shown = "full\\u{1b}]0;gone\\u{7}\\u{a}2026 INFO all is well\\u{202e}\u{fffd}";
        assert_eq!((close.code, close.reason.as_str()), (0x102, shown));
    }
}
