//! Moves opaque messages over two lanes, on any of several transports behind one contract.
//!
#![doc = include_str!("README.md")]
// Locks of this crate are held for memory copies and system calls that do not wait, never across an
// await.

mod kinds;

#[cfg(feature = "enet")]
mod enet;
mod memory;
#[cfg(feature = "quic")]
mod quic;
#[cfg(feature = "tcp")]
mod tcp;
#[cfg(feature = "udp")]
mod udp;

/// The contract of a connection, and the values that users see.
#[cfg_attr(not(all(feature = "quic", feature = "udp")), allow(dead_code))]
mod connection {
    pub(crate) mod close;
    #[allow(clippy::module_inception)]
    pub(crate) mod connection;
    pub(crate) mod error;
    pub(crate) mod halves;
    pub(crate) mod kind;
    pub(crate) mod lane;
    pub(crate) mod listener;
    pub(crate) mod options;
    pub(crate) mod path_stats;
    pub(crate) mod proved;
    pub(crate) mod recovery;
    pub(crate) mod setting;
    pub(crate) mod transport;
}

/// Sockets, framing, queues and timers that several transports share.
#[cfg_attr(not(all(feature = "tcp", feature = "quic", feature = "enet", feature = "udp")), allow(dead_code))]
mod io {
    #[cfg(any(feature = "enet", feature = "udp"))]
    pub(crate) mod answering_socket;
    pub(crate) mod byte_stream;
    #[cfg(any(feature = "enet", feature = "udp"))]
    pub(crate) mod cookie;
    #[cfg(any(feature = "enet", feature = "udp"))]
    pub(crate) mod datagram_listener;
    pub(crate) mod descriptors;
    pub(crate) mod frame;
    pub(crate) mod keep_alive;
    pub(crate) mod outbox;
    pub(crate) mod rate_limit;
    #[cfg(any(feature = "tcp", feature = "quic", feature = "enet", feature = "udp"))]
    pub(crate) mod share_port;
    pub(crate) mod stream_sender;
    pub(crate) mod supervised;
    #[cfg(feature = "tcp")]
    pub(crate) mod tcp_info;
    #[cfg(feature = "tcp")]
    pub(crate) mod tcp_tuning;
    #[cfg(any(feature = "enet", feature = "udp"))]
    pub(crate) mod udp_demux;
    #[cfg(any(feature = "quic", feature = "enet", feature = "udp"))]
    pub(crate) mod udp_socket;
}

/// Certificates, trust and session resumption, for the transports that encrypt.
#[cfg_attr(not(all(feature = "tls", feature = "quic")), allow(dead_code))]
mod tls {
    pub(crate) mod chain;
    pub(crate) mod identity;
    pub(crate) mod pem_files;
    pub(crate) mod resumption;
    pub(crate) mod suite;
    pub(crate) mod trust;
    pub(crate) mod x509;
}

/// Doors for benches, fuzzers and simulations, each behind a feature.
mod testing {
    #[cfg(feature = "bench")]
    pub mod bench;
    #[cfg(feature = "fuzzing")]
    pub mod fuzzing;
    #[cfg(feature = "simulation")]
    pub mod simulation;
}

pub use connection::{
    close::CloseState,
    connection::{Connection, Receiver, Sender},
    error::{BindError, Close, CloseReason, ConnectError, FrameError, IdentityError, SendError},
    halves::{BoxFuture, ReceiveHalf, SendHalf},
    kind::{Capabilities, CongestionControl, KindInfo, OutsideKind, Socket, TransportKind},
    lane::{Lane, MAX_CONTROL_BYTES, MAX_STATE_BYTES},
    listener::{Incoming, Listener},
    options::{Congestion, Options, PortSharing},
    path_stats::{CongestionInEffect, PathStats, TlsSuite},
    proved::{Proof, Proved},
    recovery::Recovery,
    setting::Setting,
    transport::{Arrival, Handshake, Listen, Target, Transport, Unproved},
};
pub use io::{
    descriptors::reserve_descriptors,
    rate_limit::{GcraBucket, RateLimit},
    supervised::{Supervised, TaskHealth},
};
pub use kinds::{RegisterError, UnknownTransport};
pub use netduel_shown::Shown;
#[cfg(feature = "tcp")]
pub use tcp::path_stats as tcp_path_stats;
#[cfg(feature = "bench")]
pub use testing::bench;
#[cfg(feature = "fuzzing")]
pub use testing::fuzzing;
#[cfg(feature = "simulation")]
pub use testing::simulation;
pub use tls::{
    identity::Identity,
    trust::{Fingerprint, Trust},
};
