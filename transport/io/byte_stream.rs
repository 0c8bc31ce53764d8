//! A connection over any byte stream, for transports from outside this crate:
//! [`Connection::over_stream`].

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::{
    BoxFuture, CloseReason, Connection, Lane, Options, PathStats, ReceiveHalf, TransportKind,
    io::{
        frame::{FrameReader, READ_CHUNK_BYTES},
        keep_alive::KeepAliveTimer,
        outbox::Flushed,
        stream_sender::{Out, StreamSender, StreamWriter},
    },
};

impl Connection {
    /// Makes a connection of a byte stream on which the handshake is over.
    ///
    /// The connection has everything that the contract of a kind asks for: frames, the bounded
    /// control queue, the newest update in place of those that wait, keep-alives, the idle timeout,
    /// the read deadline and close frames. `path_stats` reads the stream's statistics of its path;
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
        let writer = ByteStreamWriter { path_stats: Box::new(path_stats) };
        let shared = Arc::new(StreamSender::new(writer, stream));
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

/// The writer of a byte stream, which stands under the lock whole.
struct ByteStreamWriter<S> {
    path_stats: Box<dyn Fn(&S) -> PathStats + Send + Sync>,
}

impl<S: ByteStream> StreamWriter for ByteStreamWriter<S> {
    type Guarded = S;

    fn write_out(&self, out: &mut Out<S>, cx: &mut Context<'_>) -> io::Result<Flushed> {
        let Out { stream, outbox, wrote, closing, .. } = out;
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

    fn path_stats(&self, out: &Mutex<Out<S>>) -> PathStats {
        (self.path_stats)(&out.lock().stream)
    }
}

/// The receiving half.
struct StreamReceiver<S: ByteStream> {
    shared: Arc<StreamSender<ByteStreamWriter<S>>>,
    frames: FrameReader,
    keep_alive: KeepAliveTimer,
}

impl<S: ByteStream> StreamReceiver<S> {
    /// Reads once into the frame buffer. Returns the number of bytes, 0 at the end of the stream.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut chunk = [0; READ_CHUNK_BYTES];
        let mut chunk = ReadBuf::new(&mut chunk);
        ready!(Pin::new(&mut self.shared.out().stream).poll_read(cx, &mut chunk))?;
        self.frames.extend(chunk.filled());
        Poll::Ready(Ok(chunk.filled().len()))
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
        self.shared.poll_keep_alive(&mut self.keep_alive, cx)?;
        self.shared.write_waiting(cx)?;
        self.frames.poll_deadline(cx).map(Err)
    }

    fn next_message(&mut self) -> Result<Option<(Lane, Bytes)>, CloseReason> {
        self.frames.next_message()
    }

    /// Writes what is left, and reads until the remote closes. Unread bytes would make a
    /// kernel send a reset, which can destroy the close frame.
    fn flush_close(self: Box<Self>) -> BoxFuture<'static, ()> {
        Box::pin(std::future::poll_fn(move |cx| {
            while self.shared.write_waiting(cx).is_ok() {
                let mut chunk = [0; READ_CHUNK_BYTES];
                let mut chunk = ReadBuf::new(&mut chunk);
                let read = ready!(Pin::new(&mut self.shared.out().stream).poll_read(cx, &mut chunk));
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
        let mut out = self.shared.out();
        let _ = Pin::new(&mut out.stream).poll_shutdown(&mut Context::from_waker(Waker::noop()));
    }
}
