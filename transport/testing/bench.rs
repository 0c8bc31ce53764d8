//! Framing for benches, which no other program may call. Behind the feature `bench`.

use std::time::Duration;

use bytes::Bytes;

use crate::{
    FrameError,
    io::frame::{self, FrameKind, FrameReader},
};

/// Appends the frame of an update to `out`, as a stream's outbox does.
pub fn append_update(out: &mut Vec<u8>, update: &[u8]) {
    frame::append(out, FrameKind::State, update);
}

/// A reader that cuts a byte stream into frames, as the receiver of a stream does.
pub struct Frames(FrameReader);

impl Frames {
    /// Makes a reader to which nothing has arrived yet.
    pub fn begin() -> Self {
        Self(FrameReader::new(Duration::MAX))
    }

    /// Takes in bytes that arrive.
    pub fn arrive(&mut self, bytes: &[u8]) {
        self.0.extend(bytes);
    }

    /// Returns the payload of the next whole frame, if there is one.
    ///
    /// # Errors
    /// Bytes that are not a frame.
    pub fn next_payload(&mut self) -> Result<Option<Bytes>, FrameError> {
        Ok(self.0.next()?.map(|(_, payload)| payload))
    }
}
