//! The server's admission limits: each is answered with a typed close, counted by cause, and does
//! not disturb a witness match.

use std::time::Duration;

use netduel_client::{Event, PlayError, Player};
use netduel_protocol::{CloseCode, clock, game::Heading};
use netduel_server::{Config, Snapshot};
use netduel_transport::{Options, TransportKind};
use tokio::{io::AsyncReadExt, net::TcpStream, time::timeout};

use running::{PATIENCE, Running, event, every_kind};

mod running;

impl Running {
    fn of(kind: TransportKind, config: Config) -> Self {
        Self::start([kind], config, &Options::default())
    }

    async fn connect(&self, kind: TransportKind) -> Result<Player, PlayError> {
        let config = self.player_config(kind, "tester", &Options::default());
        Player::connect(&config).await
    }

    async fn matched(&self, kind: TransportKind) -> [Player; 2] {
        let mut players =
            [self.connect(kind).await.expect("connected"), self.connect(kind).await.expect("connected")];
        for player in &mut players {
            player.join(None).expect("open");
        }
        for player in &mut players {
            while !matches!(event(player).await, Event::Started(_)) {}
        }
        players
    }
}

async fn plays_on([ada, grace]: &mut [Player; 2]) {
    ada.steer(Heading { x: 1.0, y: 0.0 }, clock::now_us()).expect("open");
    assert!(matches!(event(grace).await, Event::OpponentMoved { .. }));
}

/// Waits until the server has seen the effect of a client's action. The server's tasks run on this
/// thread, so yielding lets them run.
async fn until(what: &str, condition: impl Fn() -> bool) {
    let reached = async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, reached).await.unwrap_or_else(|_| panic!("never: {what}"));
}

#[tokio::test]
async fn limits_connections_per_address() {
    for kind in every_kind() {
        let config = Config {
            connections_per_address_max: 2,
            connections_per_address_per_s: u32::MAX,
            ..Config::default()
        };
        let server = Running::of(kind, config);
        let mut witness = server.matched(kind).await;
        let Err(refusal) = server.connect(kind).await else { panic!("one too many over {kind}") };
        assert!(
            matches!(refusal, PlayError::Refused { code: CloseCode::TooManyFromAddress, .. }),
            "{kind}: {refusal}"
        );
        plays_on(&mut witness).await;
        // A player that leaves makes room.
        let [ada, mut grace] = witness;
        ada.close().await;
        assert!(matches!(event(&mut grace).await, Event::OpponentLeft { .. }));
        let next = loop {
            match server.connect(kind).await {
                Ok(player) => break player,
                Err(PlayError::Refused { code: CloseCode::TooManyFromAddress, .. }) => {}
                Err(error) => panic!("{kind}: {error}"),
            }
        };
        tokio::join!(next.close(), grace.close());
        let counters = server.stop().await;
        assert!(counters.refused_address >= 1, "{kind}: {counters:?}");
        assert_eq!((counters.expelled, counters.refused_full), (0, 0), "{kind}");
    }
}

#[tokio::test]
async fn limits_matches() {
    for kind in every_kind() {
        let server = Running::of(kind, Config { matches_max: 1, ..Config::default() });
        let mut witness = server.matched(kind).await;
        let mut late = server.connect(kind).await.expect("connected");
        late.join(None).expect("open");
        let error = timeout(PATIENCE, late.next_event()).await.expect("in time").expect_err("no room");
        assert!(
            matches!(error, PlayError::Refused { code: CloseCode::TooManyMatches, .. }),
            "{kind}: {error}"
        );
        plays_on(&mut witness).await;
        let [ada, mut grace] = witness;
        ada.close().await;
        assert!(matches!(event(&mut grace).await, Event::OpponentLeft { .. }));
        grace.join(None).expect("open");
        assert_eq!(event(&mut grace).await, Event::Waiting, "there is room again");
        grace.close().await;
        let counters = server.stop().await;
        assert_eq!((counters.refused_matches, counters.expelled), (1, 0), "{kind}");
    }
}

#[tokio::test]
async fn limits_silent_handshakes() {
    let tls = TransportKind::Tls;
    let server = Running::of(tls, Config { handshakes_max: 3, ..Config::default() });
    let mut witness = server.matched(tls).await;
    let mut silent = Vec::new();
    for count in 1..=3 {
        silent.push(TcpStream::connect(server.addresses[&tls]).await.expect("connected"));
        until("a handshake under way", || server.observer.census().handshakes == count).await;
    }
    let mut dropped = TcpStream::connect(server.addresses[&tls]).await.expect("the kernel accepts");
    let heard = timeout(PATIENCE, dropped.read(&mut [0; 8])).await.expect("an end in time");
    assert!(matches!(heard, Ok(0) | Err(_)), "the server closed the connection without an answer: {heard:?}");
    plays_on(&mut witness).await;
    silent.clear();
    until("they are gone", || server.observer.census().handshakes == 0).await;
    let again = server.connect(tls).await.expect("there is room again");
    again.close().await;
    let counters = server.stop().await;
    assert_eq!((counters.refused_handshakes, counters.handshakes_failed), (1, 3));
}

#[tokio::test]
async fn counts_expulsions_by_cause() {
    let kind = TransportKind::Memory;
    let config =
        Config { join_timeout: Duration::from_millis(50), messages_per_s_max: 5, ..Config::default() };
    let server = Running::of(kind, config);
    let options = Options::default();
    let connect = || kind.connect(server.addresses[&kind], "localhost", None, &options);
    let mut garbage = connect().await.expect("connected");
    garbage.sender.send_control(&[0xff; 9]).expect("open");
    timeout(PATIENCE, garbage.receiver.recv()).await.expect("in time").expect_err("expelled");
    let mut silent = connect().await.expect("connected");
    timeout(PATIENCE, silent.receiver.recv()).await.expect("in time").expect_err("expelled");
    let mut flooder = server.connect(kind).await.expect("connected");
    flooder.join(None).expect("open");
    while flooder.ping().is_ok() && timeout(PATIENCE, flooder.next_event()).await.expect("in time").is_ok() {}
    let counters = server.stop().await;
    let Snapshot { expelled, expelled_malformed, expelled_join_timeout, expelled_flooding, .. } = counters;
    assert_eq!([expelled_malformed, expelled_join_timeout, expelled_flooding, expelled], [1, 1, 1, 3]);
}

#[tokio::test]
async fn limits_connection_rate_per_address() {
    for kind in every_kind() {
        // Eight connections at once, and then one a second.
        let config =
            Config { connections_per_address_max: 4, connections_per_address_per_s: 1, ..Config::default() };
        let server = Running::of(kind, config);
        let mut witness = server.matched(kind).await;
        let options = Options { handshake_timeout: Duration::from_millis(300), ..Options::default() };
        let hasty = server.player_config(kind, "hasty", &options);
        let dropped = async {
            while server.observer.snapshot().refused_rate == 0 {
                drop(Player::connect(&hasty).await);
            }
        };
        timeout(PATIENCE, dropped).await.unwrap_or_else(|_| panic!("admitted for ever over {kind}"));
        plays_on(&mut witness).await;
        let admitted = async { while Player::connect(&hasty).await.is_err() {} };
        timeout(PATIENCE, admitted).await.unwrap_or_else(|_| panic!("never admitted again over {kind}"));
        plays_on(&mut witness).await;
        let [ada, grace] = witness;
        tokio::join!(ada.close(), grace.close());
        let counters = server.stop().await;
        assert_eq!((counters.expelled, counters.refused_full), (0, 0), "{kind}: {counters:?}");
    }
}
