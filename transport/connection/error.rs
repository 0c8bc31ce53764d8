//! Typed errors: the end of a connection, a failed connect or bind, and a message that was not
//! taken.
//!
//! Each message is complete in itself. It includes the system's words, so that no cause behind it
//! is printed twice.

use std::{io, net::SocketAddr, time::Duration};

use netduel_shown::Shown;

use super::kind::TransportKind;

/// The close frame of an endpoint that closes on purpose: a code and a reason. It travels to the
/// remote on every transport.
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
    /// The code, for programs. Codes below [`Close::FIRST_APPLICATION_CODE`] belong to this crate.
    pub code: u32,
    /// The reason and what to do, for people.
    pub reason: Shown,
}

impl Close {
    /// The code for a remote that did not read its control lane.
    pub const CONTROL_LANE_FULL: u32 = 1;
    /// The code for a remote that sent bytes which are not a frame.
    pub const BAD_FRAME: u32 = 2;
    /// The code for a remote that began a frame and did not finish it in time.
    pub const READ_DEADLINE: u32 = 3;
    /// The code for an endpoint that dropped the connection without a reason, as a program does
    /// that just ends.
    pub const GONE: u32 = 4;
    /// The code for an endpoint that failed by a fault of its own, in this connection alone.
    pub const FAULT: u32 = 5;
    /// The first code of the application. All codes from here on are its own.
    pub const FIRST_APPLICATION_CODE: u32 = 0x100;
    /// The longest reason in bytes.
    pub const MAX_REASON_BYTES: usize = Shown::MAX_BYTES;

    /// Makes a close frame. `reason` is cut and escaped as [`Shown`] says.
    pub fn new(code: u32, reason: impl Into<Shown>) -> Self {
        Self { code, reason: reason.into() }
    }
}

/// The reason why a connection is over, and the side that ended it.
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
    /// This side sent a close frame.
    #[error("closed by this side: {0}")]
    Local(Close),
    /// The remote sent a close frame.
    #[error("closed by the remote: {0}")]
    Remote(Close),
    /// The remote vanished without a close frame: its process died, or its host reset the
    /// connection.
    #[error("the remote went away without a close frame")]
    Vanished,
    /// Nothing, not even a keep-alive, came from the remote for this long.
    #[error("nothing was heard from the remote for {0:?}")]
    IdleTimeout(Duration),
    /// The remote began a frame and did not finish it in time.
    #[error("the remote did not finish a frame within {0:?}")]
    ReadDeadline(Duration),
    /// The remote does not read, so the control queue filled up. Holds the bytes that were waiting.
    #[error("the remote does not read: {0} bytes of control messages were waiting")]
    ControlLaneFull(usize),
    /// The remote sent bytes that are not a frame.
    #[error("bad frame: {0}")]
    BadFrame(#[from] FrameError),
    /// The transport below failed in a way of its own.
    #[error("transport failure: {0}")]
    Transport(Shown),
    /// This side panicked in the connection's state. The log has the panic's text.
    #[error("a fault of this side's transport ended the connection")]
    Fault,
}

impl CloseReason {
    /// Whether the connection ended without either side wanting it, so that the application may
    /// want to reconnect. A close code below the application's is the transport's own. An
    /// unfinished frame is how a cut path looks.
    pub fn is_loss(&self) -> bool {
        match self {
            Self::Remote(close) => close.code < Close::FIRST_APPLICATION_CODE,
            Self::Vanished
            | Self::IdleTimeout(_)
            | Self::ReadDeadline(_)
            | Self::Transport(_)
            | Self::Fault => true,
            Self::Local(_) | Self::ControlLaneFull(_) | Self::BadFrame(_) => false,
        }
    }

    /// Returns the close frame to send when this side ends the connection for this reason. `None`
    /// if the remote is gone.
    pub fn to_close(&self) -> Option<Close> {
        let code = match self {
            Self::Local(close) => return Some(close.clone()),
            Self::ReadDeadline(_) => Close::READ_DEADLINE,
            Self::ControlLaneFull(_) => Close::CONTROL_LANE_FULL,
            Self::BadFrame(_) => Close::BAD_FRAME,
            Self::Fault => Close::FAULT,
            Self::Remote(_) | Self::Vanished | Self::IdleTimeout(_) | Self::Transport(_) => return None,
        };
        Some(Close::new(code, self.to_string()))
    }
}

impl From<io::Error> for CloseReason {
    fn from(error: io::Error) -> Self {
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, UnexpectedEof};
        match error.kind() {
            BrokenPipe | ConnectionAborted | ConnectionReset | NotConnected | UnexpectedEof => Self::Vanished,
            _ => Self::Transport(error.to_string().into()),
        }
    }
}

/// Bytes that are not a frame.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A length prefix over the limit of its lane. Found before anything is allocated.
    #[error("a frame of {size} bytes, over the limit of {max}")]
    TooLong {
        /// The claimed length in bytes.
        size: usize,
        /// The limit for this kind of frame, in bytes.
        max: usize,
    },
    /// A kind byte that this crate does not know.
    #[error("unknown frame kind {0}: the remote speaks another protocol, or another transport")]
    UnknownKind(u8),
    /// A frame that this transport carries by other means, or with a body that does not parse.
    #[error("a {0} frame is not allowed here")]
    Misplaced(&'static str),
    /// Events without a message (keep-alives, datagrams, QUIC frames, TLS records) over their rate
    /// limit.
    #[error("more than {max} {what} within {period:?}")]
    TooMany {
        /// The name of the events.
        what: &'static str,
        /// The limit on their number.
        max: u32,
        /// The time for which the limit counts.
        period: Duration,
    },
    /// Events over the limit on all of a connection's.
    #[error("more than {max} {what} in all")]
    TooManyInAll {
        /// The name of the events.
        what: &'static str,
        /// The limit on their number.
        max: u32,
    },
}

/// The reason why a message was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The message is over the limit of its lane. Nothing was sent, and the connection goes on.
    #[error("a message of {size} bytes is over the lane's limit of {max}")]
    TooLarge {
        /// The message's size in bytes.
        size: usize,
        /// The lane's limit in bytes.
        max: usize,
    },
    /// The connection is over.
    #[error(transparent)]
    Closed(#[from] CloseReason),
}

/// The reason why no connection was made.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// No server listens there, or the network refuses.
    #[error(
        "cannot reach {addr} over {kind}: {error}. Is the server running there, with {kind} on that port?"
    )]
    /// No server listens at the address, or the network refused.
    Unreachable {
        /// The server's address.
        addr: SocketAddr,
        /// The kind of transport.
        kind: TransportKind,
        /// The system's error.
        error: io::Error,
    },
    /// No answer within the handshake deadline.
    #[error(
        "no answer from {addr} over {kind} within {timeout:?}. Is the server running there, with {kind} on that port, \
         and do the firewalls let its traffic pass?"
    )]
    /// No answer came within the handshake timeout.
    Timeout {
        /// The server's address.
        addr: SocketAddr,
        /// The kind of transport.
        kind: TransportKind,
        /// The timeout that passed.
        timeout: Duration,
    },
    /// The server's certificate is not trusted.
    #[error("the server's certificate is not trusted: {0}. Trust its certificate, or pin its key")]
    Untrusted(Shown),
    /// The server's key is not the pinned one. Never retried and never ignored.
    #[error(
        "the server's key has SHA-256 {presented}, not the pinned {expected}: it was changed, or this is \
         another server"
    )]
    PinMismatch {
        /// The pinned fingerprint.
        expected: String,
        /// The fingerprint of the server's key.
        presented: String,
    },
    /// No trust was given for an encrypted transport. There is no accept-any.
    #[error(
        "{0} checks the server's certificate, and no trust was given: trust its certificate, or pin its key"
    )]
    /// No trust was given for an encrypted transport. There is no mode that accepts any
    /// certificate.
    NoTrust(TransportKind),
    /// The handshake failed: garbage, another protocol, or a remote that gave up.
    #[error("the handshake over {kind} failed: {reason}. Does the server speak {kind} on that port?")]
    Handshake {
        /// The kind of transport.
        kind: TransportKind,
        /// The cause, as text.
        reason: Shown,
    },
}

/// The reason why a server could not listen.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {addr} for {kind}: {error}{hint}")]
pub struct BindError {
    /// The address asked for.
    pub addr: SocketAddr,
    /// The kind of transport.
    pub kind: TransportKind,
    /// The system's error.
    pub error: io::Error,
    /// Advice on what to do, or nothing.
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

/// The reason why a certificate, key or pin cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A file could not be read or written.
    #[error("{path}: {error}")]
    File {
        /// The file's path.
        path: String,
        /// The system's error.
        error: io::Error,
    },
    /// Other users can read the key file.
    #[error("{path} can be read by others (mode {mode:o}): run `chmod 600 {path}`")]
    LooseKey {
        /// The file's path.
        path: String,
        /// The file's permission bits.
        mode: u32,
    },
    /// Another user owns the key file, and may change it.
    #[error(
        "{path} belongs to user {owner}, and this program runs as user {own}: run `chown {own} {path}`, so that \
         nobody else can replace the key"
    )]
    ForeignKey {
        /// The file's path.
        path: String,
        /// The user that owns the file.
        owner: u32,
        /// The user that this process runs as.
        own: u32,
    },
    /// The certificate was made for another key.
    #[error("{certificate} was not made for {key}: put a certificate and its own key into the two files")]
    KeyMismatch {
        /// The certificate's path.
        certificate: String,
        /// The key's path.
        key: String,
    },
    /// The file holds nothing of the expected type.
    #[error("{path} holds no usable {what}: {reason}")]
    Unusable {
        /// The file's path.
        path: String,
        /// The expected content.
        what: &'static str,
        /// The cause, as text.
        reason: String,
    },
    /// A pin that is not 64 hexadecimal digits.
    #[error(
        "'{0}' is not a SHA-256 fingerprint: give 64 hexadecimal digits, as the server prints at its start"
    )]
    /// The pin is not 64 hexadecimal digits.
    BadPin(String),
    /// The certificate could not be made.
    #[error("cannot make a certificate: {0}")]
    Generate(String),
}
