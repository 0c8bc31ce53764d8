//! Moves opaque messages over two lanes, on any of several transports. Knows nothing of games.
//!
//! A [`TransportKind`] binds a [`Listener`] or connects to one. Both ways lead to a [`Connection`] in two halves. Its
//! [`Sender`] never waits and can be shared. Its [`Receiver`] is polled by one task and *drives* the connection: it writes
//! what could not be written at once, sends keep-alives and watches timeouts.
//!
//! **Lanes.** [`Lane::Control`] is reliable and ordered. [`Lane::State`] is latest-wins: the next update replaces an
//! update that could not leave yet. Some kinds may lose or reorder updates that did leave
//! ([`Capabilities::state_may_drop`]), so an application numbers its state messages.
//!
//! **A new transport** is one module that implements [`Transport`], and its lines in `connection/kind.rs` (the table of
//! kinds) and `kinds.rs` (the list of implementations). A crate of somebody else's implements the same trait and calls
//! [`TransportKind::register`]. A transport finds here:
//!
//! - *Over a byte stream* (`tcp.rs`): `io/frame.rs` cuts it into messages, and `io/outbox.rs` lets the newest update
//!   replace the one that waits.
//! - *Over datagrams* (`udp.rs`, `enet.rs`): `io/udp_demux.rs` tells the remotes on one socket apart. It keeps no state
//!   for an address before the transport has validated it.
//! - *Keep-alives and the idle timeout*: `io/keep_alive.rs`.
//! - *TLS*: `bind` is given the server's [`Identity`]; `connect` is given the [`Trust`] and the name that the certificate
//!   must carry. Kinds that do not encrypt ignore them.
//! - *A path and an HTTP upgrade*, as WebSocket and WebTransport want them, are not built. They belong to the kind as
//!   ALPN belongs to TLS: a constant of its file, sent inside `connect` and checked inside the handshake that `accept`
//!   returns, both of which end at the handshake timeout. The `Host` header is [`Target::name`]. A kind whose users
//!   choose the path would add it to [`Target`], next to the name. After its upgrade WebSocket is a byte stream;
//!   WebTransport has the streams and datagrams of `quic.rs`, which should give it its endpoint.

mod kinds;

mod enet;
mod memory;
mod quic;
mod tcp;
mod udp;

/// The contract of a connection, and the values that users see.
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
    pub(crate) mod transport;
}

/// Sockets, framing, queues and timers that several transports share.
mod io {
    pub(crate) mod frame;
    pub(crate) mod keep_alive;
    pub(crate) mod outbox;
    pub(crate) mod rate_limit;
    pub(crate) mod tcp_info;
    pub(crate) mod udp_demux;
    pub(crate) mod udp_socket;
}

/// Certificates, trust and session resumption, for the transports that encrypt.
mod tls {
    pub(crate) mod identity;
    pub(crate) mod resumption;
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
    options::{Congestion, Options},
    path_stats::PathStats,
    transport::{Handshake, Listen, Target, Transport},
};
pub use kinds::{RegisterError, UnknownTransport};
pub use tcp::path_stats as tcp_path_stats;
#[cfg(feature = "bench")]
pub use testing::bench;
#[cfg(feature = "fuzzing")]
pub use testing::fuzzing;
#[cfg(feature = "simulation")]
pub use testing::simulation;
pub use tls::identity::{Fingerprint, Identity, Trust};
