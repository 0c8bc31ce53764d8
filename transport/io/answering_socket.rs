//! A UDP socket that answers from the address that it was asked at.
//!
//! A socket that is bound to all addresses of a machine receives at each of them, and sends from
//! the one that the routes name. A client's connected socket drops what comes from another address
//! than it asked. So such a socket reads and sets the packet's address (IP_PKTINFO).

use std::{
    io::{self, IoSliceMut},
    net::{IpAddr, SocketAddr},
    task::{Context, Poll, ready},
};

use quinn_udp::{RecvMeta, Transmit, UdpSocketState};
use socket2::{SockAddr, SockRef};

use super::udp_socket::UdpSocket;
use crate::Options;

/// The buffer of a socket in bytes where the system may put several datagrams together: the longest
/// that an IP packet can be.
const JOINED_BYTES_MAX: usize = 64 * 1024;

pub(crate) struct AnsweringSocket {
    io: UdpSocket,
    /// Set on a socket for all addresses. On any other the system knows the address.
    packet_info: Option<UdpSocketState>,
}

/// Both ends of a datagram's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ends {
    pub(crate) remote: SocketAddr,
    /// This machine's address; `None` where the system knows it.
    pub(crate) local: Option<IpAddr>,
}

/// The datagrams that one read brought: of one remote, one behind the other.
pub(crate) struct Arrived {
    pub(crate) bytes: usize,
    /// The size of each datagram but the last.
    pub(crate) stride: usize,
    pub(crate) ends: Ends,
}

impl AnsweringSocket {
    /// Binds a client's socket, for one remote. The kernel drops datagrams from any other.
    pub(crate) fn connect(to: SocketAddr, options: &Options) -> io::Result<Self> {
        let any: SocketAddr = if to.is_ipv4() { ([0; 4], 0).into() } else { ([0; 16], 0).into() };
        let io = UdpSocket::bind(any, options)?;
        SockRef::from(io.get()).connect(&to.into())?;
        Ok(Self { io, packet_info: None })
    }

    /// Binds a server's socket.
    pub(crate) fn bind(addr: SocketAddr, options: &Options) -> io::Result<Self> {
        let io = UdpSocket::bind(addr, options)?;
        let packet_info =
            addr.ip().is_unspecified().then(|| UdpSocketState::new(io.get().into())).transpose()?;
        Ok(Self { io, packet_info })
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.io.get().local_addr()
    }

    /// Returns the system's socket, for its options.
    pub(crate) fn options(&self) -> SockRef<'_> {
        SockRef::from(self.io.get())
    }

    /// Returns the size of the buffer that a read needs, where a datagram has `datagram_bytes` at
    /// most.
    pub(crate) fn buffer_bytes(&self, datagram_bytes: usize) -> usize {
        if self.packet_info.is_some() { JOINED_BYTES_MAX } else { datagram_bytes }
    }

    /// Sends on a client's socket.
    pub(crate) fn send(&self, datagram: &[u8]) -> io::Result<()> {
        self.options().send(datagram).map(drop)
    }

    /// Sends on a server's socket. `to` is the remote's address in the system's form.
    pub(crate) fn send_to(&self, datagram: &[u8], to: &SockAddr, ends: Ends) -> io::Result<()> {
        let Some(packet_info) = &self.packet_info else {
            return self.options().send_to(datagram, to).map(drop);
        };
        let transmit = Transmit {
            destination: ends.remote,
            ecn: None,
            contents: datagram,
            segment_size: None,
            src_ip: ends.local,
        };
        packet_info.try_send(self.io.get().into(), &transmit)
    }

    /// Polls for the next read. Bytes that do not fit `into` are cut off.
    pub(crate) fn poll_recv(&self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<Arrived>> {
        let Some(packet_info) = &self.packet_info else {
            let (bytes, remote) = ready!(self.io.poll_recv_from(cx, into))?;
            return Poll::Ready(Ok(Arrived { bytes, stride: bytes, ends: Ends { remote, local: None } }));
        };
        loop {
            ready!(self.io.poll_readable(cx))?;
            let mut meta = [RecvMeta::default()];
            let outcome = self
                .io
                .try_read(|socket| packet_info.recv(socket.into(), &mut [IoSliceMut::new(into)], &mut meta));
            let [RecvMeta { len: bytes, stride, addr: remote, dst_ip: local, .. }] = meta;
            match outcome {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
                Ok(_) => return Poll::Ready(Ok(Arrived { bytes, stride, ends: Ends { remote, local } })),
            }
        }
    }
}
