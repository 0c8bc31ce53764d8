//! The frames that wait to be written to one byte stream: control frames in order, and the newest
//! state frame only.
//!
//! Latest-wins happens here for every stream transport, *before* the socket. An update that the
//! stream cannot take at once stays in the [`Outbox`], where the next one replaces it. The outbox
//! does no I/O of its own.

use std::{io, mem};

use super::frame::{self, FrameKind};

/// The largest number of control bytes that wait for one remote. Control messages are rare and
/// small (tens of bytes), so a remote with this much waiting does not read any more.
pub(crate) const CONTROL_QUEUE_BYTES: usize = 64 * 1024;

/// The largest number of update bytes that wait to be written together: the updates of one read of
/// the largest chunk leave in one write. Far below what a socket takes at once, so that a batch is
/// rarely torn.
pub(crate) const BATCH_BYTES: usize = 4 * 1024;

/// The outcome of a flush: everything was written, or the stream blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flushed {
    All,
    Blocked,
}

/// The queue of one byte stream. Its three buffers are reused, so that the steady state allocates
/// nothing.
#[derive(Default)]
pub(crate) struct Outbox {
    /// The frames being written. A begun frame must be finished.
    wire: Vec<u8>,
    written: usize,
    control: Vec<u8>,
    /// The updates whose write has not begun: one, or those of a batch.
    state: Vec<u8>,
    /// The number of these updates, and the place where the newest begins.
    updates: usize,
    newest: usize,
    /// Whether the stream took none of them when it was asked. The next update then replaces them.
    blocked: bool,
    superseded: usize,
}

impl Outbox {
    /// Queues a frame that must arrive. `Err` holds the number of bytes waiting when the queue is
    /// full.
    pub(crate) fn push(&mut self, kind: FrameKind, payload: &[u8]) -> Result<(), usize> {
        let waiting = self.control.len() + self.wire.len() - self.written;
        if waiting + payload.len() > CONTROL_QUEUE_BYTES {
            return Err(waiting);
        }
        frame::append(&mut self.control, kind, payload);
        Ok(())
    }

    /// Makes `payload` the newest update and the only one that waits.
    pub(crate) fn replace_state(&mut self, payload: &[u8]) {
        self.superseded += self.updates;
        self.state.clear();
        self.updates = 0;
        self.append_state(payload);
    }

    /// Makes `payload` the newest update, behind those of the same batch. A stream that blocks gets
    /// the newest alone.
    pub(crate) fn batch_state(&mut self, payload: &[u8]) {
        if self.blocked { self.replace_state(payload) } else { self.append_state(payload) }
    }

    fn append_state(&mut self, payload: &[u8]) {
        self.newest = self.state.len();
        frame::append(&mut self.state, FrameKind::State, payload);
        self.updates += 1;
    }

    /// Whether the batch has reached its largest size and is to be written.
    pub(crate) fn batch_is_full(&self) -> bool {
        self.state.len() >= BATCH_BYTES
    }

    /// Returns how many updates were replaced before they were sent, since the last call.
    pub(crate) fn take_superseded(&mut self) -> usize {
        mem::take(&mut self.superseded)
    }

    /// Returns the bytes that wait to be written.
    pub(crate) fn queued_bytes(&self) -> usize {
        self.wire.len() - self.written + self.control.len() + self.state.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.wire.is_empty() && self.control.is_empty() && self.state.is_empty()
    }

    /// Writes until everything is written or `write` would block. Control goes before state.
    pub(crate) fn flush(&mut self, mut write: impl FnMut(&[u8]) -> io::Result<usize>) -> io::Result<Flushed> {
        self.blocked = false;
        loop {
            if self.wire.is_empty() {
                mem::swap(&mut self.wire, &mut self.control);
            }
            let from_state = self.wire.is_empty();
            let bytes = if from_state { &self.state[..] } else { &self.wire[self.written..] };
            if bytes.is_empty() {
                return Ok(Flushed::All);
            }
            match write(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    if from_state {
                        mem::swap(&mut self.wire, &mut self.state);
                        self.updates = 0;
                    }
                    self.written += count;
                    if self.written == self.wire.len() {
                        self.wire.clear();
                        self.written = 0;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.keep_newest();
                    return Ok(Flushed::Blocked);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Keeps the newest update only. The stream blocks, and not a byte of the waiting updates has
    /// left.
    fn keep_newest(&mut self) {
        self.blocked = true;
        if self.updates > 1 {
            self.superseded += self.updates - 1;
            self.state.drain(..self.newest);
            (self.updates, self.newest) = (1, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a sink that takes `room` bytes, at most three at a time, and then blocks.
    fn sink<'a>(room: &'a mut usize, out: &'a mut Vec<u8>) -> impl FnMut(&[u8]) -> io::Result<usize> + 'a {
        move |bytes| {
            let count = bytes.len().min(3).min(*room);
            if count == 0 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            *room -= count;
            out.extend_from_slice(&bytes[..count]);
            Ok(count)
        }
    }

    #[test]
    fn blocked_stream_keeps_newest_and_control() {
        let (mut outbox, mut out) = (Outbox::default(), Vec::new());
        let mut room = 2;
        outbox.replace_state(b"begun");
        assert_eq!(outbox.flush(sink(&mut room, &mut out)).expect("io"), Flushed::Blocked);
        outbox.replace_state(b"stale");
        assert_eq!(outbox.take_superseded(), 0, "the first was begun and must be finished");
        outbox.push(FrameKind::Control, b"one").expect("room");
        outbox.replace_state(b"newest");
        assert_eq!(outbox.take_superseded(), 1);
        outbox.push(FrameKind::Control, b"two").expect("room");
        room = usize::MAX;
        assert_eq!(outbox.flush(sink(&mut room, &mut out)).expect("io"), Flushed::All);
        assert!(outbox.is_empty());

        let mut expected = Vec::new();
        frame::append(&mut expected, FrameKind::State, b"begun");
        frame::append(&mut expected, FrameKind::Control, b"one");
        frame::append(&mut expected, FrameKind::Control, b"two");
        frame::append(&mut expected, FrameKind::State, b"newest");
        assert_eq!(out, expected);
    }

    #[test]
    fn replaces_unstarted_state_after_a_block() {
        let (mut outbox, mut out) = (Outbox::default(), Vec::new());
        let mut room = 0;
        outbox.replace_state(b"old");
        assert_eq!(outbox.flush(sink(&mut room, &mut out)).expect("io"), Flushed::Blocked);
        outbox.replace_state(b"new");
        assert_eq!(outbox.take_superseded(), 1);
        room = usize::MAX;
        outbox.flush(sink(&mut room, &mut out)).expect("io");
        let mut expected = Vec::new();
        frame::append(&mut expected, FrameKind::State, b"new");
        assert_eq!(out, expected);
    }

    #[test]
    fn batch_leaves_whole_or_newest_alone() {
        let written = |room: usize| {
            let (mut outbox, mut out, mut room) = (Outbox::default(), Vec::new(), room);
            for update in [b"one", b"two", b"six"] {
                outbox.batch_state(update);
            }
            if outbox.flush(sink(&mut room, &mut out)).expect("io") == Flushed::Blocked {
                outbox.batch_state(b"ten"); // It replaces what the stream would not take.
                room = usize::MAX;
                assert_eq!(outbox.flush(sink(&mut room, &mut out)).expect("io"), Flushed::All);
            }
            (out, outbox.take_superseded())
        };
        let frames = |updates: &[&[u8]]| {
            let mut bytes = Vec::new();
            updates.iter().for_each(|update| frame::append(&mut bytes, FrameKind::State, update));
            bytes
        };
        assert_eq!(written(usize::MAX), (frames(&[b"one", b"two", b"six"]), 0));
        assert_eq!(written(0), (frames(&[b"ten"]), 3));
        assert_eq!(
            written(1),
            (frames(&[b"one", b"two", b"six", b"ten"]), 0),
            "a batch once begun is finished"
        );
    }

    #[test]
    fn control_queue_is_bounded() {
        let mut outbox = Outbox::default();
        let error = (0..).find_map(|_| outbox.push(FrameKind::Control, &[0; 1000]).err());
        assert!(error.is_some_and(|waiting| waiting <= CONTROL_QUEUE_BYTES));
    }
}
