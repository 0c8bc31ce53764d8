//! The streams of a QUIC connection: reading, writing, and frames on them.

use std::{
    io,
    task::{Context, Poll},
};

use bytes::Bytes;
use quinn_proto::{Connection, Dir, ReadError, Side, StreamId, WriteError};

use crate::{
    CloseReason, FrameError, Options,
    io::frame::{FrameKind, FrameReader, READ_CHUNK_BYTES},
};

/// Returns the one bidirectional stream, which the client opens.
pub(super) fn control_stream() -> StreamId {
    StreamId::new(Side::Client, Dir::Bi, 0)
}

/// The outcome of reading a stream.
pub(super) enum Read {
    Bytes(Bytes),
    Nothing,
    Finished,
    /// The remote reset the stream, or this side stopped it.
    Gone,
}

/// The part of a connection's state that reads streams.
pub(super) struct StreamReader<'a> {
    pub(super) proto: &'a mut Connection,
    /// Whether something happened since packets were last asked for.
    pub(super) unsettled: &'a mut bool,
}

impl StreamReader<'_> {
    /// Reads the next bytes of a stream.
    pub(super) fn read(&mut self, stream: StreamId, max: usize) -> Read {
        let mut stream = self.proto.recv_stream(stream);
        let Ok(mut chunks) = stream.read(true) else { return Read::Gone };
        let read = match chunks.next(max) {
            Ok(Some(chunk)) => Read::Bytes(chunk.bytes),
            Ok(None) => Read::Finished,
            Err(ReadError::Blocked) => Read::Nothing,
            Err(ReadError::Reset(_)) => Read::Gone,
        };
        *self.unsettled |= chunks.finalize().should_transmit();
        read
    }
}

/// Writes to a stream as to a non-blocking socket.
pub(super) fn write(proto: &mut Connection, stream: StreamId, bytes: &[u8]) -> io::Result<usize> {
    proto.send_stream(stream).write(bytes).map_err(|error| match error {
        WriteError::Blocked => io::ErrorKind::WouldBlock.into(),
        error => io::Error::other(error),
    })
}

/// A stream of frames.
pub(super) struct Framed {
    stream: StreamId,
    frames: FrameReader,
}

impl Framed {
    pub(super) fn new(stream: StreamId, options: &Options) -> Self {
        Self { stream, frames: FrameReader::new(options.read_deadline) }
    }

    /// Returns the next frame that has wholly arrived.
    pub(super) fn next(
        &mut self,
        wanted: FrameKind,
        reader: &mut StreamReader<'_>,
    ) -> Result<Option<Bytes>, CloseReason> {
        loop {
            while let Some((kind, payload)) = self.frames.next()? {
                match kind {
                    kind if kind == wanted => return Ok(Some(payload)),
                    FrameKind::KeepAlive => {}
                    _ => return Err(FrameError::Misplaced("close or other lane's").into()),
                }
            }
            match reader.read(self.stream, READ_CHUNK_BYTES) {
                Read::Bytes(bytes) => self.frames.extend(&bytes),
                Read::Nothing => return Ok(None),
                Read::Finished | Read::Gone => return Err(CloseReason::Vanished),
            }
        }
    }

    /// Returns ready once a begun frame is over its deadline.
    pub(super) fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<CloseReason> {
        self.frames.poll_deadline(cx)
    }
}
