//! The configuration of a player's connection.

use std::net::SocketAddr;

use netduel_transport::{Options, TransportKind, Trust};

/// The configuration of a player: the server, the transport, and the player's name.
#[derive(Clone, Debug)]
pub struct PlayerConfig {
    /// The server's address.
    pub addr: SocketAddr,
    /// The name that the server's certificate must carry.
    pub server_name: String,
    /// The transport.
    pub kind: TransportKind,
    /// The certificates to trust; required for encrypted transports.
    pub trust: Option<Trust>,
    /// Settings of the connection.
    pub options: Options,
    /// The name that the opponent sees.
    pub name: String,
    /// The period in which the opponent is expected to send, in µs, which decides what counts as a
    /// freeze.
    pub period_us: u64,
}
