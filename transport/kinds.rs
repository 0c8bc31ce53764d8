//! The list of all transports: each built-in kind with the module that implements it, and the
//! registered ones from outside this crate.

use std::{net::SocketAddr, str::FromStr};

use parking_lot::RwLock;
use serde::Deserialize;

#[cfg(feature = "enet")]
use crate::enet;
#[cfg(feature = "quic")]
use crate::quic;
#[cfg(feature = "tcp")]
use crate::tcp;
#[cfg(feature = "udp")]
use crate::udp;
use crate::{
    BindError, ConnectError, Connection, Identity, Listener, Options, OutsideKind, Target, Transport,
    TransportKind, Trust, connection::listener::within_deadline, memory,
};

/// Declares the built-in kinds that cross a network, in the order in which menus and reports show
/// them: the feature that compiles a kind, its variant, and the value that implements it.
macro_rules! built_in {
    ($($feature:literal $variant:ident => $transport:expr,)*) => {
        /// The number of built-in kinds that are compiled.
        const BUILT_IN: usize = 0 $(+ cfg!(feature = $feature) as usize)*;

        impl TransportKind {
            /// Every built-in kind that crosses a network, in the order in which menus and reports
            /// show them.
            pub const ALL: [Self; BUILT_IN] = [$(#[cfg(feature = $feature)] Self::$variant,)*];

            fn transport(self) -> &'static dyn Transport {
                match self {
                    $(#[cfg(feature = $feature)] Self::$variant => &$transport,)*
                    Self::Memory => &memory::MEMORY,
                    // Only `register` makes this variant, and nothing is ever taken out of the
                    // list.
                    Self::Outside(kind) => outside()[kind.number()],
                }
            }
        }
    };
}

built_in! {
    "tcp" Tcp => tcp::PLAIN,
    "tls" Tls => tcp::TLS,
    "quic" QuicStream => quic::STREAM,
    "quic" QuicUni => quic::UNI,
    "quic" QuicDatagram => quic::DATAGRAM,
    "enet" Enet => enet::ENET,
    "udp" Udp => udp::UDP,
}

/// The transports from outside, in the order of their registration.
static OUTSIDE: RwLock<Vec<&'static dyn Transport>> = RwLock::new(Vec::new());

fn outside() -> Vec<&'static dyn Transport> {
    OUTSIDE.read().clone()
}

impl TransportKind {
    /// The largest number of transports that [`Self::register`] takes. More than a comparison can
    /// show at once.
    pub const OUTSIDE_MAX: usize = 16;

    /// Returns every kind that crosses a network: [`Self::ALL`], then the registered ones.
    pub fn all() -> Vec<Self> {
        let outside = outside().into_iter().enumerate();
        let outside =
            outside.map(|(number, transport)| Self::Outside(OutsideKind::new(transport.info(), number)));
        Self::ALL.into_iter().chain(outside).collect()
    }

    /// Makes a transport from outside this crate known by its name, to [`FromStr`], to serde and to
    /// [`Self::all`]. Lasts as long as the process. A transport that is registered again gets the
    /// value that it has.
    ///
    /// # Errors
    /// A name that another kind has, an empty name, or more transports than [`Self::OUTSIDE_MAX`].
    pub fn register(transport: &'static dyn Transport) -> Result<Self, RegisterError> {
        let info = transport.info();
        let mut outside = OUTSIDE.write();
        if let Some(number) = outside.iter().position(|known| std::ptr::eq(known.info(), info)) {
            return Ok(Self::Outside(OutsideKind::new(info, number)));
        }
        let well_formed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if info.name.is_empty() || !info.name.bytes().all(well_formed) {
            return Err(RegisterError::BadName(info.name));
        }
        let built_in = Self::ALL.into_iter().chain([Self::Memory]).map(Self::name);
        if built_in.chain(outside.iter().map(|known| known.info().name)).any(|name| name == info.name) {
            return Err(RegisterError::NameTaken(info.name));
        }
        if outside.len() == Self::OUTSIDE_MAX {
            return Err(RegisterError::TooMany);
        }
        outside.push(transport);
        Ok(Self::Outside(OutsideKind::new(info, outside.len() - 1)))
    }

    /// Listens on `addr` (port 0 takes any free one). Needs a tokio runtime.
    ///
    /// # Errors
    /// The system's refusal, with what to do about it.
    pub fn bind(
        self,
        addr: SocketAddr,
        identity: &Identity,
        options: &Options,
    ) -> Result<Listener, BindError> {
        let bound = self.transport().bind(self, addr, identity, options);
        let inner = bound.map_err(|error| BindError::new(self, addr, error))?;
        Ok(Listener::new(self, inner, options))
    }

    /// Connects to a server at `addr`.
    ///
    /// `name` is the host name or address that the server's certificate must carry. `trust` says
    /// which certificates are good; encrypted kinds require it. It also keeps the TLS sessions that
    /// [`Options::resumption`] resumes.
    ///
    /// # Errors
    /// Ends connected or failed within [`Options::handshake_timeout`], never in between.
    pub async fn connect(
        self,
        addr: SocketAddr,
        name: &str,
        trust: Option<&Trust>,
        options: &Options,
    ) -> Result<Connection, ConnectError> {
        let target = Target { kind: self, addr, name, trust };
        within_deadline(self.transport().connect(&target, options), self, addr, options).await
    }
}

/// The reason why a transport from outside was not registered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegisterError {
    /// Another kind has the name.
    #[error("another transport is called '{0}': give this one another name")]
    NameTaken(&'static str),
    /// The name is empty or has other characters than lower-case letters, digits and hyphens.
    #[error("'{0}' is no name for a transport: use lower-case letters, digits and hyphens")]
    BadName(&'static str),
    /// There are as many transports from outside as may be.
    #[error("{} transports from outside are registered, and no more can be", TransportKind::OUTSIDE_MAX)]
    TooMany,
}

/// A name that no transport has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown transport '{name}': expected one of {}", names())]
pub struct UnknownTransport {
    /// The name asked for.
    pub name: String,
}

fn names() -> String {
    TransportKind::all().into_iter().map(TransportKind::name).collect::<Vec<_>>().join(", ")
}

impl FromStr for TransportKind {
    type Err = UnknownTransport;

    fn from_str(name: &str) -> Result<Self, UnknownTransport> {
        let mut kinds = Self::all().into_iter().chain([Self::Memory]);
        kinds.find(|kind| kind.name() == name).ok_or_else(|| UnknownTransport { name: name.into() })
    }
}

impl<'de> Deserialize<'de> for TransportKind {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}
