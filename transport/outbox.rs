//! What waits to be written to one byte stream: control frames in order, and the newest state frame only.
//!
//! This is where latest-wins happens for every stream transport, *before* the socket: an update that the stream
//! cannot take at once stays here, where the next one replaces it. Entry: [`Outbox`]. It does no I/O of its own.

use std::{io, mem};

use crate::frame::{self, FrameKind};

/// Bytes of control frames that may wait for one peer. Control messages are rare and small (tens of bytes), so
/// a peer with this much waiting does not read any more.
pub(crate) const CONTROL_QUEUE_BYTES: usize = 64 * 1024;

/// Whether everything went out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flushed {
    All,
    Blocked,
}

/// See the module. The three buffers are kept and reused, so that the steady state allocates nothing.
#[derive(Default)]
pub(crate) struct Outbox {
    /// Frames being written; a frame that was begun must be finished.
    wire: Vec<u8>,
    written: usize,
    control: Vec<u8>,
    state: Vec<u8>,
}

impl Outbox {
    /// Queues a frame that must arrive. `Err` holds the bytes waiting when the queue is full.
    pub(crate) fn push(&mut self, kind: FrameKind, payload: &[u8]) -> Result<(), usize> {
        let waiting = self.control.len() + self.wire.len() - self.written;
        if waiting + payload.len() > CONTROL_QUEUE_BYTES {
            return Err(waiting);
        }
        frame::append(&mut self.control, kind, payload);
        Ok(())
    }

    /// Makes `payload` the newest state; returns how many unsent updates it replaced (0 or 1).
    pub(crate) fn replace_state(&mut self, payload: &[u8]) -> usize {
        let replaced = usize::from(!self.state.is_empty());
        self.state.clear();
        frame::append(&mut self.state, FrameKind::State, payload);
        replaced
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.wire.is_empty() && self.control.is_empty() && self.state.is_empty()
    }

    /// Writes until all is out or `write` would block. Control goes before state.
    pub(crate) fn flush(&mut self, mut write: impl FnMut(&[u8]) -> io::Result<usize>) -> io::Result<Flushed> {
        loop {
            let mut from_state = false;
            if self.wire.is_empty() {
                if !self.control.is_empty() {
                    mem::swap(&mut self.wire, &mut self.control);
                } else if !self.state.is_empty() {
                    mem::swap(&mut self.wire, &mut self.state);
                    from_state = true;
                } else {
                    return Ok(Flushed::All);
                }
            }
            match write(&self.wire[self.written..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => self.written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if from_state {
                        // Not a byte of it is out: it may still be superseded.
                        mem::swap(&mut self.wire, &mut self.state);
                    }
                    return Ok(Flushed::Blocked);
                }
                Err(error) => return Err(error),
            }
            if self.written == self.wire.len() {
                self.wire.clear();
                self.written = 0;
            } else if from_state && self.written == 0 {
                mem::swap(&mut self.wire, &mut self.state);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A sink that takes `room` bytes, at most three at a time, and then blocks.
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
    fn a_blocked_stream_keeps_the_newest_state_and_every_control_frame() {
        let (mut outbox, mut out) = (Outbox::default(), Vec::new());
        let mut room = 2;
        assert_eq!(outbox.replace_state(b"begun"), 0);
        assert_eq!(outbox.flush(sink(&mut room, &mut out)).expect("io"), Flushed::Blocked);
        assert_eq!(outbox.replace_state(b"stale"), 0, "the first was begun and must be finished");
        outbox.push(FrameKind::Control, b"one").expect("room");
        assert_eq!(outbox.replace_state(b"newest"), 1);
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
    fn state_that_never_started_is_still_replaced_after_a_block() {
        let (mut outbox, mut out) = (Outbox::default(), Vec::new());
        let mut room = 0;
        outbox.replace_state(b"old");
        assert_eq!(outbox.flush(sink(&mut room, &mut out)).expect("io"), Flushed::Blocked);
        assert_eq!(outbox.replace_state(b"new"), 1);
        room = usize::MAX;
        outbox.flush(sink(&mut room, &mut out)).expect("io");
        let mut expected = Vec::new();
        frame::append(&mut expected, FrameKind::State, b"new");
        assert_eq!(out, expected);
    }

    #[test]
    fn control_is_bounded() {
        let mut outbox = Outbox::default();
        let error = (0..).find_map(|_| outbox.push(FrameKind::Control, &[0; 4000]).err());
        assert!(error.is_some_and(|waiting| waiting <= CONTROL_QUEUE_BYTES));
    }
}
