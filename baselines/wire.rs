//! The sizes, names and addresses that the baselines share.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Bytes of a move: about the size of one of ours.
pub const MOVE_BYTES: usize = 24;
/// The largest datagram that a baseline reads, in bytes.
pub(crate) const DATAGRAM_MAX_BYTES: usize = 2048;
/// Bytes of a UDP header.
pub(crate) const UDP_HEADER_BYTES: u64 = 8;
/// The application protocol in TLS handshakes.
pub(crate) const ALPN: &str = "netduel-baselines/1";
/// The name in the relay's certificate.
pub(crate) const SERVER_NAME: &str = "localhost";

/// A move of a baseline. It is text, because PodSixNet carries no other bytes.
pub type Update = [u8; MOVE_BYTES];

/// Returns the unspecified address of the family of `relay`, with any port.
pub(crate) fn any_address_for(relay: SocketAddr) -> SocketAddr {
    let ip: IpAddr =
        if relay.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    (ip, 0).into()
}
