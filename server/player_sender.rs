//! The sending half of a player's connection, as its seat, its opponent's session and the lobby
//! hold it.

use netduel_protocol::{MAX_MESSAGE_BYTES, ServerMessage};
use netduel_transport::{Sender, TransportKind};

/// Numbers the connections of one server process.
pub(crate) type PlayerId = u64;

/// Kinds of transport that a server counts apart: those of networks, and the one in memory.
pub(crate) const KINDS: usize = TransportKind::ALL.len() + 1;

/// Returns the index of the kind in tables of [`KINDS`] entries.
pub(crate) fn kind_number(kind: TransportKind) -> usize {
    TransportKind::ALL.iter().position(|it| *it == kind).unwrap_or(TransportKind::ALL.len())
}

/// A connected player's number and the sending half of its connection. Cheap to clone.
#[derive(Clone)]
pub(crate) struct PlayerSender {
    pub(crate) id: PlayerId,
    pub(crate) sender: Sender,
    /// [`kind_number`] of the connection's transport.
    pub(crate) kind_number: usize,
}

impl PlayerSender {
    pub(crate) fn new(id: PlayerId, sender: Sender) -> Self {
        Self { id, kind_number: kind_number(sender.kind()), sender }
    }

    /// Sends a message on the control lane.
    ///
    /// If the connection is over, its own session finds out, so that the caller need not know.
    pub(crate) fn send(&self, message: &ServerMessage<'_>) {
        self.send_batched(message, false);
    }

    /// Sends a message on the control lane. A message that is part of a batch may wait for
    /// [`Sender::flush`].
    pub(crate) fn send_batched(&self, message: &ServerMessage<'_>, batched: bool) {
        let mut buffer = [0; MAX_MESSAGE_BYTES];
        match netduel_protocol::encode(message, &mut buffer) {
            Ok(bytes) if batched => drop(self.sender.queue_control(bytes)),
            Ok(bytes) => drop(self.sender.send_control(bytes)),
            Err(error) => tracing::error!("cannot encode {message:?}: {error}"),
        }
    }
}
