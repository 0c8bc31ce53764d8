//! A UDP socket that registers for read readiness only.
//!
//! A socket registered for write readiness, as tokio's own is, wakes the process once more for each
//! packet that it sends. When the send buffer is full, callers drop the packet or try again a
//! little later.

use std::{
    io,
    net::SocketAddr,
    task::{Context, Poll, ready},
};

use socket2::{Domain, SockRef, Socket, Type};
#[cfg(unix)]
pub(crate) use std::net::UdpSocket as Inner;
use tokio::io::Interest;
#[cfg(not(unix))]
pub(crate) use tokio::net::UdpSocket as Inner;

use super::share_port;
use crate::Options;

pub(crate) struct UdpSocket {
    #[cfg(unix)]
    io: tokio::io::unix::AsyncFd<Inner>,
    #[cfg(not(unix))]
    io: Inner,
}

impl UdpSocket {
    pub(crate) fn bind(addr: SocketAddr, options: &Options) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, None)?;
        share_port::bind(&SockRef::from(&socket), addr, options.port_sharing)?;
        socket.set_nonblocking(true)?;
        // Deprecated for types whose descriptor can be closed behind tokio's back; a socket's
        // cannot.
        #[cfg(unix)]
        #[allow(deprecated)]
        let io = tokio::io::unix::AsyncFd::with_interest(socket.into(), Interest::READABLE)?;
        #[cfg(not(unix))]
        let io = Inner::from_std(socket.into())?;
        Ok(Self { io })
    }

    /// The socket option is deprecated for types whose descriptor can be closed behind tokio's
    /// back, which a socket's cannot.
    #[cfg(unix)]
    pub(crate) fn get(&self) -> &Inner {
        self.io.get_ref()
    }

    #[cfg(not(unix))]
    pub(crate) fn get(&self) -> &Inner {
        &self.io
    }

    /// Polls whether the socket may have a datagram to read; wakes the task when one arrives.
    #[cfg(unix)]
    pub(crate) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io.poll_read_ready(cx).map_ok(drop)
    }

    #[cfg(not(unix))]
    pub(crate) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io.poll_recv_ready(cx)
    }

    /// Reads by `read`. Its `WouldBlock` means that nothing more is there until
    /// [`Self::poll_readable`] is ready.
    pub(crate) fn try_read<T>(&self, mut read: impl FnMut(&Inner) -> io::Result<T>) -> io::Result<T> {
        self.io.try_io(Interest::READABLE, |_io| read(self.get()))
    }

    /// Polls for the next datagram and its sender's address. Bytes that do not fit `into` are cut
    /// off.
    pub(crate) fn poll_recv_from(
        &self,
        cx: &mut Context<'_>,
        into: &mut [u8],
    ) -> Poll<io::Result<(usize, SocketAddr)>> {
        loop {
            ready!(self.poll_readable(cx))?;
            match self.try_read(|socket| recv_from(socket, into)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                outcome => return Poll::Ready(outcome),
            }
        }
    }
}

#[cfg(unix)]
fn recv_from(socket: &Inner, into: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
    socket.recv_from(into)
}

#[cfg(not(unix))]
fn recv_from(socket: &Inner, into: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
    socket.try_recv_from(into)
}
