//! The address of a client, and the proof that the client receives there.
//!
//! Whoever sends a datagram writes any sender's address into it. A limit that charged that address
//! would let a stranger use up the share of somebody else. [`Proved`] can be made from proof alone,
//! and a limit for each address takes nothing else.

use std::net::SocketAddr;

/// The proof that a client receives at its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// The operating system has finished TCP's handshake.
    TcpHandshake,
    /// The client returned a secret of this listener's, which was sent to that address.
    Cookie,
    /// The client returned the token of QUIC's Retry.
    RetryToken,
    /// The transport's own handshake is over, and the client cannot have finished it unheard.
    Handshake,
    /// Client and server are one process, without a network between them.
    SameProcess,
}

/// An address at which a client has proved that it receives.
///
/// ```
/// use netduel_transport::{Proof, Proved};
///
/// // A transport of one's own states its proof when it hands over a client.
/// let client = Proved::by(Proof::TcpHandshake, ([192, 0, 2, 1], 4_000).into());
/// assert_eq!(client.addr().port(), 4_000);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proved {
    addr: SocketAddr,
    proof: Proof,
}

impl Proved {
    /// States that a client has proved `addr` by `proof`. The caller has seen the proof.
    pub const fn by(proof: Proof, addr: SocketAddr) -> Self {
        Self { addr, proof }
    }

    /// Returns the address.
    pub const fn addr(self) -> SocketAddr {
        self.addr
    }

    /// Returns the proof.
    pub const fn proof(self) -> Proof {
        self.proof
    }
}
