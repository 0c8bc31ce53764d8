//! A connection over any byte stream, for transports from outside this crate:
//! [`Connection::over_stream`].

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{
            AtomicBool,
            Ordering::{Acquire, Release},
        },
    },
    task::{Context, Poll, Waker, ready},
};

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::{
    BoxFuture, Close, CloseReason, CloseState, Connection, Lane, Options, PathStats, ReceiveHalf, SendHalf,
    TransportKind,
    io::{
        frame::{self, FrameKind, FrameReader, READ_CHUNK_BYTES},
        keep_alive::KeepAliveTimer,
        outbox::{Flushed, Outbox},
    },
};

impl Connection {
    /// Makes a connection of a byte stream on which the handshake is over.
    ///
    /// The connection has everything that the contract of a kind asks for: frames, the bounded
    /// control queue, the newest update in place of those that wait, keep-alives, the idle timeout,
    /// the read deadline and close frames. `path_stats` reads what the stream knows of its path;
    /// [`tcp_path_stats`](crate::tcp_path_stats) does so for TCP.
    ///
    /// The stream takes part in latest-wins as far as it refuses to buffer: an update that it has
    /// taken cannot be replaced. It must accept other bytes when a write that was pending is
    /// repeated.
    pub fn over_stream<S>(
        kind: TransportKind,
        remote_addr: SocketAddr,
        stream: S,
        path_stats: impl Fn(&S) -> PathStats + Send + Sync + 'static,
        options: &Options,
    ) -> Self
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let shared = Arc::new(Shared {
            io: Mutex::new(Io { stream, outbox: Outbox::default(), wrote: false, closing: false }),
            close_state: CloseState::default(),
            blocked: AtomicBool::new(false),
            path_stats: Box::new(path_stats),
        });
        let receiver = StreamReceiver {
            shared: shared.clone(),
            frames: FrameReader::new(options.read_deadline),
            keep_alive: KeepAliveTimer::new(options, remote_addr),
        };
        Self::new(kind, remote_addr, shared, Box::new(receiver))
    }
}

/// The bounds of [`Connection::over_stream`] under one name.
trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> ByteStream for S {}

/// The state of both halves.
struct Shared<S> {
    io: Mutex<Io<S>>,
    close_state: CloseState,
    /// Whether something waits that the stream did not take. The receiver's task writes it.
    blocked: AtomicBool,
    path_stats: Box<dyn Fn(&S) -> PathStats + Send + Sync>,
}

struct Io<S> {
    stream: S,
    outbox: Outbox,
    /// Whether something was written since the last beat, so that no keep-alive is due.
    wrote: bool,
    /// Whether a close frame is queued. The stream ends after it.
    closing: bool,
}

impl<S: ByteStream> Io<S> {
    /// Writes what the stream takes. Never waits.
    fn write_out(&mut self, cx: &mut Context<'_>) -> io::Result<Flushed> {
        let Self { stream, outbox, wrote, closing } = self;
        *wrote |= !outbox.is_empty();
        let written = outbox.flush(|bytes| match Pin::new(&mut *stream).poll_write(cx, bytes) {
            Poll::Ready(outcome) => outcome,
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        })?;
        let stream = Pin::new(stream);
        let flushed = if *closing && written == Flushed::All {
            stream.poll_shutdown(cx)
        } else {
            stream.poll_flush(cx)
        };
        match flushed {
            Poll::Ready(Err(error)) => Err(error),
            Poll::Ready(Ok(())) => Ok(written),
            Poll::Pending => Ok(Flushed::Blocked),
        }
    }
}

impl<S: ByteStream> Shared<S> {
    /// Locks the stream for a few memory copies and a non-blocking write, never across an await.
    fn io(&self) -> MutexGuard<'_, Io<S>> {
        self.io.lock()
    }

    /// Writes what the stream takes, and leaves the rest to the receiver's task. Returns how many
    /// updates were superseded.
    fn flush_or_wake(&self, mut io: MutexGuard<'_, Io<S>>) -> Result<usize, CloseReason> {
        // A write that is pending replaces the waker of the receiver's task, so that task polls
        // again.
        let flushed = io.write_out(&mut Context::from_waker(Waker::noop()));
        let superseded = io.outbox.take_superseded();
        drop(io);
        if flushed? == Flushed::Blocked {
            self.blocked.store(true, Release);
            self.close_state.wake();
        }
        Ok(superseded)
    }
}

impl<S: ByteStream> SendHalf for Shared<S> {
    fn close_state(&self) -> &CloseState {
        &self.close_state
    }

    fn queue_control(&self, message: &[u8]) -> Result<(), CloseReason> {
        self.io().outbox.push(FrameKind::Control, message).map_err(CloseReason::ControlLaneFull)
    }

    fn send_state(&self, message: &[u8]) -> Result<usize, CloseReason> {
        let mut io = self.io();
        io.outbox.replace_state(message);
        self.flush_or_wake(io)
    }

    fn queue_state(&self, message: &[u8]) -> Result<usize, CloseReason> {
        let mut io = self.io();
        io.outbox.batch_state(message);
        if io.outbox.batch_is_full() { self.flush_or_wake(io) } else { Ok(0) }
    }

    fn flush(&self) -> Result<usize, CloseReason> {
        self.flush_or_wake(self.io())
    }

    fn send_close(&self, close: &Close) {
        let mut io = self.io();
        io.closing = true;
        // A full queue belongs to a remote peer that does not read, and that would not read the
        // close frame either.
        let _ = io.outbox.push(FrameKind::Close, &frame::encode_close(close));
        // The end of a connection wakes the receiver's task, so the waker that is lost here is set
        // again.
        if !matches!(io.write_out(&mut Context::from_waker(Waker::noop())), Ok(Flushed::All)) {
            self.blocked.store(true, Release);
        }
    }

    fn path_stats(&self) -> PathStats {
        (self.path_stats)(&self.io().stream)
    }
}

/// The receiving half.
struct StreamReceiver<S: ByteStream> {
    shared: Arc<Shared<S>>,
    frames: FrameReader,
    keep_alive: KeepAliveTimer,
}

impl<S: ByteStream> StreamReceiver<S> {
    /// Reads once into the frame buffer. Returns the number of bytes, 0 at the end of the stream.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut chunk = [0; READ_CHUNK_BYTES];
        let mut chunk = ReadBuf::new(&mut chunk);
        ready!(Pin::new(&mut self.shared.io().stream).poll_read(cx, &mut chunk))?;
        self.frames.extend(chunk.filled());
        Poll::Ready(Ok(chunk.filled().len()))
    }

    /// Sends a keep-alive where one is due, and holds the idle timeout, once a beat.
    fn poll_keep_alive(&mut self, cx: &mut Context<'_>) -> Result<(), CloseReason> {
        while let Poll::Ready(beat) = self.keep_alive.poll_tick(cx) {
            beat?;
            let mut io = self.shared.io();
            if self.keep_alive.keep_alive_due(std::mem::take(&mut io.wrote)) {
                // A full queue is no error here: the frames that wait serve as keep-alives.
                let _ = io.outbox.push(FrameKind::KeepAlive, &[]);
                self.shared.blocked.store(true, Release);
            }
        }
        Ok(())
    }

    /// Writes what a sender could not, as the stream takes it.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Result<(), CloseReason> {
        if self.shared.blocked.load(Acquire) {
            let mut io = self.shared.io();
            if io.write_out(cx)? == Flushed::All {
                self.shared.blocked.store(false, Release);
            }
        }
        Ok(())
    }
}

impl<S: ByteStream> ReceiveHalf for StreamReceiver<S> {
    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Result<(Lane, Bytes), CloseReason>> {
        loop {
            if let Some(message) = self.next_message()? {
                return Poll::Ready(Ok(message));
            }
            match self.poll_read(cx)? {
                Poll::Ready(0) => return Poll::Ready(Err(CloseReason::Vanished)),
                Poll::Ready(_) => self.keep_alive.heard(),
                Poll::Pending => break,
            }
        }
        self.poll_keep_alive(cx)?;
        self.poll_flush(cx)?;
        self.frames.poll_deadline(cx).map(Err)
    }

    fn next_message(&mut self) -> Result<Option<(Lane, Bytes)>, CloseReason> {
        while let Some((kind, payload)) = self.frames.next()? {
            match kind {
                FrameKind::Control => return Ok(Some((Lane::Control, payload))),
                FrameKind::State => return Ok(Some((Lane::State, payload))),
                FrameKind::KeepAlive => {}
                FrameKind::Close => return Err(CloseReason::Peer(frame::decode_close(payload)?)),
            }
        }
        Ok(None)
    }

    /// Writes what is left, and reads until the remote peer closes. Unread bytes would make a
    /// kernel send a reset, which can destroy the close frame.
    fn flush_close(mut self: Box<Self>) -> BoxFuture<'static, ()> {
        Box::pin(std::future::poll_fn(move |cx| {
            while self.poll_flush(cx).is_ok() {
                let mut chunk = [0; READ_CHUNK_BYTES];
                let mut chunk = ReadBuf::new(&mut chunk);
                let read = ready!(Pin::new(&mut self.shared.io().stream).poll_read(cx, &mut chunk));
                if read.is_err() || chunk.filled().is_empty() {
                    break;
                }
            }
            Poll::Ready(())
        }))
    }
}

impl<S: ByteStream> Drop for StreamReceiver<S> {
    fn drop(&mut self) {
        let mut io = self.shared.io();
        let _ = Pin::new(&mut io.stream).poll_shutdown(&mut Context::from_waker(Waker::noop()));
    }
}
