//! A UDP socket for QUIC: any task sends single packets, and one task receives batches.

use std::{
    io::{self, IoSliceMut},
    net::SocketAddr,
    task::{Context, Poll, ready},
};

use quinn_proto::Transmit;
use quinn_udp::{RecvMeta, UdpSocketState};

use crate::{Options, Setting, io::udp_socket::UdpSocket};

/// Whether a batch that is not full leaves nothing behind, as recvmmsg does.
const SHORT_READ_IS_LAST: bool = cfg!(any(target_os = "linux", target_os = "android"));

pub(super) struct Socket {
    udp: UdpSocketState,
    io: UdpSocket,
}

impl Socket {
    /// Binds a socket. Returns it with its buffer sizes.
    pub(super) fn bind(addr: SocketAddr, options: &Options) -> io::Result<(Self, Vec<Setting>)> {
        let io = UdpSocket::bind(addr, options)?;
        let buffers = Setting::buffers(&socket2::SockRef::from(io.get()));
        let udp = UdpSocketState::new(io.get().into())?;
        Ok((Self { udp, io }, buffers))
    }

    pub(super) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.io.get().local_addr()
    }

    /// Sends one packet. Returns `false` if the system has no room for it now. Any other refusal
    /// counts as a loss on the path.
    pub(super) fn send(&self, transmit: &Transmit, packet: &[u8]) -> bool {
        let transmit = quinn_udp::Transmit {
            destination: transmit.destination,
            ecn: transmit.ecn.and_then(|ecn| quinn_udp::EcnCodepoint::from_bits(ecn as u8)),
            contents: &packet[..transmit.size],
            segment_size: transmit.segment_size,
            src_ip: transmit.src_ip,
        };
        self.udp.send(self.io.get().into(), &transmit).is_ok()
    }

    /// Reads a batch as soon as there is one.
    pub(super) fn poll_receive(
        &self,
        cx: &mut Context<'_>,
        into: &mut [IoSliceMut<'_>],
        metas: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.io.poll_readable(cx))?;
            let mut count = 0;
            let outcome = self.io.try_read(|socket| {
                count = self.udp.recv(socket.into(), into, metas)?;
                // Saying so now spares a call that finds nothing.
                let emptied = SHORT_READ_IS_LAST && count < into.len();
                if emptied { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
            });
            match outcome {
                Err(error) if count == 0 && error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if count == 0 => return Poll::Ready(Err(error)),
                _ => return Poll::Ready(Ok(count)),
            }
        }
    }

    /// Returns ready if there may be something to read. Otherwise the task is woken when there is.
    pub(super) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io.poll_readable(cx)
    }
}
