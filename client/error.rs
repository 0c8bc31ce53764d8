//! The errors that end a game.

use std::time::Duration;

use netduel_protocol::{CloseCode, CodecError};
use netduel_transport::{Close, CloseReason, ConnectError, SendError, Shown};

/// An error that ends a game.
#[derive(Debug, thiserror::Error)]
pub enum PlayError {
    /// The connection failed.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The server closed the connection for a reason of the protocol.
    #[error("the server closed the connection: {reason}")]
    Refused {
        /// The code of the reason.
        code: CloseCode,
        /// The server's description of the reason.
        reason: Shown,
    },
    /// The connection ended for another reason.
    #[error("the connection to the server ended: {0}")]
    Ended(CloseReason),
    /// The server did not answer the hello in time.
    #[error(
        "the server accepted the connection but did not answer within {0:?}: check that it is a netduel server, \
         and that this is its port for this transport"
    )]
    NoWelcome(Duration),
    /// The server sent a message that does not decode or is not allowed in this state.
    #[error("the server does not speak our protocol: {0}")]
    BadServer(Shown),
    /// The message cannot be sent: a move without a match, or a name that is too long.
    #[error("cannot send that: {0}")]
    CannotSend(String),
    /// The payload is longer than the server relays; the old payload stays.
    #[error("payload of {size} bytes exceeds the limit of {max} bytes that the server's relay policy sets")]
    PayloadTooLong {
        /// The payload's length in bytes.
        size: usize,
        /// The limit in bytes.
        max: usize,
    },
    /// The match had as many moves as there are numbers for them.
    #[error("the match has lasted for so long that its move numbers are used up: join another match")]
    MovesUsedUp,
}

impl From<CloseReason> for PlayError {
    fn from(reason: CloseReason) -> Self {
        match reason {
            CloseReason::Remote(Close { code, reason }) => match CloseCode::from_code(code) {
                Some(code) => Self::Refused { code, reason },
                None => Self::Ended(CloseReason::Remote(Close { code, reason })),
            },
            other => Self::Ended(other),
        }
    }
}

impl From<SendError> for PlayError {
    fn from(error: SendError) -> Self {
        match error {
            SendError::Closed(reason) => reason.into(),
            error @ SendError::TooLarge { .. } => Self::CannotSend(error.to_string()),
        }
    }
}

impl From<CodecError> for PlayError {
    fn from(error: CodecError) -> Self {
        Self::BadServer(error.to_string().into())
    }
}
