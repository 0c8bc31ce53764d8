//! A server of one kind for one trial, and the ways to connect to it.

use std::{net::SocketAddr, time::Duration};

use netduel_client::{Event, Player, PlayerConfig};
use netduel_protocol::{ClientMessage, CloseCode, MAX_MESSAGE_BYTES, SeatToken, VERSION, encode};
use netduel_server::{Config, Observer, Server, Snapshot};
use netduel_transport::{Close, CloseReason, Connection, Identity, Options, TransportKind};
use tokio::{task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;

/// The timeout of every wait; none needs nearly as long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn localhost() -> SocketAddr {
    ([127, 0, 0, 1], 0).into()
}

pub(crate) struct World {
    pub(crate) kind: TransportKind,
    pub(crate) addr: SocketAddr,
    pub(crate) identity: Identity,
    /// The server's options.
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

    /// Returns the server's options with a longer handshake timeout, for a busy machine.
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

    /// Connects a player that has asked for a match by this code.
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

    /// Starts a match of two players, the first of which connects to `addr`.
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

    /// Waits until the server has seen the effect of a client's action.
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
    /// A test must not wait for an attacker's own write: once the socket buffers are full, the
    /// kernel may never tell the attacker that the server has ended the connection. The size of the
    /// buffers is the machine's to choose.
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

    /// Waits until a counter reaches `count`, and checks that it stops there.
    pub(crate) async fn counted(&self, name: &str, count: u64, read: fn(&Snapshot) -> u64) {
        self.until(&format!("{name} at {count}"), |world| read(&world.observer.snapshot()) >= count).await;
        assert_eq!(read(&self.observer.snapshot()), count, "{name}");
    }

    /// Waits until only the witnesses are connected.
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

    /// Sends control messages over a new connection, and returns the server's close.
    pub(crate) async fn told(&self, messages: &[Vec<u8>]) -> Close {
        let mut bad = self.connect().await;
        for message in messages {
            // The server may have closed the connection in the middle of the messages.
            let _ = bad.sender.send_control(message);
        }
        told(&mut bad).await
    }

    /// Sends control messages over a new connection, and checks the code of the server's close.
    pub(crate) async fn expelled(&self, what: &str, messages: &[Vec<u8>], code: CloseCode) {
        let close = self.told(messages).await;
        assert_eq!(CloseCode::from_code(close.code), Some(code), "{what}: {close}");
    }
}

/// Returns the server's close, and passes over the messages before it.
pub(crate) async fn told(connection: &mut Connection) -> Close {
    loop {
        match timeout(PATIENCE, connection.receiver.recv()).await.expect("an end in time") {
            Ok(_) => {}
            Err(CloseReason::Remote(close)) => return close,
            Err(reason) => panic!("ended without a word: {reason}"),
        }
    }
}

pub(crate) async fn event(player: &mut Player) -> Event {
    loop {
        let event = timeout(PATIENCE, player.next_event()).await.expect("an event in time").expect("open");
        // A lost player's seat is kept for a moment; no test resumes it here.
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

/// Encodes a resume for a seat that does not exist.
pub(crate) fn resume() -> Vec<u8> {
    let token = SeatToken::new([0; SeatToken::BYTES]);
    bytes(&ClientMessage::Resume { match_id: 1, token, attempt: 1 })
}
