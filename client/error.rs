//! Why the game does not go on, as a type.

use std::time::Duration;

use netduel_protocol::{CloseCode, CodecError};
use netduel_transport::{Close, CloseReason, ConnectError, SendError};

/// Why the game does not go on.
#[derive(Debug, thiserror::Error)]
pub enum PlayError {
    /// No connection was made.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The server ended the connection, for this reason of the protocol.
    #[error("the server ended the connection: {reason}")]
    Refused {
        /// Which one.
        code: CloseCode,
        /// In the server's words.
        reason: String,
    },
    /// The connection ended otherwise.
    #[error("the connection to the server is over: {0}")]
    Ended(CloseReason),
    /// The server did not answer the hello in time.
    #[error(
        "the server accepted the connection but did not say hello within {0:?}: is it a netduel server, and this its port for this transport?"
    )]
    NoWelcome(Duration),
    /// The server said something that does not decode or may not come now.
    #[error("the server does not speak our protocol: {0}")]
    BadServer(String),
    /// A move without a match, or a name too long.
    #[error("cannot send that: {0}")]
    CannotSend(String),
    /// A payload longer than the server relays; nothing was changed.
    #[error("a payload of {size} bytes: this server relays {max} at most, as its relay policy allows")]
    PayloadTooLong {
        /// Its length in bytes.
        size: usize,
        /// The bound in bytes.
        max: usize,
    },
}

impl From<CloseReason> for PlayError {
    fn from(reason: CloseReason) -> Self {
        match reason {
            CloseReason::Peer(Close { code, reason }) => match CloseCode::from_code(code) {
                Some(code) => Self::Refused { code, reason },
                None => Self::Ended(CloseReason::Peer(Close { code, reason })),
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
        Self::BadServer(error.to_string())
    }
}
