//! TCP, plain or under TLS: both lanes in one ordered stream of frames.
//!
//! TCP is set up for latest-wins as well as it can be. `TCP_NOTSENT_LOWAT` of one byte makes the
//! kernel refuse a write while it still holds bytes that it could not send. An update then waits in
//! our outbox, where the next one replaces it, and not in the kernel's queue. `MSG_EOR` keeps
//! the kernel from appending to a segment that waits, which would slip past that limit. Nagle's
//! algorithm is off unless asked for.
//!
//! The kernel's timers are those of a stock Linux, unless tuned ones are asked for
//! (`io/tcp_tuning.rs`).
//!
//! tokio-rustls does the TLS handshake. After it the TLS session is driven directly: encrypting is
//! a pure step between the outbox and the socket, so that any task may send without waiting.

mod record_limit;

use std::{
    cell::RefCell,
    io,
    net::SocketAddr,
    sync::{Arc, Once},
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use parking_lot::Mutex;
use rustls::HandshakeKind;
use socket2::SockRef;
use tokio::{
    io::Interest,
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::{
    Arrival, BoxFuture, CloseReason, ConnectError, Connection, Handshake, Identity, KindInfo, Lane, Listen,
    Options, PathStats, Proof, Proved, ReceiveHalf, Target, Transport, TransportKind,
    io::{
        frame::{FrameReader, READ_CHUNK_BYTES},
        keep_alive::KeepAliveTimer,
        outbox::Flushed,
        share_port,
        stream_sender::{Out, StreamSender, StreamWriter},
        tcp_info, tcp_tuning,
    },
    tls::suite::SUITE,
};
use record_limit::RecordLimit;

/// The largest number of connections that wait to be accepted. The kernel's own cap
/// (`net.core.somaxconn`) is 4096 by default.
const BACKLOG: u32 = 1024;
/// The most reads in a row that bring nothing to deliver. Each takes up to 4 KiB, which hold 150
/// key updates: 0.15 ms of work. Then other tasks have their turn.
const EMPTY_READS_MAX: usize = 2;
/// The number of unsent bytes that makes the kernel refuse the next write (see the module's
/// documentation).
#[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
const NOTSENT_LOWAT_BYTES: u32 = 1;
/// The size of a TCP header in bytes, with the timestamps option, which Linux, macOS and Windows
/// negotiate on all but a few segments.
const TCP_HEADER_BYTES: u64 = 20 + 12;

thread_local! {
    /// A thread's read buffer, whichever connection it reads for. It stays in the processor's
    /// cache, and no connection holds one while it waits.
    static CHUNK: RefCell<[u8; READ_CHUNK_BYTES]> = const { RefCell::new([0; READ_CHUNK_BYTES]) };
}

/// Returns the kernel's statistics of a TCP connection, headers included. Empty on systems other
/// than Linux. For this transport, and for programs that measure TCP without it.
pub fn path_stats(socket: &TcpStream) -> PathStats {
    match socket.peer_addr() {
        Ok(remote) => tcp_info::read(socket).with_headers(remote, TCP_HEADER_BYTES),
        Err(_) => PathStats::default(),
    }
}

pub(crate) const PLAIN: Tcp = Tcp { kind: TransportKind::Tcp };
#[cfg(feature = "tls")]
pub(crate) const TLS: Tcp = Tcp { kind: TransportKind::Tls };

/// One of the two kinds over TCP.
pub(crate) struct Tcp {
    kind: TransportKind,
}

impl Transport for Tcp {
    fn info(&self) -> &'static KindInfo {
        self.kind.info()
    }

    fn bind(
        &self,
        kind: TransportKind,
        addr: SocketAddr,
        identity: &Identity,
        options: &Options,
    ) -> io::Result<Box<dyn Listen>> {
        let socket =
            if addr.is_ipv4() { tokio::net::TcpSocket::new_v4()? } else { tokio::net::TcpSocket::new_v6()? };
        // A restarted server may take its port again at once. On Windows the flag would let two
        // servers share it.
        #[cfg(unix)]
        socket.set_reuseaddr(true)?;
        share_port::bind(&SockRef::from(&socket), addr, options.port_sharing)?;
        let socket = socket.listen(BACKLOG)?;
        let acceptor = if self.kind.capabilities().encrypted {
            Some(TlsAcceptor::from(Arc::new(
                identity.server_config(&options.alpn(kind), options.resumption)?,
            )))
        } else {
            None
        };
        let addr = socket.local_addr()?;
        Ok(Box::new(TcpListen { kind, socket, addr, acceptor, options: options.clone() }))
    }

    fn connect<'a>(
        &'a self,
        to: &'a Target<'a>,
        options: &'a Options,
    ) -> BoxFuture<'a, Result<Connection, ConnectError>> {
        Box::pin(async move {
            let unreachable = |error| ConnectError::Unreachable { addr: to.addr, kind: to.kind, error };
            let tls = match (self.kind.capabilities().encrypted, to.trust) {
                (false, _) => None,
                (true, None) => return Err(ConnectError::NoTrust(to.kind)),
                (true, Some(trust)) => Some(trust.client_config(&options.alpn(to.kind), options.resumption)?),
            };
            let socket = TcpStream::connect(to.addr).await.map_err(unreachable)?;
            tune(&socket, options).map_err(unreachable)?;
            let Some((config, verifier)) = tls else {
                return connection(to.kind, to.addr, socket, None, options).map_err(unreachable);
            };
            let name = rustls::pki_types::ServerName::try_from(to.name.to_owned()).map_err(|error| {
                ConnectError::Handshake { kind: to.kind, reason: error.to_string().into() }
            })?;
            let stream =
                TlsConnector::from(Arc::new(config)).connect(name, socket).await.map_err(|error| {
                    verifier
                        .take_refusal(&error.to_string())
                        .unwrap_or_else(|| handshake_error(to.kind, &error))
                })?;
            let (socket, tls) = stream.into_inner();
            connection(to.kind, to.addr, socket, Some(tls.into()), options).map_err(unreachable)
        })
    }
}

fn handshake_error(kind: TransportKind, error: &io::Error) -> ConnectError {
    ConnectError::Handshake { kind, reason: error.to_string().into() }
}

struct TcpListen {
    kind: TransportKind,
    socket: TcpListener,
    addr: SocketAddr,
    acceptor: Option<TlsAcceptor>,
    options: Options,
}

impl Listen for TcpListen {
    fn local_addr(&self) -> SocketAddr {
        self.addr
    }

    fn accept(&self) -> BoxFuture<'_, io::Result<Arrival>> {
        Box::pin(async move {
            let (socket, remote) = self.socket.accept().await?;
            let (kind, acceptor, options) = (self.kind, self.acceptor.clone(), self.options.clone());
            let handshake: Handshake = Box::pin(async move {
                let failed = |error: io::Error| handshake_error(kind, &error);
                tune(&socket, &options).map_err(failed)?;
                let (socket, tls) = match acceptor {
                    None => (socket, None),
                    Some(acceptor) => {
                        let (socket, tls) = acceptor.accept(socket).await.map_err(failed)?.into_inner();
                        (socket, Some(tls.into()))
                    }
                };
                connection(kind, remote, socket, tls, &options).map_err(failed)
            });
            Ok(Arrival::Proved(Proved::by(Proof::TcpHandshake, remote), handshake))
        })
    }
}

fn tune(socket: &TcpStream, options: &Options) -> io::Result<()> {
    socket.set_nodelay(options.nodelay)?;
    #[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
    SockRef::from(socket).set_tcp_notsent_lowat(NOTSENT_LOWAT_BYTES)?;
    #[cfg(target_os = "linux")]
    if let Err(error) = SockRef::from(socket).set_tcp_congestion(options.congestion.name().as_bytes()) {
        // A refusal is not fatal, and it is reported: `PathStats::congestion` names the algorithm
        // in effect.
        static SAID: Once = Once::new();
        SAID.call_once(|| {
            tracing::warn!(
                "TCP keeps the system's congestion control: {} was refused ({error}); see \
                 net.ipv4.tcp_allowed_congestion_control",
                options.congestion
            );
        });
    }
    if options.tcp_tuned {
        tcp_tuning::tune(socket);
    }
    Ok(())
}

fn connection(
    kind: TransportKind,
    remote: SocketAddr,
    socket: TcpStream,
    tls: Option<rustls::Connection>,
    options: &Options,
) -> io::Result<Connection> {
    let resumed = tls.as_ref().map(|tls| tls.handshake_kind() == Some(HandshakeKind::Resumed));
    let (encrypted, tuned) = (kind.capabilities().encrypted, options.tcp_tuned);
    let writer = TcpWriter { socket, remote, encrypted, tuned, resumed };
    let shared = Arc::new(StreamSender::new(writer, tls));
    let receiver = TcpReceiver {
        shared: shared.clone(),
        frames: FrameReader::new(options.read_deadline),
        keep_alive: KeepAliveTimer::new(options, remote),
        records: RecordLimit::new(options.packets_per_s_max),
        leftovers: kind.capabilities().encrypted,
    };
    Ok(Connection::new(kind, remote, shared, Box::new(receiver)))
}

/// The socket, which any task writes and reads. Only the TLS session stands under the lock.
struct TcpWriter {
    socket: TcpStream,
    remote: SocketAddr,
    encrypted: bool,
    tuned: bool,
    /// Whether the handshake resumed a session; `None` without TLS.
    resumed: Option<bool>,
}

impl StreamWriter for TcpWriter {
    type Guarded = Option<rustls::Connection>;

    fn write_out(&self, out: &mut Out<Self::Guarded>, _: &mut Context<'_>) -> io::Result<Flushed> {
        let Out { stream: tls, outbox, wrote, .. } = out;
        if outbox.is_empty() && tls.as_ref().is_none_or(|tls| !tls.wants_write()) {
            return Ok(Flushed::All);
        }
        *wrote = true;
        let flushed = match tls {
            None => outbox.flush(|bytes| self.write(bytes))?,
            Some(tls) => outbox
                .flush(|bytes| {
                    // At most one frame's ciphertext waits in the TLS session. The rest stays in
                    // the outbox, where it can be superseded.
                    self.write_ciphertext(tls)?;
                    io::Write::write(&mut tls.writer(), bytes)
                })
                .and_then(|flushed| match (flushed, self.write_ciphertext(tls)) {
                    (Flushed::All, Ok(())) => Ok(Flushed::All),
                    (_, Err(error)) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
                    _ => Ok(Flushed::Blocked),
                })?,
        };
        if flushed == Flushed::All && out.closing {
            if let Some(tls) = &mut out.stream {
                tls.send_close_notify();
                let _ = self.write_ciphertext(tls);
            }
            let _ = SockRef::from(&self.socket).shutdown(std::net::Shutdown::Write);
        }
        Ok(flushed)
    }

    fn path_stats(&self, _: &Mutex<Out<Self::Guarded>>) -> PathStats {
        let tls = self.encrypted.then_some(SUITE);
        let mut stats = PathStats { tls, ..tcp_info::read(&self.socket) };
        stats.settings.extend(tcp_tuning::settings(&self.socket, self.tuned));
        stats.with_headers(self.remote, TCP_HEADER_BYTES)
    }

    fn resumed(&self) -> Option<bool> {
        self.resumed
    }
}

impl TcpWriter {
    fn write_ciphertext(&self, tls: &mut rustls::Connection) -> io::Result<()> {
        while tls.wants_write() {
            tls.write_tls(&mut Socket(self))?;
        }
        Ok(())
    }

    /// Writes one record without blocking. The module's documentation explains the flag.
    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        // The write goes straight to the system, which nearly always takes it. Only a refused write
        // needs tokio's readiness, and brings it up to date.
        match send(&self.socket, bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.socket.try_io(Interest::WRITABLE, || send(&self.socket, bytes))
            }
            outcome => outcome,
        }
    }
}

fn send(socket: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    #[cfg(target_os = "linux")]
    const FLAGS: libc::c_int = libc::MSG_EOR | libc::MSG_NOSIGNAL;
    #[cfg(not(target_os = "linux"))]
    const FLAGS: i32 = 0; // The standard library has seen to SIGPIPE.
    SockRef::from(socket).send_with_flags(bytes, FLAGS)
}

/// The socket in the form that rustls wants.
struct Socket<'a>(&'a TcpWriter);

impl io::Write for Socket<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl io::Read for Socket<'_> {
    /// Reads the bytes that have arrived. A short read means that no more is there. Telling tokio
    /// so spares the system call that would find out. Later arrivals make the socket ready anew.
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let mut short = None;
        let read = self.0.socket.try_io(Interest::READABLE, || {
            let count = io::Read::read(&mut &*SockRef::from(&self.0.socket), bytes)?;
            if count == 0 || count == bytes.len() {
                return Ok(count);
            }
            short = Some(count);
            Err(io::ErrorKind::WouldBlock.into())
        });
        short.map_or(read, Ok)
    }
}

struct TcpReceiver {
    shared: Arc<StreamSender<TcpWriter>>,
    frames: FrameReader,
    keep_alive: KeepAliveTimer,
    records: RecordLimit,
    /// Whether the TLS handshake may have read and decrypted messages that came right behind it.
    leftovers: bool,
}

impl TcpReceiver {
    /// Reads once into the frame buffer. Returns the number of bytes, 0 at the end of the stream.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, CloseReason>> {
        for _ in 0..EMPTY_READS_MAX {
            if !std::mem::take(&mut self.leftovers) {
                ready!(self.shared.writer.socket.poll_read_ready(cx))?;
            }
            let read = if self.shared.writer.encrypted { self.read_tls()? } else { self.read_plain()? };
            if let Some(count) = read {
                return Poll::Ready(Ok(count));
            }
        }
        cx.waker().wake_by_ref(); // There may be more.
        Poll::Pending
    }

    /// Returns `None` if nothing has arrived.
    fn read_plain(&mut self) -> Result<Option<usize>, CloseReason> {
        CHUNK.with_borrow_mut(|chunk| {
            let read = unless_blocked(io::Read::read(&mut Socket(&self.shared.writer), chunk))?;
            self.frames.extend(&chunk[..read.unwrap_or(0)]);
            Ok(read)
        })
    }

    /// Decrypts what has arrived. Returns `None` if that is no plaintext yet.
    fn read_tls(&mut self) -> Result<Option<usize>, CloseReason> {
        let mut out = self.shared.out();
        let Some(tls) = &mut out.stream else { return Err(CloseReason::Vanished) };
        let mut read_bytes = 0;
        if tls.wants_read() {
            match unless_blocked(tls.read_tls(&mut Socket(&self.shared.writer)))? {
                None => return Ok(None),
                Some(0) => return Ok(Some(0)),
                Some(count) => read_bytes = count,
            }
        }
        let state = tls.process_new_packets().map_err(io::Error::other)?;
        let plaintext = state.plaintext_bytes_to_read();
        io::Read::read_exact(&mut tls.reader(), self.frames.grow(plaintext))?;
        if tls.wants_write() {
            self.shared.set_blocked(); // A key update's answer.
        }
        self.records.count(read_bytes, plaintext)?;
        match plaintext {
            0 if state.peer_has_closed() => Ok(Some(0)),
            0 => Ok(None),
            count => Ok(Some(count)),
        }
    }

    /// Writes what a sender could not write, as the socket takes it.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Result<(), CloseReason> {
        while self.shared.write_waiting(cx)? == Flushed::Blocked {
            match self.shared.writer.socket.poll_write_ready(cx) {
                Poll::Ready(ready) => ready?,
                Poll::Pending => return Ok(()),
            }
        }
        Ok(())
    }
}

/// Returns `None` for a socket with nothing to read.
fn unless_blocked(read: io::Result<usize>) -> io::Result<Option<usize>> {
    match read {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        other => other.map(Some),
    }
}

impl ReceiveHalf for TcpReceiver {
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
        self.poll_flush(cx)?;
        self.frames.poll_deadline(cx).map(Err)
    }

    fn next_message(&mut self) -> Result<Option<(Lane, Bytes)>, CloseReason> {
        self.frames.next_message()
    }

    /// Reads on until the remote has closed too. Closing with unread bytes would send a reset,
    /// which can destroy the close frame before the remote reads it.
    fn flush_close(mut self: Box<Self>) -> BoxFuture<'static, ()> {
        Box::pin(std::future::poll_fn(move |cx| {
            loop {
                if self.poll_flush(cx).is_err() {
                    return Poll::Ready(());
                }
                let mut scratch = [0; READ_CHUNK_BYTES];
                let mut scratch = tokio::io::ReadBuf::new(&mut scratch);
                if ready!(self.shared.writer.socket.poll_read_ready(cx)).is_err() {
                    return Poll::Ready(());
                }
                match self.shared.writer.socket.try_read_buf(&mut scratch) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Ok(count) if count > 0 => {}
                    _ => return Poll::Ready(()),
                }
            }
        }))
    }
}

impl Drop for TcpReceiver {
    fn drop(&mut self) {
        let _ = SockRef::from(&self.shared.writer.socket).shutdown(std::net::Shutdown::Both);
    }
}
