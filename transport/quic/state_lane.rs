//! The three carriers of the state lane, sending and receiving: one long stream, a stream for each
//! update, or datagrams.

use std::{
    io,
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use quinn_proto::{Connection, Dir, Side, StreamId, VarInt};

use super::{
    config::StateLane,
    streams::{Framed, Read, StreamReader, write},
};
use crate::{
    CloseReason, FrameError, MAX_STATE_BYTES, Options,
    io::{
        frame::FrameKind,
        outbox::{Flushed, Outbox},
    },
};

/// The code for a stream whose update was superseded. No receiver reads it.
const SUPERSEDED: VarInt = VarInt::from_u32(0);

/// Returns the long stream on which `side` sends its updates.
fn state_stream(side: Side) -> StreamId {
    StreamId::new(side, Dir::Uni, 0)
}

/// The updates that wait to be sent: the newest at most, or those of one batch.
pub(super) enum StateOut {
    Stream {
        outbox: Outbox,
        stream: StreamId,
    },
    Uni(UniOut),
    /// Datagrams, with the memory that they share until they are sent. The memory comes back, so
    /// the steady state allocates nothing.
    Datagram(BytesMut),
}

impl StateOut {
    pub(super) fn new(lane: StateLane, side: Side) -> Self {
        match lane {
            StateLane::Stream => Self::Stream { outbox: Outbox::default(), stream: state_stream(side) },
            StateLane::Uni => Self::Uni(UniOut::default()),
            StateLane::Datagram => Self::Datagram(BytesMut::new()),
        }
    }

    /// Makes `message` the newest update and the only one that waits. Returns how many unsent
    /// updates it replaced.
    pub(super) fn replace(&mut self, proto: &mut Connection, message: &[u8]) -> Result<usize, CloseReason> {
        if let Self::Stream { outbox, .. } = self {
            outbox.replace_state(message);
            return Ok(outbox.take_superseded());
        }
        self.queue(proto, message)
    }

    /// Makes `message` the newest update, behind those of its batch where the lane takes several at
    /// once. Returns how many unsent updates it replaced.
    pub(super) fn queue(&mut self, proto: &mut Connection, message: &[u8]) -> Result<usize, CloseReason> {
        match self {
            Self::Stream { outbox, .. } => {
                outbox.batch_state(message);
                Ok(outbox.take_superseded())
            }
            Self::Uni(uni) => Ok(usize::from(uni.next.replace(pooled(&mut uni.pool, message)).is_some())),
            Self::Datagram(pool) => {
                // quinn-proto drops its oldest datagrams to make room. It does not say how many,
                // but it drops at least one.
                let mut datagrams = proto.datagrams();
                let replaced = usize::from(datagrams.send_buffer_space() < message.len());
                let sent = datagrams.send(pooled(pool, message), true);
                sent.map(|()| replaced).map_err(|error| CloseReason::Transport(error.to_string()))
            }
        }
    }

    /// Whether another update of `size` bytes can wait beside those that do.
    pub(super) fn has_room(&self, proto: &mut Connection, size: usize) -> bool {
        match self {
            Self::Stream { outbox, .. } => !outbox.batch_is_full(),
            Self::Uni(uni) => uni.next.is_none(),
            Self::Datagram(_) => proto.datagrams().send_buffer_space() >= size,
        }
    }

    /// Returns how many updates were replaced before they were sent, since the last call.
    pub(super) fn take_superseded(&mut self) -> usize {
        match self {
            Self::Stream { outbox, .. } => outbox.take_superseded(),
            Self::Uni(_) | Self::Datagram(_) => 0,
        }
    }

    /// Hands quinn-proto as much as it takes.
    pub(super) fn flush(&mut self, proto: &mut Connection) -> io::Result<Flushed> {
        match self {
            Self::Stream { outbox, stream } => outbox.flush(|bytes| write(proto, *stream, bytes)),
            Self::Uni(uni) => uni.flush(proto),
            Self::Datagram(_) => Ok(Flushed::All),
        }
    }
}

/// Copies `message` into pooled memory.
fn pooled(pool: &mut BytesMut, message: &[u8]) -> Bytes {
    pool.reserve(message.len());
    pool.extend_from_slice(message);
    pool.split().freeze()
}

/// The sending side with a stream for each update.
#[derive(Default)]
pub(super) struct UniOut {
    /// The newest update, if it has no stream yet.
    next: Option<Bytes>,
    /// The stream of the update before, and the bytes left to write. It is reset once it is
    /// superseded.
    current: Option<(StreamId, Bytes)>,
    /// Whether all of the current update is written.
    finished: bool,
    pool: BytesMut,
}

impl UniOut {
    fn flush(&mut self, proto: &mut Connection) -> io::Result<Flushed> {
        if let Some(update) = self.next.take() {
            let Some(stream) = proto.streams().open(Dir::Uni) else {
                self.next = Some(update);
                return Ok(Flushed::Blocked);
            };
            self.finished = false;
            if let Some((superseded, _)) = self.current.replace((stream, update)) {
                // quinn-proto refuses if everything was acknowledged, which does no harm.
                let _ = proto.send_stream(superseded).reset(SUPERSEDED);
            }
        }
        let Some((stream, rest)) = self.current.as_mut().filter(|_| !self.finished) else {
            return Ok(Flushed::All);
        };
        while !rest.is_empty() {
            match write(proto, *stream, rest) {
                Ok(count) => drop(rest.split_to(count)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Flushed::Blocked),
                Err(error) => return Err(error),
            }
        }
        self.finished = true;
        // quinn-proto refuses only if the remote stopped the stream, which is its right.
        let _ = proto.send_stream(*stream).finish();
        Ok(Flushed::All)
    }
}

/// The receiving side of the state lane.
pub(super) enum StateIn {
    /// One long stream, once the remote has sent on it.
    Stream {
        framed: Framed,
        opened: bool,
    },
    Uni(UniStreams),
    Datagram,
}

impl StateIn {
    pub(super) fn new(lane: StateLane, remote_side: Side, options: &Options) -> Self {
        match lane {
            StateLane::Stream => {
                Self::Stream { framed: Framed::new(state_stream(remote_side), options), opened: false }
            }
            StateLane::Uni => Self::Uni(UniStreams::default()),
            StateLane::Datagram => Self::Datagram,
        }
    }

    /// Returns the next update that has wholly arrived.
    pub(super) fn next(&mut self, reader: &mut StreamReader<'_>) -> Result<Option<Bytes>, CloseReason> {
        match self {
            Self::Stream { framed, opened } => {
                *opened = *opened || reader.proto.streams().accept(Dir::Uni).is_some();
                if *opened { framed.next(FrameKind::State, reader) } else { Ok(None) }
            }
            Self::Datagram => match reader.proto.datagrams().recv() {
                Some(bytes) if bytes.len() > MAX_STATE_BYTES => Err(too_long(bytes.len())),
                datagram => Ok(datagram),
            },
            Self::Uni(streams) => {
                while let Some(stream) = reader.proto.streams().accept(Dir::Uni) {
                    streams.begun.push(UniIn { stream, data: BytesMut::new() });
                }
                streams.newest(reader)
            }
        }
    }

    /// Returns ready once a begun frame is over its deadline.
    pub(super) fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<CloseReason> {
        match self {
            Self::Stream { framed, .. } => framed.poll_deadline(cx),
            Self::Uni(_) | Self::Datagram => Poll::Pending,
        }
    }
}

/// The receiving side with a stream for each update.
#[derive(Default)]
pub(super) struct UniStreams {
    /// The streams that have begun and not ended, oldest first. QUIC's stream limit bounds them.
    begun: Vec<UniIn>,
}

impl UniStreams {
    /// Returns the newest update that has wholly arrived. Older streams still in flight are
    /// stopped, since they are superseded.
    fn newest(&mut self, reader: &mut StreamReader<'_>) -> Result<Option<Bytes>, CloseReason> {
        for index in (0..self.begun.len()).rev() {
            match self.begun[index].read(reader)? {
                Update::Unfinished => {}
                Update::Whole(update) => {
                    for superseded in self.begun.drain(..=index) {
                        superseded.stop(reader);
                    }
                    return Ok(Some(update));
                }
                Update::TakenBack => drop(self.begun.remove(index)),
            }
        }
        Ok(None)
    }
}

/// A stream that carries one update.
pub(super) struct UniIn {
    stream: StreamId,
    data: BytesMut,
}

enum Update {
    Unfinished,
    Whole(Bytes),
    TakenBack,
}

impl UniIn {
    fn read(&mut self, reader: &mut StreamReader<'_>) -> Result<Update, CloseReason> {
        loop {
            match reader.read(self.stream, MAX_STATE_BYTES + 1) {
                Read::Bytes(bytes) => {
                    self.data.extend_from_slice(&bytes);
                    if self.data.len() > MAX_STATE_BYTES {
                        return Err(too_long(self.data.len()));
                    }
                }
                Read::Finished => return Ok(Update::Whole(self.data.split().freeze())),
                Read::Nothing => return Ok(Update::Unfinished),
                Read::Gone => return Ok(Update::TakenBack),
            }
        }
    }

    /// Stops the stream. quinn-proto refuses if it is over, which does no harm.
    fn stop(self, reader: &mut StreamReader<'_>) {
        let stopped = reader.proto.recv_stream(self.stream).stop(SUPERSEDED);
        *reader.unsettled |= stopped.is_ok();
    }
}

fn too_long(size: usize) -> CloseReason {
    FrameError::TooLong { size, max: MAX_STATE_BYTES }.into()
}
