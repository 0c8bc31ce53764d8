//! The three carriers of the state lane, sending and receiving: one long stream, a stream for each
//! update, or datagrams.

use std::{
    io, mem,
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

/// The largest number of streams whose end the remote has not acknowledged. It is twice as many as
/// our own remotes let us open, so it holds only for a remote that advertises more. A stream takes
/// some 300 bytes, and each packet passes over all of them.
const UNACKNOWLEDGED_STREAMS_MAX: usize = 2 * super::config::MAX_UNI_STREAMS as usize;
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
                sent.map(|()| replaced).map_err(|error| CloseReason::Transport(error.to_string().into()))
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
            Self::Uni(uni) => mem::take(&mut uni.superseded),
            Self::Datagram(_) => 0,
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
    /// The stream of the update before. It is reset once the update is superseded.
    current: Option<UpdateOut>,
    /// The number of updates that were replaced on a stream that took nothing of them.
    superseded: usize,
    pool: BytesMut,
}

/// An update on its stream.
struct UpdateOut {
    stream: StreamId,
    /// The bytes left to write.
    rest: Bytes,
    progress: Progress,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// The stream has taken nothing of the update.
    Opened,
    Begun,
    Finished,
}

impl UniOut {
    fn flush(&mut self, proto: &mut Connection) -> io::Result<Flushed> {
        if let Some(update) = self.next.take() {
            match &mut self.current {
                // A stream that took nothing takes this update. quinn-proto remembers each stream
                // that the remote's flow control blocked, even after its reset.
                Some(current) if current.progress == Progress::Opened => {
                    current.rest = update;
                    self.superseded += 1;
                }
                current => {
                    // The remote's own limit may be any number, and a remote that acknowledges
                    // nothing would make the streams more with each update.
                    let mut streams = proto.streams();
                    let room = streams.send_streams() < UNACKNOWLEDGED_STREAMS_MAX;
                    let Some(stream) = room.then(|| streams.open(Dir::Uni)).flatten() else {
                        self.next = Some(update);
                        return Ok(Flushed::Blocked);
                    };
                    let opened = UpdateOut { stream, rest: update, progress: Progress::Opened };
                    if let Some(superseded) = current.replace(opened) {
                        // quinn-proto refuses if everything was acknowledged, which does no harm.
                        let _ = proto.send_stream(superseded.stream).reset(SUPERSEDED);
                    }
                }
            }
        }
        let Some(current) = self.current.as_mut().filter(|it| it.progress != Progress::Finished) else {
            return Ok(Flushed::All);
        };
        while !current.rest.is_empty() {
            match write(proto, current.stream, &current.rest) {
                Ok(count) => drop(current.rest.split_to(count)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Flushed::Blocked),
                Err(error) => return Err(error),
            }
            current.progress = Progress::Begun;
        }
        current.progress = Progress::Finished;
        // quinn-proto refuses only if the remote stopped the stream, which is its right.
        let _ = proto.send_stream(current.stream).finish();
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
                    streams.begun.push(UniIn::new(stream));
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
    /// Returns the newest update that has wholly arrived. The streams of older ones are read to
    /// their end for nothing. The remote is not asked to stop them: it resets them by itself, and
    /// quinn-proto would queue a request for each stream, without a bound.
    fn newest(&mut self, reader: &mut StreamReader<'_>) -> Result<Option<Bytes>, CloseReason> {
        for index in (0..self.begun.len()).rev() {
            match self.begun[index].read(reader)? {
                Update::Unfinished => {}
                Update::Over => drop(self.begun.remove(index)),
                Update::Whole(update) => {
                    self.begun.remove(index);
                    self.begun[..index].iter_mut().for_each(UniIn::supersede);
                    return Ok(Some(update));
                }
            }
        }
        Ok(None)
    }
}

/// A stream that carries one update.
pub(super) struct UniIn {
    stream: StreamId,
    /// The part of the update that has arrived; `None` if it is superseded.
    data: Option<BytesMut>,
    /// The number of bytes that have arrived.
    size: usize,
}

enum Update {
    Unfinished,
    Whole(Bytes),
    /// The remote took the update back, or it is superseded and has wholly arrived.
    Over,
}

impl UniIn {
    fn new(stream: StreamId) -> Self {
        Self { stream, data: Some(BytesMut::new()), size: 0 }
    }

    fn supersede(&mut self) {
        self.data = None;
    }

    fn read(&mut self, reader: &mut StreamReader<'_>) -> Result<Update, CloseReason> {
        loop {
            match reader.read(self.stream, MAX_STATE_BYTES + 1) {
                Read::Bytes(bytes) => {
                    self.size += bytes.len();
                    if self.size > MAX_STATE_BYTES {
                        return Err(too_long(self.size));
                    }
                    if let Some(data) = &mut self.data {
                        data.extend_from_slice(&bytes);
                    }
                }
                Read::Finished => {
                    return Ok(self.data.take().map_or(Update::Over, |data| Update::Whole(data.freeze())));
                }
                Read::Nothing => return Ok(Update::Unfinished),
                Read::Gone => return Ok(Update::Over),
            }
        }
    }
}

fn too_long(size: usize) -> CloseReason {
    FrameError::TooLong { size, max: MAX_STATE_BYTES }.into()
}
