//! The listener of the kinds over datagrams: a [`Demux`] that accepts clients, with the kind's
//! handshake.

use std::{io, net::SocketAddr, sync::Arc};

use super::udp_demux::{AddressValidator, DatagramReceiver, DatagramSender, Demux, Incoming};
use crate::{
    Arrival, BoxFuture, ConnectError, Connection, Handshake, Listen, Options, Proof, Proved, TaskHealth,
    TransportKind,
};

/// A bound socket whose clients finish their handshakes by `handshake`.
pub(crate) struct DatagramListener<H> {
    kind: TransportKind,
    demux: Demux,
    options: Options,
    handshake: H,
}

impl<H, F> DatagramListener<H>
where
    H: Fn(Arc<DatagramSender>, DatagramReceiver, Options) -> F + Send + Sync + 'static,
    F: Future<Output = Result<Connection, String>> + Send + 'static,
{
    /// Binds a listener of `kind`. `handshake` returns the reason if it fails.
    pub(crate) fn bind(
        kind: TransportKind,
        addr: SocketAddr,
        validator: impl AddressValidator,
        options: &Options,
        handshake: H,
    ) -> io::Result<Box<dyn Listen>> {
        let demux = Demux::bind(addr, validator, options)?;
        Ok(Box::new(Self { kind, demux, options: options.clone(), handshake }))
    }
}

impl<H, F> Listen for DatagramListener<H>
where
    H: Fn(Arc<DatagramSender>, DatagramReceiver, Options) -> F + Send + Sync + 'static,
    F: Future<Output = Result<Connection, String>> + Send + 'static,
{
    fn local_addr(&self) -> SocketAddr {
        self.demux.local_addr()
    }

    fn strays(&self) -> u64 {
        self.demux.strays()
    }

    fn health(&self) -> Vec<TaskHealth> {
        vec![self.demux.health()]
    }

    fn accept(&self) -> BoxFuture<'_, io::Result<Arrival>> {
        Box::pin(async move {
            let Incoming { sender, receiver, half_open } = self.demux.next_incoming().await?;
            let (kind, remote) = (self.kind, sender.remote());
            let handshake = (self.handshake)(sender, receiver, self.options.clone());
            let handshake: Handshake = Box::pin(async move {
                let connection = handshake.await;
                drop(half_open);
                connection.map_err(|reason| ConnectError::Handshake { kind, reason: reason.into() })
            });
            Ok(Arrival::Proved(Proved::by(Proof::Cookie, remote), handshake))
        })
    }
}
