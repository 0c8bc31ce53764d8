//! A server of one kind, for one trial, and the ways to connect to it.

use std::{net::SocketAddr, time::Duration};

use netduel_client::{Event, Player, PlayerConfig};
use netduel_protocol::{ClientMessage, CloseCode, MAX_MESSAGE_BYTES, SeatToken, VERSION, encode};
use netduel_server::{Config, Observer, Server, Snapshot};
use netduel_transport::{Close, CloseReason, Connection, Identity, Options, TransportKind};
use tokio::{task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;

/// No single wait in this suite needs nearly as long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn localhost() -> SocketAddr {
    ([127, 0, 0, 1], 0).into()
}

pub(crate) struct World {
    pub(crate) kind: TransportKind,
    pub(crate) addr: SocketAddr,
    pub(crate) identity: Identity,
    /// The server's.
    pub(crate) options: Options,
    pub(crate) observer: Observer,
    shutdown: CancellationToken,
    serving: JoinHandle<Snapshot>,
}

impl World {
    pub(crate) fn start(kind: TransportKind, config: Config, options: Options) -> Self {
        let identity = Identity::generate(&["localhost".into()]).expect("identity");
        let listener = kind.bind(localhost(), &identity, &options).expect("bound");
        let addr = listener.local_addr();
        let server = Server::new(vec![listener], config);
        let (observer, shutdown) = (server.observer(), CancellationToken::new());
        let serving = tokio::spawn(server.run(shutdown.clone()));
        Self { kind, addr, identity, options, observer, shutdown, serving }
    }

    /// As the server's, but that a handshake may take its time on a busy machine.
    pub(crate) fn client_options(&self) -> Options {
        Options { handshake_timeout: PATIENCE, ..self.options.clone() }
    }

    pub(crate) async fn connect(&self) -> Connection {
        self.connect_at(self.addr).await
    }

    pub(crate) async fn connect_at(&self, addr: SocketAddr) -> Connection {
        let (trust, options) = (self.identity.trust(), self.client_options());
        self.kind.connect(addr, "localhost", Some(&trust), &options).await.expect("connected")
    }

    /// A player who has asked for a match by this code.
    pub(crate) async fn joined(&self, addr: SocketAddr, code: &str) -> Player {
        let config = PlayerConfig {
            addr,
            server_name: "localhost".into(),
            kind: self.kind,
            trust: Some(self.identity.trust()),
            options: self.client_options(),
            name: "player".into(),
            period_us: 16_667,
        };
        let mut player = Player::connect(&config).await.expect("connected");
        player.join(Some(code)).expect("open");
        player
    }

    /// Two players in a match; the first comes by `addr`.
    pub(crate) async fn matched_at(&self, addr: SocketAddr, code: &str) -> [Player; 2] {
        let mut first = self.joined(addr, code).await;
        assert_eq!(event(&mut first).await, Event::Waiting);
        let mut players = [first, self.joined(self.addr, code).await];
        for player in &mut players {
            assert!(matches!(event(player).await, Event::Started(_)));
        }
        players
    }

    pub(crate) async fn matched(&self, code: &str) -> [Player; 2] {
        self.matched_at(self.addr, code).await
    }

    /// Until the server has seen what a client did.
    pub(crate) async fn until(&self, what: &str, condition: impl Fn(&Self) -> bool) {
        let reached = async {
            while !condition(self) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        if timeout(PATIENCE, reached).await.is_err() {
            panic!("never: {what}; {:?}, {:?}", self.observer.snapshot(), self.observer.census());
        }
    }

    /// Runs `attack` until `condition` holds of the server, and drops the rest of the attack then.
    ///
    /// A test must not wait for an attacker's own write: once the socket buffers are full, the kernel may never tell the
    /// attacker that the server has ended the connection. The size of the buffers is the machine's to choose.
    pub(crate) async fn attack_until(
        &self,
        what: &str,
        condition: impl Fn(&Self) -> bool,
        attack: impl Future<Output = ()>,
    ) {
        let reached = self.until(what, condition);
        tokio::pin!(reached);
        tokio::select! {
            () = &mut reached => return,
            () = attack => {}
        }
        reached.await;
    }

    /// Until a counter stands at `count`, which must then be all.
    pub(crate) async fn counted(&self, name: &str, count: u64, read: fn(&Snapshot) -> u64) {
        self.until(&format!("{name} at {count}"), |world| read(&world.observer.snapshot()) >= count).await;
        assert_eq!(read(&self.observer.snapshot()), count, "{name}");
    }

    /// Nobody is there any more but the witnesses.
    pub(crate) async fn only_witnesses(&self) {
        self.until("only the witnesses are left", |world| {
            let census = world.observer.census();
            let connected: usize = census.connections.iter().map(|(_, count)| count).sum();
            (connected, census.handshakes, census.waiting, census.matches) == (2, 0, 0, 1)
        })
        .await;
    }

    pub(crate) async fn stop(self) -> Snapshot {
        self.shutdown.cancel();
        timeout(PATIENCE, self.serving).await.expect("ends in time").expect("no panic")
    }

    /// Says these control messages over a connection of their own and returns the goodbye.
    pub(crate) async fn told(&self, messages: &[Vec<u8>]) -> Close {
        let mut bad = self.connect().await;
        for message in messages {
            // The server may have hung up in the middle of it.
            let _ = bad.sender.send_control(message);
        }
        told(&mut bad).await
    }

    /// The same, and holds the server to its answer.
    pub(crate) async fn expelled(&self, what: &str, messages: &[Vec<u8>], code: CloseCode) {
        let goodbye = self.told(messages).await;
        assert_eq!(CloseCode::from_code(goodbye.code), Some(code), "{what}: {goodbye}");
    }
}

/// What the server's last word is; what it says before is passed over.
pub(crate) async fn told(connection: &mut Connection) -> Close {
    loop {
        match timeout(PATIENCE, connection.receiver.recv()).await.expect("an end in time") {
            Ok(_) => {}
            Err(CloseReason::Peer(goodbye)) => return goodbye,
            Err(reason) => panic!("ended without a word: {reason}"),
        }
    }
}

pub(crate) async fn event(player: &mut Player) -> Event {
    loop {
        let event = timeout(PATIENCE, player.next_event()).await.expect("an event in time").expect("open");
        // The seat of who is lost is kept for a moment; nobody comes back to it here.
        if !matches!(event, Event::OpponentReconnecting { .. }) {
            return event;
        }
    }
}

pub(crate) fn bytes(message: &ClientMessage<'_>) -> Vec<u8> {
    encode(message, &mut [0; MAX_MESSAGE_BYTES]).expect("encodes").to_vec()
}

pub(crate) fn hello() -> Vec<u8> {
    bytes(&ClientMessage::Hello { version: VERSION })
}

pub(crate) fn join(code: &str) -> Vec<u8> {
    bytes(&ClientMessage::Join { name: "Mallory".into(), code: Some(code.into()) })
}

/// For a seat that is nobody's.
pub(crate) fn resume() -> Vec<u8> {
    let token = SeatToken::new([0; SeatToken::BYTES]);
    bytes(&ClientMessage::Resume { game: 1, token, attempt: 1 })
}
