//! A bare relay over TCP, plain or under TLS: one task for each direction, which writes what it
//! reads.

use std::{io, net::SocketAddr, sync::Arc};

use anyhow::Context;
use netduel_transport::{Identity, Options, PathStats, Trust, tcp_path_stats};
use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    task::JoinSet,
};
use tokio_rustls::{TlsAcceptor, TlsConnector, client, rustls::pki_types::ServerName};

use crate::wire::{ALPN, MOVE_BYTES, SERVER_NAME, Update};

/// The largest read, in bytes: hundreds of moves.
const READ_BYTES: usize = 16 * 1024;
/// The listen backlog: more than the number of players that connect at once.
const BACKLOG: u32 = 1024;

/// Sets the congestion control that our transports use by default. Otherwise the comparison would
/// measure the system's choice: BBR, for example, paces its packets. Best effort, because the
/// system may lack the algorithm. Accepted connections inherit the listener's algorithm.
fn same_congestion_control(socket: &SockRef<'_>) {
    #[cfg(target_os = "linux")]
    let _ = socket.set_tcp_congestion(Options::default().congestion.name().as_bytes());
    #[cfg(not(target_os = "linux"))]
    let _ = socket;
}

/// The player's side of a TLS connection.
pub(crate) type ClientTls = client::TlsStream<TcpStream>;

pub(crate) struct Listener {
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
}

impl Listener {
    pub(crate) fn tcp(addr: SocketAddr) -> io::Result<Self> {
        let socket = if addr.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        same_congestion_control(&SockRef::from(&socket));
        socket.bind(addr)?;
        Ok(Self { listener: socket.listen(BACKLOG)?, tls: None })
    }

    pub(crate) fn tls(addr: SocketAddr, identity: &Identity) -> io::Result<Self> {
        let mut tls = identity.server_config(ALPN, false)?;
        tls.alpn_protocols.clear(); // Whatever is spoken passes, also what our own players say.
        Ok(Self { tls: Some(Arc::new(tls).into()), ..Self::tcp(addr)? })
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    pub(crate) async fn run(self) -> io::Result<()> {
        let (mut handshakes, mut directions) = (JoinSet::new(), JoinSet::new());
        let (mut waiting, mut waiting_tls) = (None, None);
        loop {
            tokio::select! {
                accepted = self.listener.accept() => {
                    let (stream, _) = accepted?;
                    stream.set_nodelay(true)?;
                    if let Some(tls) = &self.tls {
                        handshakes.spawn(tls.accept(stream).into_future());
                    } else {
                        relay(&mut waiting, stream.into_split(), &mut directions);
                    }
                }
                // A failed connection ends alone.
                Some(Ok(Ok(stream))) = handshakes.join_next() => {
                    relay(&mut waiting_tls, tokio::io::split(stream), &mut directions);
                }
                Some(_) = directions.join_next() => {}
            }
        }
    }
}

/// Carries bytes both ways between a waiting player and a new one, if a player waits.
fn relay<R, W>(waiting: &mut Option<(R, W)>, coming: (R, W), directions: &mut JoinSet<io::Result<()>>)
where
    R: AsyncRead + Unpin + Send + 'static,
    W: AsyncWrite + Unpin + Send + 'static,
{
    match waiting.take() {
        None => *waiting = Some(coming),
        Some(first) => {
            directions.spawn(pump(first.0, coming.1));
            directions.spawn(pump(coming.0, first.1));
        }
    }
}

/// Writes all bytes that it reads, so that any framing passes.
async fn pump(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) -> io::Result<()> {
    let mut buffer = vec![0; READ_BYTES];
    loop {
        match from.read(&mut buffer).await? {
            0 => return to.shutdown().await,
            count => to.write_all(&buffer[..count]).await?,
        }
        to.flush().await?; // TLS may hold what the socket did not take.
    }
}

/// The bytes around each move. Moves of one size need none.
#[derive(Clone, Copy, Default)]
pub(crate) struct Frame {
    pub(crate) before: &'static [u8],
    pub(crate) after: &'static [u8],
}

/// A player over a stream of bytes.
pub(crate) struct Player<S> {
    stream: S,
    frame: Frame,
    buffer: Vec<u8>,
    /// The part of the buffer that was read and not yet taken.
    unread: std::ops::Range<usize>,
}

impl Player<TcpStream> {
    pub(crate) async fn tcp(addr: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(addr).await?;
        stream.set_nodelay(true)?;
        same_congestion_control(&SockRef::from(&stream));
        Ok(Self::new(stream, Frame::default()))
    }

    pub(crate) fn path_stats(&self) -> PathStats {
        tcp_path_stats(&self.stream)
    }
}

impl Player<ClientTls> {
    pub(crate) async fn tls(addr: SocketAddr, trust: Option<&Trust>) -> anyhow::Result<Self> {
        let config = trust.context("TLS needs a certificate to trust")?.client_config_for(ALPN)?;
        let stream = TcpStream::connect(addr).await?;
        stream.set_nodelay(true)?;
        same_congestion_control(&SockRef::from(&stream));
        let name = ServerName::try_from(SERVER_NAME)?;
        let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
        Ok(Self::new(stream, Frame::default()))
    }

    pub(crate) fn path_stats(&self) -> PathStats {
        tcp_path_stats(self.stream.get_ref().0)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Player<S> {
    pub(crate) fn new(stream: S, frame: Frame) -> Self {
        Self { stream, frame, buffer: vec![0; READ_BYTES], unread: 0..0 }
    }

    pub(crate) async fn send(&mut self, update: &Update) -> io::Result<()> {
        let Frame { before, after } = self.frame;
        if before.is_empty() && after.is_empty() {
            self.stream.write_all(update).await?;
        } else {
            self.stream.write_all(&[before, update, after].concat()).await?;
        }
        self.stream.flush().await
    }

    pub(crate) async fn next(&mut self) -> io::Result<Update> {
        let Frame { before, after } = self.frame;
        let framed_bytes = before.len() + MOVE_BYTES + after.len();
        loop {
            if let Some(framed) = self.buffer[self.unread.clone()].get(..framed_bytes) {
                let update = framed.strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
                let update = update.ok_or(io::ErrorKind::InvalidData)?;
                self.unread.start += framed_bytes;
                return update.try_into().map_err(|_| io::ErrorKind::InvalidData.into());
            }
            // The rest is at most a part of a move.
            self.buffer.copy_within(self.unread.clone(), 0);
            self.unread = 0..self.unread.len();
            match self.stream.read(&mut self.buffer[self.unread.end..]).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => self.unread.end += count,
            }
        }
    }
}
