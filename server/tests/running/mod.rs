//! A server within the test's own process, and the configuration of its players.

#![allow(dead_code, reason = "each suite takes what it needs")]

use std::{collections::HashMap, net::SocketAddr, time::Duration};

use netduel_client::{Event, Player, PlayerConfig};
use netduel_server::{Config, Observer, Server, Snapshot};
use netduel_transport::{Identity, Options, TransportKind, Trust};
use tokio::{task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;

/// The timeout of every wait; none needs nearly as long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
pub(crate) const PERIOD_US: u64 = 16_667;

pub(crate) fn every_kind() -> impl Iterator<Item = TransportKind> {
    TransportKind::ALL.into_iter().chain([TransportKind::Memory])
}

pub(crate) struct Running {
    pub(crate) addresses: HashMap<TransportKind, SocketAddr>,
    pub(crate) trust: Trust,
    pub(crate) observer: Observer,
    pub(crate) shutdown: CancellationToken,
    serving: JoinHandle<Snapshot>,
}

impl Running {
    pub(crate) fn start(
        kinds: impl IntoIterator<Item = TransportKind>,
        config: Config,
        options: &Options,
    ) -> Self {
        let identity = Identity::generate(&["localhost".into()]).expect("identity");
        let bind =
            |kind: TransportKind| kind.bind(([127, 0, 0, 1], 0).into(), &identity, options).expect("bound");
        let listeners: Vec<_> = kinds.into_iter().map(bind).collect();
        let addresses = listeners.iter().map(|listener| (listener.kind(), listener.local_addr())).collect();
        let server = Server::new(listeners, config);
        let (observer, shutdown) = (server.observer(), CancellationToken::new());
        let serving = tokio::spawn(server.run(shutdown.clone()));
        Self { addresses, trust: identity.trust(), observer, shutdown, serving }
    }

    pub(crate) fn player_config(&self, kind: TransportKind, name: &str, options: &Options) -> PlayerConfig {
        PlayerConfig {
            addr: self.addresses[&kind],
            server_name: "localhost".into(),
            kind,
            trust: Some(self.trust.clone()),
            options: options.clone(),
            name: name.into(),
            period_us: PERIOD_US,
        }
    }

    pub(crate) async fn stop(self) -> Snapshot {
        self.shutdown.cancel();
        timeout(PATIENCE, self.serving).await.expect("ends in time").expect("no panic")
    }
}

pub(crate) async fn event(player: &mut Player) -> Event {
    timeout(PATIENCE, player.next_event()).await.expect("an event in time").expect("open")
}
