//! What can go wrong, as types: why a connection ended, why one could not be made, why a message was not taken.
//!
//! Each message is complete in itself: what the system said is part of it, not a cause behind it to be printed twice.

use std::{io, net::SocketAddr, time::Duration};

use super::kind::TransportKind;

/// The last word of an endpoint that closes on purpose. It travels to the peer on every transport.
///
/// ```
/// use netduel_transport::Close;
///
/// const FULL: u32 = Close::FIRST_APPLICATION_CODE;
///
/// let close = Close::new(FULL, "the server is full: try again later");
/// assert_eq!(close.to_string(), "the server is full: try again later (code 256)");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason} (code {code})")]
pub struct Close {
    /// What happened, for programs. Codes below [`Close::FIRST_APPLICATION_CODE`] belong to this crate.
    pub code: u32,
    /// What happened and what to do, for people. Cut at [`Close::MAX_REASON_BYTES`].
    pub reason: String,
}

impl Close {
    /// The peer did not read its control lane.
    pub const CONTROL_LANE_FULL: u32 = 1;
    /// The peer sent bytes that are not a frame.
    pub const BAD_FRAME: u32 = 2;
    /// The peer began a frame and did not finish it in time.
    pub const READ_DEADLINE: u32 = 3;
    /// The endpoint dropped the connection without saying why (a program that just ends).
    pub const GONE: u32 = 4;
    /// Codes from here on are the application's.
    pub const FIRST_APPLICATION_CODE: u32 = 0x100;
    /// A reason must fit a QUIC CONNECTION_CLOSE frame in one minimum-size packet, with room to spare.
    pub const MAX_REASON_BYTES: usize = 512;

    /// A close; `reason` is cut to [`Self::MAX_REASON_BYTES`] at a character boundary.
    pub fn new(code: u32, reason: impl Into<String>) -> Self {
        let mut reason = reason.into();
        reason.truncate(reason.floor_char_boundary(Self::MAX_REASON_BYTES));
        Self { code, reason }
    }
}

/// Why a connection is over, and who ended it.
///
/// ```
/// use std::time::Duration;
///
/// use netduel_transport::{Close, CloseReason};
///
/// assert!(CloseReason::IdleTimeout(Duration::from_secs(10)).is_loss());
/// assert!(!CloseReason::Local(Close::new(Close::FIRST_APPLICATION_CODE, "done")).is_loss());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CloseReason {
    /// This side said close.
    #[error("closed by this side: {0}")]
    Local(Close),
    /// The peer said close.
    #[error("closed by the peer: {0}")]
    Peer(Close),
    /// The peer went away without a close: its process died, or its host reset the connection.
    #[error("the peer went away without a close frame")]
    Vanished,
    /// Nothing, not even a keep-alive, came from the peer for this long.
    #[error("nothing was heard from the peer for {0:?}")]
    IdleTimeout(Duration),
    /// The peer began a frame and did not finish it in time.
    #[error("the peer did not finish a frame within {0:?}")]
    ReadDeadline(Duration),
    /// The peer does not read: its reliable lane filled up.
    #[error("the peer does not read: {0} bytes of control messages were waiting")]
    ControlLaneFull(usize),
    /// The peer sent bytes that are not a frame.
    #[error("bad frame: {0}")]
    BadFrame(#[from] FrameError),
    /// The transport below failed in a way of its own.
    #[error("transport failure: {0}")]
    Transport(String),
}

impl CloseReason {
    /// Whether the connection ended without either side wanting it, so that the player may want to come back. A goodbye
    /// below the application's codes is the transport's own; a frame that stays unfinished is what a cut path looks like.
    pub fn is_loss(&self) -> bool {
        match self {
            Self::Peer(close) => close.code < Close::FIRST_APPLICATION_CODE,
            Self::Vanished | Self::IdleTimeout(_) | Self::ReadDeadline(_) | Self::Transport(_) => true,
            Self::Local(_) | Self::ControlLaneFull(_) | Self::BadFrame(_) => false,
        }
    }

    /// What to tell the peer when this side ends the connection for this reason; `None` if the peer is gone.
    pub fn to_close(&self) -> Option<Close> {
        let code = match self {
            Self::Local(close) => return Some(close.clone()),
            Self::ReadDeadline(_) => Close::READ_DEADLINE,
            Self::ControlLaneFull(_) => Close::CONTROL_LANE_FULL,
            Self::BadFrame(_) => Close::BAD_FRAME,
            Self::Peer(_) | Self::Vanished | Self::IdleTimeout(_) | Self::Transport(_) => return None,
        };
        Some(Close::new(code, self.to_string()))
    }
}

impl From<io::Error> for CloseReason {
    fn from(error: io::Error) -> Self {
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, UnexpectedEof};
        match error.kind() {
            BrokenPipe | ConnectionAborted | ConnectionReset | NotConnected | UnexpectedEof => Self::Vanished,
            _ => Self::Transport(error.to_string()),
        }
    }
}

/// Bytes that are not a frame.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The length prefix is over the limit of its lane. Found before anything is allocated.
    #[error("a frame of {size} bytes, over the limit of {max}")]
    TooLong {
        /// The length claimed.
        size: usize,
        /// The limit for this kind of frame.
        max: usize,
    },
    /// The kind byte is none we know.
    #[error("unknown frame kind {0}: the peer speaks another protocol, or another transport")]
    UnknownKind(u8),
    /// A frame that this transport carries by other means, or with a body that does not parse.
    #[error("a {0} frame where none may be")]
    Misplaced(&'static str),
    /// What may come without a message, faster than anybody needs it.
    #[error("more than {max} {what} within {period:?}")]
    TooMany {
        /// What came: keep-alives, datagrams, QUIC frames.
        what: &'static str,
        /// As many as may be.
        max: u32,
        /// Within this time.
        period: Duration,
    },
}

/// Why a message was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The message is over the limit of its lane; nothing was sent, and the connection goes on.
    #[error("a message of {size} bytes is over the lane's limit of {max}")]
    TooLarge {
        /// Size of the message.
        size: usize,
        /// The limit of the lane.
        max: usize,
    },
    /// The connection is over.
    #[error(transparent)]
    Closed(#[from] CloseReason),
}

/// Why no connection was made.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Nobody listens there, or the network says no.
    #[error(
        "cannot reach {addr} over {kind}: {error}. Is the server running there, with {kind} on that port?"
    )]
    Unreachable {
        /// Where to.
        addr: SocketAddr,
        /// Over what.
        kind: TransportKind,
        /// What the system said.
        error: io::Error,
    },
    /// No answer within the handshake deadline.
    #[error(
        "no answer from {addr} over {kind} within {timeout:?}. Is the server running there, with {kind} on that port, and may the traffic pass?"
    )]
    Timeout {
        /// Who did not answer.
        addr: SocketAddr,
        /// Over what.
        kind: TransportKind,
        /// The deadline that passed.
        timeout: Duration,
    },
    /// The server's certificate is not one we trust.
    #[error("the server's certificate is not trusted: {0}. Trust its certificate, or pin its fingerprint")]
    Untrusted(String),
    /// The server's certificate is not the pinned one. Never retried and never ignored.
    #[error(
        "the server's certificate has SHA-256 {presented}, not the pinned {expected}: it was changed, or this is another server"
    )]
    PinMismatch {
        /// Fingerprint asked for.
        expected: String,
        /// Fingerprint presented.
        presented: String,
    },
    /// No trust was given for an encrypted transport. There is no accept-any.
    #[error(
        "{0} checks the server's certificate, and no trust was given: trust its certificate, or pin its fingerprint"
    )]
    NoTrust(TransportKind),
    /// The handshake failed: garbage, another protocol, or a peer that gave up.
    #[error("the handshake over {kind} failed: {reason}. Is it {kind} that the server speaks on that port?")]
    Handshake {
        /// Over what.
        kind: TransportKind,
        /// What went wrong.
        reason: String,
    },
}

/// Why a server could not listen.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {addr} for {kind}: {error}{hint}")]
pub struct BindError {
    /// Where.
    pub addr: SocketAddr,
    /// For what.
    pub kind: TransportKind,
    /// What the system said.
    pub error: io::Error,
    /// What to do about it, or nothing.
    pub hint: &'static str,
}

impl BindError {
    pub(crate) fn new(kind: TransportKind, addr: SocketAddr, error: io::Error) -> Self {
        let hint = match error.kind() {
            io::ErrorKind::AddrInUse => {
                ". The port is taken: stop what uses it, or choose another port (0 takes any free one)"
            }
            io::ErrorKind::PermissionDenied => ". Ports below 1024 need privileges: choose a higher one",
            io::ErrorKind::AddrNotAvailable => ". The address is not one of this machine's",
            _ => "",
        };
        Self { addr, kind, error, hint }
    }
}

/// Why a certificate, key or pin cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A file could not be read or written.
    #[error("{path}: {error}")]
    File {
        /// Which file.
        path: String,
        /// What the system said.
        error: io::Error,
    },
    /// The key can be read by others.
    #[error("{path} can be read by others (mode {mode:o}): run `chmod 600 {path}`")]
    LooseKey {
        /// Which file.
        path: String,
        /// Its permission bits.
        mode: u32,
    },
    /// The file holds nothing of the kind expected.
    #[error("{path} holds no usable {what}: {reason}")]
    Unusable {
        /// Which file.
        path: String,
        /// What was sought.
        what: &'static str,
        /// Why not.
        reason: String,
    },
    /// A pin that is not 64 hexadecimal digits.
    #[error(
        "'{0}' is not a SHA-256 fingerprint: give 64 hexadecimal digits, as the server prints at its start"
    )]
    BadPin(String),
    /// A certificate could not be made.
    #[error("cannot make a certificate: {0}")]
    Generate(String),
}
