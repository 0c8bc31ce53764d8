//! Test helpers that several crates share: proxies that impair the path between a client and a
//! server, and the conformance suite of transports ([`conformance`]).
//!
//! A development helper. Everything here panics where a test should fail.

pub mod conformance;
mod datagram_proxy;
mod tcp_udp_proxy;

pub use datagram_proxy::{DatagramProxy, Impairment};
pub use tcp_udp_proxy::TcpUdpProxy;
